"""What an interrupted update left open in the state, and how each of it is settled.

The engine writes an operation into the checkpoint before it starts it, and takes it out when it is done.
After a kill, an update or a deletion is simply done again by the next `pulumi up`; only a create is not: its
object may exist, and creating it again fails (pulumi-kubernetes 4.29 and newer). So such an object is
adopted: its resource enters the state with an initialisation error, the same mark that the provider leaves on
an object that did not become ready. The next `up` sees the mark, applies the object, and waits for it as
usual. This edits an exported checkpoint, because `pulumi refresh --import-pending-creates` marks the
operation as an import that the engine then drops (read in CLI v3.224: no code takes up a pending import).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from operations.errors import OperationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Json = dict[str, Any]

_KUBERNETES = "kubernetes:"
_IDEMPOTENT = ("command:", "pulumi:")
"""Types whose create can be done again: units record their work in the cluster, providers hold nothing."""
_FIELD_MANAGER = "pulumi-kubernetes"
_REPEATED = frozenset({"updating", "deleting", "reading", "importing"})
INTERRUPTED = "recovered: the update that created this was interrupted before it was seen to be ready"


class Action(Enum):
    """How an open operation is settled."""

    ADOPT = "adopted"
    CLEAR = "cleared"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """How one open operation is settled, and why.

    Attributes
    ----------
    urn
        Of the operation's resource.
    action
        What is done.
    reason
        For a person.
    id
        The adopted object's provider id: ``namespace/name`` or ``name``.
    manager
        The adopted object's field manager, as the create set it.
    """

    urn: str
    action: Action
    reason: str
    id: str = ""
    manager: str = ""

    def __str__(self) -> str:
        return f"{self.action.value} {self.urn}: {self.reason}"


def operations(checkpoint: Mapping[str, Any]) -> list[Json]:
    """Return the open operations of an exported checkpoint: ``[{"type": str, "resource": {…}}, …]``."""
    return list(checkpoint["deployment"].get("pending_operations") or [])


def decide(
    checkpoint: Mapping[str, Any],
    find: Callable[[Mapping[str, Any]], Mapping[str, Any] | None],
) -> list[Decision]:
    """Decide how each open operation is settled.

    Parameters
    ----------
    checkpoint
        An exported checkpoint.
    find
        The live Kubernetes object of a resource of the state, with its managed fields; None where there is
        none. It raises when it can't look.

    Raises
    ------
    OperationError
        When an operation can't be settled without guessing.
    """
    return [_decide(operation, checkpoint, find) for operation in operations(checkpoint)]


def _decide(
    operation: Mapping[str, Any],
    checkpoint: Mapping[str, Any],
    find: Callable[[Mapping[str, Any]], Mapping[str, Any] | None],
) -> Decision:
    kind, resource = str(operation["type"]), operation["resource"]
    urn, type_ = str(resource["urn"]), str(resource["type"])

    def clear(reason: str) -> Decision:
        return Decision(urn=urn, action=Action.CLEAR, reason=reason)

    if kind in _REPEATED:
        return clear(f"interrupted while {kind}, the next `pulumi up` does it again")
    if kind != "creating":
        raise OperationError(
            f"{urn}: interrupted while {kind!r}, which is not known here; look at it by hand"
        )
    if type_.startswith(_IDEMPOTENT):
        return clear("its create can be done again")
    if not type_.startswith(_KUBERNETES):
        raise OperationError(f"{urn}: no way to see whether a {type_} exists; look, then `pulumi refresh`")
    live = find(resource)
    if live is None:
        return clear("it was not created")
    metadata = live["metadata"]
    id_ = "/".join(part for part in (metadata.get("namespace"), metadata["name"]) if part)
    if _is_held(checkpoint, urn=urn, id_=id_):
        return clear(f"{id_} is in the state already")
    if metadata.get("deletionTimestamp"):
        raise OperationError(f"{urn}: {id_} is being deleted; run this again when it is gone")
    managers = [str(entry.get("manager", "")) for entry in metadata.get("managedFields", [])]
    manager = next((name for name in managers if name.startswith(_FIELD_MANAGER)), None)
    if manager is None:
        who = ", ".join(managers) or "none"
        raise OperationError(
            f"{urn}: {id_} exists but Pulumi did not create it (field managers: {who}); "
            "delete it, or take it over with `pulumi import`",
        )
    return Decision(urn=urn, action=Action.ADOPT, reason=f"{id_} exists", id=id_, manager=manager)


def _is_held(checkpoint: Mapping[str, Any], *, urn: str, id_: str) -> bool:
    """Tell whether a resource that is not already deleted holds the object: then it is not the create's."""
    return any(
        entry["urn"] == urn and entry.get("id") == id_ and not entry.get("pendingReplacement")
        for entry in checkpoint["deployment"].get("resources") or []
    )


def settle(checkpoint: Mapping[str, Any], decisions: Iterable[Decision]) -> Json:
    """Return the checkpoint with every open operation settled as decided; the argument stays as it is.

    Parameters
    ----------
    checkpoint
        An exported checkpoint.
    decisions
        One for each open operation, in the same order (`decide`).
    """
    settled: Json = deepcopy(dict(checkpoint))
    deployment = settled["deployment"]
    resources = deployment.setdefault("resources", [])
    for operation, decision in zip(operations(checkpoint), decisions, strict=True):
        if decision.action is Action.ADOPT:
            _place(resources, _adopted(operation["resource"], decision))
    deployment["pending_operations"] = []
    return settled


def _adopted(resource: Mapping[str, Any], decision: Decision) -> Json:
    """Return the resource as the provider's partial failure would have left it.

    Its outputs are its inputs, which hold no live value: live Secrets would bring theirs into the state in
    plain text.
    """
    entry: Json = deepcopy(dict(resource))
    inputs = entry["inputs"]
    entry["id"] = decision.id
    entry["outputs"] = {
        **deepcopy(inputs),
        "__inputs": deepcopy(inputs),
        "__initialApiVersion": inputs["apiVersion"],
        "__fieldManager": decision.manager,
    }
    entry["initErrors"] = [INTERRUPTED]
    return entry


def _place(resources: list[Json], entry: Json) -> None:
    """Put an entry where the engine would have: last, or in the stead of what it replaces."""
    for index, old in enumerate(resources):
        if old["urn"] != entry["urn"] or old.get("delete"):
            continue
        if old.get("pendingReplacement"):
            resources[index] = entry  # the old object was deleted first
        else:
            old["delete"] = True  # created first: the old object is still to be deleted
            resources.insert(index, entry)
        return
    resources.append(entry)
