"""What shows tenants' users the TaskRuns and logs of their runs on a compute cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi

from components.kubernetes_object import register_objects
from components.results_manifests import ReaderFront, ReaderPods, reader_objects

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class ResultsReaderArgs:
    """What a ResultsReader needs.

    Attributes
    ----------
    cluster
        The cluster's API server.
    files
        What its pods read when they start, base64, by name.
    front
        Where it is reached.
    pods
        How its pods are made.
    after
        What must be there before it, and stay until it is gone: Tekton Results.
    """

    cluster: pulumi.ProviderResource = field(repr=False)
    files: Mapping[str, pulumi.Input[str]] = field(repr=False)
    front: ReaderFront
    pods: ReaderPods
    after: tuple[pulumi.Resource, ...] = field(default=(), repr=False)


class ResultsReader(pulumi.ComponentResource):
    """The reader of results: it asks kcp as the user, and reads with an account of its own.

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
        self, name: str, args: ResultsReaderArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("pipeline-service:results:ResultsReader", name, None, opts)
        register_objects(
            name,
            reader_objects(args.files, args.front, args.pods),
            provider=args.cluster,
            parent=self,
            depends_on=args.after,
        )
        self.register_outputs({})
