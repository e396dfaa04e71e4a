"""Ownership of an object's fields: ``metadata.managedFields``.

An object is created by a plain POST, so that an existing one is an error, and updated by server-side apply.
The first update must take over what the creation owns, or removed fields would stay. Format:
https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    from local.plugins.kubernetes.objects import Object
    from local.plugins.protocol.paths import Path

CREATOR: Final = "pulumi-kubernetes"
"""Field manager of a creation."""
_TAKEN_OVER: Final = frozenset(
    {
        (CREATOR, "Update"),
        ("pulumi-resource-kubernetes", "Update"),
        ("kubectl", "Apply"),
        ("kubectl", "Update"),
        ("before-first-apply", "Update"),
    }
)
"""Manager and operation of owners whose fields an update takes over, as the official plugin does."""

Entry = dict[str, Any]


def created_here(live: Object) -> bool:
    """Tell whether an object still has fields that its creation by this plugin owns."""
    return any((item.get("manager"), item.get("operation")) == (CREATOR, "Update") for item in _entries(live))


def taken_over(live: Object, manager: str, predecessors: Collection[str] = ()) -> list[Entry] | None:
    """Return the ownership after a field manager took over.

    Parameters
    ----------
    live : Object
        The object with its ``managedFields``.
    manager : str
        The new owner.
    predecessors : Collection[str], optional
        Further managers whose applied fields it takes over.

    Returns
    -------
    list of dict or None
        The new ``managedFields``; None where nothing changes hands.
    """
    entries = _entries(live)
    applied = {(name, "Apply") for name in predecessors if name != manager}
    taken = [
        item
        for item in entries
        if (item.get("manager"), item.get("operation")) in _TAKEN_OVER | applied
        and not item.get("subresource")
        and not (item.get("manager") == manager and item.get("operation") == "Apply")
    ]
    if not taken:
        return None
    own = [
        item
        for item in entries
        if item.get("manager") == manager and item.get("operation") == "Apply" and not item.get("subresource")
    ]
    merged: Entry = {
        **(own[0] if own else taken[0]),
        "manager": manager,
        "operation": "Apply",
        "fieldsV1": {},
    }
    for item in own + taken:
        _merge(merged["fieldsV1"], item.get("fieldsV1") or {})
    return [*(item for item in entries if item not in taken and item not in own), merged]


def _entries(live: Object) -> list[Entry]:
    return list((live.get("metadata") or {}).get("managedFields") or [])


def _merge(into: Entry, fields: Entry) -> None:
    for key, value in fields.items():
        _merge(into.setdefault(key, {}), value)


def owners(live: Object, path: Path) -> set[str]:
    """Return the field managers that own something at or under a path.

    Parameters
    ----------
    live : Object
        The object with its ``managedFields``.
    path : Path
        Keys only; an index ends the search, since lists are owned by key or as a whole.

    Returns
    -------
    set of str
        Their names.
    """
    found = set()
    for entry in _entries(live):
        fields = entry.get("fieldsV1") or {}
        for step in path:
            if isinstance(step, int):
                break
            fields = fields.get(f"f:{step}")
            if fields is None:
                break
        if fields is not None:
            found.add(str(entry.get("manager", "")))
    return found
