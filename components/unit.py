"""Manifests applied as one unit by a local command: see docs/adr/0002-releases-as-units.md."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pulumi
import yaml
from pulumi_command import local

from components.delivery import Delivery
from components.names import FIELD_MANAGER, OPERATOR_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

RUN: Final = ".venv/bin/python -m units"
APPLY_SCRIPT: Final = f"{RUN} apply"
WAIT_SCRIPT: Final = f"{RUN} wait"
DELETE_SCRIPT: Final = f"{RUN} delete"
"""The scripts are constant: what varies is in the environment or on standard input, where it shows."""


@dataclass(frozen=True, kw_only=True)
class ClusterUnitArgs:
    """How units stand on a compute cluster.

    Attributes
    ----------
    kubeconfig
        File with the cluster's credential, relative to the project's folder.
    incarnation
        Raised to apply them anew.
    state
        State of the cluster.
    delivery
        Who applies them: in `gitops` they are not registered, and in `handover` only kept in the state.
    after
        What must be there before them, and stay until they are gone.
    """

    kubeconfig: str
    incarnation: int
    state: str
    delivery: Delivery = Delivery.DIRECT
    after: tuple[pulumi.Resource, ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class SharedManifest:
    """Objects that many units apply, the same in each; without arguments: none.

    They stand in a file: in the state each unit would have them twice.

    Attributes
    ----------
    file
        The file, relative to the project's folder; another content has another name.
    text
        Its content.
    heading
        Its outline, as comments that head each unit's own manifest: so a preview shows what changes.
    """

    file: str | None = None
    text: str = ""
    heading: str = ""


@dataclass(frozen=True, kw_only=True)
class UnitArgs:
    """What a unit is.

    Attributes
    ----------
    unit
        Its name, and its inventory's on the API server.
    sha256
        Digest of its manifest, in hexadecimal: a changed manifest is an update.
    kubeconfig
        File with the credential, relative to the project's folder; the credential itself is never an input.
    version
        Version of what it applies, or None where that has none.
    workspace
        Path of the kcp workspace it lies in, or None for a cluster.
    manifest_file
        File with the manifest, relative to the project's folder; or None where `manifest` is given.
    manifest
        The manifest itself, handed over on standard input, so that a preview shows its change.
    outline
        What stands on standard input for the preview alone, where the manifest is a file; empty: nothing.
    shared_file
        File with objects that many units apply, relative to the project's folder; its text comes before the
        manifest, in the digest as well.
    incarnation
        Raised to apply it anew, taking fields back that others changed.
    wait_for
        What must hold after it was applied, beside CRDs and workloads: `{resource, namespace, for}` as
        `kubectl wait` takes them.
    wait_seconds
        How long that may take.
    drain
        Resources whose objects are deleted before the unit is, those of its users included.
    release_finalizers
        Finalizers that are taken off such objects where nobody else does so in time.
    force
        Whether fields that somebody else holds are taken at once, not only at a raised incarnation.
    adopt
        Whether what somebody else has installed is taken over; without it, that is refused.
    cancel
        Resources whose unfinished objects are cancelled once the unit is applied: runs of Tekton.
    leftovers
        What others made on its behalf and leave behind when it is deleted: `{resource, namespace, selector}`
        as `kubectl delete` takes them.
    let_go
        Finalizers that what it installs puts on objects of others, and that are taken off once it is deleted:
        `{resource, finalizer}`, the resource as kubectl takes it.
    state
        State of the cluster: an `unreachable` one's unit is left as it is, a `gone` one's is forgotten.
    lies_in
        Uid of what it lies in: where that was made anew, the unit is applied anew.
    protect
        Whether the engine refuses to delete it.
    retain
        Whether the engine only keeps it in the state: its commands run once, if it wasn't there, and never
        again.
    """

    unit: str
    sha256: str
    kubeconfig: str
    version: str | None = None
    workspace: str | None = None
    manifest_file: str | None = None
    manifest: str | None = None
    outline: str = ""
    shared_file: str | None = None
    incarnation: int = 0
    wait_for: Sequence[Mapping[str, str]] = ()
    wait_seconds: int = 300
    drain: Sequence[str] = ()
    release_finalizers: Sequence[str] = ()
    cancel: Sequence[str] = ()
    force: bool = False
    adopt: bool = False
    leftovers: Sequence[Mapping[str, str]] = ()
    let_go: Sequence[Mapping[str, str]] = ()
    state: str = "active"
    lies_in: pulumi.Input[str] | None = None
    protect: bool = False
    retain: bool = False


@dataclass(frozen=True, kw_only=True)
class Unit:
    """The registered commands of a unit.

    Attributes
    ----------
    apply
        Applies and prunes; deletes in the end.
    ready
        Waits until everything holds.
    """

    apply: local.Command
    ready: local.Command


def _both(args: UnitArgs) -> dict[str, pulumi.Input[str] | None]:
    """List what both commands are told: where the unit lies, what it is, and how it is applied.

    So the wait is repeated after each application that may change something.
    """
    return {
        "UNIT_NAME": args.unit,
        "UNIT_SHA256": args.sha256,
        "UNIT_KUBECONFIG": args.kubeconfig,
        "UNIT_NAMESPACE": OPERATOR_NAMESPACE,
        "UNIT_FIELD_MANAGER": FIELD_MANAGER,
        "UNIT_INCARNATION": str(args.incarnation),
        "UNIT_VERSION": args.version,
        "UNIT_WORKSPACE": args.workspace,
        "UNIT_FORCE": "true" if args.force else None,
        "UNIT_ADOPT": "true" if args.adopt else None,
        "UNIT_LIES_IN": args.lies_in,
        "UNIT_ABANDONED": "true" if args.state == "gone" else None,
    }


def environment(args: UnitArgs) -> dict[str, pulumi.Input[str]]:
    """Make the environment of the command that applies: its whole input but the manifest.

    Parameters
    ----------
    args
        The unit.
    """
    variables = {
        **_both(args),
        "UNIT_MANIFEST": args.manifest_file,
        "UNIT_SHARED": args.shared_file,
        "UNIT_DRAIN": json.dumps(list(args.drain)) if args.drain else None,
        "UNIT_RELEASE_FINALIZERS": json.dumps(list(args.release_finalizers))
        if args.release_finalizers
        else None,
        "UNIT_CANCEL": json.dumps(list(args.cancel)) if args.cancel else None,
        "UNIT_LEFTOVERS": json.dumps([dict(one) for one in args.leftovers], sort_keys=True)
        if args.leftovers
        else None,
        "UNIT_LET_GO": json.dumps([dict(one) for one in args.let_go], sort_keys=True)
        if args.let_go
        else None,
    }
    return _given(variables)


def wait_environment(args: UnitArgs) -> dict[str, pulumi.Input[str]]:
    """Make the environment of the command that waits: its whole input.

    It has no manifest: the unit's record tells what was applied, and the digest that it is the same.

    Parameters
    ----------
    args
        The unit.
    """
    variables = {
        **_both(args),
        "UNIT_WAIT": json.dumps([dict(wait) for wait in args.wait_for], sort_keys=True),
        "UNIT_WAIT_SECONDS": str(args.wait_seconds),
    }
    return _given(variables)


def _given(variables: Mapping[str, pulumi.Input[str] | None]) -> dict[str, pulumi.Input[str]]:
    return {key: value for key, value in variables.items() if value is not None}


def to_yaml(manifests: Sequence[Mapping[str, Any]]) -> str:
    """Write manifests so that a preview's text diff of them reads well.

    Parameters
    ----------
    manifests
        The objects.
    """
    return yaml.safe_dump_all(manifests, sort_keys=True, default_flow_style=False, explicit_start=True)


def register_unit(
    name: str,
    args: UnitArgs,
    *,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource] = (),
    between: Callable[[pulumi.Resource], Sequence[pulumi.Resource]] | None = None,
) -> Unit:
    """Register a unit's commands: one that applies and, in the end, deletes; and one that waits.

    They are two, so that a wait that took too long doesn't make the engine forget what was applied.

    Parameters
    ----------
    name
        Name in the stack's state.
    args
        The unit.
    parent
        The component it is a part of.
    depends_on
        What must be there before it, and stay until it is gone.
    between
        Registers what lies in what is applied, and must be there before it can work; it is given the command
        that applies.
    """
    # skip_update_unreachable of a Kubernetes provider doesn't cover commands.
    ignored = ["*"] if args.state == "unreachable" or args.retain else []
    apply = local.Command(
        f"{name}-apply",
        create=APPLY_SCRIPT,
        update=APPLY_SCRIPT,
        delete=DELETE_SCRIPT,
        environment=environment(args),
        # Of a release the runner reads the file; what it changes is shown by this.
        stdin=args.manifest if args.manifest_file is None else args.outline or None,
        # With the output of the run before in the environment, a first and a second run would differ.
        add_previous_output_in_env=False,
        opts=pulumi.ResourceOptions(
            parent=parent,
            depends_on=list(depends_on),
            ignore_changes=ignored,
            protect=args.protect or None,
            retain_on_delete=args.retain or None,
        ),
    )
    ready = local.Command(
        f"{name}-ready",
        create=WAIT_SCRIPT,
        update=WAIT_SCRIPT,
        environment=wait_environment(args),
        add_previous_output_in_env=False,
        opts=pulumi.ResourceOptions(
            parent=parent, depends_on=[apply, *(between(apply) if between else ())], ignore_changes=ignored
        ),
    )
    return Unit(apply=apply, ready=ready)
