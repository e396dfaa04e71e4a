"""Wait until what a unit applied works."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from units.errors import KubectlError, UnitError
from units.inventory import inventory_name, read_inventory
from units.manifest import CRD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from units.kubectl import Kubectl
    from units.manifest import Identity, Manifest
    from units.request import Condition, Request

_WORKLOADS: Final = ("Deployment", "StatefulSet")
_PAUSE_SECONDS: Final = 1.0
_DEFINED_PAUSE_SECONDS: Final = 0.2
_STEP_SECONDS: Final = 15


def wait(kubectl: Kubectl, request: Request) -> str:
    """Wait until a unit's definitions are served, its workloads run, and its conditions hold.

    What these are stands in the unit's record, so that the manifest is not needed a second time.

    Parameters
    ----------
    kubectl
        The API server.
    request
        The unit.

    Returns
    -------
    str
        What holds, in a line.

    Raises
    ------
    UnitError
        It took too long; names what doesn't hold and why. Or something else is recorded than was asked for.
    """
    objects = _applied(kubectl, request)
    deadline = time.monotonic() + request.wait_seconds
    wait_established(kubectl, objects, seconds=max(1, request.wait_seconds))
    workloads = sorted(one for one in objects if one.kind in _WORKLOADS)
    _wait_for_workloads(kubectl, workloads, deadline)
    for condition in request.conditions:
        _wait_for_condition(kubectl, condition, deadline)
    held = {
        "workloads available": len(workloads),
        "conditions hold": len(request.conditions),
    }
    return f"{request.title}: " + (", ".join(f"{n} {what}" for what, n in held.items() if n) or "is there")


def _applied(kubectl: Kubectl, request: Request) -> frozenset[Identity]:
    """Read what was applied, and make sure that it is what was asked for."""
    recorded = read_inventory(kubectl, request)
    if recorded is None or recorded.applied != request.sha256:
        found = f"the manifest {recorded.applied}" if recorded and recorded.applied else "nothing"
        raise UnitError(
            f"{request.name}: {found} is recorded as applied in ConfigMap "
            f"{request.namespace}/{inventory_name(request.name)}, but {request.sha256} is to be waited for; "
            "raise the entry's incarnation to apply it anew"
        )
    return recorded.objects


def wait_established(kubectl: Kubectl, objects: Iterable[Identity], *, seconds: int) -> None:
    """Wait until CustomResourceDefinitions are served.

    Parameters
    ----------
    kubectl
        The API server.
    objects
        The objects among which they are; the others don't matter.
    seconds
        How long that may take.

    Raises
    ------
    UnitError
        It took too long.
    """
    missing = sorted(one for one in objects if one.kind == CRD)
    deadline = time.monotonic() + seconds
    while True:
        found = kubectl.api.each(kubectl.api.find, missing)
        states = {one: _established(item) for one, item in zip(missing, found, strict=True)}
        missing = [one for one, state in states.items() if state]
        if not missing:
            return
        if time.monotonic() > deadline:
            told = "; ".join(f"{one.name}: {states[one]}" for one in missing)
            raise UnitError(f"a CustomResourceDefinition is not established: {told}")
        time.sleep(_DEFINED_PAUSE_SECONDS)


def _established(definition: Manifest | None) -> str:
    """Say why a definition isn't served; an empty text where it is."""
    if definition is None:
        return "it is not there"
    # Of one that was made just now, both may be there and hold nothing.
    conditions = (definition.get("status") or {}).get("conditions") or []
    if any(one["type"] == "Established" and one["status"] == "True" for one in conditions):
        return ""
    told = [one.get("message", "") for one in conditions if one["status"] != "True"]
    return "; ".join(one for one in told if one) or "the server has not said yet"


def _wait_for_workloads(kubectl: Kubectl, workloads: list[Identity], deadline: float) -> None:
    missing = workloads
    while missing:
        found = kubectl.api.each(kubectl.api.find, missing)
        missing = [one for one, item in zip(missing, found, strict=True) if not _rolled_out(item)]
        if missing and time.monotonic() > deadline:
            waited_for = ", ".join(map(str, missing))
            reasons = "; ".join(_reasons(kubectl, one) for one in sorted({one.namespace for one in missing}))
            raise UnitError(f"not available in time: {waited_for}; {reasons}")
        if missing:
            time.sleep(_PAUSE_SECONDS)


def _rolled_out(workload: dict[str, Any] | None) -> bool:
    """Tell whether every replica is of the newest state and available.

    The condition Available alone is not enough: after an upgrade the old replicas fulfil it.
    """
    if workload is None:
        return False
    wanted = workload["spec"].get("replicas", 1)
    status = workload.get("status", {})
    return bool(
        status.get("observedGeneration", 0) >= workload["metadata"]["generation"]
        and status.get("updatedReplicas", 0) >= wanted
        and status.get("availableReplicas", 0) >= wanted
    )


def _reasons(kubectl: Kubectl, namespace: str) -> str:
    """Say why pods of a namespace don't run, as far as their status tells."""
    pods = kubectl.get("pods", f"--namespace={namespace}") or {"items": []}
    reasons = [reason for pod in pods["items"] for reason in _pod_reasons(pod)]
    return (
        "; ".join(dict.fromkeys(reasons)) or f"there are no pods in {namespace}: does the cluster have nodes?"
    )


def _pod_reasons(pod: dict[str, Any]) -> Iterator[str]:
    name = pod["metadata"]["name"]
    status = pod.get("status", {})
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] != "True":
            yield f"pod {name} is not scheduled: {condition.get('message', condition.get('reason', ''))}"
    for container in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
        state = container.get("state", {})
        for what in ("waiting", "terminated"):
            if (detail := state.get(what)) and detail.get("reason") not in ("Completed", "PodInitializing"):
                yield (
                    f"pod {name}, container {container['name']}: "
                    f"{detail.get('reason', what)} {detail.get('message', '')}".strip()
                )


def _wait_for_condition(kubectl: Kubectl, condition: Condition, deadline: float) -> None:
    place = [f"--namespace={condition.namespace}"] if condition.namespace else []
    while True:
        left = max(1, min(_STEP_SECONDS, int(deadline - time.monotonic())))
        try:
            kubectl.run(
                "wait",
                condition.resource,
                f"--for={condition.holds}",
                f"--timeout={left}s",
                *place,
                seconds=left + 10,
                patient=False,
            )
        except KubectlError as error:
            # kubectl wait also fails at once, where the object or the field isn't there yet.
            if time.monotonic() > deadline:
                raise UnitError(
                    f"{condition.resource}: {condition.holds} doesn't hold in time: {error}"
                    f"{_said(kubectl, condition)}"
                ) from None
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _said(kubectl: Kubectl, condition: Condition) -> str:
    """Quote the object's own conditions: those that are not true, and those that say something.

    Some are good when true, others (a Subscription's ResolutionFailed) when false, so the status stands too.
    """
    place = [f"--namespace={condition.namespace}"] if condition.namespace else []
    found = kubectl.get(condition.resource, *place)
    conditions = (found or {}).get("status", {}).get("conditions", [])
    return "".join(
        f"; {entry['type']} is {entry['status']}: {entry.get('message') or entry.get('reason', '')}"
        for entry in conditions
        if entry["status"] != "True" or entry.get("message")
    )
