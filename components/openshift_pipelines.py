"""Tekton on OpenShift: Red Hat's operator, brought by OLM, and the one TektonConfig it acts on.

The names and fields are those of tektoncd/operator v0.78, which OpenShift Pipelines 1.21 is built from, and
of OLM's operators.coreos.com/v1alpha1. Why it is done this way: docs/adr/0006-openshift.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pulumi

from components.access import PIPELINE_RESOURCES, REPOSITORY_GROUP
from components.delivery import Delivery
from components.kubernetes_object import register_object
from components.names import digest, labels
from components.pipelines_as_code import AppCredentials, PacSetup, app_secret, operator_settings
from components.pipelines_as_code_network import network_policies
from components.release import WAIT_SECONDS
from components.tekton_network import resolvers_policy
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
"""Namespace of Tekton's controllers, its resolvers among them; the operator makes it."""

_CONTROLLER: Final = "tekton-pipelines-controller"
"""Tekton's controller: its Deployment, and the container in it."""

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


REPOSITORIES_WAIT_FOR: Final[Mapping[str, str]] = {
    "resource": f"customresourcedefinitions/repositories.{REPOSITORY_GROUP}",
    "for": "condition=Established",
}
"""What says that Pipelines as Code's kind is there."""


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
class TektonSetup:
    """How Tekton is set up, in the operator's words.

    Attributes
    ----------
    config_maps
        Keys and values that are set in Tekton's ConfigMaps, by name of the ConfigMap. Each must have data
        as the operator brings it: into one without, the operator would write all the same, and crash (its
        `updateConfigMaps`).
    performance
        How Tekton's controller is sized: TektonConfig's `spec.pipeline.performance`.
    resources
        Requests and limits of its pods.
    blocked_networks
        Networks that the resolvers never reach.
    pipelines_as_code
        How Pipelines as Code is set up; None: not at all.
    """

    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    performance: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    blocked_networks: Sequence[str] = ()
    pipelines_as_code: PacSetup | None = None


@dataclass(frozen=True, kw_only=True)
class OpenShiftPipelinesArgs(ClusterUnitArgs):
    """What OpenShiftPipelines need.

    Attributes
    ----------
    cluster
        API server of the cluster.
    setup
        How Tekton is set up.
    github_app
        The GitHub App of Pipelines as Code; None without one.
    """

    cluster: pulumi.ProviderResource = field(repr=False)
    setup: TektonSetup = field(default_factory=TektonSetup)
    github_app: AppCredentials | None = field(default=None, repr=False)


def policies(setup: TektonSetup) -> dict[str, Manifest]:
    """Make the network policies of what the operator brings, which has none for these pods.

    Parameters
    ----------
    setup
        How Tekton is set up.
    """
    made = {"resolvers-policy": resolvers_policy(setup.blocked_networks, TEKTON_NAMESPACE)}
    if setup.pipelines_as_code is not None:
        blocked = setup.pipelines_as_code.blocked_networks
        made |= {
            f"{policy['metadata']['name']}-policy": policy
            for policy in network_policies(blocked, TEKTON_NAMESPACE)
        }
    return made


def tekton_config(setup: TektonSetup) -> Manifest:
    """Make the TektonConfig: Tekton Pipelines alone, set up as on other clusters.

    Whatever deletes runs is off: a synced run that is deleted on the cluster comes back from kcp, and runs
    again.

    Parameters
    ----------
    setup
        How Tekton is set up. ConfigMaps and resources are given as the operator's options, which it applies
        after fields of its own: it has no field for some of them.
    """
    options: dict[str, Any] = {}
    if setup.config_maps:
        maps = sorted(setup.config_maps.items())
        options["configMaps"] = {name: {"data": dict(data)} for name, data in maps}
    if setup.resources:
        container = {
            "name": _CONTROLLER,
            "resources": {part: dict(amounts) for part, amounts in setup.resources.items()},
        }
        options["deployments"] = {_CONTROLLER: {"spec": {"template": {"spec": {"containers": [container]}}}}}
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
                **({"performance": dict(setup.performance)} if setup.performance else {}),
                **({"options": options} if options else {}),
            },
            "params": [{"name": name, "value": value} for name, value in params.items()],
            # The profile leaves out Triggers, but these the operator installs unless told not to. What stands
            # beside "disabled" means nothing then, but the operators' schemas require it.
            "chain": off,
            "pruner": off,
            "tektonpruner": {**off, "global-config": {}},
            "result": {**off, "is_external_db": False},
            "platforms": {"openshift": {"pipelinesAsCode": operator_settings(setup.pipelines_as_code)}},
        },
    }


class OpenShiftPipelines(pulumi.ComponentResource):
    """Tekton on an OpenShift cluster, running.

    The resolvers' policy is an object of its own: its namespace is there only once Tekton runs.

    On the way down the policy goes, then the TektonConfig while its operator lives, then the Subscription,
    then what OLM leaves.

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

        if args.delivery is Delivery.GITOPS:
            # The repository holds no Secret; what it lies in is made before the operator comes.
            self._app_secret(name, args, args.after)
        else:
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
        config = unit(
            "tekton-config",
            tekton_config(args.setup),
            wait_for=[
                *TEKTON_WAIT_FOR,
                # The syncer publishes its kind, too.
                *([REPOSITORIES_WAIT_FOR] if args.setup.pipelines_as_code else []),
            ],
            after=[operator.ready],
        )
        for part, manifest in policies(args.setup).items():
            register_object(
                f"{name}-{part}",
                manifest,
                provider=args.cluster,
                parent=self,
                depends_on=[config.ready],
            )
        self._app_secret(name, args, [config.ready])

    def _app_secret(self, name: str, args: OpenShiftPipelinesArgs, after: Sequence[pulumi.Resource]) -> None:
        """Register the credentials of the GitHub App, where there is one."""
        if args.github_app is not None:
            register_object(
                f"{name}-github-app",
                app_secret(args.github_app, TEKTON_NAMESPACE),
                provider=args.cluster,
                parent=self,
                depends_on=after,
            )
