"""The versions of releases that settings ask for, held against the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from releases.catalog import catalog
from stacks import partial
from stacks.problems import Problem, key_path, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stacks.partial import Entry


def check(sections: Entry) -> Iterator[Problem]:
    """Find releases that the catalog doesn't have, and versions that it doesn't support.

    Parameters
    ----------
    sections
        The settings as they stand in the stack file.
    """
    yield from _versions(["releases", "versions"], partial.section(sections, "releases"), "versions")
    for name, pool in partial.entries(sections, "pools").items():
        yield from _versions(["pools", name, "releases"], pool, "releases")
    yield from _adopted(sections)


def _adopted(sections: Entry) -> Iterator[Problem]:
    for name, cluster in partial.entries(sections, "computeClusters").items():
        for place, release in partial.texts(cluster, "adopt").items():
            if release not in catalog():
                yield Problem(
                    key=key_path(["computeClusters", name, "adopt", str(place)]),
                    value=shown(release),
                    why="there is no such release",
                    mend=nearest(release, catalog(), what="releases"),
                )


def _versions(place: Sequence[str], entry: Entry, key: str) -> Iterator[Problem]:
    asked = partial.section(entry, key)
    for release in asked:
        version = partial.text(asked, release)
        known = catalog().get(release)
        if known is None:
            yield Problem(
                key=key_path([*place, release]),
                value=shown(version) if version is not None else "",
                why="there is no such release",
                mend=nearest(release, catalog(), what="releases"),
            )
        elif version is not None and version not in known.supported:
            yield Problem(
                key=key_path([*place, release]),
                value=shown(version),
                why="this program doesn't know this version",
                mend=f"use one of {', '.join(known.supported)}",
            )
