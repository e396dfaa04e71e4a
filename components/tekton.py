"""Tekton's controllers on a compute cluster."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.release import Release, ReleaseArgs


@dataclass(frozen=True, kw_only=True)
class TektonControllersArgs:
    """What TektonControllers need.

    Attributes
    ----------
    pipelines
        Tekton Pipelines, as a release on the cluster.
    """

    pipelines: ReleaseArgs


class TektonControllers(pulumi.ComponentResource):
    """Tekton's controllers, running.

    Parameters
    ----------
    name
        Name of the compute cluster.
    args
        What they need.
    opts
        Pulumi's options.
    """

    def __init__(
        self, name: str, args: TektonControllersArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("pipeline-service:tekton:TektonControllers", name, None, opts)
        Release(f"{name}-{args.pipelines.release.name}", args.pipelines, pulumi.ResourceOptions(parent=self))
        self.register_outputs({"pipelines": args.pipelines.release.version})
