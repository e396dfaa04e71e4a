"""A tenant: its workspace in kcp, who may do what there, and its namespaces on a compute cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi

from components import tenant_manifests as manifests
from components.access import PIPELINE_RESOURCES
from components.kcp_workspace import TENANT_TYPE, WorkspaceTypeReference, workspace
from components.kubernetes_object import KubernetesObject, register_objects
from components.names import digest, tenant_namespace
from components.syncer_manifests import FINALIZER
from components.unit import UnitArgs, register_unit, to_yaml

if TYPE_CHECKING:
    from components.tenant_manifests import TenantAccess, TenantQuota


@dataclass(frozen=True, kw_only=True)
class TenantArgs:
    """What a Tenant needs.

    Attributes
    ----------
    tenants
        The workspace `tenants`.
    tenants_path
        Its path.
    type_path
        Path of the workspace that defines the type of tenants' workspaces.
    workspace
        Name of the tenant's workspace.
    compute_path
        Path of the workspace `compute`.
    cluster_name
        Name of the compute cluster on which its pipelines run.
    cluster
        That cluster's API server.
    kcp_kubeconfig
        File with the credential for kcp, relative to the project's folder.
    namespaces
        Namespaces of its workspace.
    access
        Who may do what.
    quota
        How much it may store and run.
    incarnation
        Raised to apply anew what lies inside its workspace.
    protect
        Whether the engine refuses to delete its workspace and namespaces.
    after
        What must be there before it, and stay until it is gone: the syncer, without which finalizers hang.
    """

    tenants: pulumi.ProviderResource = field(repr=False)
    tenants_path: str
    type_path: str
    workspace: str
    compute_path: str
    cluster_name: str
    cluster: pulumi.ProviderResource = field(repr=False)
    kcp_kubeconfig: str
    namespaces: tuple[str, ...]
    access: TenantAccess
    quota: TenantQuota
    incarnation: int
    protect: bool
    after: tuple[pulumi.Resource, ...] = field(default=(), repr=False)

    @property
    def path(self) -> str:
        """Path of the tenant's workspace."""
        return f"{self.tenants_path}:{self.workspace}"


class Tenant(pulumi.ComponentResource):
    """A tenant that can work.

    On the way up: workspace and namespaces on the cluster, then what lies inside the workspace, the binding
    included. On the way down the other way round, all of it before the syncer.

    Parameters
    ----------
    name
        Name of the tenant.
    args
        What it needs.
    opts
        Pulumi's options.
    """

    def __init__(self, name: str, args: TenantArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pipeline-service:tenancy:Tenant", name, None, opts)
        home = KubernetesObject(
            f"{name}-workspace",
            workspace(
                args.workspace, WorkspaceTypeReference(name=TENANT_TYPE, path=args.type_path), "tenancy"
            ),
            provider=args.tenants,
            parent=self,
            depends_on=args.after,
            protect=args.protect,
        )
        objects = [home, *self._register_namespaces(name, args)]
        content = to_yaml(
            manifests.workspace_content(
                tenant=name,
                export=(args.compute_path, args.cluster_name),
                namespaces=args.namespaces,
                access=args.access,
                quota=args.quota,
            )
        )
        register_unit(
            name,
            UnitArgs(
                unit="tenant",
                sha256=digest(content),
                kubeconfig=args.kcp_kubeconfig,
                workspace=args.path,
                manifest=content,
                incarnation=args.incarnation,
                lies_in=home.uid,
                protect=args.protect,
                wait_for=manifests.WAIT_FOR,
                drain=[f"{plural}.tekton.dev" for plural in PIPELINE_RESOURCES],
                release_finalizers=[FINALIZER],
            ),
            parent=self,
            depends_on=objects,
        )
        self.register_outputs({"path": args.path})

    def _register_namespaces(self, name: str, args: TenantArgs) -> list[KubernetesObject]:
        """Register the tenant's namespaces on its cluster with all that stands in them."""
        registered: list[KubernetesObject] = []
        for kcp_namespace in args.namespaces:
            parts = manifests.namespace_objects(
                tenant=name,
                workspace_path=args.path,
                kcp_namespace=kcp_namespace,
                namespace_name=tenant_namespace(args.path, kcp_namespace),
                quota=args.quota,
            )
            registered += register_objects(
                # No part has a dot, so no two of them make one name. The cluster is a part, or the engine
                # would take a namespace on another cluster for the same one.
                f"{name}.{args.cluster_name}.{kcp_namespace}",
                parts,
                provider=args.cluster,
                parent=self,
                depends_on=args.after,
                protect_first=args.protect,
            )
        return registered
