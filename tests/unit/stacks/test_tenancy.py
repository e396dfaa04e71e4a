"""What the program registers for tenants that are suspended, or leave."""

from typing import Any

import pytest
import yaml

from tests.support.recording import Recorder, environment, record

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
    assert changed(before, after) == {"t.a-binders", "t.a.default-namespace", "t.a.default-quota"}
    assert not [one for one in after.registrations.values() if one.name == "t.a-binders"]


def test_every_cluster_refuses_runs_of_suspended_tenants_before_a_tenant_is_on_it() -> None:
    recorder = of()
    reached = recorder.reaches(recorder.named("t.a.default-namespace").urn)
    assert {recorder.named(f"a-{part}").urn for part in ("suspension", "suspensions")} <= reached
