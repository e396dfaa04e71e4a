"""From settings to the arguments of components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from components.access import Subject
from components.release import ReleaseArgs
from components.tenant_manifests import TenantAccess, TenantQuota
from releases.catalog import API_SYNCAGENT_CRDS, catalog

if TYPE_CHECKING:
    import pulumi

    from stacks.loader import LoadedEnvironment
    from stacks.settings import AccessSettings, QuotaSettings, SubjectsSettings

SYNCER_IMAGE: Final = f"ghcr.io/kcp-dev/api-syncagent:{catalog()[API_SYNCAGENT_CRDS].version}"
"""The agent, in the version of its CustomResourceDefinitions."""


def subjects(settings: SubjectsSettings) -> tuple[Subject, ...]:
    """Name the subjects of a role, each once and in an order that doesn't depend on the file's.

    Parameters
    ----------
    settings
        Users and groups.
    """
    users = (Subject(kind="User", name=name) for name in sorted(set(settings.users)))
    groups = (Subject(kind="Group", name=name) for name in sorted(set(settings.groups)))
    return (*users, *groups)


def tenant_access(settings: AccessSettings) -> TenantAccess:
    """Say who may do what in a tenant's workspace.

    Parameters
    ----------
    settings
        The roles' users and groups.
    """
    return TenantAccess(
        admins=subjects(settings.admins),
        developers=subjects(settings.developers),
        viewers=subjects(settings.viewers),
    )


def tenant_quota(settings: QuotaSettings) -> TenantQuota:
    """Say how much a tenant may store and run.

    Parameters
    ----------
    settings
        The quota.
    """
    return TenantQuota(
        pipeline_runs=settings.pipeline_runs, cpu=settings.cpu, memory=settings.memory, pods=settings.pods
    )


def release_args(
    environment: LoadedEnvironment, cluster: str, release: str, *, after: tuple[pulumi.Resource, ...]
) -> ReleaseArgs:
    """Say how a release stands on a cluster.

    Parameters
    ----------
    environment
        The environment.
    cluster
        Name of the cluster.
    release
        Name of the release.
    after
        What must be there before it, and stay until it is gone.
    """
    settings = environment.settings.compute_clusters[cluster]
    return ReleaseArgs(
        release=environment.releases[release],
        kubeconfig=str(environment.kubeconfig_file(cluster)),
        incarnation=settings.incarnation,
        state=settings.state,
        after=after,
    )
