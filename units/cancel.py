"""Cancel the unfinished objects of a unit's resources: runs, as Tekton is told to end them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from units.errors import UNSERVED, KubectlError, UnitError

if TYPE_CHECKING:
    from units.kubectl import Kubectl
    from units.request import Request

_CANCELLED: Final = "Cancelled"
_ROUNDS: Final = 5


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
    found = left = _unfinished(kubectl, request)
    refused = ""
    for _ in range(_ROUNDS):
        if not left:
            break
        try:
            _cancel(kubectl, request, left)
        except KubectlError as error:
            # One that changed meanwhile may have finished, and Tekton refuses any change of a finished run:
            # so it is looked at anew.
            refused = str(error)
        left = _unfinished(kubectl, request)
    if left:
        raise UnitError(f"{request.name}: {len(left)} unfinished objects were not cancelled: {refused}")
    return len(found)


def _cancel(kubectl: Kubectl, request: Request, items: list[dict[str, Any]]) -> None:
    cancelled = [
        {
            "apiVersion": item["apiVersion"],
            "kind": item["kind"],
            "metadata": {key: item["metadata"][key] for key in ("name", "namespace", "resourceVersion")},
            "spec": {"status": _CANCELLED},
        }
        for item in items
    ]
    kubectl.api.each(lambda one: kubectl.api.apply(one, request.field_manager), cancelled, patient=False)


def _unfinished(kubectl: Kubectl, request: Request) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for resource in request.cancel:
        try:
            listed = kubectl.get(resource, "--all-namespaces")
        except KubectlError as error:
            # An API that was never bound has no objects.
            if UNSERVED not in error.stderr:
                raise
            continue
        found += (listed or {"items": []})["items"]
    return [
        item
        for item in found
        if not item.get("status", {}).get("completionTime")
        and item.get("spec", {}).get("status") != _CANCELLED
        and not item["metadata"].get("deletionTimestamp")
    ]
