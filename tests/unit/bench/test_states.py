"""States for the benches: entries taken out, and entries written again for other names."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from bench.clones import grown, is_of
from bench.errors import BenchError
from bench.snapshots import without

MANIFEST = "metadata: {name: demo, namespace: demo-1a}\n"


def urn(name: str, kind: str = "x:y:Z") -> str:
    return f"urn:pulumi:dev::p::{kind}::{name}"


def resource(name: str, *, parent: str = "", **more: Any) -> dict[str, Any]:  # noqa: ANN401 -- any part
    return {"urn": urn(name), "type": "x:y:Z", **({"parent": urn(parent)} if parent else {}), **more}


def state(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"version": 3, "deployment": {"resources": list(resources), "manifest": {}}}


def names(made: dict[str, Any]) -> list[str]:
    return [one["urn"].rpartition("::")[2] for one in made["deployment"]["resources"]]


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("demo", True),
        ("demo-workspace", True),
        ("demo.east.quota", True),
        ("cluster-demo", True),
        ("demolition", False),
        ("other-demo", False),
    ],
)
def test_what_is_an_entrys_is_told_by_its_name(name: str, *, own: bool) -> None:
    assert is_of(resource(name), "demo") is own


def test_what_lies_below_goes_too_and_nothing_names_it_any_more() -> None:
    before = state(
        resource("gone"),
        resource("child", parent="gone"),
        resource(
            "stays",
            dependencies=[urn("child"), urn("other")],
            propertyDependencies={"spec": [urn("gone")], "none": None},
        ),
        resource("other"),
    )
    made = without(before, lambda one: one["urn"] == urn("gone"))
    assert names(made) == ["stays", "other"]
    stays = made["deployment"]["resources"][0]
    assert stays["dependencies"] == [urn("other")]
    assert stays["propertyDependencies"] == {"spec": [], "none": []}
    assert len(before["deployment"]["resources"]) == 4


def test_a_state_whose_providers_are_taken_out_alone_is_refused() -> None:
    left = resource("left", provider=f"{urn('provider')}::an-id")
    with pytest.raises(BenchError, match="its provider goes"):
        without(state(resource("provider"), left), lambda one: one["urn"] == urn("provider"))


def test_an_entry_is_written_again_with_what_is_derived_from_its_name(tmp_path: Path) -> None:
    (tmp_path / "shared.yaml").write_text("kind: Shared\n")
    of_unit = {"UNIT_SHA256": "old", "UNIT_WORKSPACE": "root:demo", "UNIT_SHARED": "shared.yaml"}
    unit = {"stdin": MANIFEST, "environment": of_unit}
    waits = {"environment": {"UNIT_SHA256": "old"}}
    before = state(
        resource("shared"),
        resource("demo-apply", parent="demo", inputs=unit, outputs=unit),
        resource("demo-ready", parent="demo", inputs=waits),
    )
    derived = {"demo": "1a", "t1": "2b", "t2": "3c"}
    made = grown(
        before, "demo", ["t1", "t2"], lambda name: {"namespace": f"{name}-{derived[name]}"}, tmp_path
    )
    parts = ("apply", "ready")
    expected_names = [f"{name}-{part}" for name in ("demo", "t1", "t2") for part in parts]
    assert names(made) == ["shared", *expected_names]
    last, ready = made["deployment"]["resources"][-2:]
    assert last["parent"] == urn("t2")
    text = "metadata: {name: t2, namespace: t2-3c}\n"
    sha256 = hashlib.sha256(f"kind: Shared\n{text}".encode()).hexdigest()
    expected = {**of_unit, "UNIT_SHA256": sha256, "UNIT_WORKSPACE": "root:t2"}
    for values in (last["inputs"], last["outputs"]):
        assert values == {"stdin": text, "environment": expected}
    assert ready["inputs"]["environment"] == {"UNIT_SHA256": expected["UNIT_SHA256"]}
    assert before["deployment"]["resources"][1]["inputs"]["environment"]["UNIT_SHA256"] == "old"
