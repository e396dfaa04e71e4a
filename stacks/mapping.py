"""From settings to the arguments of components.

What parameters mean, here and in all modules `mapping_…`, where a function says no more of them:
`environment` is the environment; `settings` are its settings, or the part of them that the type names;
`cluster`, `tenant` and `release` are names; `provider` is the API server of the cluster; and `after` is what
must be there before what is made, and stay until it is gone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pulumi

from components.access import Subject
from components.delivery import Delivery
from components.openshift_pipelines import OpenShiftPipelinesArgs
from components.own_images import SYNCER_IMAGE
from components.pipelines_as_code import FINALIZERS as PAC_FINALIZERS
from components.pipelines_as_code import app_secret
from components.release import ReleaseArgs
from components.results_manifests import FINALIZERS as RESULTS_FINALIZERS
from components.retention import RetentionArgs
from components.retention_manifests import RetentionPods
from components.retention_prune import Policy
from components.syncer_manifests import AgentPods
from components.tekton import CHAINS_FINALIZERS, signing_secret
from components.tenant_manifests import TenantAccess, TenantQuota
from components.tenant_network import TenantNetwork
from components.tenant_place import TenantPlace, TenantRoom
from components.unit import ClusterUnitArgs
from releases.catalog import (
    API_SYNCAGENT_CRDS,
    ARGO_CD,
    ARGO_CD_HA,
    PIPELINES_AS_CODE,
    PYTHON_IMAGE,
    TEKTON_CHAINS,
    TEKTON_PIPELINES,
    TEKTON_RESULTS,
)
from stacks import mapping_images, mapping_pipelines_as_code, mapping_releases, mapping_results
from stacks.tenant_settings import RoleSettings
from stacks.vocabulary import Distribution, Egress
from stacks.wanted_releases import beside_pipelines as beside

if TYPE_CHECKING:
    from stacks.loader import LoadedEnvironment
    from stacks.sections import SubjectsSettings
    from stacks.tenant_settings import AccessSettings, NetworkSettings, QuotaSettings, TenantSettings

NOBODY: Final = 65532
"""User and group of our own pods where the cluster doesn't assign them."""


def subjects(settings: SubjectsSettings) -> tuple[Subject, ...]:
    """Name the subjects of a role, each once and in an order that doesn't depend on the file's.

    Parameters
    ----------
    settings
        Users and groups; in a role of a tenant's workspace, service accounts as well.
    """
    users = (Subject(kind="User", name=name) for name in sorted(set(settings.users)))
    groups = (Subject(kind="Group", name=name) for name in sorted(set(settings.groups)))
    if not isinstance(settings, RoleSettings):
        return (*users, *groups)
    accounts = (account.split("/") for account in sorted(set(settings.service_accounts)))
    return (
        *users,
        *groups,
        *(Subject(kind="ServiceAccount", name=name, namespace=namespace) for namespace, name in accounts),
    )


def tenant_access(settings: AccessSettings) -> TenantAccess:
    """Say who may do what in a tenant's workspace.

    Parameters
    ----------
    settings
        The roles' users, groups and service accounts.
    """
    return TenantAccess(
        admins=subjects(settings.admins),
        developers=subjects(settings.developers),
        viewers=subjects(settings.viewers),
    )


def tenant_quota(settings: QuotaSettings) -> TenantQuota:
    """Say how much a tenant may store and run."""
    return TenantQuota(
        pipeline_runs=settings.pipeline_runs,
        cpu=settings.cpu,
        memory=settings.memory,
        pods=settings.pods,
        storage=settings.storage,
    )


def tenant_network(settings: NetworkSettings) -> TenantNetwork:
    """Say what a tenant's pods may reach."""
    # In an order that doesn't depend on the file's.
    allowed = tuple(sorted(set(settings.allowed_egress)))
    return TenantNetwork(egress=None if settings.egress is Egress.OPEN else allowed)


def tenant_room(environment: LoadedEnvironment, tenant: str) -> TenantRoom:
    """Say how much a tenant runs."""
    settings = environment.settings.tenants[tenant]
    return TenantRoom(
        path=environment.settings.tenant_path(tenant),
        # In an order that doesn't depend on the file's.
        namespaces=tuple(sorted(settings.namespaces)),
        quota=tenant_quota(settings.quota),
        network=tenant_network(settings.network),
        suspended=settings.inactive,
        stopped=settings.stopped,
        pull_secret=mapping_images.pull_secret(environment),
        repositories=mapping_pipelines_as_code.tenant_repositories(environment.settings, tenant),
        results=mapping_results.has_results(environment.settings, settings.cluster),
    )


def tenant_place(
    environment: LoadedEnvironment,
    tenant: str,
    cluster: pulumi.ProviderResource,
    *,
    after: tuple[pulumi.Resource, ...],
) -> TenantPlace:
    """Say where and how much a tenant runs.

    Parameters
    ----------
    environment
        The environment.
    tenant
        Name of the tenant.
    cluster
        API server of its cluster.
    after
        What must be there before it, and stay until it is gone.
    """
    settings = environment.settings.tenants[tenant]
    entry = environment.settings.compute_clusters[settings.cluster]
    return TenantPlace(
        **vars(tenant_room(environment, tenant)),
        cluster_name=settings.cluster,
        cluster=cluster,
        on_cluster=ClusterUnitArgs(
            kubeconfig=str(environment.kubeconfig_file(settings.cluster)),
            incarnation=entry.incarnation,
            state=entry.state,
            delivery=entry.delivery,
        ),
        protect=protected(environment, tenant),
        after=after,
    )


def protected(environment: LoadedEnvironment, tenant: str) -> bool:
    """Tell whether what a tenant has is protected from deletion."""
    settings = environment.settings
    # A program can't see an entry that is gone: who leaves loses the protection while it stands.
    return settings.deletion_protection and settings.tenants[tenant].retired is None


def agent_pods(environment: LoadedEnvironment, cluster: str) -> AgentPods:
    """Say how the pods of a cluster's syncer are made."""
    settings = environment.settings.syncer
    version = environment.release(cluster, API_SYNCAGENT_CRDS).version
    return AgentPods(
        image=environment.images.rules.image(f"{SYNCER_IMAGE}:{version}"),
        replicas=settings.replicas,
        cpu_request=settings.cpu_request,
        memory_request=settings.memory_request,
        memory_limit=settings.memory_limit,
        user=pod_user(environment, cluster),
        pull_secret=mapping_images.pull_secret(environment),
    )


def pod_user(environment: LoadedEnvironment, cluster: str) -> int | None:
    """Name the user and group of our own pods on a cluster; None where the cluster assigns them."""
    openshift = environment.settings.compute_clusters[cluster].distribution is Distribution.OPENSHIFT
    return None if openshift else NOBODY


def retention_pods(environment: LoadedEnvironment, cluster: str) -> RetentionPods:
    """Say how the pods that prune finished runs of a cluster's tenants are made."""
    return RetentionPods(
        image=environment.images.rules.image(PYTHON_IMAGE),
        user=pod_user(environment, cluster),
        pull_secret=mapping_images.pull_secret(environment),
    )


def retention(
    environment: LoadedEnvironment,
    cluster: str,
    compute: pulumi.ProviderResource,
    provider: pulumi.ProviderResource,
    *,
    after: tuple[pulumi.Resource, ...],
) -> RetentionArgs:
    """Say how finished runs of a cluster's tenants are pruned.

    Parameters
    ----------
    environment
        The environment.
    cluster
        Name of the cluster.
    compute
        The workspace `compute`.
    provider
        API server of the cluster.
    after
        What must be there before it, and stay until it is gone.
    """
    return RetentionArgs(
        cluster_name=cluster,
        compute=compute,
        compute_url=environment.kcp.at_workspace(environment.settings.compute_path).server,
        certificate_authority=environment.kcp.certificate_authority,
        cluster=provider,
        pods=retention_pods(environment, cluster),
        after=after,
    )


def retention_policy(tenant: str, settings: TenantSettings) -> Policy:
    """Say how long a tenant's finished runs are kept.

    Parameters
    ----------
    tenant
        Its name.
    settings
        Its entry.
    """
    return Policy(tenant=tenant, runs=settings.kept_runs, days=settings.retention.days)


def tekton(
    environment: LoadedEnvironment,
    cluster: str,
    provider: pulumi.ProviderResource,
    *,
    after: tuple[pulumi.Resource, ...],
) -> ReleaseArgs | OpenShiftPipelinesArgs:
    """Say how Tekton comes to a cluster: as a release, or on OpenShift by its operator."""
    settings = environment.settings.compute_clusters[cluster]
    if settings.distribution is not Distribution.OPENSHIFT:
        return release_args(environment, cluster, TEKTON_PIPELINES, provider, after=after)
    return OpenShiftPipelinesArgs(
        cluster=provider,
        setup=mapping_releases.on_openshift(environment.settings, environment.images),
        github_app=mapping_pipelines_as_code.credentials(environment),
        kubeconfig=str(environment.kubeconfig_file(cluster)),
        incarnation=settings.incarnation,
        state=settings.state,
        delivery=settings.delivery,
        after=after,
    )


def beside_pipelines(
    environment: LoadedEnvironment,
    cluster: str,
    provider: pulumi.ProviderResource,
    *,
    after: tuple[pulumi.Resource, ...],
) -> tuple[ReleaseArgs, ...]:
    """Say which releases come to a cluster after Tekton Pipelines and work with it, in their order."""
    wanted = environment.prepared[cluster]
    names = [name for name in beside(environment.settings) if name in wanted]
    return tuple(
        _with_secrets(environment, cluster, release_args(environment, cluster, name, provider, after=after))
        for name in names
    )


def _with_secrets(environment: LoadedEnvironment, cluster: str, args: ReleaseArgs) -> ReleaseArgs:
    """Add what a release needs that no manifest has, and what it would leave behind."""
    if args.release.name == TEKTON_CHAINS and environment.signing_key is not None:
        key = pulumi.Output.secret(environment.signing_key.private)
        return replace(args, objects={"signing-key": signing_secret(key)}, let_go=CHAINS_FINALIZERS)
    if args.release.name == TEKTON_RESULTS:
        return replace(args, objects=mapping_results.secrets(environment, cluster), let_go=RESULTS_FINALIZERS)
    if args.release.name == PIPELINES_AS_CODE:
        app = mapping_pipelines_as_code.credentials(environment)
        objects = {} if app is None else {"github-app": app_secret(app)}
        return replace(args, objects=objects, let_go=PAC_FINALIZERS)
    return args


def release_args(
    environment: LoadedEnvironment,
    cluster: str,
    release: str,
    provider: pulumi.ProviderResource,
    *,
    after: tuple[pulumi.Resource, ...],
) -> ReleaseArgs:
    """Say how a release stands on a cluster."""
    settings = environment.settings.compute_clusters[cluster]
    prepared = environment.release(cluster, release)
    return ReleaseArgs(
        release=prepared,
        adopt=release in settings.adopt or prepared.unit in settings.adopt,
        cluster=provider,
        pull_secret=mapping_images.pull_secret(environment),
        kubeconfig=str(environment.kubeconfig_file(cluster)),
        incarnation=settings.incarnation,
        state=settings.state,
        # Argo CD doesn't bring itself.
        delivery=Delivery.DIRECT if release in (ARGO_CD, ARGO_CD_HA) else settings.delivery,
        after=after,
    )
