"""Reading settings that may yet be wrong in places: what is not of the expected kind counts as not given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from stacks.settings import DEFAULT_POOL
from stacks.vocabulary import ClusterState

Entry: TypeAlias = Mapping[str, Any]
"""A mapping of the settings as the stack file has it: keys in camelCase, values not yet validated."""


def section(entry: Entry, key: str) -> Entry:
    """Take a mapping.

    Parameters
    ----------
    entry
        What it stands in.
    key
        Its key.

    Returns
    -------
    Mapping
        Empty where there is none.
    """
    value = entry.get(key)
    return {str(name): one for name, one in value.items()} if isinstance(value, Mapping) else {}


def entries(sections: Entry, key: str) -> dict[str, Entry]:
    """Take the entries of a section.

    Parameters
    ----------
    sections
        The settings.
    key
        Key of the section.

    Returns
    -------
    dict
        Entries by name; an entry that is no mapping is there, and empty.
    """
    named = section(sections, key)
    return {name: section(named, name) for name in named}


def text(entry: Entry, key: str, default: str | None = None) -> str | None:
    """Take a text.

    Parameters
    ----------
    entry
        What it stands in.
    key
        Its key.
    default
        What is meant where the key is absent.

    Returns
    -------
    str or None
        None where something else than a text stands there.
    """
    value = entry.get(key, default)
    return value if isinstance(value, str) else None


def texts(entry: Entry, key: str, default: tuple[str, ...] = ()) -> dict[int, str]:
    """Take the texts of a list.

    Parameters
    ----------
    entry
        What it stands in.
    key
        Its key.
    default
        What is meant where the key is absent.

    Returns
    -------
    dict
        Texts by their place in the list, which counts from 0.
    """
    value = entry.get(key, default)
    items = value if isinstance(value, list | tuple) else ()
    return {place: item for place, item in enumerate(items) if isinstance(item, str)}


def active_clusters(clusters: Mapping[str, Entry], *, like: Entry) -> str:
    """List the active clusters, those of a cluster's own pool first.

    Parameters
    ----------
    clusters
        The clusters.
    like
        The cluster in whose place one is wanted.
    """
    pool = text(like, "pool", DEFAULT_POOL)
    active = sorted(
        (text(cluster, "pool", DEFAULT_POOL) != pool, name)
        for name, cluster in clusters.items()
        if text(cluster, "state", ClusterState.ACTIVE) == ClusterState.ACTIVE
    )
    return ", ".join(name for _, name in active) or "there is none yet"
