"""A tenant's whole life with real users and runs: onboarded, changed, held to its quota, suspended, gone."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from components.names import tenant_namespace
from local.processes import wait_until
from tests.support.live import ROOT, Done, in_workspace, kubectl, local, objects, pulumi, run
from tests.support.runs import (
    TENANTS,
    condition,
    create,
    finished,
    pipeline_run,
    running,
    runs,
    start,
    without_tenant,
)

CLUSTER = "local-a"
STACK_FILE = ROOT / "Pulumi.dev.yaml"
NAMESPACE = tenant_namespace(f"{TENANTS}:team-b", "default")
RETENTION = "--namespace=pipeline-service-retention"
RUNS = "pipelineruns.tekton.dev"
STORED = int(os.environ.get("PIPELINE_SERVICE_TEST_RUNS", "40"))
"""PipelineRuns that the tenant may store, so many are pruned: more take longer, and show more."""
LONG = pytest.mark.timeout(600 + 25 * STORED)
"""Marks what makes or deletes so many: each takes the agent several requests, and it sends kcp 5 a second."""


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
    try:
        local("up")
        assert finished("team-b", start("bob", "team-b")) == "Succeeded"
    finally:
        tenant("revoke", "team-b", "developer", "--user", "bob")
        local("up")
    revoked = time.monotonic()
    assert wait_until(lambda: not may("bob", "create", RUNS), seconds=60)
    sys.stdout.write(f"refused {time.monotonic() - revoked:.1f} s after `up`\n")
    assert create("bob", "team-b", pipeline_run("true")).status != 0


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


def test_what_a_tenants_pods_reach_is_what_its_egress_says() -> None:
    # Something outside of the cluster that any pod can reach: kcp.
    kcp = urlsplit(json.loads(pulumi("stack", "output", "--json").out)["kcp"]["url"])
    connects = f"nc -w 5 {kcp.hostname} {kcp.port} </dev/null"

    def ends(network: dict[str, object]) -> str:
        document = yaml.safe_load(STACK_FILE.read_text())
        document["config"]["pipeline-service:tenants"]["team-b"]["network"] = network
        STACK_FILE.write_text(yaml.safe_dump(document, sort_keys=False))
        local("up")
        return finished("team-b", start("carol", "team-b", connects))

    before = STACK_FILE.read_text()
    try:
        assert ends({}) == "Succeeded"
        assert ends({"egress": "closed"}) == "Failed"
        assert ends({"egress": "closed", "allowedEgress": [f"{kcp.hostname}/32"]}) == "Succeeded"
    finally:
        STACK_FILE.write_text(before)
        local("up")


def test_work_over_the_running_quota_waits_visibly_and_then_runs_while_others_go_on() -> None:
    first = start("carol", "team-b", "sleep 60", cpu="400m")
    # Or the second could be the first on the cluster.
    running("team-b", first)
    second = start("carol", "team-b", "true", cpu="400m")

    def held() -> bool:
        task_runs = objects(CLUSTER, "taskruns", f"--namespace={NAMESPACE}")
        reasons = {
            condition(one)[1]
            for one in task_runs
            if one["metadata"]["labels"]["tekton.dev/pipelineRun"] == second
        }
        return "ExceededResourceQuota" in reasons

    assert wait_until(held, seconds=120)
    assert "Succeeded" in local("demo").out
    assert finished("team-b", first) == "Succeeded"
    assert finished("team-b", second) == "Succeeded"


@contextmanager
def suspended(*how: str) -> Iterator[None]:
    """Suspend the tenant for the block."""
    tenant("suspend", "team-b", *how)
    try:
        local("up")
        yield
    finally:
        tenant("resume", "team-b")
        local("up")


def test_a_suspended_tenant_keeps_everything_runs_nothing_and_comes_back() -> None:
    at_work = start("carol", "team-b", "sleep 45")
    running("team-b", at_work)
    kept = set(runs("team-b"))
    with suspended():
        # Rights and policies are in force a moment after they are there.
        assert wait_until(
            lambda: in_workspace(f"{TENANTS}:team-b", "get", RUNS, user="carol", check=False).status != 0,
            seconds=60,
        )
        assert create("carol", "team-b", pipeline_run("true")).status != 0
        dry = ("create", f"--namespace={NAMESPACE}", "--filename=-", "--dry-run=server")

        def refused() -> bool:
            direct = kubectl(CLUSTER, *dry, check=False, stdin=_on_the_cluster())
            return direct.status != 0 and "suspended" in direct.err

        assert wait_until(refused, seconds=60)
        assert finished("team-b", at_work) == "Succeeded"
        assert set(runs("team-b")) == kept
    assert finished("team-b", start("carol", "team-b")) == "Succeeded"


def test_a_tenant_that_stops_at_suspension_has_its_running_work_cancelled() -> None:
    at_work = start("carol", "team-b", "sleep 500")
    running("team-b", at_work)
    with suspended("--stop"):
        assert finished("team-b", at_work) == "Cancelled"


@pytest.fixture
def _retention_by_hand() -> Iterator[None]:
    """Prune when the test says so, and not also by the clock."""

    def suspend(value: str) -> None:
        patch = f'{{"spec": {{"suspend": {value}}}}}'
        kubectl(CLUSTER, "patch", "cronjob", "prune", RETENTION, f"--patch={patch}")

    def at_work() -> str:
        return kubectl(
            CLUSTER, "get", "cronjob", "prune", RETENTION, "--output=jsonpath={.status.active}"
        ).out

    def leaving() -> list[str]:
        return [name for name, one in runs("team-b").items() if "deletionTimestamp" in one["metadata"]]

    suspend("true")
    try:
        # What the clock started a moment ago must not prune while the test counts, nor what it pruned go.
        assert wait_until(lambda: not at_work() and not leaving(), seconds=300), (at_work(), leaving())
        yield
    finally:
        suspend("false")


@LONG
@pytest.mark.usefixtures("_retention_by_hand")
def test_stored_runs_are_limited_and_finished_ones_pruned_and_none_runs_again() -> None:
    # After the tests that start runs: kcp 0.28 counts what is deleted for some minutes more.
    unstartable = pipeline_run("true") | {"spec": {"pipelineRef": {"name": "absent"}}}
    before = len(runs("team-b"))
    half, some = STORED // 2, STORED // 6
    # As many as there is room for, which for a second try may be none: the first one's runs are still there.
    made = create(
        "carol", "team-b", *[pipeline_run("true")] * some, *[unstartable] * half, *[unstartable] * half
    )
    assert made.status != 0
    assert "exceeded quota" in made.err
    everything = before + len(made.out.split())
    assert half < everything <= STORED

    def all_finished() -> bool:
        states = [condition(one)[0] for one in runs("team-b").values()]
        assert len(states) == everything
        return all(state in {"True", "False"} for state in states)

    assert wait_until(all_finished, seconds=10 * STORED, interval=3)
    pods = {pod["metadata"]["uid"] for pod in objects(CLUSTER, "pods", f"--namespace={NAMESPACE}")}
    others = set(runs("demo"))
    assert others
    job = f"by-hand-{time.time_ns()}"
    kubectl(CLUSTER, "create", "job", job, "--from=cronjob/prune", RETENTION)
    kubectl(CLUSTER, "wait", f"job/{job}", RETENTION, "--for=condition=Complete", "--timeout=300s")
    kubectl(CLUSTER, "delete", "job", job, RETENTION)
    # Retention leaves half of the quota free; a run goes once the agent has taken its copy away.
    assert wait_until(lambda: len(runs("team-b")) <= half, seconds=6 * STORED, interval=2)
    kept = set(runs("team-b"))
    assert len(kept) == half
    assert set(runs("demo")) == others

    def followed() -> bool:
        copies = objects(CLUSTER, "pipelineruns", f"--namespace={NAMESPACE}")
        return {copy["metadata"]["name"] for copy in copies} == kept

    assert wait_until(followed, seconds=6 * STORED, interval=2)
    sys.stdout.write(
        f"{everything} runs, {len(pods)} pods; {everything - half} runs pruned, none ran again\n"
    )
    left = {pod["metadata"]["uid"] for pod in objects(CLUSTER, "pods", f"--namespace={NAMESPACE}")}
    assert left <= pods, "a pod was started: a pruned run came back and ran again"


@LONG
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
    sys.stdout.write(f"gone in {time.monotonic() - started:.0f} s\n")
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
