"""The API export of a compute cluster: what tenants placed on that cluster bind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi

from components.access import cluster_role, rule
from components.kubernetes_object import KubernetesObject
from components.names import labels

if TYPE_CHECKING:
    from components.kubernetes_object import Manifest


def api_export(cluster: str) -> Manifest:
    """Make the APIExport of a cluster: empty, since its agent fills in schemas and claims.

    Parameters
    ----------
    cluster
        Name of the compute cluster, and so of the export.
    """
    # No spec: the agent owns its schemas and claims, kcp its identity, and what is not stated is not owned.
    return {
        "apiVersion": "apis.kcp.io/v1alpha2",
        "kind": "APIExport",
        "metadata": {"name": cluster, "labels": labels("api-export", cluster=cluster)},
    }


def bind_role_name(cluster: str) -> str:
    """Name the ClusterRole that lets a subject bind a cluster's export.

    Parameters
    ----------
    cluster
        Name of the compute cluster.
    """
    return f"pipeline-service:bind:{cluster}"


def bind_role(cluster: str) -> Manifest:
    """Make the ClusterRole that lets a subject bind a cluster's export; external tenants are bound to it.

    Binding needs no more in this workspace: kcp asks for the verb `bind` by a review that passes over the
    access to the workspace itself (v0.28, pkg/admission/apibinding and
    pkg/authorization/workspace_content_authorizer.go). It asks when an APIBinding is made or changed, and may
    remember a yes for five minutes; so taking the right away unbinds nobody.

    Parameters
    ----------
    cluster
        Name of the compute cluster.
    """
    rules = [rule("apis.kcp.io", ("apiexports",), ("bind",), (cluster,))]
    return cluster_role(bind_role_name(cluster), rules, labels("api-export", cluster=cluster))


@dataclass(frozen=True, kw_only=True)
class ClusterApiExportArgs:
    """What a ClusterApiExport needs.

    Attributes
    ----------
    compute
        The workspace `compute`.
    cluster
        Name of the compute cluster.
    protect
        Whether the engine refuses to delete the export.
    """

    compute: pulumi.ProviderResource = field(repr=False)
    cluster: str
    protect: bool


class ClusterApiExport(pulumi.ComponentResource):
    """The API export of a compute cluster and the right to bind it.

    Parameters
    ----------
    name
        Name of the compute cluster.
    args
        What it needs.
    opts
        Pulumi's options.
    """

    def __init__(
        self, name: str, args: ClusterApiExportArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("pipeline-service:kcp:ClusterApiExport", name, None, opts)
        KubernetesObject(
            f"{name}-export",
            api_export(args.cluster),
            provider=args.compute,
            parent=self,
            protect=args.protect,
        )
        KubernetesObject(f"{name}-bind", bind_role(args.cluster), provider=args.compute, parent=self)
        self.register_outputs({"export": args.cluster})
