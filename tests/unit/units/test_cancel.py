"""Cancelling what is unfinished, against an API server in memory."""

import json
from typing import Any

import pytest

from tests.support.fake_kubectl import FakeKubectl, manifest
from tests.unit.units.test_runner import request, run_apply
from units import cancel
from units.cancel import cancel_until_ended, read_cancelling
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


MARK = "pipeline-service/suspended"
STATE = "pipelinesascode.tekton.dev/state"
ON_CLUSTER = {
    "UNIT_CANCEL": f'["{RUNS}"]',
    "UNIT_CANCEL_IN": json.dumps(["ci", "other"]),
    "UNIT_CANCEL_SELECTOR": STATE,
    "UNIT_CANCEL_MARK": f"{MARK}=true",
    "UNIT_WAIT_SECONDS": "1",
}
FINISHED = {"completionTime": "2026-01-01T00:00:00Z"}


class Cluster(FakeKubectl):
    """A cluster on which Tekton ends what is cancelled, and on which something may happen at each look."""

    def __init__(self, *, ends: bool = True) -> None:
        super().__init__()
        self.ends = ends
        self.looks = 0
        self.add(self.namespace("true"))

    @staticmethod
    def namespace(marked: str | None) -> dict[str, Any]:
        made = manifest("Namespace", "ci")
        made["metadata"]["labels"] = {} if marked is None else {MARK: marked}
        return made

    def get(self, *arguments: str, **more: object) -> dict[str, Any] | None:
        if arguments[:2] == (RUNS, "--namespace=ci"):
            self.looks += 1
            self.happens()
        return super().get(*arguments, **more)

    def happens(self) -> None:
        """Nothing else happens by itself."""

    def _change(self, item: dict[str, Any]) -> None:
        super()._change(item)
        if self.ends:
            self.end(item["metadata"]["name"])

    def end(self, name: str) -> None:
        found = self.named(name, "PipelineRun")
        assert found is not None
        self.add({**found, "status": FINISHED})


def event_run(name: str, namespace: str = "ci", **more: Any) -> dict[str, Any]:  # noqa: ANN401 -- any part
    made = run(name, **more)
    made["metadata"] |= {"namespace": namespace, "labels": {STATE: "started"}}
    return made


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancel, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(cancel, "_SETTLED_SECONDS", 0.05)


def run_cancel(kubectl: FakeKubectl, **more: str) -> str:
    variables = {**ON_CLUSTER, **more}
    asked = request(UNIT_NAME="runs of demo", **variables)
    return cancel_until_ended(kubectl, asked, read_cancelling(variables))  # type: ignore[arg-type]


def test_on_a_cluster_runs_of_events_are_cancelled_in_the_tenants_namespaces_and_no_other() -> None:
    kubectl = Cluster()
    synced = run("synced")
    synced["metadata"] |= {"namespace": "ci", "labels": {"syncagent.kcp.io/remote-object-cluster": "abc"}}
    kubectl.add(
        event_run("running", spec={"params": [1]}),
        event_run("waiting", spec={"status": "PipelineRunPending"}),
        event_run("finished", status=FINISHED),
        event_run("anothers", namespace="anothers"),
        run("by-hand"),
        synced,
    )
    assert run_cancel(kubectl) == "runs of demo: 2 cancelled"
    # Not at once: Pipelines as Code would report them before they have ended.
    assert [state(kubectl, name) for name in ("running", "waiting")] == ["CancelledRunFinally"] * 2
    left = ("finished", "anothers", "by-hand", "synced")
    assert [state(kubectl, name) for name in left] == [None] * 4
    # The other namespace isn't there, so that nothing can start in it.
    assert run_cancel(kubectl) == "runs of demo: 0 cancelled"


def test_one_that_is_let_go_after_it_was_cancelled_is_cancelled_again() -> None:
    class Queue(Cluster):
        def happens(self) -> None:
            waiting = self.named("waiting", "PipelineRun")
            if self.looks == 2 and waiting is not None:
                metadata = {**waiting["metadata"], "resourceVersion": "9"}
                self.add({**waiting, "metadata": metadata, "spec": {"status": ""}})
                self.ends = True

    kubectl = Queue(ends=False)
    kubectl.add(event_run("waiting", spec={"status": "PipelineRunPending"}))
    assert run_cancel(kubectl) == "runs of demo: 1 cancelled"
    assert state(kubectl, "waiting") == "CancelledRunFinally"
    assert [one.name for one in kubectl.applied] == ["waiting", "waiting"]


def test_what_a_run_begins_as_it_ends_is_cancelled_too_since_no_pod_may_start() -> None:
    class Ending(Cluster):
        def end(self, name: str) -> None:
            """End a part at once, and the run not before."""
            if part := self.named(name, "TaskRun"):
                self.add({**part, "status": FINISHED})
                super().end("run")

    kubectl = Ending()
    part = {"apiVersion": "tekton.dev/v1", "kind": "TaskRun"}
    references = [{**part, "name": name} for name in ("f", "finished", "gone")]
    task, finished = (
        manifest("TaskRun", name, "tekton.dev/v1", namespace="ci", spec={}) for name in ("f", "finished")
    )
    for one in (task, finished):
        one["metadata"]["resourceVersion"] = "1"
    kubectl.add(
        event_run("run", status={"childReferences": references}), task, {**finished, "status": FINISHED}
    )
    assert run_cancel(kubectl) == "runs of demo: 1 cancelled"
    assert [(one.kind, one.name) for one in kubectl.applied] == [("PipelineRun", "run"), ("TaskRun", "f")]
    assert (kubectl.named("f", "TaskRun") or {})["spec"] == {"status": "TaskRunCancelled"}


def test_one_that_waits_for_a_part_that_nobody_ends_is_ended_at_once_in_the_end() -> None:
    class Patient(Cluster):
        def end(self, name: str) -> None:
            if state(self, name) == "Cancelled":
                super().end(name)

    kubectl = Patient()
    running = {"conditions": [{"type": "Succeeded", "status": "Unknown"}]}
    kubectl.add(event_run("custom", status=running))
    assert run_cancel(kubectl) == "runs of demo: 1 cancelled"
    assert state(kubectl, "custom") == "Cancelled"
    # Of one that Tekton hasn't looked at, Pipelines as Code would die.
    kubectl.add(event_run("new"))
    with pytest.raises(UnitError, match="did not end"):
        run_cancel(kubectl)
    assert state(kubectl, "new") == "CancelledRunFinally"


def test_what_was_let_in_at_the_last_moment_is_cancelled() -> None:
    class Late(Cluster):
        def happens(self) -> None:
            if self.looks == 3:
                self.add(event_run("late"))

    kubectl = Late()
    assert run_cancel(kubectl) == "runs of demo: 1 cancelled"


def test_runs_are_cancelled_at_once_and_it_ends_when_the_namespace_lets_no_other_start() -> None:
    class Unmarked(Cluster):
        def happens(self) -> None:
            if self.looks == 2:
                assert state(self, "early") == "CancelledRunFinally"
                self.add(event_run("late"))
            if self.looks == 3:
                self.add(self.namespace("true"))

    kubectl = Unmarked()
    kubectl.add(kubectl.namespace(None), event_run("early"))
    assert run_cancel(kubectl) == "runs of demo: 2 cancelled"
    assert kubectl.looks > 3


def test_a_namespace_that_lets_others_start_is_an_error_once_all_was_cancelled() -> None:
    kubectl = Cluster()
    kubectl.add(kubectl.namespace("false"), event_run("running"))
    with pytest.raises(UnitError, match=rf"runs of demo: in ci new ones may start, since {MARK}=true is not"):
        run_cancel(kubectl, UNIT_WAIT_SECONDS="0")
    assert state(kubectl, "running") == "CancelledRunFinally"
    # While the cluster is handed over, nobody waits for that.
    assert run_cancel(kubectl, UNIT_CANCEL_MARK="") == "runs of demo: 0 cancelled"


def test_runs_that_do_not_end_are_named_with_the_reason() -> None:
    kubectl = Cluster(ends=False)
    kubectl.add(event_run("slow"), event_run("stuck"))
    kubectl.refuse["stuck"] = "Error from server (Forbidden): admission says no"
    with pytest.raises(UnitError, match=r"slow, PipelineRun ci/stuck did not end within 1 s: .*says no"):
        run_cancel(kubectl)
    assert state(kubectl, "slow") == "CancelledRunFinally"
    del kubectl.refuse["stuck"]
    with pytest.raises(UnitError, match=r"did not end within 1 s: cancelled, but Tekton's controller"):
        run_cancel(kubectl)


def test_without_a_selector_nothing_is_cancelled() -> None:
    with pytest.raises(UnitError, match="UNIT_CANCEL_SELECTOR is not set"):
        run_cancel(Cluster(), UNIT_CANCEL_SELECTOR="")
