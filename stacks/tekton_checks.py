"""What the settings of Tekton ask of clusters that can't have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stacks import partial
from stacks.problems import Problem, key_path
from stacks.vocabulary import Distribution

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stacks.partial import Entry

_BESIDE_PIPELINES: Final = ("chains", "triggers")


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
