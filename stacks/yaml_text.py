"""YAML as the engine reads it: version 1.2's words, every key a text, and no key twice.

PyYAML alone follows version 1.1, in which `no` is false and `1:30` is 90. Here a text becomes what JSON has,
by the rules of the engine's parser, gopkg.in/yaml.v3.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import yaml

from stacks.problems import shown

_TAG: Final = "tag:yaml.org,2002:"
_MERGE: Final = f"{_TAG}merge"
_OCTAL: Final = re.compile(r"[-+]?0[0-7]+")


class YamlError(Exception):
    """A text can't be used as YAML.

    Its message quotes nothing of the text but keys, and has the number of the line where that is known.
    """


class _Loader(yaml.SafeLoader):
    """Resolves plain texts by the rules below instead of PyYAML's."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 -- PyYAML's own attribute


for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?([0-9][0-9_]*|0o[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+)", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]|[0-9])[0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"{_TAG}{_kind}", re.compile(f"({_pattern})$"), ["" if one == "\0" else one for one in _first]
    )


def parse(text: str) -> Any:  # noqa: ANN401 -- whatever YAML holds
    """Read a document.

    Parameters
    ----------
    text
        YAML, or JSON.

    Returns
    -------
    dict, list, str, int, float, bool or None
        What JSON has.

    Raises
    ------
    YamlError
        It is not YAML, or means nothing that JSON has.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
        return None if node is None else _value(node, ())
    except yaml.MarkedYAMLError as error:
        composing = isinstance(error, yaml.composer.ComposerError)
        problem = str((composing and error.context) or error.problem)
        # A character or a kind of token may be quoted, but not a name: it may be a part of a credential.
        if composing or "tag handle" in problem:
            problem = problem.partition("'")[0].rstrip()
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise YamlError(f"{problem}{line}") from None
    except yaml.YAMLError:
        raise YamlError("it is not YAML") from None
    except RecursionError:
        raise YamlError("its parts lie too deep within each other") from None


def _value(node: yaml.Node, within: tuple[yaml.Node, ...]) -> Any:  # noqa: ANN401 -- whatever YAML holds
    if node in within:
        raise _error(node, "a part refers to itself")
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
        return [_value(item, (*within, node)) for item in node.value]
    if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
        return _mapping(node, within)
    raise _error(node, "a tag that settings have no use for")


def _mapping(node: yaml.MappingNode, within: tuple[yaml.Node, ...]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if key_node.tag == _MERGE:
            for part in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                if not isinstance(part, yaml.MappingNode):
                    raise _error(part, "<< takes a mapping, or a list of mappings")
                merged = {**_value(part, (*within, node)), **merged}
            continue
        if not isinstance(key_node, yaml.ScalarNode):
            raise _error(key_node, "a key is no text")
        key = _key(_scalar(key_node))
        # The second tenant of a name would win in silence.
        if key in own:
            raise _error(key_node, f"the key {shown(key)} stands twice")
        own[key] = _value(value_node, (*within, node))
    return merged | own


def _key(value: object) -> str:
    """Write a key as the engine hands it over, in JSON."""
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    match node.tag.removeprefix(_TAG):
        case "null":
            return None
        case "bool" if node.value.lower() in ("true", "false"):
            return bool(node.value.lower() == "true")
        case "int" | "float":
            return _number(node)
        case "str" | "merge":
            return str(node.value)
    raise _error(node, "a tag that settings have no use for")


def _number(node: yaml.ScalarNode) -> int | float:
    text = node.value.replace("_", "")
    try:
        if _OCTAL.fullmatch(text):
            return int(text, 8)
        try:
            return int(text, 0)
        except ValueError:
            # Not of an own base, or with a leading zero: 09 is 9.
            number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _error(node, "not a number that JSON has")
    # JSON has one kind of numbers: 5.0 is 5.
    return int(number) if number.is_integer() else number


def _error(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
