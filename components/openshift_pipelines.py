"""Tekton on OpenShift: Red Hat's operator, brought by OLM, and the one TektonConfig it acts on.

The names and fields are those of tektoncd/operator v0.78, which OpenShift Pipelines 1.21 is built from, and
of OLM's operators.coreos.com/v1alpha1. Why it is done this way: docs/adr/0006-openshift.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pulumi

from components.access import PIPELINE_RESOURCES
from components.delivery import Delivery
from components.names import digest, labels
from components.release import WAIT_SECONDS
from components.unit import ClusterUnitArgs, Unit, UnitArgs, register_unit, to_yaml
from releases.transform import RUN_SERVICE_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.kubernetes_object import Manifest

OPERATOR: Final = "openshift-pipelines-operator-rh"
"""The operator's package in Red Hat's catalog, and its Subscription."""

CHANNEL: Final = "pipelines-1.21"
"""The channel of the operator: it names the minor version, here the one with Tekton Pipelines v1.6."""

OPERATORS_NAMESPACE: Final = "openshift-operators"
"""Namespace of OpenShift for operators of the whole cluster; its OperatorGroup is OpenShift's."""

TEKTON_NAMESPACE: Final = "openshift-pipelines"
"""Namespace of Tekton's controllers; the operator makes it."""

REPOSITORIES: Final = (
    "registry.redhat.io/openshift-pipelines",
    *(
        f"{registry}/{base}"
        for registry in ("registry.redhat.io", "registry.access.redhat.com")
        for base in ("ubi8", "ubi9")
    ),
)
"""Where the images are that the operator's Tekton puts into tenants' pods: its own, and Red Hat's shell."""

_TEKTON_CONFIG: Final = "tektonconfigs.operator.tekton.dev"

OPERATOR_WAIT_FOR: Final[Sequence[Mapping[str, str]]] = (
    {
        "resource": f"subscriptions.operators.coreos.com/{OPERATOR}",
        "namespace": OPERATORS_NAMESPACE,
        "for": "jsonpath={.status.state}=AtLatestKnown",
    },
    {"resource": f"customresourcedefinitions/{_TEKTON_CONFIG}", "for": "condition=Established"},
    *(
        # Its webhook looks at every TektonConfig: without it none can be made.
        {
            "resource": f"deployments.apps/{deployment}",
            "namespace": OPERATORS_NAMESPACE,
            "for": "condition=Available",
        }
        for deployment in ("openshift-pipelines-operator", "tekton-operator-webhook")
    ),
)

OPERATOR_LEFTOVERS: Final[Sequence[Mapping[str, str]]] = (
    # OLM deletes no ClusterServiceVersion with its Subscription, and a later Subscription would stumble over
    # it ("exists and is not referenced by a subscription"). OLM marks it with this label.
    {
        "resource": "clusterserviceversions.operators.coreos.com",
        "namespace": OPERATORS_NAMESPACE,
        "selector": f"operators.coreos.com/{OPERATOR}.{OPERATORS_NAMESPACE}",
    },
)

TEKTON_WAIT_FOR: Final[Sequence[Mapping[str, str]]] = (
    {"resource": f"{_TEKTON_CONFIG}/config", "for": "condition=Ready"},
    *(
        {"resource": f"customresourcedefinitions/{plural}.tekton.dev", "for": "condition=Established"}
        for plural in PIPELINE_RESOURCES
    ),
)


def subscription() -> Manifest:
    """Make the Subscription by which OLM installs the operator and keeps it current within its channel."""
    return {
        "apiVersion": "operators.coreos.com/v1alpha1",
        "kind": "Subscription",
        "metadata": {"name": OPERATOR, "namespace": OPERATORS_NAMESPACE, "labels": labels("tekton")},
        "spec": {
            "name": OPERATOR,
            "channel": CHANNEL,
            "source": "redhat-operators",
            "sourceNamespace": "openshift-marketplace",
            # The channel pins the minor version, so what comes by itself are fixes. OLM approves all
            # Subscriptions of a namespace together: "Manual" here would hold up every other operator in it.
            "installPlanApproval": "Automatic",
            # Else the operator makes a TektonConfig of its own, with a pruner.
            "config": {"env": [{"name": "AUTOINSTALL_COMPONENTS", "value": "false"}]},
        },
    }


@dataclass(frozen=True, kw_only=True)
class OpenShiftPipelinesArgs(ClusterUnitArgs):
    """What OpenShiftPipelines need.

    Attributes
    ----------
    config_maps
        Keys and values that are set in Tekton's ConfigMaps, by name of the ConfigMap.
    performance
        How Tekton's controller is sized, in the words of TektonConfig's `spec.pipeline.performance`.
    """

    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    performance: Mapping[str, Any] = field(default_factory=dict)


def tekton_config(
    config_maps: Mapping[str, Mapping[str, str]], performance: Mapping[str, Any] | None = None
) -> Manifest:
    """Make the TektonConfig: Tekton Pipelines alone, set up as on other clusters.

    Whatever deletes runs is off: a synced run that is deleted on the cluster comes back from kcp, and runs
    again.

    Parameters
    ----------
    config_maps
        Keys and values that are set in Tekton's ConfigMaps, by name of the ConfigMap. They are given as the
        operator's options, which it applies after fields of its own: it has no field for some of them.
    performance
        How Tekton's controller is sized.
    """
    options = {"configMaps": {name: {"data": dict(data)} for name, data in sorted(config_maps.items())}}
    off = {"disabled": True}
    # All that the operator would add by itself stand here: it writes the list as a whole.
    params = {
        # The SecurityContextConstraints "pipelines-scc" for tenants' runs: like the Pod Security level
        # "baseline" of their namespaces, they allow images that run as root.
        "createRbacResource": "true",
        # But not the ClusterRole "edit", which no run has on other clusters.
        "legacyPipelineRbac": "false",
        "createCABundleConfigMaps": "true",
    }
    return {
        "apiVersion": "operator.tekton.dev/v1alpha1",
        "kind": "TektonConfig",
        "metadata": {"name": "config", "labels": labels("tekton")},
        "spec": {
            "profile": "lite",
            "targetNamespace": TEKTON_NAMESPACE,
            "pipeline": {
                "default-service-account": RUN_SERVICE_ACCOUNT,
                "set-security-context": True,
                **({"performance": dict(performance)} if performance else {}),
                **({"options": options} if config_maps else {}),
            },
            "params": [{"name": name, "value": value} for name, value in params.items()],
            # The profile leaves out Triggers, but these the operator installs unless told not to. What stands
            # beside "disabled" means nothing then, but the operators' schemas require it.
            "chain": off,
            "pruner": off,
            "tektonpruner": {**off, "global-config": {}},
            "result": {**off, "is_external_db": False},
            "platforms": {"openshift": {"pipelinesAsCode": {"enable": False}}},
        },
    }


class OpenShiftPipelines(pulumi.ComponentResource):
    """Tekton on an OpenShift cluster, running.

    On the way down the TektonConfig goes while its operator lives, then the Subscription, then what OLM
    leaves.

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
        self, name: str, args: OpenShiftPipelinesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("pipeline-service:tekton:OpenShiftPipelines", name, None, opts)

        if args.delivery is not Delivery.GITOPS:
            self._register(name, args)
        self.register_outputs({"channel": CHANNEL})

    def _register(self, name: str, args: OpenShiftPipelinesArgs) -> None:
        def unit(
            part: str,
            manifest: Manifest,
            *,
            wait_for: Sequence[Mapping[str, str]],
            after: Sequence[pulumi.Resource],
            leftovers: Sequence[Mapping[str, str]] = (),
        ) -> Unit:
            content = to_yaml([manifest])
            return register_unit(
                f"{name}-{part}",
                UnitArgs(
                    unit=part,
                    version=CHANNEL,
                    sha256=digest(content),
                    kubeconfig=args.kubeconfig,
                    manifest=content,
                    incarnation=args.incarnation,
                    wait_for=wait_for,
                    wait_seconds=WAIT_SECONDS,
                    leftovers=leftovers,
                    state=args.state,
                    retain=args.delivery is Delivery.HANDOVER,
                    force=args.delivery is Delivery.HANDOVER,
                ),
                parent=self,
                depends_on=after,
            )

        operator = unit(
            OPERATOR,
            subscription(),
            wait_for=OPERATOR_WAIT_FOR,
            after=args.after,
            leftovers=OPERATOR_LEFTOVERS,
        )
        config = tekton_config(args.config_maps, args.performance)
        unit("tekton-config", config, wait_for=TEKTON_WAIT_FOR, after=[operator.ready])
