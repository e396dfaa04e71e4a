"""Edits of a stack file in place: only the lines that are meant change.

Text is spliced at the places that PyYAML names. A library that loads a file and writes it again lays lines
out anew that nobody meant, and takes the comment above an entry for a part of the entry before. Each edit is
held to what it means: the new text has to load as the old one with that one change.
"""

from __future__ import annotations

import copy
import difflib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import yaml

from operations.errors import OperationError
from releases.files import write_atomic
from stacks.loader import read_stack_file
from stacks.problems import PROJECT, key_path
from stacks.yaml_text import YamlError, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from stacks.settings import EnvironmentSettings

KeyPath: TypeAlias = "tuple[str | int, ...]"
"""Keys of mappings, and places in lists, from the file's top down."""

_STEP: Final = 2
"""Columns by which a mapping is indented."""

_ENTRY_BEGINS: Final = re.compile(r"\n([ \t]*(?:,[ \t]*)?)\Z")
_ENTRY_ENDS: Final = re.compile(r"[ \t]*,?[ \t]*(?:[ \t]#[^\n]*)?\r?\n")
"""What stands before and behind an entry of a flow collection that has its lines to itself."""

_LAST_COMMA: Final = re.compile(r"(?:\s|(?<=\s)#[^\n]*)*,(?:[ \t]+#[^\r\n]*)?")
"""The comma that may stand behind a flow collection's last entry, and that entry's comment."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9/._][A-Za-z0-9/._@:+-]*")
"""Texts that may stand without quotes, where they are then read as texts."""


@dataclass(frozen=True, kw_only=True)
class StackFile:
    """A stack file, and its settings, which are valid.

    Attributes
    ----------
    path
        The file.
    text
        Its content.
    settings
        What it says.
    """

    path: Path
    text: str
    settings: EnvironmentSettings

    @classmethod
    def read(cls, path: Path) -> StackFile:
        """Read and check a stack file.

        Parameters
        ----------
        path
            The file.

        Raises
        ------
        SettingsError
            It can't be read, or its settings are wrong.
        """
        settings = read_stack_file(path)
        # Not by read_text: the ends of its lines are kept.
        return cls(path=path, text=path.read_bytes().decode(), settings=settings)

    def edited(self, text: str) -> StackFile:
        """Check a new content as `validate` does.

        Parameters
        ----------
        text
            The new content.

        Raises
        ------
        SettingsError
            Its settings are wrong.
        """
        return StackFile(path=self.path, text=text, settings=read_stack_file(self.path, text))

    @property
    def stack(self) -> str:
        """Name of the stack."""
        return self.path.stem.removeprefix("Pulumi.")

    def section(self, key: str) -> KeyPath:
        """Name the place of a section of the settings, with or without the project's name as it stands there.

        Parameters
        ----------
        key
            Key of the section.
        """
        configuration = parse(self.text)["config"]
        return ("config", key if key in configuration else f"pipeline-service:{key}")

    def diff(self, before: StackFile) -> str:
        """Show what changes.

        Parameters
        ----------
        before
            The file as it was.

        Returns
        -------
        str
            A unified diff; empty where nothing changes.
        """
        old, new = (file.text.replace("\r\n", "\n").splitlines(keepends=True) for file in (before, self))
        name = self.path.name
        lines = difflib.unified_diff(old, new, f"a/{name}", f"b/{name}")
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)

    def write(self, before: StackFile) -> None:
        """Write the new content.

        Parameters
        ----------
        before
            The file as it was when it was read.

        Raises
        ------
        OperationError
            Somebody else has changed it meanwhile.
        """
        path = self.path.resolve()  # what a link points to is replaced, not the link
        if path.read_bytes().decode() != before.text:
            raise OperationError(
                f"{self.path}: somebody has changed it meanwhile; it was left as it is, run this again"
            )
        write_atomic(path, self.text, mode=path.stat().st_mode & 0o777)


def put(text: str, path: KeyPath, value: object, *, block: bool = False) -> str:
    """Set a value, making the mappings on its way where they are missing.

    Parameters
    ----------
    text
        A YAML document.
    path
        Where the value stands.
    value
        The value.
    block
        Whether a mapping gets a line for each of its keys even where all would fit on one.

    Raises
    ------
    OperationError
        The document is written in a way that this can't edit.
    """
    parent, node = None, _compose(text)
    for depth, key in enumerate(path):
        child = _child(node, key)
        if child is None:
            above = _at(parse(text), path[:depth])
            # A merge key brings it, or a comment would go with the brackets it stands in.
            if (isinstance(above, dict) and key in above) or _only_comment(text, node):
                raise _by_hand(path)
            missing = path[depth + 1 :]
            for name in reversed(missing):
                value = {name: value}
            expected = _with(text, path[: depth + 1], value)
            blocks = len(missing) + 1 if block else 0
            return _verified(_inserted(text, (parent, node), str(key), value, blocks), expected, path)
        parent, node = node, child
    expected = _with(text, path, value)
    if isinstance(node, yaml.CollectionNode) and (not node.flow_style or _only_comment(text, node)):
        raise _by_hand(path)
    start, end = node.start_mark.index, node.end_mark.index
    gap = " " if start == end else ""  # nothing at all stands there, and the colon right before it
    return _verified(f"{text[:start]}{gap}{_flow(value)}{text[end:]}", expected, path)


def append(text: str, path: KeyPath, item: object) -> str:
    """Add an item to the end of a list, making the list where it is missing or empty.

    Parameters
    ----------
    text
        A YAML document.
    path
        Where the list stands.
    item
        The item.

    Raises
    ------
    OperationError
        The document is written in a way that this can't edit.
    """
    node: yaml.Node | None = _compose(text)
    for key in path:
        node = None if node is None else _child(node, key)
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        return put(text, path, [item])
    expected = parse(text)
    _at(expected, path).append(item)
    end = _end(text, node.value[-1])
    if node.flow_style:
        return _verified(f"{text[:end]}, {_flow(item)}{text[end:]}", expected, path)
    line = " " * node.start_mark.column + f"- {_flow(item)}"
    return _verified(_below(text, end, [line], node.start_mark.column), expected, path)


def remove(text: str, path: KeyPath, *, keep: int) -> str:
    """Take a key or a list's item away, and what then is empty above it.

    Parameters
    ----------
    text
        A YAML document.
    path
        What to take away; it must be there.
    keep
        How long a path stays even where nothing is left below it.

    Raises
    ------
    OperationError
        The document is written in a way that this can't edit.
    """
    expected = parse(text)
    while len(path) - 1 > keep and len(_at(expected, path[:-1])) == 1:
        path = path[:-1]
    del _at(expected, path[:-1])[path[-1]]
    parent = _compose(text)
    for key in path[:-1]:
        parent = _child(parent, key) or parent
    if not isinstance(parent, yaml.CollectionNode):
        raise _by_hand(path)
    spans = _spans(text, parent)
    place = next((number for number, (key, _, _) in enumerate(spans) if key == path[-1]), None)
    if place is None:
        raise _by_hand(path)  # a merge key brings it, or an entry above is spelt another way (True)
    _, start, end = spans[place]
    if not parent.flow_style:
        start = text.rfind("\n", 0, start) + 1
        end = _line_end(text, end)
    elif lines := _own_lines(text, start, end):
        start, end = lines
    elif place + 1 < len(spans):
        gap = text[end : spans[place + 1][1]]
        line, newline, below = gap.partition("\n")
        # A comment on the next item's own line stays; one behind the item goes with it.
        end += len(line) if newline and "#" in below else len(gap)
    elif place and "#" not in text[spans[place - 1][2] : start]:
        start = spans[place - 1][2]
    elif comma := _LAST_COMMA.match(text, end):
        end = comma.end()
    # Of the last two, the comma before it stays, which YAML allows, as does the comment behind that comma.
    return _verified(text[:start] + text[end:], expected, path)


def _compose(text: str) -> yaml.Node:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is None:
        raise OperationError("the stack file is empty; write its settings (docs/configuration.md)")
    return node


def _child(node: yaml.Node, key: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for name, value in node.value if name.value == key), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int):
        child: yaml.Node = node.value[key]
        return child
    return None


def _only_comment(text: str, node: yaml.Node) -> bool:
    """Tell whether nothing but a comment stands in a flow collection."""
    empty = isinstance(node, yaml.CollectionNode) and not node.value
    return empty and "#" in text[node.start_mark.index : node.end_mark.index]


def _end(text: str, node: yaml.Node) -> int:
    """Find where a node's text ends: PyYAML lets a block end where the next thing begins."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(node, yaml.MappingNode) else last
    start, end = node.start_mark.index, node.end_mark.index
    return start + len(text[start:end].rstrip())


def _spans(text: str, node: yaml.CollectionNode) -> list[tuple[str | int, int, int]]:
    """List a collection's entries: key or place, where it begins and where it ends."""
    if isinstance(node, yaml.MappingNode):
        return [(key.value, key.start_mark.index, _end(text, value)) for key, value in node.value]
    spans: list[tuple[str | int, int, int]] = []
    for place, item in enumerate(node.value):
        start = item.start_mark.index
        # A block's item begins with its hyphen; nothing but spaces stands between the two.
        begin = start if node.flow_style else text.rindex("-", 0, start)
        spans.append((place, begin, _end(text, item)))
    return spans


def _own_lines(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Find the lines of a flow collection's entry, with its comma and the comment behind it.

    None where anything else stands on them.
    """
    before = _ENTRY_BEGINS.search(text, 0, start)
    after = _ENTRY_ENDS.match(text, end)
    return (before.start(1), after.end()) if before and after else None


def _inserted(
    text: str, nodes: tuple[yaml.Node | None, yaml.Node], key: str, value: object, blocks: int
) -> str:
    """Add a key to a mapping, which may be empty or not there at all.

    `nodes` are what it stands in, and the mapping; `blocks` is as for `_lines`.
    """
    parent, node = nodes
    if isinstance(node, yaml.MappingNode) and node.value:
        end = _end(text, node.value[-1][1])
        if node.flow_style:
            return f"{text[:end]}, {_flow(key)}: {_flow(value)}{text[end:]}"
        column = node.start_mark.column
        return _below(text, end, _lines(key, value, column, blocks), column)
    start, end = node.start_mark.index, node.end_mark.index
    beside = not (blocks or isinstance(value, dict))
    if beside or not isinstance(parent, yaml.MappingNode) or parent.flow_style:
        gap = " " if start == end else ""
        return f"{text[:start]}{gap}{{{_flow(key)}: {_flow(value)}}}{text[end:]}"
    # What stands for the empty mapping gives way to lines below; a comment behind it stays where it is.
    column = parent.start_mark.column + _STEP
    head = text[:start].rstrip(" ")
    return _below(head + text[end:], len(head), _lines(key, value, column, blocks), column)


def _lines(key: str, value: object, column: int, blocks: int) -> list[str]:
    """Write an entry as committed stack files do: a mapping of mappings below its key, others beside it.

    In the uppermost levels, as many as `blocks` says, every mapping stands below its key.
    """
    indent = " " * column
    if isinstance(value, dict) and (blocks or any(isinstance(one, dict) for one in value.values())):
        left = max(blocks - 1, 0)
        below = [line for name, one in value.items() for line in _lines(name, one, column + _STEP, left)]
        return [f"{indent}{_flow(key)}:", *below]
    return [f"{indent}{_flow(key)}: {_flow(value)}"]


def _below(text: str, end: int, lines: Sequence[str], column: int) -> str:
    """Put lines below the line on which something ends, and below comments that are indented like it."""
    newline = "\r\n" if "\r\n" in text else "\n"
    place = _line_end(text, end)
    while comment := re.compile(rf" {{{column},}}#[^\n]*(\n|\Z)").match(text, place):
        place = comment.end()
    head = text[:place] if place == 0 or text[place - 1] == "\n" else f"{text[:place]}{newline}"
    return head + "".join(f"{line}{newline}" for line in lines) + text[place:]


def _line_end(text: str, index: int) -> int:
    """Find the beginning of the next line."""
    return text.find("\n", index) + 1 or len(text)


def _flow(value: object) -> str:
    """Write a value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(one) for one in value) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        try:
            # Plain only where both versions of YAML have it as a text: `no` is none in the older, `1e1` in
            # the newer.
            if yaml.safe_load(f"[{value}]") == parse(f"[{value}]") == [value]:
                return value
        except (yaml.YAMLError, YamlError, ValueError):  # a date that is none, for one: it needs its quotes
            pass
    # JSON is YAML too; what can't be printed is written as an escape, and refused for what it is.
    return json.dumps(value, ensure_ascii=not str(value).isprintable())


def _at(document: Any, path: KeyPath) -> Any:  # noqa: ANN401 -- whatever stands there
    for key in path:
        document = document[key]
    return document


def _with(text: str, path: KeyPath, value: object) -> Any:  # noqa: ANN401 -- whatever the document says
    document = parse(text)
    above = _at(document, path[:-1])
    if above is None:
        above = _at(document, path[:-2])[path[-2]] = {}
    above[path[-1]] = copy.deepcopy(value)
    return document


def _verified(text: str, expected: Mapping[str, Any], path: KeyPath) -> str:
    try:
        loaded = parse(text)
    except YamlError:
        raise _by_hand(path) from None
    if loaded != expected:
        raise _by_hand(path)
    return text


def _by_hand(path: KeyPath) -> OperationError:
    place = key_path([str(path[1]).removeprefix(f"{PROJECT}:"), *path[2:]])  # below config:
    return OperationError(
        f"{place}: it is written in a way (an anchor, a merge key, a comment in brackets, a text in its"
        " place) that can't be edited without touching other lines; edit it by hand, and check it:"
        " .venv/bin/python -m operations validate --all"
    )
