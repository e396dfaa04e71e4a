"""Tekton's controllers on a compute cluster."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.openshift_pipelines import CHANNEL, OpenShiftPipelines, OpenShiftPipelinesArgs
from components.release import Release, ReleaseArgs


@dataclass(frozen=True, kw_only=True)
class TektonControllersArgs:
    """What TektonControllers need.

    Attributes
    ----------
    pipelines
        Tekton Pipelines as a release on the cluster; or, on OpenShift, how the units of its operator stand
        there.
    """

    pipelines: ReleaseArgs | OpenShiftPipelinesArgs


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
        below = pulumi.ResourceOptions(parent=self)
        if isinstance(args.pipelines, ReleaseArgs):
            release = args.pipelines.release
            Release(f"{name}-{release.name}", args.pipelines, below)
            self.register_outputs({"pipelines": release.version})
        else:
            OpenShiftPipelines(name, args.pipelines, below)
            self.register_outputs({"pipelines": CHANNEL})
