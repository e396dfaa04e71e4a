"""Cancel unfinished runs, as Tekton is told to end them.

A unit cancels those of its workspace once it is applied. Those that lie on a cluster alone are cancelled by a
command of their own, which sees them end.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from units.errors import UNSERVED, KubectlError, UnitError
from units.manifest import Identity, identify
from units.request import json_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from units.kubectl import Kubectl
    from units.manifest import Manifest
    from units.request import Request

_CANCELLED: Final = "Cancelled"

_GRACEFULLY: Final = "CancelledRunFinally"
"""How runs of Pipelines as Code are cancelled: docs/adr/0011-pipelines-as-code.md says why, and when they are
`Cancelled` nevertheless."""

_PARTS: Final = {"TaskRun": "TaskRunCancelled", "CustomRun": "RunCancelled"}
"""How the parts of a run are cancelled, by their kind: those that it begins as it ends (`finally`)."""

_ROUNDS: Final = 5
"""How often a unit tries to cancel what changes meanwhile."""

_PAUSE_SECONDS: Final = 1.0
_SETTLED_SECONDS: Final = 2.0
"""An API server heeds a namespace's label a moment after it is there; what it let in until then is listed."""


@dataclass(frozen=True, kw_only=True)
class Cancelling:
    """What is cancelled on a cluster.

    Attributes
    ----------
    namespaces
        Where.
    selector
        Selector of the objects' labels.
    mark
        Label, as `key=value`, of namespaces in which nothing new starts; empty where it isn't waited for.
    """

    namespaces: tuple[str, ...]
    selector: str
    mark: str


def read_cancelling(environment: Mapping[str, str]) -> Cancelling:
    """Read what is to be cancelled.

    Parameters
    ----------
    environment
        The environment's variables.

    Raises
    ------
    UnitError
        A variable is missing or can't be read.
    """
    selector = environment.get("UNIT_CANCEL_SELECTOR", "")
    if not selector:
        raise UnitError("UNIT_CANCEL_SELECTOR is not set, and without it everything would be cancelled")
    return Cancelling(
        namespaces=tuple(json_list(environment, "UNIT_CANCEL_IN")),
        selector=selector,
        mark=environment.get("UNIT_CANCEL_MARK", ""),
    )


def cancel(kubectl: Kubectl, request: Request) -> int:
    """Cancel what isn't finished; what is cancelled already, or going, is left as it is.

    Parameters
    ----------
    kubectl
        The API server.
    request
        The unit.

    Returns
    -------
    int
        How many were cancelled.

    Raises
    ------
    UnitError
        Some can't be cancelled.
    """
    found = left = _uncancelled(_unfinished(kubectl, request, "--all-namespaces"))
    refused = ""
    for _ in range(_ROUNDS):
        if not left:
            break
        refused = _cancel(kubectl, request, [(item, _CANCELLED) for item in left]) or refused
        left = _uncancelled(_unfinished(kubectl, request, "--all-namespaces"))
    if left:
        raise UnitError(f"{request.name}: {len(left)} unfinished objects were not cancelled: {refused}")
    return len(found)


def cancel_until_ended(kubectl: Kubectl, request: Request, what: Cancelling) -> str:
    """Cancel what isn't finished on a cluster, until all has ended and nothing new can start.

    It looks again and again, since whoever keeps a queue starts the next one when one ends, maybe one that
    was just cancelled.

    Parameters
    ----------
    kubectl
        The cluster's API server.
    request
        The command.
    what
        What to cancel.

    Returns
    -------
    str
        What was done, in a line.

    Raises
    ------
    UnitError
        In time it didn't come to that: what is left, and why.
    """
    begun = time.monotonic()
    closed_at: float | None = None
    cancelled: set[Identity] = set()
    while True:
        # The namespaces first: so whatever they let in until now is among the runs.
        unmarked = _unmarked(kubectl, what)
        now = time.monotonic()
        closed_at = None if unmarked else closed_at or now
        left = [
            run
            for namespace in what.namespaces
            for run in _unfinished(
                kubectl, request, f"--namespace={namespace}", f"--selector={what.selector}"
            )
        ]
        if not left and closed_at is not None and now - closed_at >= _SETTLED_SECONDS:
            return f"{request.name}: {len(cancelled)} cancelled"
        ending = [run for run in left if _status(run) in (_CANCELLED, _GRACEFULLY)]
        others = [run for run in left if _status(run) not in (_CANCELLED, _GRACEFULLY)]
        late = now - begun >= request.wait_seconds / 2
        waiting = [run for run in ending if late and _status(run) == _GRACEFULLY and _looked_at(run)]
        # Tekton ends the parts of a run by itself, but for those that no pod may start for any more.
        parts = _parts(kubectl, ending)
        statuses = [
            *((run, _GRACEFULLY) for run in others),
            *((run, _CANCELLED) for run in waiting),
            *((part, _PARTS[part["kind"]]) for part in parts),
        ]
        refused = _cancel(kubectl, request, statuses)
        cancelled |= set(map(identify, others))
        if (unmarked or left) and now - begun >= request.wait_seconds:
            problems = "; ".join(_problems(request, what, unmarked, left, refused))
            raise UnitError(f"{request.name}: {problems}")
        time.sleep(_PAUSE_SECONDS)


def _problems(
    request: Request, what: Cancelling, unmarked: Sequence[str], left: Sequence[Manifest], refused: str
) -> Iterable[str]:
    if unmarked:
        yield (
            f"in {', '.join(unmarked)} new ones may start, since {what.mark} is not among the namespace's"
            " labels: once it is (where Argo CD applies it, render and push first), run pulumi up again"
        )
    if left:
        named = ", ".join(str(identify(item)) for item in left)
        reason = refused or "cancelled, but Tekton's controller has yet to end it, so see whether that works"
        yield f"{named} did not end within {request.wait_seconds} s: {reason}"


def _unmarked(kubectl: Kubectl, what: Cancelling) -> list[str]:
    """List the namespaces in which something may start; in one that is not there nothing can."""
    if not what.mark:
        return []
    key, _, value = what.mark.partition("=")
    found = {name: kubectl.get("namespace", name) for name in what.namespaces}
    return [
        name
        for name, namespace in found.items()
        if namespace is not None and namespace["metadata"].get("labels", {}).get(key) != value
    ]


def _parts(kubectl: Kubectl, runs: Iterable[Manifest]) -> list[Manifest]:
    """List the parts of runs that are not finished, nor cancelled."""
    named = [
        Identity(
            api_version=part["apiVersion"],
            kind=part["kind"],
            namespace=run["metadata"]["namespace"],
            name=part["name"],
        )
        for run in runs
        for part in run.get("status", {}).get("childReferences", [])
        if part["kind"] in _PARTS
    ]
    found = kubectl.api.each(kubectl.api.find, named)
    return [part for part in found if part and _is_unfinished(part) and _status(part) != _PARTS[part["kind"]]]


def _cancel(kubectl: Kubectl, request: Request, statuses: Sequence[tuple[Manifest, str]]) -> str:
    """Give each object the status by which it is cancelled; return what was refused."""
    cancelled = [
        {
            "apiVersion": item["apiVersion"],
            "kind": item["kind"],
            "metadata": {key: item["metadata"][key] for key in ("name", "namespace", "resourceVersion")},
            "spec": {"status": status},
        }
        for item, status in statuses
    ]
    try:
        kubectl.api.each(lambda one: kubectl.api.apply(one, request.field_manager), cancelled, patient=False)
    except KubectlError as error:
        # One that changed meanwhile may have finished, and Tekton refuses any change of a finished run: so it
        # is looked at anew.
        return str(error)
    return ""


def _unfinished(kubectl: Kubectl, request: Request, *where: str) -> list[Manifest]:
    found: list[Manifest] = []
    for resource in request.cancel:
        try:
            listed = kubectl.get(resource, *where)
        except KubectlError as error:
            # An API that was never bound has no objects.
            if UNSERVED not in error.stderr:
                raise
            continue
        found += (listed or {"items": []})["items"]
    return [item for item in found if _is_unfinished(item)]


def _is_unfinished(item: Manifest) -> bool:
    finished = item.get("status", {}).get("completionTime")
    return not finished and not item["metadata"].get("deletionTimestamp")


def _looked_at(run: Manifest) -> bool:
    """Tell whether Tekton has looked at a run."""
    return bool(run.get("status", {}).get("conditions"))


def _uncancelled(items: Iterable[Manifest]) -> list[Manifest]:
    return [item for item in items if _status(item) != _CANCELLED]


def _status(item: Manifest) -> str:
    return str(item.get("spec", {}).get("status", ""))
