"""A tenant's whole life with real users and runs: onboarded, changed, held to its quota, suspended, gone."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.names import tenant_namespace
from local.processes import wait_until
from tests.support.live import ROOT, Done, in_workspace, kubectl, local, objects, pulumi, run
from tests.support.runs import (
    TENANTS,
    condition,
    create,
    finished,
    pipeline_run,
    runs,
    start,
    without_tenant,
)

CLUSTER = "local-a"
STACK_FILE = ROOT / "Pulumi.dev.yaml"
NAMESPACE = tenant_namespace(f"{TENANTS}:team-b", "default")
RETENTION = "--namespace=pipeline-service-retention"
RUNS = "pipelineruns.tekton.dev"
STORED = int(os.environ.get("PIPELINE_SERVICE_TEST_RUNS", "60"))
"""PipelineRuns that the tenant may store, so many are pruned: more take longer, and show more."""


def tenant(*arguments: str, check: bool = True) -> Done:
    verb, *rest = arguments
    return run(sys.executable, "-m", "operations", "tenant", verb, *rest, "--stack", "dev", check=check)


def may(user: str, verb: str, resource: str, workspace: str = "team-b") -> bool:
    asked = ("auth", "can-i", verb, resource, "--namespace=default")
    return in_workspace(f"{TENANTS}:{workspace}", *asked, user=user, check=False).out.strip() == "yes"


@pytest.fixture(scope="module", autouse=True)
def _team_b() -> Iterator[None]:
    committed = STACK_FILE.read_text()
    try:
        tenant(
            *("add", "team-b", "--cluster", CLUSTER, "--developer-user", "carol", "--viewer-user", "erin"),
            *("--quota", f"pipelineRuns={STORED}", "--quota", "cpu=500m"),
        )
        local("up")
        yield
    finally:
        STACK_FILE.write_text(committed)
        local("up")


def test_an_onboarded_tenants_developer_runs_and_its_viewer_only_looks() -> None:
    assert finished("team-b", start("carol", "team-b")) == "Succeeded"
    in_workspace(f"{TENANTS}:team-b", "get", RUNS, user="erin")
    refused = create("erin", "team-b", pipeline_run("true"))
    assert refused.status != 0
    assert "forbidden" in refused.err
    assert [may("erin", "list", one) for one in (RUNS, "secrets")] == [True, False]
    assert [may("carol", "create", one) for one in (RUNS, "secrets", "rolebindings")] == [True, True, False]


def test_a_user_granted_a_role_can_run_and_one_revoked_at_once_can_not() -> None:
    assert create("bob", "team-b", pipeline_run("true")).status != 0
    tenant("grant", "team-b", "developer", "--user", "bob")
    local("up")
    assert finished("team-b", start("bob", "team-b")) == "Succeeded"
    tenant("revoke", "team-b", "developer", "--user", "bob")
    local("up")
    revoked = time.monotonic()
    assert wait_until(lambda: create("bob", "team-b", pipeline_run("true")).status != 0, seconds=10)
    sys.stdout.write(f"refused {time.monotonic() - revoked:.1f} s after `up`\n")


def test_a_tenant_neither_enters_anothers_workspace_nor_binds_its_export() -> None:
    for user, other in (("alice", "team-b"), ("carol", "demo")):
        refused = in_workspace(f"{TENANTS}:{other}", "get", RUNS, user=user, check=False)
        assert refused.status != 0
        assert "forbidden" in refused.err.lower()
    binding = """
apiVersion: apis.kcp.io/v1alpha2
kind: APIBinding
metadata: {name: theirs}
spec: {reference: {export: {path: "root:pipeline-service:compute", name: local-b}}}
"""
    for user, own in (("alice", "demo"), ("carol", "team-b")):
        asked = ("create", "--filename=-")
        refused = in_workspace(f"{TENANTS}:{own}", *asked, user=user, check=False, stdin=binding)
        assert refused.status != 0
        assert "forbidden" in refused.err.lower()


def test_work_over_the_running_quota_waits_visibly_and_then_runs_while_others_go_on() -> None:
    first = start("carol", "team-b", "sleep 20", cpu="400m")
    second = start("carol", "team-b", "true", cpu="400m")

    def held() -> bool:
        task_runs = objects(CLUSTER, "taskruns", f"--namespace={NAMESPACE}")
        reasons = {
            condition(one)[1]
            for one in task_runs
            if one["metadata"]["labels"]["tekton.dev/pipelineRun"] == second
        }
        return "ExceededResourceQuota" in reasons

    assert wait_until(held, seconds=30)
    assert "Succeeded" in local("demo").out
    assert finished("team-b", first) == "Succeeded"
    assert finished("team-b", second) == "Succeeded"


def test_a_suspended_tenant_keeps_everything_runs_nothing_and_comes_back() -> None:
    running = start("carol", "team-b", "sleep 45")
    assert wait_until(lambda: condition(runs("team-b")[running])[1] == "Running", seconds=30)
    kept = set(runs("team-b"))
    tenant("suspend", "team-b")
    local("up")
    assert create("carol", "team-b", pipeline_run("true")).status != 0
    assert in_workspace(f"{TENANTS}:team-b", "get", RUNS, user="carol", check=False).status != 0
    direct = kubectl(
        CLUSTER, "create", f"--namespace={NAMESPACE}", "--filename=-", check=False, stdin=_on_the_cluster()
    )
    assert direct.status != 0
    assert "suspended" in direct.err
    assert finished("team-b", running) == "Succeeded"
    assert set(runs("team-b")) == kept
    tenant("resume", "team-b")
    local("up")
    assert finished("team-b", start("carol", "team-b")) == "Succeeded"


def test_a_tenant_that_stops_at_suspension_has_its_running_work_cancelled() -> None:
    running = start("carol", "team-b", "sleep 300")
    assert wait_until(lambda: condition(runs("team-b")[running])[1] == "Running", seconds=30)
    tenant("suspend", "team-b", "--stop")
    local("up")
    assert finished("team-b", running, seconds=60) == "Cancelled"
    tenant("resume", "team-b")
    local("up")


@pytest.fixture
def _retention_by_hand() -> Iterator[None]:
    """Prune when the test says so, and not also by the clock."""

    def suspend(value: str) -> None:
        patch = f'{{"spec": {{"suspend": {value}}}}}'
        kubectl(CLUSTER, "patch", "cronjob", "prune", RETENTION, f"--patch={patch}")

    suspend("true")
    try:
        yield
    finally:
        suspend("false")


@pytest.mark.usefixtures("_retention_by_hand")
def test_stored_runs_are_limited_and_finished_ones_pruned_and_none_runs_again() -> None:
    # After the tests that start runs: kcp 0.28 counts what is deleted for some minutes more.
    unstartable = pipeline_run("true") | {"spec": {"pipelineRef": {"name": "absent"}}}
    before = len(runs("team-b"))
    half, some = STORED // 2, STORED // 6
    assert create("carol", "team-b", *[unstartable] * half).status == 0
    assert create("carol", "team-b", *[pipeline_run("true")] * some).status == 0
    over = create("carol", "team-b", *[unstartable] * half)
    assert over.status != 0
    assert "exceeded quota" in over.err
    everything = before + half + some + len(over.out.split())
    assert everything <= STORED

    def all_finished() -> bool:
        states = [condition(one)[0] for one in runs("team-b").values()]
        assert len(states) == everything
        return all(state in {"True", "False"} for state in states)

    assert wait_until(all_finished, seconds=5 * STORED, interval=3)
    pods = {pod["metadata"]["uid"] for pod in objects(CLUSTER, "pods", f"--namespace={NAMESPACE}")}
    others = set(runs("demo"))
    assert others
    job = f"by-hand-{time.time_ns()}"
    kubectl(CLUSTER, "create", "job", job, "--from=cronjob/prune", RETENTION)
    kubectl(CLUSTER, "wait", f"job/{job}", RETENTION, "--for=condition=Complete", "--timeout=300s")
    kubectl(CLUSTER, "delete", "job", job, RETENTION)
    # Retention leaves half of the quota free; a run goes once the agent has taken its copy away.
    assert wait_until(lambda: len(runs("team-b")) <= half, seconds=3 * STORED, interval=2)
    kept = set(runs("team-b"))
    assert len(kept) == half
    assert set(runs("demo")) == others

    def followed() -> bool:
        copies = objects(CLUSTER, "pipelineruns", f"--namespace={NAMESPACE}")
        return {copy["metadata"]["name"] for copy in copies} == kept

    assert wait_until(followed, seconds=3 * STORED, interval=2)
    sys.stdout.write(
        f"{everything} runs, {len(pods)} pods; {everything - half} runs pruned, none ran again\n"
    )
    left = {pod["metadata"]["uid"] for pod in objects(CLUSTER, "pods", f"--namespace={NAMESPACE}")}
    assert left <= pods, "a pod was started: a pruned run came back and ran again"


def test_a_retired_tenant_leaves_an_export_and_nothing_else(tmp_path: Path) -> None:
    task = """
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: kept, namespace: default}
spec: {steps: [{name: say, image: "example.test/say:1", script: echo}]}
"""
    in_workspace(f"{TENANTS}:team-b", "create", "--filename=-", user="carol", stdin=task)
    there = len(runs("team-b"))
    assert there >= STORED // 2
    export = tmp_path / "team-b.yaml"
    entry = STACK_FILE.read_text()
    tenant("suspend", "team-b")
    local("up")
    tenant("retire", "team-b", "--export-to", str(export))
    local("up")
    assert f"{there} PipelineRun" in export.read_text()
    STACK_FILE.write_text(without_tenant(STACK_FILE.read_text(), "team-b"))
    started = time.monotonic()
    local("up")
    assert time.monotonic() - started < 240
    workspaces = in_workspace(TENANTS, "get", "workspaces.tenancy.kcp.io", "--output=name").out
    assert "team-b" not in workspaces
    assert kubectl(CLUSTER, "get", "namespace", NAMESPACE, check=False).status != 0
    pulumi("preview", "--expect-no-changes")

    STACK_FILE.write_text(entry)
    local("up")
    tenant("restore", "team-b", "--from", str(export))
    in_workspace(f"{TENANTS}:team-b", "get", "tasks.tekton.dev", "kept", "--namespace=default", user="carol")
    assert runs("team-b") == {}


def _on_the_cluster() -> str:
    return """
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {generateName: event-}
spec: {pipelineRef: {name: absent}}
"""
