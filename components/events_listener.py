"""The events listener of a cluster: by it gateways on other clusters reach its Pipelines as Code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi

from components.kubernetes_object import register_objects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.kubernetes_object import Manifest


@dataclass(frozen=True, kw_only=True)
class EventsListenerArgs:
    """What an EventsListener needs.

    Attributes
    ----------
    cluster
        API server of its cluster.
    objects
        What it is made of (`events_listener_manifests.listener_objects`).
    after
        What must be there before it, and stay until it is gone.
    """

    cluster: pulumi.ProviderResource = field(repr=False)
    objects: Mapping[str, Manifest] = field(repr=False)
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
        register_objects(name, args.objects, provider=args.cluster, parent=self, depends_on=args.after)
        self.register_outputs({})
