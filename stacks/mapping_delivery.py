"""From settings to how things get to a cluster.

Parameters mean what `stacks.mapping` says of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.cluster_delivery import ClusterDeliveryArgs, FinalizerHolder
from components.delivery import Delivery
from components.names import tenant_namespace
from components.pipelines_as_code import FINALIZERS
from components.tekton import CHAINS_CONTROLLER, CHAINS_FINALIZERS, CHAINS_NAMESPACE
from releases.catalog import PIPELINES_AS_CODE, TEKTON_CHAINS, TEKTON_PIPELINES
from releases.pipelines_as_code import NAMESPACE, WATCHER
from stacks import mapping, mapping_pipelines_as_code, rendering

if TYPE_CHECKING:
    import pulumi

    from stacks.loader import LoadedEnvironment


def watched(environment: LoadedEnvironment, delivery: Delivery | None = None) -> list[str]:
    """Name the clusters whose delivery is watched over: with a GitOps repository, all of them.

    Parameters
    ----------
    environment
        The environment.
    delivery
        Only those with it; by default, with any.
    """
    settings = environment.settings
    return sorted(
        name
        for name, entry in settings.compute_clusters.items()
        if settings.gitops is not None and delivery in (None, entry.delivery)
    )


def delivery(
    environment: LoadedEnvironment,
    cluster: str,
    *,
    credential: pulumi.Input[str] | None = None,
    after: tuple[pulumi.Resource, ...] = (),
) -> ClusterDeliveryArgs:
    """Say how things get to a cluster.

    Parameters
    ----------
    environment
        The environment.
    cluster
        Name of the cluster.
    credential
        Digest of the agent's credential; it only matters where Argo CD applies the agent.
    after
        What must be registered before it.
    """
    entry = environment.settings.compute_clusters[cluster]
    handed = entry.delivery is Delivery.HANDOVER
    delivered = rendering.delivered_releases(environment, cluster)
    # On OpenShift its operator may bring a Chains of its own, and brings Pipelines as Code.
    held = entry.delivery is not Delivery.DIRECT and TEKTON_PIPELINES in delivered
    return ClusterDeliveryArgs(
        cluster_name=cluster,
        kubeconfig=str(environment.kubeconfig_file(cluster)),
        delivery=entry.delivery,
        state=entry.state,
        incarnation=entry.incarnation,
        objects=tuple(one for part in rendering.own_objects(environment, cluster).values() for one in part)
        if handed
        else (),
        manifests=tuple(str(environment.release(cluster, name).manifest) for name in delivered)
        if entry.delivery is not Delivery.DIRECT
        else (),
        credential=credential if entry.delivery is Delivery.GITOPS else None,
        holders=_holders(delivered) if held else (),
        after=after,
    )


def _holders(releases: list[str]) -> tuple[FinalizerHolder, ...]:
    return (
        FinalizerHolder(
            deployment=f"{CHAINS_NAMESPACE}/{CHAINS_CONTROLLER}",
            finalizers=CHAINS_FINALIZERS,
            wanted=TEKTON_CHAINS in releases,
        ),
        FinalizerHolder(
            deployment=f"{NAMESPACE}/{WATCHER}",
            finalizers=FINALIZERS,
            wanted=PIPELINES_AS_CODE in releases,
        ),
    )


def places(environment: LoadedEnvironment, cluster: str) -> list[str]:
    """Name the namespaces that a cluster's Argo CD applies and that hold Secrets of this program.

    Returns
    -------
    list of str
        Their names; none where this program makes the namespaces itself.
    """
    settings = environment.settings
    if settings.compute_clusters[cluster].delivery is not Delivery.GITOPS:
        return []
    delivered = rendering.delivered_releases(environment, cluster)
    found = {CHAINS_NAMESPACE} if TEKTON_CHAINS in delivered else set()
    if environment.github_app is not None:
        found.add(mapping_pipelines_as_code.namespace(settings, cluster))
    if settings.image_repository.pull_secret is not None:
        for release in delivered:
            found |= set(environment.release(cluster, release).contents.pod_namespaces)
        for name, tenant in settings.tenants.items():
            if tenant.cluster == cluster:
                room = mapping.tenant_room(environment, name)
                found |= {tenant_namespace(room.path, one) for one in room.namespaces}
    return sorted(found)
