"""`python -m operations drift`: which units there are, whose they are, and what becomes of what is found."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from operations import __main__ as command_line
from operations.drift import DifferenceFacts, UnitReport, deployed_units, lines
from operations.pulumi_cli import PulumiCli
from tests.support.recording import environment, record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from operations.drift import DeployedUnit

CHANGED = DifferenceFacts(object="ConfigMap a/b", what="changed", fields=("data.x",))
STACK_FILE = """\
config:
  pipeline-service:kcp:
    kubeconfig: {path: kcp.kubeconfig}
  pipeline-service:computeClusters:
    # the first
    east: {kubeconfig: {path: east}}   # keep
    west:
      kubeconfig: {path: west}
      incarnation: 7  # raised in spring
  pipeline-service:tenants:
    team:
      cluster: east
"""


@cache
def checkpoint() -> dict[str, Any]:
    """What the engine would keep of an environment."""
    recorder, _ = record(
        environment(
            {"east": {}, "west": {"distribution": "openshift"}, "lost": {"state": "gone"}},
            {
                "team": {"cluster": "east"},
                "far": {"cluster": "west", "external": {"path": "root:far", "binders": {"users": ["erin"]}}},
            },
        )
    )
    resources = [
        {"urn": one.urn, "type": one.type, "inputs": one.inputs} for one in recorder.registrations.values()
    ]
    return {"version": 3, "deployment": {"resources": resources}}


def test_every_unit_of_an_environment_is_found_once_with_the_entry_that_heals_it() -> None:
    found = {unit.name: (unit.section, unit.entry, unit.target) for unit in deployed_units(checkpoint())}
    assert found == {
        "east-api-syncagent-crds": ("computeClusters", "east", "east"),
        "east-tekton-pipelines": ("computeClusters", "east", "east"),
        "team": ("tenants", "team", "kcp"),
        "west-api-syncagent-crds": ("computeClusters", "west", "west"),
        "west-openshift-pipelines-operator-rh": ("computeClusters", "west", "west"),
        "west-tekton-config": ("computeClusters", "west", "west"),
    }


def test_a_unit_that_the_engine_is_about_to_delete_is_left_out() -> None:
    [team] = [one for one in checkpoint()["deployment"]["resources"] if one["urn"].endswith("::team-apply")]
    assert deployed_units({"deployment": {"resources": [{**team, "delete": True}]}}) == []
    assert len(deployed_units({"deployment": {"resources": [team]}})) == 1


def test_an_empty_stack_has_no_units() -> None:
    assert deployed_units({"deployment": {}}) == []


def test_a_report_tells_what_differs_and_what_could_not_be_compared() -> None:
    reports = [
        UnitReport(
            unit="x-tekton", section="computeClusters", entry="x", problem="x is unreachable: timeout"
        ),
        UnitReport(unit="t", section="tenants", entry="t", differences=(CHANGED,)),
        UnitReport(unit="u", section="tenants", entry="u"),
        UnitReport(unit="v", section="computeClusters", entry="v", skipped="its entry says so"),
    ]
    assert list(lines(reports)) == [
        "computeClusters.x: x-tekton: not compared: x is unreachable: timeout",
        "tenants.t: t: 1 object differs",
        "  changed: ConfigMap a/b (data.x)",
        "tenants.u: u: no drift",
        "computeClusters.v: v: skipped: its entry says so",
    ]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command on a stack of which some units differ and some can't be compared."""
    (tmp_path / "Pulumi.yaml").write_text("name: pipeline-service\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK_FILE)
    monkeypatch.setattr(PulumiCli, "export", lambda _: checkpoint())

    def run(*arguments: str, differ: Sequence[str] = (), silent: Sequence[str] = ()) -> Result:
        def compare_units(
            units: Sequence[DeployedUnit], root: Path, skipped: Mapping[str, str]
        ) -> list[UnitReport]:
            assert root == tmp_path
            return [
                UnitReport(
                    unit=unit.name,
                    section=unit.section,
                    entry=unit.entry,
                    problem="unreachable" if unit.name in silent else None,
                    skipped=skipped.get(unit.target),
                    differences=(CHANGED,) if unit.name in differ else (),
                )
                for unit in units
            ]

        monkeypatch.setattr(command_line, "compare_units", compare_units)
        command = ["drift", "--stack", "dev", "--project", str(tmp_path), *arguments]
        return CliRunner().invoke(command_line.app, command)

    return run


@pytest.mark.parametrize(
    ("differ", "silent", "mend", "code"),
    [
        ([], [], [], 0),
        (["team"], [], [], 3),
        (["team"], [], ["--mend"], 0),
        ([], ["team"], [], 1),
        (["team"], ["west-tekton-config"], ["--mend"], 1),
    ],
)
def test_the_exit_status_tells_drift_from_doubt(
    run: Callable[..., Result], differ: list[str], silent: list[str], mend: list[str], code: int
) -> None:
    assert run(*mend, differ=differ, silent=silent).exit_code == code


@pytest.mark.parametrize("state", ["unreachable", "gone"])
def test_a_cluster_that_is_declared_to_give_no_answer_is_skipped_and_is_neither_drift_nor_doubt(
    run: Callable[..., Result], tmp_path: Path, state: str
) -> None:
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_text(STACK_FILE.replace("      incarnation: 7", f"      state: {state}\n      incarnation: 7"))
    done = run()
    assert done.exit_code == 0, done.output
    skipped = [line for line in done.stdout.splitlines() if "skipped: " in line]
    assert {line.partition(":")[0] for line in skipped} == {"computeClusters.west"}
    assert skipped[0].endswith(f": skipped: its entry says that west is {state}")
    assert run(differ=["team"]).exit_code == 3


def test_mending_raises_the_incarnation_of_what_drifted_and_touches_nothing_else(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    differ = ["east-tekton-pipelines", "west-tekton-config", "west-api-syncagent-crds"]
    done = run("--mend", differ=differ, silent=["team"])
    text = (tmp_path / "Pulumi.dev.yaml").read_text()
    before, after = STACK_FILE.splitlines(), text.splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [
        (
            "    east: {kubeconfig: {path: east}}   # keep",
            "    east: {kubeconfig: {path: east}, incarnation: 1}   # keep",
        ),
        ("      incarnation: 7  # raised in spring", "      incarnation: 8  # raised in spring"),
    ]
    assert "+      incarnation: 8  # raised in spring\n" in done.stdout


def test_without_mend_the_stack_file_stays_as_it_is(run: Callable[..., Result], tmp_path: Path) -> None:
    run(differ=["team"])
    assert (tmp_path / "Pulumi.dev.yaml").read_text() == STACK_FILE


def test_an_entry_that_has_left_is_not_mended(run: Callable[..., Result], tmp_path: Path) -> None:
    document = yaml.safe_load(STACK_FILE)
    document["config"]["pipeline-service:tenants"] = {}
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump(document))
    done = run("--mend", differ=["team"])
    assert done.exit_code == 1
    assert "tenants.team is no entry any more" in done.stderr


def test_json_holds_what_the_text_tells(run: Callable[..., Result]) -> None:
    done = run("--json", "--mend", differ=["team"])
    report = json.loads(done.stdout)
    [team] = [unit for unit in report["units"] if unit["unit"] == "team"]
    assert team["differences"] == [
        {"object": "ConfigMap a/b", "what": "changed", "fields": ["data.x"], "reason": ""}
    ]
    assert "+      incarnation: 1" in report["diff"]
