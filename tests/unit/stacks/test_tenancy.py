"""What the program registers for tenants that are suspended, or leave."""

import json
from typing import Any

import pytest
import yaml

from components.names import tenant_namespace
from tests.support.recording import Recorder, environment, record
from units.cancel import read_cancelling
from units.request import read_request

EXTERNAL = {"path": "root:org:team", "binders": {"users": ["erin"]}}
EXPORTED = {"export": "0" * 64}


def of(**entry: object) -> Recorder:
    recorder, _ = record(
        environment(
            {"a": {}}, {"t": {"cluster": "a", **entry}, "u": {"cluster": "a"}}, deletionProtection=True
        )
    )
    return recorder


def changed(before: Recorder, after: Recorder) -> set[str]:
    """Name what differs, or is there in only one of them."""
    urns = before.registrations.keys() | after.registrations.keys()
    return {
        urn.rpartition("::")[2]
        for urn in urns
        if before.registrations.get(urn) != after.registrations.get(urn) and "pulumi:pulumi:Stack" not in urn
    }


def content(recorder: Recorder) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(recorder.applied("t")))


def test_a_suspension_changes_the_tenants_unit_and_its_namespaces_label_alone() -> None:
    access = {"admins": {"users": ["alice"], "serviceAccounts": ["default/robot"]}}
    before, after = of(access=access), of(access=access, suspended=True)
    assert changed(before, after) == {"t-apply", "t-ready", "t.a.default-namespace"}
    assert {one["kind"] for one in content(before)} - {one["kind"] for one in content(after)} == {
        "ClusterRole",
        "RoleBinding",
        "ClusterRoleBinding",
    }
    assert "UNIT_CANCEL" not in after.named("t-apply").inputs["environment"]


@pytest.mark.parametrize("entry", [{"suspended": True, "onSuspension": "stop"}, {"retired": EXPORTED}])
def test_a_tenant_that_is_stopped_has_its_runs_cancelled_and_no_pods(entry: dict[str, Any]) -> None:
    after = of(**entry)
    assert after.named("t-apply").inputs["environment"]["UNIT_CANCEL"] == '["pipelineruns.tekton.dev"]'
    assert after.named("t.a.default-quota").inputs["spec"]["hard"]["pods"] == "0"
    assert not [one for one in content(after) if one["kind"] == "RoleBinding"]


def test_what_to_do_on_a_suspension_does_nothing_before_it() -> None:
    assert changed(of(), of(onSuspension="stop")) == set()


def protected(recorder: Recorder, tenant: str) -> set[str]:
    return {
        one.name
        for one in recorder.registrations.values()
        if one.protect and one.name.startswith((f"{tenant}-", f"{tenant}."))
    }


@pytest.mark.parametrize("entry", [{}, {"suspended": True, "onSuspension": "stop"}])
def test_the_entry_of_a_tenant_that_has_not_retired_cant_be_taken_away(entry: dict[str, Any]) -> None:
    assert protected(of(**entry), "t") == {"t-workspace", "t-apply", "t.a.default-namespace"}
    assert protected(of(**entry, external=EXTERNAL), "t") == {"t.a.default-namespace"}


def test_a_retired_tenant_alone_is_without_protection() -> None:
    for recorder in (of(retired=EXPORTED), of(retired={}, external=EXTERNAL)):
        assert protected(recorder, "t") == set()
        assert protected(recorder, "u") == {"u-workspace", "u-apply", "u.a.default-namespace"}
        assert recorder.named("a-export").protect


def test_a_suspended_external_tenant_cant_bind_and_is_refused_on_the_cluster() -> None:
    before, after = of(external=EXTERNAL), of(external=EXTERNAL, suspended=True, onSuspension="stop")
    parts = {"t.a-binders", "t.a.default-namespace", "t.a.default-quota"}
    assert changed(before, after) == {*parts, "t.a-cancel"}
    assert not [one for one in after.registrations.values() if one.name == "t.a-binders"]


def test_every_cluster_refuses_runs_of_suspended_tenants_before_a_tenant_is_on_it() -> None:
    recorder = of()
    reached = recorder.reaches(recorder.named("t.a.default-namespace").urn)
    assert {recorder.named(f"a-{part}").urn for part in ("suspension", "suspensions")} <= reached


STOPPED = {"suspended": True, "onSuspension": "stop"}
COMMAND = "t.a-cancel"


def stopped(cluster: dict[str, Any] | None = None, *, events: bool = True, **entry: object) -> Recorder:
    """Stop a tenant on a cluster that takes Git events."""
    recorder, _ = record(
        environment(
            {"a": cluster or {}, "b": {}},
            {"t": {"cluster": "a", "namespaces": ["ci", "default"], **STOPPED, **entry}},
            argocd={"enabled": True},
            gitops={"repository": "https://git.example.com/sre/clusters"},
            pipelinesAsCode={"enabled": events},
        )
    )
    return recorder


def commands(recorder: Recorder) -> list[str]:
    return [one.name for one in recorder.registrations.values() if one.name.endswith("-cancel")]


@pytest.mark.parametrize(
    "entry", [{}, {"external": EXTERNAL}, {"retired": EXPORTED, "suspended": False, "onSuspension": "finish"}]
)
def test_runs_of_events_are_cancelled_on_the_cluster_of_a_tenant_that_is_stopped(
    entry: dict[str, Any],
) -> None:
    recorder = stopped(**entry)
    assert commands(recorder) == [COMMAND]
    command = recorder.named(COMMAND)
    assert command.inputs["create"] == command.inputs["update"] == ".venv/bin/python -m units cancel"
    assert not {"delete", "stdin", "triggers"} & {key for key, value in command.inputs.items() if value}
    asked = command.inputs["environment"]
    path = entry.get("external", {"path": "root:pipeline-service:tenants:t"})["path"]
    assert json.loads(asked["UNIT_CANCEL_IN"]) == [
        tenant_namespace(path, "ci"),
        tenant_namespace(path, "default"),
    ]
    assert asked["UNIT_KUBECONFIG"].endswith("/a.kubeconfig")
    # After what lets nothing new start.
    reached = recorder.reaches(command.urn)
    parts = [f"t.a.{name}-{part}" for name in ("ci", "default") for part in ("namespace", "quota")]
    assert {recorder.named(part).urn for part in (*parts, "a-suspension", "a-suspensions")} <= reached


def test_what_is_asked_for_is_what_the_runner_reads() -> None:
    asked = stopped().named(COMMAND).inputs["environment"]
    what = read_cancelling(asked)
    assert what.selector == "pipelinesascode.tekton.dev/state"
    assert what.mark == "pipeline-service/suspended=true"
    given = read_request(asked)
    assert (given.cancel, given.wait_seconds) == (("pipelineruns.tekton.dev",), 300)


@pytest.mark.parametrize("entry", [{"suspended": False}, {"onSuspension": "finish"}])
def test_of_a_tenant_that_works_or_whose_runs_may_end_none_is_cancelled(entry: dict[str, Any]) -> None:
    assert commands(stopped(**entry)) == []


def test_runs_that_are_left_of_a_time_with_pipelines_as_code_are_cancelled_without_waiting() -> None:
    asked = stopped(events=False).named(COMMAND).inputs["environment"]
    assert "UNIT_CANCEL_MARK" not in asked


@pytest.mark.parametrize(("state", "told"), [("draining", [COMMAND]), ("unreachable", []), ("gone", [])])
def test_a_cluster_that_nobody_reaches_is_left_as_it_is_and_told_when_it_is_back(
    state: str, told: list[str]
) -> None:
    assert commands(stopped({"state": state})) == told


@pytest.mark.parametrize("delivery", ["direct", "handover", "gitops"])
def test_runs_are_cancelled_whoever_applies_what_is_on_the_cluster(delivery: str) -> None:
    recorder = stopped({"delivery": delivery})
    command = recorder.named(COMMAND)
    assert not command.ignore_changes
    assert not command.retain_on_delete
    # Until it is handed over, nobody changes the namespaces.
    assert ("UNIT_CANCEL_MARK" in command.inputs["environment"]) is (delivery != "handover")
    assert recorder.named("a-export").urn in recorder.reaches(command.urn)


def test_a_cluster_that_was_mended_is_told_anew() -> None:
    asked = stopped({"incarnation": 3}).named(COMMAND).inputs["environment"]
    assert asked["UNIT_INCARNATION"] == "3"
