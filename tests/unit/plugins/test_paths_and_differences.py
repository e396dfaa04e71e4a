from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.plugins.protocol.differences import Change, diff_response, differences
from local.plugins.protocol.errors import ProviderError
from local.plugins.protocol.paths import Path, contains, format_path, parse_path
from local.plugins.protocol.values import UNKNOWN, Secret, Value

KEYS = st.text(alphabet='abcXYZ019./-_"[]*', min_size=1).filter(lambda key: key != "*")


@settings(max_examples=50, deadline=None)
@given(st.lists(KEYS | st.integers(0, 99), min_size=1, max_size=6))
def test_paths_survive_being_written_and_read(steps: list[str | int]) -> None:
    path: Path = tuple(steps)
    if not isinstance(path[0], int):
        assert parse_path(format_path(path)) == path


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("spec", "rules", 0, "verbs"), "spec.rules[0].verbs"),
        (("metadata", "labels", "app.kubernetes.io/name"), 'metadata.labels["app.kubernetes.io/name"]'),
    ],
)
def test_paths_are_written_as_the_engine_reads_them(path: Path, text: str) -> None:
    assert format_path(path) == text


def test_a_broken_path_is_named() -> None:
    with pytest.raises(ProviderError, match=r"'spec\[': unexpected|spec\["):
        parse_path("spec[")


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("spec", "spec.replicas", True),
        ("spec.replicas", "spec", False),
        ("spec.rules[*].verbs", "spec.rules[3].verbs[0]", True),
        ("*", "anything.at.all", True),
        ("spec.a", "spec.ab", False),
    ],
)
def test_ignored_paths_cover_what_lies_under_them(pattern: str, path: str, *, expected: bool) -> None:
    assert contains(parse_path(pattern), parse_path(path)) is expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 1.0}, {}),
        ({"a": 1}, {"a": True}, {("a",): Change.UPDATE}),
        ({"a": {"b": 1}}, {"a": {"b": 2, "c": 3}}, {("a", "b"): Change.UPDATE, ("a", "c"): Change.ADD}),
        ({"a": [1, 2]}, {"a": [1]}, {("a", 1): Change.DELETE}),
        ({"a": None}, {}, {("a",): Change.DELETE}),
        ({"a": "x"}, {"a": UNKNOWN}, {("a",): Change.UPDATE}),
        ({"a": Secret("x")}, {"a": Secret("x")}, {}),
        ({"a": "x"}, {"a": Secret("x")}, {("a",): Change.UPDATE}),
        ({"a": {"b": 1}}, {"a": "b"}, {("a",): Change.UPDATE}),
    ],
)
def test_differences_are_found_at_the_property_that_changed(
    old: dict[str, Value], new: dict[str, Value], expected: dict[Path, Change]
) -> None:
    assert differences(old, new) == expected


def test_a_deleted_property_is_shown_from_the_old_inputs() -> None:
    response = diff_response(
        {("a",): Change.DELETE, ("b",): Change.ADD}, [("b",)], delete_before_replace=True
    )
    assert response.detailedDiff["a"].inputDiff
    assert not response.detailedDiff["b"].inputDiff
    assert response.detailedDiff["b"].kind == 1  # ADD_REPLACE
    assert list(response.replaces) == ["b"]
    assert response.deleteBeforeReplace
    assert response.changes == 2  # DIFF_SOME
