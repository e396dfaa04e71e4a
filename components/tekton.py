"""Tekton's controllers on a compute cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import pulumi

from components.names import labels
from components.openshift_pipelines import CHANNEL, OpenShiftPipelines, OpenShiftPipelinesArgs
from components.release import Release, ReleaseArgs
from releases.transform import SIGNING_SECRET

if TYPE_CHECKING:
    from components.kubernetes_object import Manifest

CHAINS_NAMESPACE: Final = "tekton-chains"
CHAINS_CONTROLLER: Final = "tekton-chains-controller"

CHAINS_FINALIZERS: Final = (
    {"resource": "pipelineruns.tekton.dev", "finalizer": "chains.tekton.dev/pipelinerun"},
    {"resource": "taskruns.tekton.dev", "finalizer": "chains.tekton.dev/taskrun"},
)
"""Chains puts them on every run, and takes them off only when the run is deleted (v0.26.0, pkg/reconciler):
without it, runs and so tenants' namespaces and workspaces could never go."""


def signing_secret(key: pulumi.Input[str]) -> Manifest:
    """Make the Secret with the key that Chains signs with.

    Parameters
    ----------
    key
        The private key: PKCS #8, as PEM.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SIGNING_SECRET, "namespace": CHAINS_NAMESPACE, "labels": labels("tekton")},
        "type": "Opaque",
        # The name under which Chains looks for it first (v0.26.0, pkg/chains/signing/x509).
        "stringData": {"x509.pem": key},
    }


@dataclass(frozen=True, kw_only=True)
class TektonControllersArgs:
    """What TektonControllers need.

    Attributes
    ----------
    pipelines
        Tekton Pipelines as a release on the cluster; or, on OpenShift, how the units of its operator stand
        there.
    more
        Releases that work with it, each after the one before it.
    """

    pipelines: ReleaseArgs | OpenShiftPipelinesArgs
    more: tuple[ReleaseArgs, ...] = ()


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
            before = Release(f"{name}-{release.name}", args.pipelines, below)
            # Triggers lies where Pipelines does: a namespace's pull secret is one object, of one release.
            supplied = frozenset(release.contents.pod_namespaces)
            for one in args.more:
                following = replace(one, after=(*one.after, before), supplied=supplied)
                before = Release(f"{name}-{one.release.name}", following, below)
                supplied |= frozenset(one.release.contents.pod_namespaces)
            self.register_outputs({"pipelines": release.version})
        else:
            OpenShiftPipelines(name, args.pipelines, below)
            self.register_outputs({"pipelines": CHANNEL})
