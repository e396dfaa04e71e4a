"""YAML as the engine reads it: what stands on the right is what `pulumi config --json` said of it."""

from __future__ import annotations

import pytest

from stacks.yaml_text import YamlError, parse

ANCHORS = "e: &e {k: 1, j: 1}\nf: &f {k: 2, z: 3}\nh: &h {<<: *e, k: 5}\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, word) for word in ("no", "yes", "on", "off", "y", "n", "tRue", "1:30", "190:20:30")),
        *((word, True) for word in ("true", "True", "TRUE", '!!bool "true"')),
        *((word, None) for word in ("", "~", "null", "Null", "NULL")),
        *(
            (word, 5)
            for word in ("5", "+5", "5.0", "5.", "0x5", "0b101", "005", "! 5", '!!int "5"', "!!float 5")
        ),
        *((word, "5") for word in ('"5"', "!!str 5")),
        *((word, 10) for word in ("1e1", "1.e+1", "1E1", "1_0", "0o12", "012", "10")),
        *(
            (word, word)
            for word in ("0x", "0b2", "0o78", "_1", ".", ".e1", "1-1", "=", "<<", "nan", "2024-02-30")
        ),
        ("09", 9),
        ("-0x1f", -31),
        (".5", 0.5),
        ("-.5e1", -5),
        ("1_0.25", 10.25),
        ("1.5e3", 1500),
        ("1e-1", 0.1),
        (
            "{5: a, true: b, ~: c, 1.5: d, 0x10: e, no: f}",
            {"5": "a", "true": "b", "<nil>": "c", "1.5": "d", "16": "e", "no": "f"},
        ),
    ],
)
def test_a_plain_text_is_what_the_engine_takes_it_for(text: str, value: object) -> None:
    found = parse(f"v: {text}\n")["v"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{<<: *e, j: 2}", {"k": 1, "j": 2}),
        ("{j: 2, <<: *e}", {"k": 1, "j": 2}),
        ("{<<: [*e, *f], j: 2}", {"k": 1, "z": 3, "j": 2}),
        ("{<<: *h, k: 9}", {"k": 9, "j": 1}),
        ("{m: <<, <<: {z: 1}}", {"m": "<<", "z": 1}),
    ],
)
def test_a_merge_key_gives_way_to_the_mappings_own(text: str, value: object) -> None:
    assert parse(f"{ANCHORS}v: {text}\n")["v"] == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{hunter2: 1, k: 2, k: 3}", 'the key "k" stands twice'),
        ('{5: 1, "5": 2}', 'the key "5" stands twice'),
        ("{1: 1, 1.0: 2}", 'the key "1" stands twice'),
        ("{<<: hunter2}", "<< takes a mapping, or a list of mappings"),
        ("{? [hunter2] : 1}", "a key is no text"),
        ("*hunter2", "found undefined alias"),
        ("[&hunter2 a, &hunter2 b]", "found duplicate anchor"),
        ("!hunter2!x y", "found undefined tag handle"),
        ("!hunter2 x", "a tag that settings have no use for"),
        ("!hunter2 [x]", "a tag that settings have no use for"),
        ("!!binary aHVudGVyMg==", "a tag that settings have no use for"),
        ("!!int hunter2", "not a number that JSON has"),
        ("!!bool hunter2", "a tag that settings have no use for"),
        (".inf", "not a number that JSON has"),
        (".nan", "not a number that JSON has"),
        ("&x [*x]", "a part refers to itself"),
        ("&x {a: {<<: *x}}", "a part refers to itself"),
        ("[hunter2", "expected ',' or ']', but got '<stream end>'"),
    ],
)
def test_what_cant_be_used_is_told_with_its_line_and_no_word_of_the_text(text: str, why: str) -> None:
    with pytest.raises(YamlError) as caught:
        parse(f"first: 1\nv: {text}")
    assert str(caught.value) == f"{why}, line 2"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "why"),
    [("[" * 5000, "too deep"), ("{a: " * 900 + "1" + "}" * 900, "too deep"), ("a: \x01", "not YAML")],
)
def test_what_no_line_can_be_named_of_is_refused_too(text: str, why: str) -> None:
    with pytest.raises(YamlError, match=why):
        parse(text)
