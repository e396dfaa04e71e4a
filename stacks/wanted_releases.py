"""Which releases, in which versions, each cluster gets by the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from releases.catalog import (
    API_SYNCAGENT_CRDS,
    ARGO_CD,
    ARGO_CD_HA,
    PIPELINES_AS_CODE,
    TEKTON_CHAINS,
    TEKTON_PIPELINES,
    TEKTON_RESULTS,
    TEKTON_TRIGGERS,
    TEKTON_TRIGGERS_INTERCEPTORS,
    catalog,
)
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
        name: {release: _version(settings, cluster, release) for release in sorted(_names(settings, cluster))}
        for name, cluster in sorted(settings.compute_clusters.items())
    }


def is_canary(settings: EnvironmentSettings, cluster: str) -> bool:
    """Tell whether releases change on a cluster before they change on those that are no canaries.

    Parameters
    ----------
    settings
        The settings.
    cluster
        Name of the cluster.
    """
    pool = settings.pools.get(settings.compute_clusters[cluster].pool)
    return pool is not None and pool.canary


def upgrade_order(settings: EnvironmentSettings) -> list[str]:
    """Order clusters by when their releases change: canaries, then the others, by name.

    Parameters
    ----------
    settings
        The settings.
    """
    return sorted(settings.compute_clusters, key=lambda name: (not is_canary(settings, name), name))


def argocd_release(settings: EnvironmentSettings) -> str | None:
    """Name the release by which each cluster gets its Argo CD; None where none does.

    Parameters
    ----------
    settings
        The settings.
    """
    if not settings.argocd.enabled:
        return None
    return ARGO_CD_HA if settings.argocd.high_availability else ARGO_CD


def _version(settings: EnvironmentSettings, cluster: ComputeClusterSettings, release: str) -> str:
    pool = settings.pools.get(cluster.pool)
    of_the_pool = {} if pool is None else pool.releases
    return {release: catalog()[release].version, **settings.releases.versions, **of_the_pool}[release]


def beside_pipelines(settings: EnvironmentSettings) -> tuple[str, ...]:
    """Name the releases that come after Tekton Pipelines and work with it, in the order in which they do.

    Parameters
    ----------
    settings
        The settings.
    """
    triggers = (TEKTON_TRIGGERS, TEKTON_TRIGGERS_INTERCEPTORS) if settings.tekton.triggers.enabled else ()
    chains = (TEKTON_CHAINS,) if settings.tekton.chains.enabled else ()
    results = (TEKTON_RESULTS,) if settings.tekton.results.enabled else ()
    events = (PIPELINES_AS_CODE,) if settings.pipelines_as_code.enabled else ()
    return (*triggers, *chains, *results, *events)


def _names(settings: EnvironmentSettings, cluster: ComputeClusterSettings) -> set[str]:
    # To OpenShift, Tekton comes by its operator.
    on_kubernetes = cluster.distribution is Distribution.KUBERNETES
    tekton = {TEKTON_PIPELINES, *beside_pipelines(settings)} if on_kubernetes else set()
    argocd = argocd_release(settings)
    return {API_SYNCAGENT_CRDS, *tekton, *([argocd] if argocd else [])}
