"""Edits of a stack file: what they change, and that they change nothing else."""

import difflib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from operations import stack_file
from operations.errors import OperationError

PROJECT = Path(__file__).parents[3]
COMMITTED = sorted(PROJECT.glob("Pulumi.*.yaml"))

HAND_WRITTEN = """\
config:
  tenants:
    # a came first
    a:
      cluster:   x   # the old one
      access:
        viewers:   {users: [bob,carol]}
        developers: {}
        admins:
          users:
          - alice   # lead
          - 'dave'
      suspended: true
      # of a, still
    # b is special
    b: {cluster: y}
    c:
      cluster: |
        z
    d:

  # about kcp
  kcp: {parent: root}
"""


def changed(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def at(*path: str | int) -> stack_file.KeyPath:
    return ("config", "tenants", *path)


def test_a_new_key_goes_to_the_end_of_its_mapping_above_the_comment_of_the_next_entry() -> None:
    after = stack_file.put(HAND_WRITTEN, at("a", "retired"), {"export": "ab"})
    assert changed(HAND_WRITTEN, after) == ["+      retired: {export: ab}"]
    lines = after.splitlines()
    assert lines.index("      # of a, still") + 1 == lines.index("      retired: {export: ab}")


def test_a_new_entry_goes_above_the_next_sections_comment() -> None:
    text = HAND_WRITTEN.replace("    d:\n", "")
    after = stack_file.put(text, at("new"), {"cluster": "x"}, block=True)
    assert changed(text, after) == ["+    new:", "+      cluster: x"]
    assert after.index("new:") < after.index("\n\n  # about kcp")


def test_taking_an_entrys_last_key_away_leaves_the_next_entrys_comment() -> None:
    after = stack_file.remove(HAND_WRITTEN, at("a", "suspended"), keep=3)
    assert changed(HAND_WRITTEN, after) == ["-      suspended: true"]


@pytest.mark.parametrize(
    ("path", "item", "lines"),
    [
        (
            ("a", "access", "viewers", "users"),
            "dan",
            [
                "-        viewers:   {users: [bob,carol]}",
                "+        viewers:   {users: [bob,carol, dan]}",
            ],
        ),
        (
            ("a", "access", "viewers", "groups"),
            "g",
            [
                "-        viewers:   {users: [bob,carol]}",
                "+        viewers:   {users: [bob,carol], groups: [g]}",
            ],
        ),
        (("a", "access", "admins", "users"), "eve", ["+          - eve"]),
        (("a", "access", "admins", "groups"), "g", ["+          groups: [g]"]),
        (
            ("a", "access", "developers", "users"),
            "eve",
            ["-        developers: {}", "+        developers: {users: [eve]}"],
        ),
        (
            ("b", "access", "viewers", "users"),
            "eve",
            ["-    b: {cluster: y}", "+    b: {cluster: y, access: {viewers: {users: [eve]}}}"],
        ),
        (
            ("c", "access", "viewers", "users"),
            "eve",
            ["+      access:", "+        viewers: {users: [eve]}"],
        ),
        (("d", "namespaces"), "build", ["-    d:", "+    d: {namespaces: [build]}"]),
    ],
)
def test_an_item_is_added_in_the_style_that_stands_there(
    path: tuple[str, ...], item: str, lines: list[str]
) -> None:
    assert changed(HAND_WRITTEN, stack_file.append(HAND_WRITTEN, at(*path), item)) == lines


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        (
            ("a", "access", "viewers", "users", 0),
            ["-        viewers:   {users: [bob,carol]}", "+        viewers:   {users: [carol]}"],
        ),
        (
            ("a", "access", "viewers", "users", 1),
            ["-        viewers:   {users: [bob,carol]}", "+        viewers:   {users: [bob]}"],
        ),
        (("a", "access", "admins", "users", 0), ["-          - alice   # lead"]),
        (("a", "access", "admins", "users", 1), ["-          - 'dave'"]),
        (("a", "access", "viewers", "users"), ["-        viewers:   {users: [bob,carol]}"]),
        (
            ("a", "access", "admins", "users"),
            [
                "-        admins:",
                "-          users:",
                "-          - alice   # lead",
                "-          - 'dave'",
            ],
        ),
    ],
)
def test_an_item_is_taken_away_with_what_is_empty_then(path: tuple[str | int, ...], lines: list[str]) -> None:
    assert changed(HAND_WRITTEN, stack_file.remove(HAND_WRITTEN, at(*path), keep=3)) == lines


FLOW_LINES = """\
config:
  tenants:
    a:
      access: {viewers: {users: [
        # the first
        alice,   # lead
        bob,     # second, "of", two
        # the last
        carol    # third
      ]}}
      namespaces: [default,  # ours
        # theirs
        build, test,
        # last
        deploy]
      quota: {
        cpu: "4",  # cores
        memory: 8Gi  # bytes
      }
"""


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        (("access", "viewers", "users", 0), ["-        alice,   # lead"]),
        (("access", "viewers", "users", 1), ['-        bob,     # second, "of", two']),
        (("access", "viewers", "users", 2), ["-        carol    # third"]),
        (
            ("namespaces", 0),
            ["-      namespaces: [default,  # ours", "+      namespaces: ["],
        ),
        (("namespaces", 1), ["-        build, test,", "+        test,"]),
        (("namespaces", 3), ["-        deploy]", "+        ]"]),
        (("quota", "cpu"), ['-        cpu: "4",  # cores']),
        (("quota", "memory"), ["-        memory: 8Gi  # bytes"]),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_of_a_list_over_several_lines_an_item_goes_with_its_own_comment_and_with_no_others(
    path: tuple[str | int, ...], lines: list[str], newline: str
) -> None:
    text = FLOW_LINES.replace("\n", newline)
    assert changed(text, stack_file.remove(text, at("a", *path), keep=3)) == lines


def test_all_items_of_a_list_over_several_lines_can_go_one_after_the_other() -> None:
    text = FLOW_LINES
    for place in (2, 0, 0):
        text = stack_file.remove(text, at("a", "access", "viewers", "users", place), keep=3)
    assert "access" not in yaml.safe_load(text)["config"]["tenants"]["a"]


@pytest.mark.parametrize(
    ("written", "place", "left"),
    [
        ("[u0,]", 0, "[]"),
        ("[u0 , ]", 0, "[ ]"),
        ("[u0,  # k\n      ]", 0, "[\n      ]"),
        ("[u0  # k\n      , ]", 0, "[ ]"),
        ("[u0, u1,]", 1, "[u0,]"),
        ("[u0, # k\n      u1,]", 1, "[u0, # k\n      ]"),
        ("[u0, # k\n      u1, # l\n      # m\n      ]", 1, "[u0, # k\n      # m\n      ]"),
        ("{u0: 1, # k\n      u1: 2,}", "u1", "{u0: 1, # k\n      }"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_last_entry_goes_with_the_comma_behind_it(
    written: str, place: str | int, left: str, newline: str
) -> None:
    before, after = (f"a:\n  b: {one}\n  c: 1\n".replace("\n", newline) for one in (written, left))
    assert stack_file.remove(before, ("a", "b", place), keep=2) == after


def test_an_entry_is_not_emptied() -> None:
    with pytest.raises(OperationError, match="by hand"):
        stack_file.remove(HAND_WRITTEN, at("c", "cluster"), keep=3)


@pytest.mark.parametrize("nothing", ["", " {}", "   # none yet", " {}  # none yet"])
def test_the_first_entry_of_an_empty_section_stands_below_it(nothing: str) -> None:
    text = f"config:\n  tenants:{nothing}\n  kcp: {{parent: root}}\n"
    after = stack_file.put(text, at("new"), {"cluster": "x"}, block=True)
    assert after.splitlines()[2:4] == ["    new:", "      cluster: x"]
    assert ("# none yet" in after) == ("# none yet" in text)


def test_a_missing_section_is_made() -> None:
    text = "config:\n  kcp: {parent: root}"  # without a last end of line
    after = stack_file.put(text, at("new"), {"cluster": "x"}, block=True)
    assert after == f"{text}\n  tenants:\n    new:\n      cluster: x\n"


def test_ends_of_lines_stay_what_they_are() -> None:
    text = HAND_WRITTEN.replace("\n", "\r\n")
    after = stack_file.put(text, at("a", "retired"), {"export": "ab"})
    assert after.replace("\r\n", "").count("\n") == 0
    assert "      retired: {export: ab}\r\n" in after


@pytest.mark.parametrize(
    "text",
    [
        "config:\n  tenants:\n    a: &all\n      access: {}\n    b: *all\n",
        "config:\n  all: &all {access: {viewers: {users: [x]}}}\n  tenants:\n    a:\n      <<: *all\n",
    ],
    ids=["anchor", "merge key"],
)
def test_an_edit_that_would_change_more_than_it_means_is_refused(text: str) -> None:
    with pytest.raises(OperationError, match=r"^pipeline-service:tenants\.a\..* by hand"):
        stack_file.append(text, at("a", "access", "viewers", "groups"), "g")


def test_a_comment_in_empty_brackets_is_not_lost() -> None:
    text = "config:\n  tenants:\n    a:\n      b: [ # ask the lead\n      ]\n      c: { # none yet\n      }\n"
    with pytest.raises(OperationError, match=r"tenants\.a\.b: .* a comment in brackets"):
        stack_file.append(text, at("a", "b"), "x")
    with pytest.raises(OperationError, match=r"tenants\.a\.c\.d: .* a comment in brackets"):
        stack_file.put(text, at("a", "c", "d"), value=True)


MERGED = """\
config:
  tenants:
    y: &y {suspended: true, access: {admins: {users: [u, v]}}}
    a: {<<: *y}
    True: {suspended: true}
"""


@pytest.mark.parametrize(
    "path",
    [
        ("a", "suspended"),
        ("a", "access"),
        ("a", "access", "admins", "users", 0),
        ("true", "suspended"),
    ],
)
def test_what_does_not_stand_in_its_place_is_left_to_be_taken_out_by_hand(
    path: tuple[str | int, ...],
) -> None:
    with pytest.raises(OperationError, match=r"tenants\..* by hand"):
        stack_file.remove(MERGED, at(*path), keep=3)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_in_the_committed_files_every_tenant_can_be_changed_and_changed_back_without_a_trace(
    path: Path,
) -> None:
    text = path.read_text()
    section = "pipeline-service:tenants"
    for name in yaml.safe_load(text)["config"][section]:
        place = ("config", section, name)
        edited = stack_file.put(text, (*place, "suspended"), value=True)
        edited = stack_file.append(edited, (*place, "extra", "users"), "eve")
        edited = stack_file.append(edited, (*place, "extra", "users"), "mallory")
        assert changed(text, edited) == [
            "+      suspended: true",
            "+      extra:",
            "+        users: [eve, mallory]",
        ] or changed(text, edited) == ["+      suspended: true", "+      extra: {users: [eve, mallory]}"]
        for where in ((*place, "extra", "users", 0), (*place, "extra", "users", 0), (*place, "suspended")):
            edited = stack_file.remove(edited, where, keep=3)
        assert edited == text


KEYS = st.text(st.sampled_from("ab0.-: ,[]{}#&*!|>'\"%@`~\\?é"), max_size=8)
LEAVES = st.one_of(KEYS, st.integers(), st.booleans(), st.lists(KEYS, max_size=3))
SECTIONS = st.dictionaries(KEYS, st.one_of(LEAVES, st.dictionaries(KEYS, LEAVES, max_size=2)), max_size=3)
DOCUMENTS = st.dictionaries(KEYS, SECTIONS, max_size=3)


@given(
    document=DOCUMENTS,
    section=KEYS,
    key=KEYS,
    value=LEAVES,
    flow=st.sampled_from([None, True, False]),
)
def test_whatever_stands_in_a_file_an_edit_is_refused_or_changes_that_one_value(
    *, document: dict[str, Any], section: str, key: str, value: object, flow: bool | None
) -> None:
    text = yaml.safe_dump({"config": document}, default_flow_style=flow, allow_unicode=True, width=60)
    expected = json.loads(json.dumps(document))
    try:
        after = stack_file.put(text, ("config", section, key), value)
    except OperationError:
        standing = document.get(section, {}).get(key)
        assert standing  # a block in the value's place is not replaced
        assert isinstance(standing, dict | list)
        return
    expected.setdefault(section, {})[key] = value
    assert yaml.safe_load(after) == {"config": expected}
