"""Property paths, as the engine writes them: ``spec.rules[0].labels["a.b/c"]``.

Source of the syntax: sdk/go/common/resource/property_path.go of pulumi v3.224.0.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from local.plugins.protocol.errors import ProviderError

Path: TypeAlias = tuple[str | int, ...]
"""Keys of objects and indexes of arrays, from the top down. In a pattern the key ``*`` fits any."""

_TOKEN = re.compile(
    r'\.?(?P<name>[^.\[\]"]+)|\[(?P<index>\d+)\]|\["(?P<quoted>(?:[^"\\]|\\.)*)"\]|\[(?P<any>\*)\]'
)


def format_path(path: Path) -> str:
    """Write a path as the engine reads it.

    Parameters
    ----------
    path : Path
        Keys and indexes.

    Returns
    -------
    str
        For example ``metadata.labels["a.b/c"]``.
    """
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.search(r'[."\[\]]', step):
            text += '["' + step.replace('"', '\\"') + '"]'
        else:
            text += f".{step}" if text else step
    return text


def parse_path(text: str) -> Path:
    """Read a path, for example one of the option ``ignore_changes``.

    Parameters
    ----------
    text : str
        For example ``spec.rules[*].verbs``.

    Returns
    -------
    Path
        Keys and indexes; ``*`` as the key ``"*"``.

    Raises
    ------
    ProviderError
        Where the text is not a path.
    """
    steps: list[str | int] = []
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise ProviderError(
                f"{text!r} is not a property path (ignore_changes): unexpected {text[position:]!r}"
            )
        if token["index"] is not None:
            steps.append(int(token["index"]))
        elif token["quoted"] is not None:
            steps.append(re.sub(r"\\(.)", r"\1", token["quoted"]))
        else:
            steps.append(token["name"] or token["any"])
        position = token.end()
    return tuple(steps)


def contains(pattern: Path, path: Path) -> bool:
    """Tell whether a path lies at or under a pattern.

    Parameters
    ----------
    pattern : Path
        May hold the key ``*``.
    path : Path
        A path without wildcards.

    Returns
    -------
    bool
        True where every step of the pattern fits the path's step at that place.
    """
    return len(pattern) <= len(path) and all(
        wanted in ("*", step) for wanted, step in zip(pattern, path, strict=False)
    )
