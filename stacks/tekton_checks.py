"""What the settings of Tekton ask of clusters that can't have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stacks import partial
from stacks.problems import Problem, key_path
from stacks.vocabulary import Distribution

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stacks.partial import Entry

_INSIDE: Final = (".svc", ".svc.cluster.local")
"""Ends of names that a cluster has for itself."""

_BESIDE_PIPELINES: Final = ("chains", "results", "triggers")


def check(sections: Entry) -> Iterator[Problem]:
    """Find what is asked of OpenShift clusters, where this program brings Tekton Pipelines alone.

    Refused, not left out: who asks for signatures must not find runs of some clusters unsigned.

    Parameters
    ----------
    sections
        The settings as they stand in the stack file.
    """
    tekton = partial.section(sections, "tekton")
    clusters = sorted(
        name
        for name, cluster in partial.entries(sections, "computeClusters").items()
        if cluster.get("distribution") == Distribution.OPENSHIFT
    )
    for part in _BESIDE_PIPELINES:
        if clusters and partial.section(tekton, part).get("enabled") is True:
            yield Problem(
                key=key_path(["tekton", part, "enabled"]),
                value="true",
                why=f"it doesn't come to clusters of distribution openshift yet ({', '.join(clusters)})",
                mend="switch it off, or keep these clusters in a stack of their own",
            )
    yield from _results(sections, tekton)


def _results(sections: Entry, tekton: Entry) -> Iterator[Problem]:
    """Check that each cluster's results have a place, and one of their own."""
    enabled = partial.section(tekton, "results").get("enabled") is True
    owners: dict[tuple[object, ...], str] = {}
    for name, cluster in sorted(partial.entries(sections, "computeClusters").items()):
        results = partial.section(cluster, "results")
        if enabled and not results and cluster.get("distribution") != Distribution.OPENSHIFT:
            yield Problem(
                key=key_path(["computeClusters", name, "results"]),
                value="",
                why="tekton.results.enabled is true, and the results of this cluster have no database",
                mend="add results: {database: {host: …, password: {secret: KEY}}, host: …}",
            )
        database = partial.section(results, "database")
        inside = str(database.get("host")).endswith(_INSIDE)
        for place, own in (
            (["database"], ("database", *(database.get(key) for key in ("host", "port", "name")))),
            (["host"], ("host", results.get("host"), results.get("port"))),
        ):
            # The same name inside two clusters is two servers.
            if inside and place == ["database"]:
                continue
            if own[1] is not None and (owner := owners.setdefault(own, name)) != name:
                yield Problem(
                    key=key_path(["computeClusters", name, "results", *place]),
                    value="",
                    why=f'cluster "{owner}" has the very same: who breaks into one would have both',
                    mend="give each cluster a database, and an address, of its own",
                )
