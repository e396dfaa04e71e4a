"""The difference between two property trees, property by property."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from pulumi.runtime.proto import provider_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from local.plugins.protocol.paths import Path
    from local.plugins.protocol.values import Value

from local.plugins.protocol.paths import format_path


class Change(Enum):
    """What happens to one property."""

    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


class _Missing:
    """The type of a property that is not there, which differs from one that is null."""


_MISSING: Final = _Missing()

Differences = dict["Path", Change]
"""The change at each path that differs; the topmost where a whole subtree comes or goes."""


def differences(
    old: Mapping[str, Value],
    new: Mapping[str, Value],
    same: Callable[[Path, Value, Value], bool] | None = None,
) -> Differences:
    """Compare two property trees.

    Parameters
    ----------
    old, new : Mapping[str, Value]
        The trees.
    same : Callable, optional
        Decides from path, old and new value whether two unequal leaves mean the same.

    Returns
    -------
    Differences
        Empty where nothing differs.
    """
    found: Differences = {}
    _compare((), dict(old), dict(new), same or (lambda _path, _old, _new: False), found)
    return found


def _compare(
    path: Path, old: Value, new: Value, same: Callable[[Path, Value, Value], bool], found: Differences
) -> None:
    if old is _MISSING:
        found[path] = Change.ADD
    elif new is _MISSING:
        found[path] = Change.DELETE
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            _compare((*path, key), old.get(key, _MISSING), new.get(key, _MISSING), same, found)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            _compare(
                (*path, index),
                old[index] if index < len(old) else _MISSING,
                new[index] if index < len(new) else _MISSING,
                same,
                found,
            )
    elif not _equal(old, new) and not same(path, old, new):
        found[path] = Change.UPDATE


def _equal(old: Value, new: Value) -> bool:
    """Compare leaves; ``True`` is not 1, but 1.0 is."""
    return isinstance(old, bool) is isinstance(new, bool) and bool(old == new)


_PLAIN: Final = {
    Change.ADD: provider_pb2.PropertyDiff.ADD,
    Change.DELETE: provider_pb2.PropertyDiff.DELETE,
    Change.UPDATE: provider_pb2.PropertyDiff.UPDATE,
}
_REPLACING: Final = {
    Change.ADD: provider_pb2.PropertyDiff.ADD_REPLACE,
    Change.DELETE: provider_pb2.PropertyDiff.DELETE_REPLACE,
    Change.UPDATE: provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


def diff_response(
    found: Differences, replacing: Collection[Path], *, delete_before_replace: bool = False
) -> provider_pb2.DiffResponse:
    """Write differences as the engine's answer to ``Diff``.

    Parameters
    ----------
    found : Differences
        What differs.
    replacing : Collection[Path]
        Those of its paths that need a replacement.
    delete_before_replace : bool, optional
        Whether a replacement must delete first, because both would have one name.

    Returns
    -------
    provider_pb2.DiffResponse
        With a detailed diff, so that the preview shows property paths.
    """
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE,
        replaces=[format_path(path) for path in replacing],
        diffs=sorted({str(path[0]) for path in found if path}),
        deleteBeforeReplace=delete_before_replace,
        detailedDiff={
            format_path(path): provider_pb2.PropertyDiff(
                kind=(_REPLACING if path in replacing else _PLAIN)[change],
                # A deleted property is only in the old inputs: the live object may well keep a default for
                # it.
                inputDiff=change is Change.DELETE,
            )
            for path, change in found.items()
        },
        hasDetailedDiff=True,
    )
