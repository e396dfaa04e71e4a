"""The difference between what the state has of an object and what the program wants."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from local.plugins.kubernetes.kinds import force_new
from local.plugins.kubernetes.objects import (
    AUTONAMED,
    Object,
    is_annotated,
    name_of,
    namespace_of,
    observed_inputs,
)
from local.plugins.protocol.differences import Differences, differences
from local.plugins.protocol.paths import Path, contains
from local.plugins.protocol.values import UNKNOWN, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.plugins.kubernetes.settings import Settings

_QUANTITY: Final = re.compile(
    r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d+)?"
)
_SUFFIXES: Final = {
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
}
_QUANTITIES: Final = frozenset(
    {"capacity", "default", "defaultRequest", "hard", "limits", "max", "min", "overhead", "requests"}
)
"""Keys under which Kubernetes has maps of quantities."""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What an update would do to an object.

    Attributes
    ----------
    found : Differences
        The change at each path.
    replacing : Sequence of Path
        Those paths that need a replacement.
    delete_first : bool
        Whether the old object must be deleted before the new one can be created under its name.
    """

    found: Differences
    replacing: Sequence[Path]
    delete_first: bool


def changes(  # noqa: PLR0913 (what the answer depends on)
    old_inputs: Object,
    live: Object,
    new_inputs: Object,
    *,
    settings: Settings,
    namespaced: bool,
    ignored: Sequence[Path] = (),
) -> Changes:
    """Compare the state of an object with what the program wants.

    Parameters
    ----------
    old_inputs, live : Object
        From the state. What was applied is judged by what the API server made of it.
    new_inputs : Object
        What the program wants, maybe with unknown values.
    settings : Settings
        The provider's configuration.
    namespaced : bool
        Whether objects of the kind lie in namespaces.
    ignored : Sequence of Path, optional
        The resource option ``ignore_changes``.

    Returns
    -------
    Changes
        What differs.
    """
    old = _placed(observed_inputs(live, old_inputs), namespaced=namespaced)
    new = _placed(new_inputs, namespaced=namespaced)
    if name_of(new):
        old["metadata"]["name"] = name_of(live)
    for key in ("apiVersion", "kind"):
        old.setdefault(key, live.get(key))
        new.setdefault(key, live.get(key))
    found = {
        path: change
        for path, change in differences(old, new, same_quantity).items()
        if not any(contains(pattern, path) for pattern in ignored)
    }
    rules = force_new(new_inputs, settings)
    replacing = [path for path in found if any(_touches(rule, path, _at(new, path)) for rule in rules)]
    live_namespace = namespace_of(live) or ("default" if namespaced else "")
    delete_first = (
        bool(replacing)
        and not is_annotated(new_inputs, AUTONAMED)
        and name_of(new) == name_of(live)
        and namespace_of(new) == live_namespace
    )
    return Changes(found=found, replacing=replacing, delete_first=delete_first)


def _placed(obj: Object, *, namespaced: bool) -> Object:
    """Return a copy whose metadata names the namespace exactly where the kind has one."""
    given = obj.get("metadata")
    if given is UNKNOWN:
        return dict(obj)
    placed = dict(given or {})
    if namespaced:
        placed["namespace"] = placed.get("namespace") or "default"
    else:
        placed.pop("namespace", None)
    return {**obj, "metadata": placed}


def _at(obj: Object, path: Path) -> Value:
    value: Value = obj
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _touches(rule: Path, path: Path, value: Value) -> bool:
    """Tell whether a change at a path, to a value, changes the field of a rule."""
    if contains(rule, path):
        return True
    if not contains(path, rule):
        return False
    return value is UNKNOWN or _at({"": value}, ("", *rule[len(path) :])) is not None


def same_quantity(path: Path, old: Value, new: Value) -> bool:
    """Tell whether two values at a path are quantities that mean the same, as ``1`` and ``1000m`` do."""
    if len(path) < 2 or path[-2] not in _QUANTITIES:  # noqa: PLR2004 (the map's key and the resource's)
        return False
    amounts = [_amount(str(value)) if isinstance(value, str | int | float) else None for value in (old, new)]
    return amounts[0] is not None and amounts[0] == amounts[1]


def _amount(text: str) -> Decimal | None:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return None
    suffix = match[2] or ""
    if suffix[:1] in ("e", "E") and len(suffix) > 1:
        return Decimal(text)
    return Decimal(match[1]) * _SUFFIXES.get(suffix, Decimal(1))
