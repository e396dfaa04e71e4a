"""The gateway: it takes Git events to the one cluster that serves their repository.

Why HAProxy, and how it decides: docs/adr/0012-gateway.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi

from components.gateway_manifests import gateway_objects
from components.kubernetes_object import register_objects

if TYPE_CHECKING:
    from components.gateway_config import Routing
    from components.gateway_manifests import Front, GatewaySecrets
    from components.haproxy_pods import HaproxyPods


@dataclass(frozen=True, kw_only=True)
class GatewayArgs:
    """What a Gateway needs.

    Attributes
    ----------
    cluster
        API server of its cluster.
    routing
        What it does.
    front
        How it is reached.
    pods
        How its pods are made.
    secrets
        What it is given in secret.
    listener_namespace
        Namespace of Pipelines as Code on its own cluster.
    after
        What must be there before it, and stay until it is gone.
    """

    cluster: pulumi.ProviderResource = field(repr=False)
    routing: Routing
    front: Front
    pods: HaproxyPods
    secrets: GatewaySecrets
    listener_namespace: str
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
        manifests = gateway_objects(
            args.routing, args.front, args.pods, args.secrets, listener_namespace=args.listener_namespace
        )
        register_objects(name, manifests, provider=args.cluster, parent=self, depends_on=args.after)
        self.register_outputs({})
