"""The part of kubectl's JSONPath that waiting uses: ``{.status.conditions[?(@.type=="Ready")].status}``.

Source: https://kubernetes.io/docs/reference/kubectl/jsonpath/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from local.plugins.protocol.errors import ProviderError
from local.plugins.protocol.values import Value


@dataclass(frozen=True, slots=True)
class Filter:
    """Items of a list whose field has a value.

    Attributes
    ----------
    field : tuple of str
        Keys down to the field.
    value : str
        What it must be, as text.
    """

    field: tuple[str, ...]
    value: str


Step: TypeAlias = str | int | Filter
"""A key (``*`` for all), an index, or a filter."""

_STEP: Final = re.compile(
    r"\.(?P<key>[A-Za-z0-9_\-]+|\*)"
    r"|\[(?P<index>-?\d+|\*)\]"
    r"|\[(?P<quote>['\"])(?P<quoted>.*?)(?P=quote)\]"
    r"|\[\?\(\s*@(?P<field>(?:\.[A-Za-z0-9_\-]+)+)\s*==\s*(?P<value>'[^']*'|\"[^\"]*\"|[^\s)]+)\s*\)\]"
)


def parse_jsonpath(text: str) -> tuple[Step, ...]:
    """Read a JSONPath.

    Parameters
    ----------
    text : str
        For example ``{.status.phase}``; the braces and the first dot may be missing, dots in keys be escaped.

    Returns
    -------
    tuple of Step
        From the object's top down.

    Raises
    ------
    ProviderError
        Where it is not one, or uses more of the language than keys, indexes and equality filters.
    """
    path = text.strip().removeprefix("{").removesuffix("}").strip().removeprefix("$")
    if path and path[0] not in ".[":
        path = f".{path}"
    path = re.sub(r"\.((?:[A-Za-z0-9_\-/]|\\\.)*\\\.(?:[A-Za-z0-9_\-/]|\\\.)*)", _quote_escaped, path)
    steps: list[Step] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise ProviderError(
                f"JSONPath {text!r}: {path[position:]!r} is not a key, an index or a filter [?(@.key==value)]"
            )
        if match["field"]:
            steps.append(Filter(tuple(match["field"].split(".")[1:]), match["value"].strip("'\"")))
        elif match["index"] and match["index"] != "*":
            steps.append(int(match["index"]))
        else:
            steps.append(match["key"] or match["quoted"] or "*")
        position = match.end()
    if not steps:
        raise ProviderError(f"JSONPath {text!r} is empty: name a field, as in {{.status.phase}}")
    return tuple(steps)


def _quote_escaped(match: re.Match[str]) -> str:
    return "['" + match[1].replace("\\.", ".") + "']"


def find(value: Value, steps: tuple[Step, ...]) -> list[Value]:
    """Return what a JSONPath selects.

    Parameters
    ----------
    value : Value
        An object's JSON form.
    steps : tuple of Step
        From `parse_jsonpath`.

    Returns
    -------
    list
        Empty where nothing fits.
    """
    found = [value]
    for step in steps:
        found = [item for node in found for item in _select(node, step)]
    return found


def _select(node: Value, step: Step) -> list[Value]:
    match node, step:
        case list(), int():
            return [node[step]] if -len(node) <= step < len(node) else []
        case list(), Filter():
            return [
                item for item in node if [as_text(leaf) for leaf in find(item, step.field)] == [step.value]
            ]
        case ((list() | dict()), "*"):
            return list(node.values()) if isinstance(node, dict) else list(node)
        case dict(), str():
            return [node[step]] if step in node else []
        case _:
            return []


def as_text(value: Value) -> str:
    """Return a JSON scalar as kubectl prints it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
