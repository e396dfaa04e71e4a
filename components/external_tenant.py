"""A tenant whose workspace someone else owns: the right to bind, and its place on a compute cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi

from components.access import cluster_role_binding
from components.api_export import bind_role_name
from components.event_runs import register_cancelling
from components.kubernetes_object import KubernetesObject
from components.names import labels
from components.tenant_place import register_namespaces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.access import Subject
    from components.kubernetes_object import Manifest
    from components.tenant_place import TenantPlace


def binders(tenant: str, cluster: str, subjects: Sequence[Subject]) -> Manifest:
    """Make the binding that lets the tenant's people bind its cluster's API export.

    Parameters
    ----------
    tenant
        Name of the tenant.
    cluster
        Name of the compute cluster, and so of the export.
    subjects
        Who may bind. What they may do in their own workspace is its owner's to say.
    """
    role = bind_role_name(cluster)
    return cluster_role_binding(f"{role}:{tenant}", role, subjects, labels("tenant", tenant=tenant))


@dataclass(frozen=True, kw_only=True)
class ExternalTenantArgs:
    """What an ExternalTenant needs.

    Attributes
    ----------
    compute
        The workspace `compute`.
    binders
        Who may bind the cluster's API export.
    place
        Its place on a compute cluster.
    """

    compute: pulumi.ProviderResource = field(repr=False)
    binders: tuple[Subject, ...]
    place: TenantPlace


class ExternalTenant(pulumi.ComponentResource):
    """A tenant that can bind, and run once it has bound; nothing is put into its workspace.

    While it is suspended nobody may bind; what is bound stays so, and the cluster refuses its runs.
    Its owner makes the APIBinding there, and accepts the claims of `components.tenant_manifests.claims`.

    Parameters
    ----------
    name
        Name of the tenant.
    args
        What it needs.
    opts
        Pulumi's options.
    """

    def __init__(
        self, name: str, args: ExternalTenantArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("pipeline-service:tenancy:ExternalTenant", name, None, opts)
        place = args.place
        namespaces = register_namespaces(name, place, parent=self)
        register_cancelling(name, place, parent=self, after=namespaces)
        if not place.suspended:
            KubernetesObject(
                # With the cluster's name, since a binding can't be turned to another role.
                f"{name}.{place.cluster_name}-binders",
                binders(name, place.cluster_name, args.binders),
                provider=args.compute,
                parent=self,
                # Who may bind may run at once: so first the namespaces with their quota, then the right.
                depends_on=namespaces,
            )
        self.register_outputs({"path": place.path})
