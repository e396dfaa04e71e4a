"""Delete a unit, from what is recorded on the API server alone."""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING, Final

from units.errors import UNSERVED, KubectlError, UnitError
from units.inventory import inventory_name, read_inventory
from units.live import change_metadata
from units.manifest import identify, in_delete_stages, serialize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from units.kubectl import Kubectl
    from units.manifest import Identity, Manifest
    from units.request import Leftover, LetGo, Request

_DRAIN_SECONDS: Final = 90
_STAGE_SECONDS: Final = 180
_PAUSE_SECONDS: Final = 2.0
_LET_GO_PASSES: Final = 5
"""A controller that is just ending may still put its finalizer on objects that were let go already."""
_GRANTS: Final = ("RoleBinding", "ClusterRoleBinding", "Role", "ClusterRole")

_NO_MATCH: Final = re.compile(r'no matches for kind "([^"]+)" in version "([^"]+)"')


def delete(kubectl: Kubectl, request: Request) -> str:
    """Delete a unit: what its users made, then what it applied in reverse order, its record last.

    Parameters
    ----------
    kubectl
        The API server.
    request
        The unit.

    Returns
    -------
    str
        What was done, in a line.

    Raises
    ------
    UnitError
        Something didn't go away in time; names it.
    """
    try:
        recorded = read_inventory(kubectl, request)
    except KubectlError:
        if _workspace_is_gone(kubectl, request):
            return f"{request.name}: its workspace is gone already, and so is everything in it"
        raise
    if recorded is None:
        return f"{request.name}: nothing is recorded, so there is nothing to delete"
    objects = recorded.objects
    released = 0
    if request.drain:
        # Nobody may make new objects while the old ones go: without the roles, bindings that a tenant's
        # admins made give nothing either.
        grants = [identity for identity in sorted(objects) if identity.kind in _GRANTS]
        _delete(kubectl, request, grants)
        objects = objects - set(grants)
        released = _drain(kubectl, request)
    home = {one for one in objects if one.kind == "Namespace" and one.name == request.namespace}
    for stage in in_delete_stages(objects - home):
        _delete(kubectl, request, stage)
    for leftover in request.leftovers:
        _delete_leftover(kubectl, leftover)
    for held in request.let_go:
        let_go(kubectl, request, held)
    # The record goes only now: until here a delete that was cut off can be finished by the next.
    kubectl.run(
        "delete",
        "configmap",
        inventory_name(request.name),
        f"--namespace={request.namespace}",
        "--ignore-not-found",
    )
    _delete(kubectl, request, sorted(home))
    done = f"{request.name}: {len(recorded.objects)} objects deleted"
    if released:
        done += f"; {released} objects were let go by force, since their controller didn't answer"
    return done


def delete_objects(kubectl: Kubectl, identities: Sequence[Identity], *, seconds: int) -> None:
    """Delete objects and wait until they are gone; those that are not there any more are no error.

    Parameters
    ----------
    kubectl
        The API server.
    identities
        The objects.
    seconds
        How long it may take.

    Raises
    ------
    KubectlError
        It failed, or took too long.
    """
    remaining = [identity for identity in identities if not _is_immortal(identity)]
    while remaining:
        try:
            kubectl.run(
                "delete",
                "--ignore-not-found",
                "--wait=true",
                f"--timeout={seconds}s",
                "--filename=-",
                stdin=serialize([identity.reference() for identity in remaining]),
                seconds=seconds + 30,
                patient=False,
            )
        except KubectlError as error:
            unserved = set(_NO_MATCH.findall(error.stderr))
            left = [one for one in remaining if (one.kind, one.api_version) not in unserved]
            if len(left) == len(remaining):
                raise
            # A kind that the server no longer serves has no object left either.
            remaining = left
        else:
            return


def _is_immortal(identity: Identity) -> bool:
    # Every API server refuses to delete these, kcp's too; a tenant's workspace takes its own with it.
    return identity.kind == "Namespace" and identity.name in ("default", "kube-public", "kube-system")


def _delete(kubectl: Kubectl, request: Request, identities: list[Identity]) -> None:
    try:
        delete_objects(kubectl, identities, seconds=_STAGE_SECONDS)
    except KubectlError as error:
        raise UnitError(
            f"{request.name}: not deleted in time: {error}{_holding(kubectl, identities)}"
        ) from None


def _delete_leftover(kubectl: Kubectl, leftover: Leftover) -> None:
    try:
        kubectl.run(
            "delete",
            leftover.resource,
            f"--selector={leftover.selector}",
            f"--namespace={leftover.namespace}",
            "--ignore-not-found",
            f"--timeout={_STAGE_SECONDS}s",
            seconds=_STAGE_SECONDS + 30,
            patient=False,
        )
    except KubectlError as error:
        if UNSERVED not in error.stderr:
            raise


def _holding(kubectl: Kubectl, identities: list[Identity]) -> str:
    """Say which finalizers hold the objects that remain."""
    held: list[str] = []
    for identity in identities:
        resource = f"{identity.kind}.{identity.group}" if identity.group else identity.kind
        place = [f"--namespace={identity.namespace}"] if identity.namespace else []
        try:
            found = kubectl.get(resource, identity.name, *place, patient=False)
        except KubectlError:
            continue
        finalizers = (found or {}).get("metadata", {}).get("finalizers", [])
        if finalizers:
            held.append(f"{identity} is held by {', '.join(finalizers)}")
    return "; " + "; ".join(held) if held else ""


def _workspace_is_gone(kubectl: Kubectl, request: Request) -> bool:
    """Ask the parent workspace: kcp answers "forbidden" for a workspace that doesn't exist."""
    if request.parent is None:
        return False
    server, name = request.parent
    found = kubectl.run(
        "get", "workspaces.tenancy.kcp.io", name, "--ignore-not-found", "--output=name", server=server
    )
    return not found.strip()


def _drain(kubectl: Kubectl, request: Request) -> int:
    """Delete all objects of the unit's resources while their controller lives; let go what it doesn't.

    Returns
    -------
    int
        How many had to be let go by taking off a finalizer.
    """
    # kubectl deletes one after the other: where a server takes a second for each, many runs take too long.
    kubectl.api.each(kubectl.api.delete, [identify(item) for item in _remaining(kubectl, request)])
    fewest, deadline = sys.maxsize, 0.0
    while left := _remaining(kubectl, request):
        if len(left) < fewest:  # the controller works, however slowly
            fewest, deadline = len(left), time.monotonic() + _DRAIN_SECONDS
        elif time.monotonic() > deadline:
            break
        time.sleep(_PAUSE_SECONDS)
    change_metadata(
        kubectl, request.field_manager, left, lambda item: _without(item, request.release_finalizers)
    )
    return len(left)


def _remaining(kubectl: Kubectl, request: Request) -> list[Manifest]:
    return [item for resource in request.drain for page in kubectl.api.pages(resource) for item in page]


def let_go(kubectl: Kubectl, request: Request, held: LetGo) -> None:
    """Take a finalizer off all objects: whoever would have done so is gone, and their deletion would hang.

    Parameters
    ----------
    kubectl
        The API server.
    request
        The unit.
    held
        The finalizer, and the objects that may have it.

    Raises
    ------
    UnitError
        It is put on objects all the time.
    """
    for _ in range(_LET_GO_PASSES):
        found = False
        for page in kubectl.api.pages(held.resource):
            mine = [item for item in page if held.finalizer in item["metadata"].get("finalizers", [])]
            change_metadata(
                kubectl, request.field_manager, mine, lambda item: _without(item, (held.finalizer,))
            )
            found = found or bool(mine)
        if not found:
            return
    raise UnitError(
        f"{request.name}: {held.resource} get the finalizer {held.finalizer} all the time, so they could"
        " never be deleted; end whatever puts it there, and try again"
    )


def _without(item: Manifest, finalizers: Sequence[str]) -> Manifest:
    there = item["metadata"].get("finalizers", [])
    kept = [one for one in there if one not in finalizers]
    return {} if kept == there else {"finalizers": kept}
