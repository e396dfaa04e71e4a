"""Hand what runs on a cluster over to Argo CD, or take it back: the record of it, and who owns which fields.

It refuses whatever would make the engine delete what another applies, before the engine deletes anything.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from units.delete import let_go
from units.errors import UnitError
from units.live import change_metadata, live_objects
from units.manifest import CRD, Identity, identify, in_apply_stages, parse
from units.request import LetGo

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from units.kubectl import Kubectl
    from units.manifest import Manifest
    from units.request import Request

RECORD: Final = "delivery"
"""The ConfigMap that says how things get to a cluster, and which things."""

DIRECT: Final = "direct"
HANDOVER: Final = "handover"
GITOPS: Final = "gitops"

_ARGO_MANAGER: Final = "argocd-controller"
_ARGO_PREFIX: Final = "argocd.argoproj.io/"
_APPLICATION: Final = "applications.argoproj.io"
_APPLICATIONS: Final = "argoproj.io/v1alpha1"
_CREDENTIAL_MANAGER: Final = "pipeline-service-credential"

_PULUMI: Final = re.compile(r"pulumi-(resource-)?kubernetes(-[0-9a-f]+)?")
"""Field managers of pulumi-kubernetes: of a creation, and of an application (with a number of its own)."""

_HELD: Final = "held"
"""Key of the record that names whose finalizers objects of others may have, of what Argo CD applied."""

_PAUSE_SECONDS: Final = 2.0
_SHOWN: Final = 3


@dataclass(frozen=True, kw_only=True)
class Holder:
    """What Argo CD applies and what puts finalizers on objects of others.

    Attributes
    ----------
    deployment
        Namespace and name of the Deployment whose pods do so, with a slash between.
    let_go
        The finalizers.
    wanted
        Whether it is wanted there: where it is not any more, its finalizers are taken off.
    """

    deployment: str
    let_go: tuple[LetGo, ...]
    wanted: bool


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What is asked for.

    Attributes
    ----------
    wanted
        Who shall apply what runs on the cluster: `direct`, `handover` or `gitops`.
    key
        The setting that says so.
    application
        Namespace and name of Argo CD's Application, with a slash between.
    manifests
        Files with releases that Argo CD applies, but for their Secrets.
    restart
        Namespace and name of a Deployment whose credential is this program's, with a slash between.
    annotation
        Annotation of that Deployment's pods.
    credential
        Its value: the credential's digest.
    holders
        Who puts finalizers on objects of others.
    """

    wanted: str
    key: str
    application: str
    manifests: tuple[Path, ...]
    restart: str
    annotation: str
    credential: str
    holders: tuple[Holder, ...]


def read_delivery(environment: Mapping[str, str]) -> Delivery:
    """Read what is asked for.

    Parameters
    ----------
    environment
        The environment's variables.

    Raises
    ------
    UnitError
        It doesn't say what.
    """
    wanted = environment.get("UNIT_DELIVERY", "")
    if wanted not in (DIRECT, HANDOVER, GITOPS):
        raise UnitError(f'UNIT_DELIVERY is "{wanted}", which is none of {DIRECT}, {HANDOVER}, {GITOPS}')
    return Delivery(
        wanted=wanted,
        key=environment.get("UNIT_DELIVERY_KEY", "delivery"),
        application=environment.get("UNIT_APPLICATION", ""),
        manifests=tuple(Path(one) for one in json.loads(environment.get("UNIT_MANIFESTS", "[]"))),
        restart=environment.get("UNIT_RESTART", ""),
        annotation=environment.get("UNIT_RESTART_ANNOTATION", ""),
        credential=environment.get("UNIT_RESTART_VALUE", ""),
        holders=tuple(
            Holder(
                deployment=one["deployment"],
                let_go=tuple(LetGo(**finalizer) for finalizer in one["let_go"]),
                wanted=one["wanted"],
            )
            for one in json.loads(environment.get("UNIT_HOLDERS", "[]"))
        ),
    )


def deliver(kubectl: Kubectl, request: Request, delivery: Delivery, stdin: str) -> str:
    """Bring a cluster to a delivery, from the same or a neighbouring one.

    Parameters
    ----------
    kubectl
        The cluster.
    request
        Where the record is.
    delivery
        What is asked for.
    stdin
        Identities of objects that Argo CD applies, in JSON, as lists of API version, kind, namespace, name.

    Returns
    -------
    str
        What was done, in a line.

    Raises
    ------
    UnitError
        It would lose something; says what to do.
    """
    before, objects, held = _recorded(kubectl, request)
    held |= {one.deployment for one in delivery.holders if one.wanted}
    _refuse_a_jump(before, delivery)
    if delivery.wanted != DIRECT:
        _require_application(kubectl, delivery)
    if delivery.wanted == HANDOVER:
        objects = _handed_over(delivery, stdin)
        _record(kubectl, request, HANDOVER, objects, held)
        return f"handover: {len(objects)} objects are for both, and Argo CD applies them"
    if delivery.wanted == GITOPS:
        changed = 0
        if before == HANDOVER:
            changed = _give(kubectl, request, delivery, objects)
        _record(kubectl, request, GITOPS, objects, held)
        _place_secrets(kubectl, delivery)
        restarted = _restart(kubectl, delivery)
        for one in delivery.holders:
            if one.deployment in held and not one.wanted:
                _let_go(kubectl, request, delivery, one)
                held.discard(one.deployment)
                _record(kubectl, request, GITOPS, objects, held)
        return f"gitops: {changed} objects are Argo CD's alone now{restarted}"
    if before != HANDOVER:
        return "direct: nothing to hand over"
    _dismiss_application(kubectl, delivery)
    live = live_objects(kubectl, objects)
    changed = change_metadata(kubectl, request.field_manager, live.values(), _taken_back)
    _record(kubectl, request, DIRECT, [])
    return f"direct: {changed} objects are Argo CD's no more"


def undeliver(kubectl: Kubectl, request: Request, delivery: Delivery) -> str:
    """Say what stays on a cluster that Argo CD was to fill, when the environment is destroyed.

    It is the first that is deleted of a cluster in handover, and refuses there: everything on the cluster is
    only kept in the state then, and would be forgotten, not deleted.

    Parameters
    ----------
    kubectl
        The cluster.
    request
        Where the record is.
    delivery
        What was asked for.

    Raises
    ------
    UnitError
        The cluster is in handover.
    """
    before, _, _ = _recorded(kubectl, request)
    if before == HANDOVER:
        raise UnitError(
            f"{delivery.key}: the cluster is in delivery {HANDOVER}, where all that runs on it would be"
            " forgotten, not deleted; nothing was changed; keep its entry and the section gitops, set"
            f" {delivery.key}: {DIRECT} (or {GITOPS}), run pulumi up, and destroy or remove it after that"
        )
    if delivery.wanted == DIRECT or before in (None, DIRECT):
        return "direct: nothing is Argo CD's"
    return (
        f"{delivery.wanted}: what Argo CD has applied stays on the cluster, and is not this program's;"
        f" whoever wants it gone sets {delivery.key}: {HANDOVER} and then {DIRECT} before the destroy"
    )


def place(kubectl: Kubectl, request: Request, namespaces: Sequence[str]) -> str:
    """Put namespaces there that Argo CD applies, so that Secrets can be put into them before it comes.

    Parameters
    ----------
    kubectl
        The cluster.
    request
        What names it.
    namespaces
        Their names.

    Returns
    -------
    str
        What was done, in a line.
    """
    _apply_as(kubectl, [_by_name(name) for name in namespaces])
    return f"{request.name}: {len(namespaces)} namespaces are there"


def _by_name(namespace: str) -> Manifest:
    """Make the least of a namespace: all else of it is Argo CD's to say."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}


def _refuse_a_jump(before: str | None, delivery: Delivery) -> None:
    if before is None or {before, delivery.wanted} != {DIRECT, GITOPS}:
        return
    lost = (
        "what stands on the cluster would be deleted and made anew by Argo CD"
        if before == DIRECT
        else "Argo CD applies what stands on the cluster, and this program would find it there unknown"
    )
    raise UnitError(
        f'{delivery.key}: "{delivery.wanted}": the cluster is in delivery {before}, and {lost}; nothing was'
        f" changed; set it to {HANDOVER}, run pulumi up, and set it to {delivery.wanted} after that"
    )


def _recorded(kubectl: Kubectl, request: Request) -> tuple[str | None, list[Identity], set[str]]:
    """Read how things got to the cluster until now (None: none is there yet), which, and who may hold."""
    here = f"--namespace={request.namespace}"
    found = kubectl.get("configmap", RECORD, here)
    if found is None:
        units = kubectl.get("configmap", here, "--selector=app.kubernetes.io/component=unit")
        names = [item["metadata"]["name"] for item in (units or {}).get("items", [])]
        # Argo CD itself is always applied by this program.
        return (DIRECT if any(not name.startswith("unit-argo") for name in names) else None), [], set()
    try:
        before = found["data"]["delivery"]
        objects = _identities(found["data"]["objects"])
        held = {str(one) for one in json.loads(found["data"].get(_HELD, "[]"))}
    except (KeyError, TypeError, ValueError):
        raise UnitError(
            f"the ConfigMap {request.namespace}/{RECORD} was changed by somebody and can't be read;"
            " restore it from a backup: without it nobody knows who applies what runs on the cluster"
        ) from None
    return before, objects, held


def _identities(text: str) -> list[Identity]:
    return [
        Identity(api_version=api_version, kind=kind, namespace=namespace, name=name)
        for api_version, kind, namespace, name in json.loads(text)
    ]


def _record(
    kubectl: Kubectl,
    request: Request,
    delivery: str,
    objects: Sequence[Identity],
    held: Collection[str] = (),
) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": RECORD,
            "namespace": request.namespace,
            "labels": {
                "app.kubernetes.io/part-of": "pipeline-service",
                "app.kubernetes.io/component": "delivery",
                "app.kubernetes.io/managed-by": request.field_manager,
            },
        },
        "data": {
            "delivery": delivery,
            **({_HELD: json.dumps(sorted(held))} if held else {}),
            "objects": json.dumps(
                [[one.api_version, one.kind, one.namespace, one.name] for one in sorted(objects)]
            ),
        },
    }
    kubectl.api.each(lambda one: kubectl.api.apply(one, request.field_manager), [manifest])


def _handed_over(delivery: Delivery, stdin: str) -> list[Identity]:
    try:
        objects = set(_identities(stdin))
    except (TypeError, ValueError):
        raise UnitError("standard input holds no list of objects; run pulumi up anew") from None
    # Secrets are in no repository.
    return sorted(objects | {identify(one) for one in _manifests(delivery) if one["kind"] != "Secret"})


def _manifests(delivery: Delivery) -> list[Manifest]:
    found: list[Manifest] = []
    for path in delivery.manifests:
        try:
            text = path.read_text()
        except OSError as error:
            raise UnitError(
                f"the manifest {path} can't be read ({error.strerror}); run pulumi preview in the project's"
                " folder, which makes it anew"
            ) from None
        found += parse(text)
    return found


def _place_secrets(kubectl: Kubectl, delivery: Delivery) -> None:
    """Put the releases' empty Secrets there, which their controllers fill and no repository may hold."""
    secrets = [one for one in _manifests(delivery) if one["kind"] == "Secret"]
    if not secrets:
        return
    places = sorted({one["metadata"]["namespace"] for one in secrets})
    _apply_as(kubectl, [*map(_by_name, places), *secrets])


def _apply_as(kubectl: Kubectl, manifests: Sequence[Manifest]) -> None:
    """Apply what no repository holds, under a name of its own: Argo CD leaves it alone."""
    for stage in in_apply_stages(manifests):
        kubectl.api.each(lambda one: kubectl.api.apply(one, _CREDENTIAL_MANAGER), stage)


def _managers(found: Manifest) -> list[dict[str, Any]]:
    return list(found["metadata"].get("managedFields") or [])


def _is_argos(entry: Mapping[str, Any]) -> bool:
    return entry.get("manager") == _ARGO_MANAGER and entry.get("operation") == "Apply"


def _give(kubectl: Kubectl, request: Request, delivery: Delivery, objects: Sequence[Identity]) -> int:
    live = live_objects(kubectl, objects)
    missing = [
        one
        for one in objects
        if one.key not in live or not any(_is_argos(entry) for entry in _managers(live[one.key]))
    ]
    if missing:
        named = ", ".join(str(one) for one in missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise UnitError(
            f'{delivery.key}: "{GITOPS}": Argo CD has not synced yet: {len(missing)} of {len(objects)}'
            f" objects are not applied by it ({named}{more}); nothing was changed; write the repository by"
            f" `python -m operations render`, set {HANDOVER}, and wait until its Application is Synced"
        )
    ours = frozenset({request.field_manager})
    return change_metadata(kubectl, request.field_manager, live.values(), lambda found: _given(found, ours))


def _given(found: Manifest, ours: frozenset[str]) -> Manifest:
    kept = [
        entry
        for entry in _managers(found)
        if entry.get("subresource")
        or not (entry.get("manager") in ours or _PULUMI.fullmatch(str(entry.get("manager"))))
    ]
    return _owners_patch(found, kept)


def _taken_back(found: Manifest) -> Manifest:
    patch = _owners_patch(found, [entry for entry in _managers(found) if not _is_argos(entry)])
    for part in ("annotations", "labels"):
        marks = [key for key in found["metadata"].get(part) or {} if key.startswith(_ARGO_PREFIX)]
        if marks:
            patch[part] = dict.fromkeys(marks)
    return patch


def _owners_patch(found: Manifest, kept: list[dict[str, Any]]) -> Manifest:
    if kept == _managers(found):
        return {}
    # An empty list would be taken for "as it was".
    return {"managedFields": kept or [{}]}


def _application(kubectl: Kubectl, delivery: Delivery) -> Manifest | None:
    namespace, _, name = delivery.application.partition("/")
    there = Identity(api_version=_APPLICATIONS, kind="Application", namespace=namespace, name=name)
    [found] = kubectl.api.each(kubectl.api.find, [there])
    return found


def _require_application(kubectl: Kubectl, delivery: Delivery) -> None:
    """Refuse to leave a cluster to an Argo CD that follows nothing.

    So it is after a way to `direct` that failed between the Application's end and Argo CD's own unit: to the
    engine that unit is as it was.
    """
    definition = Identity(api_version="apiextensions.k8s.io/v1", kind=CRD, namespace="", name=_APPLICATION)
    if kubectl.api.each(kubectl.api.find, [definition]) != [None] and not _application(kubectl, delivery):
        entry = delivery.key.rpartition(".")[0]
        raise UnitError(
            f'{delivery.key}: "{delivery.wanted}": the Application {delivery.application} is not there, so'
            f" Argo CD applies nothing; raise {entry}.incarnation and run pulumi up, which makes it anew"
        )


def _dismiss_application(kubectl: Kubectl, delivery: Delivery) -> None:
    """Remove the Application, and nothing with it: from now on nobody else changes the objects back."""
    found = _application(kubectl, delivery)
    if found is None:
        return
    namespace, _, name = delivery.application.partition("/")
    here = f"--namespace={namespace}"
    resources = (found.get("status") or {}).get("resources") or []
    left = [one for one in resources if one.get("requiresPruning")]
    if left:
        named = ", ".join(f"{one['kind']} {one['name']}" for one in left[:_SHOWN])
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        raise UnitError(
            f'{delivery.key}: "{DIRECT}": Argo CD has yet to remove what left the repository: {named}{more};'
            " nobody would do so after it; nothing was changed; wait until its Application is Synced (what is"
            " marked Prune=false is yours to delete), and run pulumi up anew"
        )
    if found["metadata"].get("finalizers"):
        # Its finalizer is what deletes everything that it has applied.
        patch = '{"metadata":{"finalizers":null}}'
        kubectl.run("patch", _APPLICATION, name, here, "--type=merge", f"--patch={patch}")
    kubectl.run("delete", _APPLICATION, name, here, "--ignore-not-found", "--cascade=orphan")


def _let_go(kubectl: Kubectl, request: Request, delivery: Delivery, of: Holder) -> None:
    """Take off the finalizers of what Argo CD has taken away: no unit is deleted with it."""
    namespace, _, name = of.deployment.partition("/")
    holder = Identity(api_version="apps/v1", kind="Deployment", namespace=namespace, name=name)
    deadline = time.monotonic() + request.wait_seconds
    while kubectl.api.each(kubectl.api.find, [holder]) != [None]:
        if time.monotonic() > deadline:
            raise UnitError(
                f"{delivery.key}: {holder} is still there, and what it holds can't be let go before it is"
                " gone; all else is done; render and push the repository, wait until the Application is"
                " Synced, and run pulumi up anew"
            )
        time.sleep(_PAUSE_SECONDS)
    for held in of.let_go:
        let_go(kubectl, request, held)


def _restart(kubectl: Kubectl, delivery: Delivery) -> str:
    """Let a Deployment's pods start anew where its credential has changed: they read it when they start."""
    namespace, _, name = delivery.restart.partition("/")
    if not name:
        return ""
    found = kubectl.get("deployments.apps", name, f"--namespace={namespace}")
    if found is None:
        return ""
    there = found["spec"]["template"]["metadata"].get("annotations") or {}
    if there.get(delivery.annotation) == delivery.credential:
        return ""
    wanted = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": {"metadata": {"annotations": {delivery.annotation: delivery.credential}}}},
    }
    _apply_as(kubectl, [wanted])
    return f", and {name} starts anew with its new credential"
