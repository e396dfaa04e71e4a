"""Which releases, in which versions, each cluster gets by the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from releases.catalog import API_SYNCAGENT_CRDS, TEKTON_PIPELINES, catalog
from stacks.vocabulary import Distribution

if TYPE_CHECKING:
    from stacks.settings import ComputeClusterSettings, EnvironmentSettings


def wanted_releases(settings: EnvironmentSettings) -> dict[str, dict[str, str]]:
    """Name the releases that each cluster gets.

    Parameters
    ----------
    settings
        The settings.

    Returns
    -------
    dict
        By cluster: the versions by release, both in the order of their names.
    """
    return {
        name: {release: catalog()[release].version for release in sorted(_names(cluster))}
        for name, cluster in sorted(settings.compute_clusters.items())
    }


def _names(cluster: ComputeClusterSettings) -> set[str]:
    # To OpenShift, Tekton comes by its operator.
    tekton = {TEKTON_PIPELINES} if cluster.distribution is Distribution.KUBERNETES else set()
    return {API_SYNCAGENT_CRDS, *tekton}
