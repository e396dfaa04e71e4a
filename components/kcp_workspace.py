"""A kcp workspace, and the type of tenants' workspaces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pulumi

from components.kubernetes_object import KubernetesObject
from components.names import labels

if TYPE_CHECKING:
    from components.kubernetes_object import Manifest

TENANT_TYPE: Final = "pipeline-tenant"
"""Name of the WorkspaceType of tenants' workspaces; it lies in the service's workspace."""


@dataclass(frozen=True, kw_only=True)
class WorkspaceTypeReference:
    """Which type a workspace has.

    Attributes
    ----------
    name
        Name of the WorkspaceType.
    path
        Path of the workspace that defines it.
    """

    name: str
    path: str


UNIVERSAL: Final = WorkspaceTypeReference(name="universal", path="root")
"""kcp's own general type: workspaces can be made in it, and it has a namespace `default`."""


def workspace(name: str, kind: WorkspaceTypeReference, component: str) -> Manifest:
    """Make a Workspace.

    Parameters
    ----------
    name
        Its name; it is also the last element of its path.
    kind
        Its type; kcp doesn't let it change.
    component
        Which part of the service it belongs to.
    """
    return {
        "apiVersion": "tenancy.kcp.io/v1alpha1",
        "kind": "Workspace",
        "metadata": {
            "name": name,
            "labels": labels(component),
            # Its content can only be created once kcp has set it up.
            "annotations": {"pulumi.com/waitFor": "jsonpath={.status.phase}=Ready"},
        },
        "spec": {"type": {"name": kind.name, "path": kind.path}},
    }


def tenant_workspace_type() -> Manifest:
    """Make the WorkspaceType of tenants' workspaces.

    It doesn't extend `universal`, whose workspaces can hold further workspaces: a tenant's would be outside
    every quota. And so a tenant's workspace has no namespace but those that its entry names.
    """
    return {
        "apiVersion": "tenancy.kcp.io/v1alpha1",
        "kind": "WorkspaceType",
        "metadata": {"name": TENANT_TYPE, "labels": labels("tenancy")},
        "spec": {"limitAllowedChildren": {"none": True}},
    }


@dataclass(frozen=True, kw_only=True)
class KcpWorkspaceArgs:
    """What a KcpWorkspace needs.

    Attributes
    ----------
    parent
        The workspace in which it is made.
    workspace
        Its name.
    protect
        Whether the engine refuses to delete it.
    """

    parent: pulumi.ProviderResource = field(repr=False)
    workspace: str
    protect: bool


class KcpWorkspace(pulumi.ComponentResource):
    """A workspace of this environment, ready to be filled.

    Parameters
    ----------
    name
        What it is for: `service`, `compute` or `tenants`.
    args
        What it needs.
    opts
        Pulumi's options.
    """

    def __init__(self, name: str, args: KcpWorkspaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pipeline-service:kcp:KcpWorkspace", name, None, opts)
        KubernetesObject(
            f"{name}-workspace",
            workspace(args.workspace, UNIVERSAL, name),
            provider=args.parent,
            parent=self,
            protect=args.protect,
        )
        self.register_outputs({"workspace": args.workspace})


@dataclass(frozen=True, kw_only=True)
class TenantWorkspaceTypeArgs:
    """What a TenantWorkspaceType needs.

    Attributes
    ----------
    service
        The service's workspace.
    """

    service: pulumi.ProviderResource = field(repr=False)


class TenantWorkspaceType(pulumi.ComponentResource):
    """The type of tenants' workspaces.

    Parameters
    ----------
    name
        Name in the stack's state.
    args
        What it needs.
    opts
        Pulumi's options.
    """

    def __init__(
        self, name: str, args: TenantWorkspaceTypeArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("pipeline-service:kcp:TenantWorkspaceType", name, None, opts)
        KubernetesObject(f"{name}-type", tenant_workspace_type(), provider=args.service, parent=self)
        self.register_outputs({"type": TENANT_TYPE})
