"""A tenant: its workspace in kcp, who may do what there, and its place on a compute cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi

from components import tenant_manifests as manifests
from components.access import PIPELINE_RESOURCES
from components.event_runs import register_cancelling
from components.kcp_workspace import TENANT_TYPE, WorkspaceTypeReference, workspace
from components.kubernetes_object import KubernetesObject
from components.names import digest
from components.syncer_manifests import FINALIZER
from components.tenant_place import register_namespaces
from components.unit import UnitArgs, register_unit, to_yaml

if TYPE_CHECKING:
    from components.tenant_manifests import TenantAccess
    from components.tenant_place import TenantPlace
    from components.unit import SharedManifest


@dataclass(frozen=True, kw_only=True)
class TenantArgs:
    """What a Tenant needs.

    Attributes
    ----------
    tenants
        The workspace `tenants`.
    type_path
        Path of the workspace that defines the type of tenants' workspaces.
    workspace
        Name of the tenant's workspace.
    compute_path
        Path of the workspace `compute`.
    kcp_kubeconfig
        File with the credential for kcp, relative to the project's folder.
    access
        Who may do what.
    shared
        What stands in its workspace as in those of others.
    incarnation
        Raised to apply anew what lies inside its workspace.
    place
        Its place on a compute cluster.
    """

    tenants: pulumi.ProviderResource = field(repr=False)
    type_path: str
    workspace: str
    compute_path: str
    kcp_kubeconfig: str
    access: TenantAccess
    shared: SharedManifest
    incarnation: int
    place: TenantPlace


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
        place = args.place
        home = KubernetesObject(
            f"{name}-workspace",
            workspace(
                args.workspace, WorkspaceTypeReference(name=TENANT_TYPE, path=args.type_path), "tenancy"
            ),
            provider=args.tenants,
            parent=self,
            depends_on=place.after,
            protect=place.protect,
        )
        namespaces = register_namespaces(name, place, parent=self)
        register_cancelling(name, place, parent=self, after=namespaces)
        content = args.shared.heading + to_yaml(
            manifests.own_content(
                tenant=name,
                export=(args.compute_path, place.cluster_name),
                namespaces=place.namespaces,
                access=args.access,
                quota=place.quota,
                suspended=place.suspended,
                repositories=place.repositories,
            )
        )
        register_unit(
            name,
            UnitArgs(
                unit="tenant",
                sha256=digest(args.shared.text + content),
                kubeconfig=args.kcp_kubeconfig,
                workspace=place.path,
                manifest=content,
                shared_file=args.shared.file,
                incarnation=args.incarnation,
                lies_in=home.uid,
                protect=place.protect,
                wait_for=manifests.wait_for(repositories=place.repositories is not None),
                drain=[
                    *(f"{plural}.tekton.dev" for plural in PIPELINE_RESOURCES),
                    # Also where Pipelines as Code is off: it may have been on, and what it left is held.
                    *manifests.REPOSITORY_DRAIN,
                ],
                release_finalizers=[FINALIZER],
                cancel=["pipelineruns.tekton.dev"] if place.stopped else [],
                # A tenant's admin may write role bindings, and so could hold on to ours: the entry decides.
                force=True,
            ),
            parent=self,
            depends_on=[home, *namespaces],
        )
        self.register_outputs({"path": place.path})
