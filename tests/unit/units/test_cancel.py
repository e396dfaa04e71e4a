"""Cancelling what is unfinished, against an API server in memory."""

from typing import Any

import pytest

from tests.support.fake_kubectl import FakeKubectl, manifest
from tests.unit.units.test_runner import run_apply
from units.errors import UNSERVED, UnitError
from units.manifest import Identity

RUNS = "pipelineruns.tekton.dev"
STOP = {"UNIT_CANCEL": f'["{RUNS}"]'}


def run(name: str, **more: object) -> dict[str, Any]:
    made = manifest("PipelineRun", name, "tekton.dev/v1", namespace="ci", **{"spec": {}, **more})
    made["metadata"]["resourceVersion"] = "1"
    return made


def state(kubectl: FakeKubectl, name: str) -> object:
    found = kubectl.named(name, "PipelineRun")
    assert found is not None
    return found["spec"].get("status")


def test_only_what_is_unfinished_is_cancelled_and_a_second_time_nothing() -> None:
    kubectl = FakeKubectl()
    kubectl.add(
        run("running", spec={"params": [1]}),
        run("pending", spec={"status": "PipelineRunPending"}),
        run("finished", status={"completionTime": "2026-01-01T00:00:00Z"}),
        run("cancelled", spec={"status": "Cancelled"}),
    )
    going = run("going")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    kubectl.add(going)
    assert run_apply(kubectl, manifest("ConfigMap", "a"), **STOP).endswith(", 2 cancelled")
    assert [state(kubectl, name) for name in ("running", "pending")] == ["Cancelled", "Cancelled"]
    assert [state(kubectl, name) for name in ("finished", "going")] == [None, None]
    changed = kubectl.named("running", "PipelineRun")
    assert changed is not None
    assert changed["spec"]["params"] == [1]
    before = dict(kubectl.objects)
    assert run_apply(kubectl, manifest("ConfigMap", "a"), **STOP).endswith(", 0 cancelled")
    assert kubectl.objects == before


def test_without_the_order_nothing_is_cancelled() -> None:
    kubectl = FakeKubectl()
    kubectl.add(run("running"))
    assert "cancelled" not in run_apply(kubectl, manifest("ConfigMap", "a"))
    assert state(kubectl, "running") is None


def test_access_is_gone_before_runs_are_cancelled() -> None:
    class Watched(FakeKubectl):
        def _change(self, item: dict[str, Any]) -> None:
            assert self.named("access", "RoleBinding") is None
            super()._change(item)

    kubectl = Watched()
    binding = manifest("RoleBinding", "access", "rbac.authorization.k8s.io/v1", namespace="ci")
    run_apply(kubectl, manifest("ConfigMap", "a"), binding)
    kubectl.add(run("running"))
    run_apply(kubectl, manifest("ConfigMap", "a"), **STOP)
    assert state(kubectl, "running") == "Cancelled"


def test_a_run_that_finishes_meanwhile_is_left_as_it_is() -> None:
    class Finishing(FakeKubectl):
        def _change(self, item: dict[str, Any]) -> None:
            if item["metadata"]["name"] == "late" and item["metadata"]["resourceVersion"] == "1":
                late = run("late", status={"completionTime": "2026-01-01T00:00:00Z"})
                late["metadata"]["resourceVersion"] = "2"
                self.add(late)
            super()._change(item)

    kubectl = Finishing()
    kubectl.add(run("late"), run("running"))
    run_apply(kubectl, manifest("ConfigMap", "a"), **STOP)
    assert (state(kubectl, "late"), state(kubectl, "running")) == (None, "Cancelled")


def test_what_cannot_be_cancelled_is_an_error_after_all_else_was_done() -> None:
    kubectl = FakeKubectl()
    kubectl.add(run("stuck"))
    kubectl.refuse["stuck"] = "Error: admission says no"
    with pytest.raises(UnitError, match=r"1 unfinished objects were not cancelled: .*admission says no"):
        run_apply(kubectl, manifest("ConfigMap", "a"), **STOP)
    assert Identity(api_version="v1", kind="ConfigMap", namespace="", name="a") in kubectl.objects


def test_an_api_that_was_never_bound_has_nothing_to_cancel() -> None:
    kubectl = FakeKubectl()
    kubectl.refuse[RUNS] = f'error: {UNSERVED} "pipelineruns"'
    assert run_apply(kubectl, manifest("ConfigMap", "a"), **STOP).endswith(", 0 cancelled")
