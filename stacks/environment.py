"""The composition: an environment from its settings, top to bottom as docs/architecture.md draws it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.api_export import ClusterApiExport, ClusterApiExportArgs
from components.compute_cluster import ComputeCluster, ComputeClusterArgs
from components.kcp_workspace import (
    KcpWorkspace,
    KcpWorkspaceArgs,
    TenantWorkspaceType,
    TenantWorkspaceTypeArgs,
)
from components.release import ReleaseArgs
from components.syncer import Syncer, SyncerArgs
from components.tekton import TektonControllers, TektonControllersArgs
from components.tenant import Tenant, TenantArgs
from releases.catalog import API_SYNCAGENT_CRDS, TEKTON_PIPELINES
from stacks import mapping, outputs, targets
from stacks.settings import COMPUTE, TENANTS, workspace_of
from stacks.vocabulary import KCP_TARGET

if TYPE_CHECKING:
    import pulumi

    from stacks.loader import LoadedEnvironment
    from stacks.outputs import EnvironmentOutputs


def compose(environment: LoadedEnvironment) -> EnvironmentOutputs:
    """Compose an environment.

    Parameters
    ----------
    environment
        Its settings, with what they refer to.

    Returns
    -------
    EnvironmentOutputs
        What layered products build on.
    """
    settings = environment.settings
    protect = settings.deletion_protection

    # kcp: the service's workspace, with the workspaces "compute" and "tenants" in it.
    parent = targets.kcp_workspace("parent", environment, settings.kcp.parent)
    service_workspace = KcpWorkspace(
        "service", KcpWorkspaceArgs(parent=parent, workspace=settings.kcp.workspace, protect=protect)
    )
    service = targets.kcp_workspace("service", environment, settings.service_path, after=[service_workspace])
    compute_workspace = KcpWorkspace(
        COMPUTE, KcpWorkspaceArgs(parent=service, workspace=COMPUTE, protect=protect)
    )
    tenants_workspace = KcpWorkspace(
        TENANTS, KcpWorkspaceArgs(parent=service, workspace=TENANTS, protect=protect)
    )
    tenant_type = TenantWorkspaceType("tenant", TenantWorkspaceTypeArgs(service=service))
    compute = targets.kcp_workspace(COMPUTE, environment, settings.compute_path, after=[compute_workspace])
    tenants = targets.kcp_workspace(TENANTS, environment, settings.tenants_path, after=[tenants_workspace])

    # Compute clusters: each with its API export in kcp, its controllers, and the syncer between the two.
    clusters: dict[str, pulumi.ProviderResource] = {}
    syncers: dict[str, pulumi.Resource] = {}
    for name in sorted(settings.compute_clusters):
        cluster = clusters[name] = targets.compute_cluster(name, environment)

        def release(of: str, ground: pulumi.Resource, name: str = name) -> ReleaseArgs:
            return mapping.release_args(environment, name, of, after=(ground,))

        export = ClusterApiExport(name, ClusterApiExportArgs(compute=compute, cluster=name, protect=protect))
        ground = ComputeCluster(name, ComputeClusterArgs(cluster=cluster))
        # Argo CD will stand here: with delivery "gitops" it applies what follows.
        tekton = TektonControllers(name, TektonControllersArgs(pipelines=release(TEKTON_PIPELINES, ground)))
        syncers[name] = Syncer(
            name,
            SyncerArgs(
                cluster_name=name,
                compute=compute,
                compute_url=environment.kcp.at_workspace(settings.compute_path).server,
                certificate_authority=environment.kcp.certificate_authority,
                cluster=cluster,
                crds=release(API_SYNCAGENT_CRDS, ground),
                image=mapping.SYNCER_IMAGE,
                after=(export, tekton),
            ),
        )
    # The gateway will stand here: Git events to the clusters above.

    # Tenants: each a workspace in kcp, and namespaces on the cluster that its entry names.
    for name, tenant in sorted(settings.tenants.items()):
        Tenant(
            name,
            TenantArgs(
                tenants=tenants,
                tenants_path=settings.tenants_path,
                type_path=settings.service_path,
                workspace=workspace_of(name, tenant),
                compute_path=settings.compute_path,
                cluster_name=tenant.cluster,
                cluster=clusters[tenant.cluster],
                kcp_kubeconfig=str(environment.kubeconfig_file(KCP_TARGET)),
                namespaces=tenant.namespaces,
                access=mapping.tenant_access(tenant.access),
                quota=mapping.tenant_quota(tenant.quota),
                incarnation=tenant.incarnation,
                protect=protect,
                # Up after the syncer, and so down before it: without the agent, its finalizers would hang.
                after=(tenant_type, syncers[tenant.cluster]),
            ),
        )
    return outputs.describe(environment)
