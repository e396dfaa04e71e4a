# ruff: noqa: ANN401 -- a template's values have any type
"""Just enough of Go's templates with sprig's functions to render the names that api-syncagent makes."""

from __future__ import annotations

import hashlib
import re
from typing import Any

_TOKEN = re.compile(r'"[^"]*"|\S+')


def render(template: str, data: dict[str, Any]) -> str:
    return re.sub(r"\{\{(.*?)\}\}", lambda match: str(_pipeline(match.group(1), data)), template).strip()


def _pipeline(text: str, data: dict[str, Any]) -> Any:
    value: Any = None
    for index, stage in enumerate(text.split("|")):
        first, *rest = [_value(token, data) for token in _TOKEN.findall(stage)]
        value = _call(first, [*rest, *([value] if index else [])])
    return value


def _value(token: str, data: dict[str, Any]) -> Any:
    if token.startswith("."):
        found: Any = data
        for part in token[1:].split("."):
            found = found[part]
        return _Plain(found)
    if token.startswith('"'):
        return _Plain(token[1:-1])
    return _Plain(int(token)) if token.isdigit() else token


class _Plain:
    def __init__(self, value: Any) -> None:
        self.value = value


def _call(first: Any, arguments: list[Any]) -> Any:
    if isinstance(first, _Plain):
        assert not arguments
        return first.value
    values = [one.value if isinstance(one, _Plain) else one for one in arguments]
    match first:
        case "splitList":
            return values[1].split(values[0])
        case "last":
            return values[0][-1]
        case "trunc":
            return values[1][: values[0]]
        case "printf":
            return values[0].replace("%s", "{}").format(*values[1:])
        case "sha256sum":
            return hashlib.sha256(values[0].encode()).hexdigest()
    message = f"no such function: {first}"
    raise AssertionError(message)
