"""The gateway: it takes Git events to the one cluster that serves their repository.

Why HAProxy, and how it decides: docs/adr/0012-gateway.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi

from components.kubernetes_object import register_objects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.kubernetes_object import Manifest


@dataclass(frozen=True, kw_only=True)
class GatewayArgs:
    """What a Gateway needs.

    Attributes
    ----------
    cluster
        API server of its cluster.
    objects
        What it is made of (`gateway_manifests.gateway_objects`).
    after
        What must be there before it, and stay until it is gone.
    """

    cluster: pulumi.ProviderResource = field(repr=False)
    objects: Mapping[str, Manifest] = field(repr=False)
    after: tuple[pulumi.Resource, ...] = field(default=(), repr=False)


class Gateway(pulumi.ComponentResource):
    """A gateway on a cluster.

    Parameters
    ----------
    name
        Name of the compute cluster.
    args
        What it needs.
    opts
        Pulumi's options.
    """

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pipeline-service:gateway:Gateway", name, None, opts)
        register_objects(name, args.objects, provider=args.cluster, parent=self, depends_on=args.after)
        self.register_outputs({})
