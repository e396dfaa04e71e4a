"""A tenant's place on a compute cluster: its namespaces there, whoever owns its workspace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from components.kubernetes_object import register_objects
from components.names import tenant_namespace
from components.tenant_manifests import namespace_objects

if TYPE_CHECKING:
    import pulumi

    from components.kubernetes_object import KubernetesObject, Manifest
    from components.tenant_manifests import TenantQuota, TenantRepositories
    from components.tenant_network import TenantNetwork
    from components.unit import ClusterUnitArgs


@dataclass(frozen=True, kw_only=True)
class TenantRoom:
    """How much a tenant runs, whatever the cluster.

    Attributes
    ----------
    path
        Path of the tenant's workspace.
    namespaces
        Namespaces of its workspace; each has one on the cluster.
    quota
        How much it may store and run.
    network
        What its pods may reach.
    suspended
        Whether nobody may work, and no run starts.
    stopped
        Whether what runs is stopped, too.
    pull_secret
        With what its pods' images are pulled: a `.docker/config.json`, base64; None: without.
    repositories
        The repositories that it may name; None where there are no Repository objects.
    results
        Whether what is recorded of its runs can be read.
    """

    path: str
    namespaces: tuple[str, ...]
    quota: TenantQuota
    network: TenantNetwork
    suspended: bool
    stopped: bool
    pull_secret: pulumi.Input[str] | None = field(default=None, repr=False)
    repositories: TenantRepositories | None = None
    results: bool = False

    def objects(self, tenant: str, kcp_namespace: str) -> dict[str, Manifest]:
        """Make one of its namespaces on its cluster with all that stands in it; the namespace comes first.

        Parameters
        ----------
        tenant
            Name of the tenant.
        kcp_namespace
            The namespace of its workspace.
        """
        return namespace_objects(
            tenant=tenant,
            workspace_path=self.path,
            kcp_namespace=kcp_namespace,
            namespace_name=tenant_namespace(self.path, kcp_namespace),
            quota=self.quota,
            network=self.network,
            suspended=self.suspended,
            stopped=self.stopped,
            pulls=self.pull_secret,
            repositories=self.repositories,
            results=self.results,
        )


@dataclass(frozen=True, kw_only=True)
class TenantPlace(TenantRoom):
    """Where and how much a tenant runs.

    Attributes
    ----------
    cluster_name
        Name of the compute cluster on which its pipelines run.
    cluster
        That cluster's API server.
    on_cluster
        How commands run there.
    protect
        Whether the engine refuses to delete the namespaces, and what the tenant's component adds to them.
    after
        What must be there before the tenant, and stay until it is gone: the syncer, without which finalizers
        hang.
    """

    cluster_name: str
    cluster: pulumi.ProviderResource = field(repr=False)
    on_cluster: ClusterUnitArgs
    protect: bool
    after: tuple[pulumi.Resource, ...] = field(default=(), repr=False)


def register_namespaces(name: str, place: TenantPlace, *, parent: pulumi.Resource) -> list[KubernetesObject]:
    """Register a tenant's namespaces on its cluster with all that stands in them.

    Parameters
    ----------
    name
        Name of the tenant.
    place
        Its place.
    parent
        The tenant's component.
    """
    registered: list[KubernetesObject] = []
    for kcp_namespace in place.namespaces:
        registered += register_objects(
            # No part has a dot, so no two of them make one name. The cluster is a part, or the engine
            # would take a namespace on another cluster for the same one.
            f"{name}.{place.cluster_name}.{kcp_namespace}",
            place.objects(name, kcp_namespace),
            provider=place.cluster,
            parent=parent,
            depends_on=place.after,
            protect_first=place.protect,
        )
    return registered
