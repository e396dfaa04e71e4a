"""What watches over the change of a cluster's delivery, and carries it out: see docs/adr/0010-delivery.md."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pulumi
from pulumi_command import local

from components import argocd_manifests, unit
from components.delivery import Delivery
from components.names import SYNCER_NAMESPACE, digest
from components.syncer_manifests import AGENT, KUBECONFIG_DIGEST
from releases.argocd import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.kubernetes_object import Manifest

DELIVER_SCRIPT: Final = f"{unit.RUN} deliver"
UNDELIVER_SCRIPT: Final = f"{unit.RUN} undeliver"
PLACE_SCRIPT: Final = f"{unit.RUN} place"

_APPLICATION: Final = f"{NAMESPACE}/{argocd_manifests.APPLICATION}"
"""Namespace and name of Argo CD's Application for the cluster's folder."""


@dataclass(frozen=True, kw_only=True)
class FinalizerHolder:
    """What Argo CD applies and what puts finalizers on objects of others, which it alone takes off.

    Attributes
    ----------
    deployment
        Namespace and name of the Deployment whose pods do so, with a slash between.
    finalizers
        The finalizers, `{resource, finalizer}`.
    wanted
        Whether it is wanted on the cluster; where it isn't any more, nobody takes them off.
    """

    deployment: str
    finalizers: Sequence[Mapping[str, str]]
    wanted: bool


@dataclass(frozen=True, kw_only=True)
class ClusterDeliveryArgs:
    """What a ClusterDelivery needs.

    Attributes
    ----------
    cluster_name
        Name of the compute cluster.
    kubeconfig
        File with the cluster's credential, relative to the project's folder.
    delivery
        Who applies what runs on it.
    state
        State of the cluster.
    incarnation
        Raised to do it anew.
    objects
        Our own objects on it, as Argo CD applies them; needed while they are handed over.
    manifests
        Files with the releases on it that Argo CD applies, relative to the project's folder.
    credential
        Digest of the agent's kubeconfig for kcp, which Argo CD doesn't know; None where Argo CD doesn't
        apply the agent.
    holders
        Who puts finalizers on objects of others, among what Argo CD applies.
    after
        What must be registered before it.
    """

    cluster_name: str
    kubeconfig: str
    delivery: Delivery
    state: str
    incarnation: int
    objects: tuple[Manifest, ...] = field(default=(), repr=False)
    manifests: tuple[str, ...] = ()
    credential: pulumi.Input[str] | None = None
    holders: tuple[FinalizerHolder, ...] = ()
    after: tuple[pulumi.Resource, ...] = field(default=(), repr=False)


def identities(objects: Sequence[Manifest]) -> str:
    """List which objects they are: API version, kind, namespace and name of each, a line each, in JSON.

    Parameters
    ----------
    objects
        The objects.
    """
    named = sorted(
        [one["apiVersion"], one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]]
        for one in objects
    )
    return "[\n" + ",\n".join(json.dumps(one) for one in named) + "\n]\n"


def environment(args: ClusterDeliveryArgs) -> dict[str, pulumi.Input[str]]:
    """Make the environment of the command.

    Parameters
    ----------
    args
        The delivery.
    """
    handed = args.delivery is Delivery.HANDOVER
    command = unit.UnitArgs(
        unit="delivery",
        sha256=digest(identities(args.objects) if handed else ""),
        kubeconfig=args.kubeconfig,
        incarnation=args.incarnation,
        state=args.state,
    )
    made: dict[str, pulumi.Input[str]] = {
        **unit.environment(command),
        "UNIT_DELIVERY": str(args.delivery),
        "UNIT_DELIVERY_KEY": f"computeClusters.{args.cluster_name}.delivery",
        "UNIT_APPLICATION": _APPLICATION,
    }
    if args.manifests:
        made["UNIT_MANIFESTS"] = json.dumps(sorted(args.manifests))
    if args.holders:
        holders = [
            {
                "deployment": one.deployment,
                "let_go": [dict(finalizer) for finalizer in one.finalizers],
                "wanted": one.wanted,
            }
            for one in args.holders
        ]
        made["UNIT_HOLDERS"] = json.dumps(holders, sort_keys=True)
    if args.credential is not None:
        made["UNIT_RESTART"] = f"{SYNCER_NAMESPACE}/{AGENT}"
        made["UNIT_RESTART_ANNOTATION"] = KUBECONFIG_DIGEST
        made["UNIT_RESTART_VALUE"] = args.credential
    return made


class ClusterDelivery(pulumi.ComponentResource):
    """The delivery of a compute cluster: it fails where a change of it would lose something.

    Its place among the others depends on the delivery: `direct` comes before anything else on the cluster,
    since Argo CD has to let go first; `handover` after everything, since only then all of it is kept in the
    state; `gitops` when this program's own part is there.

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
        self, name: str, args: ClusterDeliveryArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("pipeline-service:delivery:ClusterDelivery", name, None, opts)
        command = local.Command(
            f"{name}-delivery",
            create=DELIVER_SCRIPT,
            update=DELIVER_SCRIPT,
            delete=UNDELIVER_SCRIPT,
            environment=environment(args),
            stdin=identities(args.objects) if args.delivery is Delivery.HANDOVER else "",
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                ignore_changes=["*"] if args.state == "unreachable" else [],
            ),
        )
        self.register_outputs({"delivery": str(args.delivery)})
        # With --continue-on-error the engine goes on past a failed command, and deletes in the end what is
        # no longer registered; after a program that failed it deletes nothing.
        if not pulumi.runtime.is_dry_run():
            self._succeeded: pulumi.Output[bool] = pulumi.Output.from_input(_succeeded(command, name))
        if args.state == "unreachable":
            # The command is left as it was, so nobody refuses a jump on the cluster's side; a preview tells.
            self._unchanged: pulumi.Output[bool] = command.environment.apply(
                lambda before: refuse_change(name, args.delivery, before)
            )


class ClusterPlaces(pulumi.ComponentResource):
    """Namespaces that a cluster's Argo CD applies, there before it comes: Secrets are put into them.

    They are made by name alone and never deleted by this: they are Argo CD's.

    Parameters
    ----------
    name
        Name of the compute cluster.
    namespaces
        Their names.
    args
        The cluster's delivery.
    opts
        Pulumi's options.
    """

    def __init__(
        self,
        name: str,
        namespaces: Sequence[str],
        args: ClusterDeliveryArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("pipeline-service:delivery:ClusterPlaces", name, None, opts)
        places = json.dumps(sorted(namespaces))
        command = unit.UnitArgs(
            unit="places",
            sha256=digest(places),
            kubeconfig=args.kubeconfig,
            incarnation=args.incarnation,
            state=args.state,
        )
        local.Command(
            f"{name}-places",
            create=PLACE_SCRIPT,
            update=PLACE_SCRIPT,
            environment={**unit.environment(command), "UNIT_PLACES": places},
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                ignore_changes=["*"] if args.state == "unreachable" else [],
            ),
        )
        self.register_outputs({})


def refuse_change(name: str, wanted: str, before: Mapping[str, str] | None) -> bool:
    """Refuse another delivery of a cluster that nobody reaches.

    Parameters
    ----------
    name
        Name of the cluster.
    wanted
        The delivery that is asked for.
    before
        Environment of the command that last ran.

    Raises
    ------
    ValueError
        It is another one than that which was carried out.
    """
    had = (before or {}).get("UNIT_DELIVERY", wanted)
    if had != wanted:
        raise ValueError(
            f'computeClusters.{name}.delivery: "{wanted}": the cluster is in delivery {had}, and state'
            f" unreachable: what runs on it can't change hands; set it back to {had} until it is reached"
        )
    return True


async def _succeeded(command: local.Command, name: str) -> bool:
    if not await command.stdout.is_known():
        raise RuntimeError(f"the delivery of {name} was refused, so nothing is deleted")
    return True
