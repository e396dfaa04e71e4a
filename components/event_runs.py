"""The runs that Git events made on a cluster, where a tenant is stopped: a command that cancels them.

Pipelines as Code makes them on the tenant's cluster, and kcp knows nothing of them. Those that the syncer
copied from kcp are never cancelled here: their unit does that in kcp, and an external tenant's are its own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pulumi
from pulumi_command import local

from components import unit
from components.delivery import Delivery
from components.names import SUSPENDED, digest, tenant_namespace
from components.repository_admission import STATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.tenant_place import TenantPlace

CANCEL_SCRIPT: Final = f"{unit.RUN} cancel"

EVENT_RUNS: Final = STATE
"""Selector of such runs: admission lets nobody else give a run this label."""

WAIT_SECONDS: Final = 300
"""How long it may take until all have ended, and until the namespaces say that no other starts."""

_UNREACHED: Final = ("unreachable", "gone")


def environment(tenant: str, place: TenantPlace) -> dict[str, pulumi.Input[str]]:
    """Make the environment of the command, which is its whole input.

    Parameters
    ----------
    tenant
        Name of the tenant.
    place
        Its place.
    """
    namespaces = json.dumps([tenant_namespace(place.path, one) for one in place.namespaces])
    command = unit.UnitArgs(
        unit=f"runs of {tenant} by Git events",
        sha256=digest(namespaces),
        kubeconfig=place.on_cluster.kubeconfig,
        incarnation=place.on_cluster.incarnation,
        cancel=["pipelineruns.tekton.dev"],
    )
    made: dict[str, pulumi.Input[str]] = {
        **unit.environment(command),
        "UNIT_CANCEL_IN": namespaces,
        "UNIT_CANCEL_SELECTOR": EVENT_RUNS,
        "UNIT_WAIT_SECONDS": str(WAIT_SECONDS),
    }
    # During a handover nobody changes the namespaces, so their label can't be waited for. In the delivery
    # that comes next it is: a changed input, so the command runs again. Where Pipelines as Code was switched
    # off, no other run starts anyhow.
    if place.repositories is not None and place.on_cluster.delivery is not Delivery.HANDOVER:
        made["UNIT_CANCEL_MARK"] = f"{SUSPENDED}=true"
    return made


def register_cancelling(
    name: str, place: TenantPlace, *, parent: pulumi.Resource, after: Sequence[pulumi.Resource]
) -> None:
    """Register the command, whoever applies what is on the cluster, while the tenant is stopped.

    It is registered at no other time. So it runs anew when the tenant is stopped once more, or its cluster is
    reached again. It has nothing to delete.

    Parameters
    ----------
    name
        Name of the tenant.
    place
        Its place.
    parent
        The tenant's component.
    after
        Its namespaces on the cluster, whose label and quota let nothing new start; none where Argo CD
        applies them.
    """
    if not place.stopped or place.on_cluster.state in _UNREACHED:
        return
    local.Command(
        # The cluster is a part, as it is of the namespaces' names.
        f"{name}.{place.cluster_name}-cancel",
        create=CANCEL_SCRIPT,
        update=CANCEL_SCRIPT,
        environment=environment(name, place),
        add_previous_output_in_env=False,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(after or place.after)),
    )
