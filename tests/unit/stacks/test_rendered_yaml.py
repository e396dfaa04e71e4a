"""What is written for Argo CD is read by Go's YAML as it was meant: a text stays a text."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stacks.rendered_yaml import write

# Texts to this program that Go, or YAML 1.1 or 1.2, takes for a number, a truth, nothing or a date.
MISREAD = [
    *("7420381e8997", "089123456712", "0o17", "0x1f", "1_000", "+1", "-1", ".5", "1e3", "1:30", ".inf"),
    *("y", "N", "yes", "No", "on", "OFF", "true", "False", "null", "NULL", "~", "", "2026-11-24", ".nan"),
    *("# x", "a: b", "- a", "a:", " a", "a ", "@a", "*a", "&a", "!a", "a #b", "<<"),
]


def document(text: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"key": text}}


@pytest.mark.parametrize("text", MISREAD)
def test_a_text_that_one_may_misread_has_quotes_as_value_and_as_key(text: str) -> None:
    assert f'  key: "{text}"\n' in write(document(text))
    assert f'"{text}"' in write({"data": {text: "a"}}).partition("data:")[2]


@pytest.mark.parametrize(
    "text", ["Namespace", "apps/v1", "team-a", "networking.k8s.io/v1", "ghcr.io/x/y:v1@sha256:0a"]
)
def test_a_plain_word_has_none(text: str) -> None:
    assert f"  key: {text}\n" in write(document(text))


def test_lines_are_a_block_and_long_ones_are_not_folded() -> None:
    assert "  key: |\n    a: 1\n    y\n" in write(document("a: 1\ny\n"))
    long = "a word " * 40 + "."
    assert f'  key: "{long}"\n' in write(document(long))


def test_what_is_no_text_is_written_as_ever_and_what_is_shared_is_written_twice() -> None:
    shared = {"a": 1}
    assert write({"x": shared, "y": shared, "z": [True, None, 1.5]}) == (
        '---\nx:\n  a: 1\n"y":\n  a: 1\nz:\n- true\n- null\n- 1.5\n'
    )


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read_back(text: str) -> None:
    assert yaml.safe_load(write(document(text))) == document(text)
