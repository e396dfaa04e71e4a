"""The events listener of a cluster: by it gateways on other clusters reach its Pipelines as Code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi

from components.events_listener_manifests import listener_objects
from components.kubernetes_object import register_objects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.events_listener_manifests import EventsFront
    from components.haproxy_pods import HaproxyPods


@dataclass(frozen=True, kw_only=True)
class EventsListenerArgs:
    """What an EventsListener needs.

    Attributes
    ----------
    cluster
        API server of its cluster.
    front
        How it is reached.
    pods
        How its pods are made.
    certificates
        Its certificate with key, and the authority of gateways' certificates, by file, in
        base64.
    listener_namespace
        Namespace of Pipelines as Code.
    after
        What must be there before it, and stay until it is gone.
    """

    cluster: pulumi.ProviderResource = field(repr=False)
    front: EventsFront
    pods: HaproxyPods
    certificates: Mapping[str, pulumi.Input[str]] = field(repr=False)
    listener_namespace: str
    after: tuple[pulumi.Resource, ...] = field(default=(), repr=False)


class EventsListener(pulumi.ComponentResource):
    """The events listener of a cluster.

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
        self, name: str, args: EventsListenerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("pipeline-service:events:EventsListener", name, None, opts)
        manifests = listener_objects(
            args.front, args.pods, args.certificates, listener_namespace=args.listener_namespace
        )
        register_objects(name, manifests, provider=args.cluster, parent=self, depends_on=args.after)
        self.register_outputs({})
