"""The composition: an environment from its settings, top to bottom as docs/architecture.md draws it.

An entry of the settings makes what the loop over its section says: all of it carries the entry's name, and
nothing else changes with it. `after` says what runs in which order: up that way, down the other way round.
What a component is made of stands in components/, in the file it is imported from; `mapping` makes its
arguments from the settings, and `targets` the Providers: one for each workspace of kcp that something is put
into and for each cluster, none for a tenant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.api_export import ClusterApiExport, ClusterApiExportArgs
from components.argocd import ArgoCd
from components.cluster_delivery import ClusterDelivery, ClusterPlaces
from components.compute_cluster import ComputeCluster, ComputeClusterArgs
from components.delivery import Delivery, ignore_differences
from components.events_listener import EventsListener, EventsListenerArgs
from components.external_tenant import ExternalTenant, ExternalTenantArgs
from components.gateway import Gateway, GatewayArgs
from components.kcp_workspace import (
    KcpWorkspace,
    KcpWorkspaceArgs,
    TenantWorkspaceType,
    TenantWorkspaceTypeArgs,
)
from components.results import ResultsReader
from components.retention import Retention, RetentionPolicy, RetentionPolicyArgs
from components.syncer import Syncer, SyncerArgs
from components.tekton import TektonControllers, TektonControllersArgs
from components.tenant import Tenant, TenantArgs
from releases.catalog import API_SYNCAGENT_CRDS
from stacks import (
    description,
    mapping,
    mapping_argocd,
    mapping_delivery,
    mapping_gateway,
    mapping_images,
    mapping_pipelines_as_code,
    mapping_results,
    rendering,
    targets,
)
from stacks.settings import COMPUTE, TENANTS, workspace_of
from stacks.vocabulary import KCP_TARGET
from stacks.wanted_releases import is_canary, upgrade_order

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
    # deletionProtection: whether the engine refuses to delete what holds the work of others: the three
    # workspaces, the API exports, and (by their place) tenants' workspaces and namespaces.
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

    # computeClusters: each with its API export in kcp, which its tenants bind; its ground (our namespace,
    # access for incidents, admission); its controllers; the syncer, the agent between the two; and its
    # retention. An entry's homeOf makes nothing: it is checked.
    clusters: dict[str, pulumi.ProviderResource] = {}
    syncers: dict[str, Syncer] = {}
    # All that stands on a cluster, for what hands it over.
    parts: dict[str, list[pulumi.Resource]] = {name: [] for name in settings.compute_clusters}
    # delivery: direct. Before anything on a cluster is touched, its Argo CD has let go of it.
    released = {
        name: ClusterDelivery(name, mapping_delivery.delivery(environment, name))
        for name in mapping_delivery.watched(environment, Delivery.DIRECT)
    }
    # pools: releases change on the clusters of canary pools first, and on the others once all is well there.
    canaries: list[pulumi.Resource] = []
    for name in upgrade_order(settings):
        # The entry's state steers what is on the cluster, by its Provider here and by mapping for its
        # releases: unreachable leaves it as it is, gone forgets it. What is in kcp is managed on.
        before = [released[name]] if name in released else []
        cluster = clusters[name] = targets.compute_cluster(name, environment, after=before)
        export = ClusterApiExport(name, ClusterApiExportArgs(compute=compute, cluster=name, protect=protect))
        images = mapping_images.image_policy(environment, name)
        repositories = mapping_pipelines_as_code.repository_rules(settings, name)
        ground = ComputeCluster(
            name, ComputeClusterArgs(cluster=cluster, images=images, repositories=repositories)
        )
        before_releases = (ground,) if is_canary(settings, name) else (ground, *canaries)
        # delivery: gitops. Secrets lie in namespaces that Argo CD applies, whenever it comes.
        if places := mapping_delivery.places(environment, name):
            args = mapping_delivery.delivery(environment, name, after=before_releases)
            before_releases += (ClusterPlaces(name, places, args),)
        # argocd: an instance of its own, closed and narrow. By the entry's delivery it applies what follows.
        argocd = mapping_argocd.argocd(
            environment,
            name,
            cluster,
            content=rendering.followed(environment, name),
            ignore_differences=ignore_differences(),
            after=before_releases,
        )
        argocds = () if argocd is None else (ArgoCd(name, argocd),)
        # Tekton's release; on a cluster of distribution openshift, the operator that brings it.
        pipelines = mapping.tekton(environment, name, cluster, after=before_releases)
        # Triggers, Chains and Pipelines as Code, where they are wanted.
        more = mapping.beside_pipelines(environment, name, cluster, after=before_releases)
        tekton = TektonControllers(name, TektonControllersArgs(pipelines=pipelines, more=more))
        syncers[name] = Syncer(
            name,
            SyncerArgs(
                cluster_name=name,
                compute=compute,
                compute_url=environment.kcp.at_workspace(settings.compute_path).server,
                certificate_authority=environment.kcp.certificate_authority,
                cluster=cluster,
                crds=mapping.release_args(
                    environment, name, API_SYNCAGENT_CRDS, cluster, after=before_releases
                ),
                # The section syncer, the same for every cluster.
                pods=mapping.agent_pods(environment, name),
                repositories=repositories is not None,
                # It publishes Tekton's kinds in the export.
                after=(export, tekton),
            ),
        )
        if is_canary(settings, name):
            canaries += (*argocds, tekton, syncers[name])
        # Prunes finished runs in kcp, while the syncer takes their copies away.
        retention = Retention(
            name, mapping.retention(environment, name, compute, cluster, after=(syncers[name],))
        )
        parts[name] += [ground, *argocds, tekton, syncers[name], retention]
        # tekton.results: shows tenants' users what is recorded of their runs, whom kcp lets see them.
        parts[name] += _results(environment, name, cluster, after=(ground, tekton))
    # gateway: Git events come in on its clusters, and go to the one that serves their repository: on a
    # gateway's own cluster to Pipelines as Code itself, elsewhere to the events listener before it.
    for name in sorted(clusters):
        parts[name] += _events(environment, name, clusters[name], after=tuple(parts[name]))
    # delivery: gitops. What its Argo CD applies needs what no repository holds, and tenants need that.
    for name in mapping_delivery.watched(environment, Delivery.GITOPS):
        after = tuple(parts[name])
        args = mapping_delivery.delivery(environment, name, credential=syncers[name].credential, after=after)
        ClusterDelivery(name, args)

    # tenants: each a workspace in kcp, ours or (external) someone else's, and its place: namespaces with a
    # quota on the cluster that its entry names. After both, a unit (a command with kcp's kubeconfig, so no
    # Provider) applies what lies inside our workspace: the binding, access, the quota of stored runs. For an
    # external one, its binders get the right to bind. All of it up after that cluster's syncer, and so down
    # before it: without the agent, the finalizers of runs would hang. suspended, onSuspension and retired say
    # what is left of both: mapping makes that a part of the place. While they stop the tenant, a command
    # cancels on its cluster the runs that Git events made there.
    for name, tenant in sorted(settings.tenants.items()):
        place = mapping.tenant_place(
            environment, name, clusters[tenant.cluster], after=(tenant_type, *syncers[tenant.cluster].running)
        )
        RetentionPolicy(
            name,
            RetentionPolicyArgs(
                compute=compute,
                cluster_name=tenant.cluster,
                path=place.path,
                policy=mapping.retention_policy(name, tenant),
            ),
        )
        if tenant.external:
            binders = mapping.subjects(tenant.external.binders)
            made: pulumi.Resource = ExternalTenant(
                name, ExternalTenantArgs(compute=compute, binders=binders, place=place)
            )
        else:
            made = Tenant(
                name,
                TenantArgs(
                    tenants=tenants,
                    type_path=settings.service_path,
                    workspace=workspace_of(name, tenant),
                    compute_path=settings.compute_path,
                    kcp_kubeconfig=str(environment.kubeconfig_file(KCP_TARGET)),
                    access=mapping.tenant_access(tenant.access),
                    shared=environment.shared[name],
                    incarnation=tenant.incarnation,
                    place=place,
                ),
            )
        parts[tenant.cluster].append(made)

    # delivery: handover. Once all that stands on a cluster is kept in the state, its Argo CD can have it.
    for name in mapping_delivery.watched(environment, Delivery.HANDOVER):
        ClusterDelivery(name, mapping_delivery.delivery(environment, name, after=tuple(parts[name])))
    return description.describe(environment)


def _results(
    environment: LoadedEnvironment,
    name: str,
    cluster: pulumi.ProviderResource,
    *,
    after: tuple[pulumi.Resource, ...],
) -> list[pulumi.Resource]:
    """Compose what reads a cluster's Tekton Results for tenants' users, where it has them."""
    if not mapping_results.has_results(environment.settings, name):
        return []
    return [ResultsReader(name, mapping_results.reader(environment, name, cluster, after=after))]


def _events(
    environment: LoadedEnvironment,
    name: str,
    cluster: pulumi.ProviderResource,
    *,
    after: tuple[pulumi.Resource, ...],
) -> list[pulumi.Resource]:
    """Compose what brings Git events to a cluster: a gateway, what gateways on others reach, or both."""
    made: list[pulumi.Resource] = []
    if objects := mapping_gateway.events_listener(environment, name):
        listener = EventsListenerArgs(cluster=cluster, objects=objects, after=after)
        made.append(EventsListener(name, listener))
    if objects := mapping_gateway.gateway(environment, name):
        made.append(Gateway(name, GatewayArgs(cluster=cluster, objects=objects, after=after)))
    return made
