"""Which fields of an object count as changed."""

from typing import Any

import pytest

from units.compare import changed_fields


def of(spec: object, **more: object) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "spec": spec, **more}


@pytest.mark.parametrize(
    ("live", "applied", "fields"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["spec.a"]),
        ({}, {"a": {"b": 1}}, ["spec.a"]),
        ({"a": None}, {}, ["spec.a"]),
        ({"a.b/c": {"d": 1}}, {"a.b/c": {"d": 2}}, ["spec[a.b/c].d"]),
        ({"a": [1, 2]}, {"a": [1, 3]}, ["spec.a[1]"]),
        ({"a": [1, 2]}, {"a": [1]}, ["spec.a"]),
        ({"a": [{"name": "one", "b": 1}]}, {"a": [{"name": "one", "b": 2}]}, ["spec.a[one].b"]),
        ({"a": [{"name": "one", "b": 1}]}, {"a": [{"name": "two", "b": 1}]}, ["spec.a[0].name"]),
        ({"a": {"b": 1}}, {"a": [1]}, ["spec.a"]),
        ({"a": 1, "b": 1}, {"a": 2, "b": 2}, ["spec.a", "spec.b"]),
    ],
)
def test_a_changed_field_is_named_by_its_path(live: object, applied: object, fields: list[str]) -> None:
    assert changed_fields(of(live), of(applied)) == fields


def test_what_the_server_itself_writes_is_no_change() -> None:
    live, applied = of({}, status={"a": 1}), of({}, status={"a": 2})
    live["metadata"] |= {"generation": 1, "resourceVersion": "1", "managedFields": [1]}
    applied["metadata"] |= {"generation": 2, "resourceVersion": "2", "managedFields": [2]}
    assert changed_fields(live, applied) == []
    live["metadata"]["labels"] = {"a": "b"}
    assert changed_fields(live, applied) == ["metadata.labels"]
