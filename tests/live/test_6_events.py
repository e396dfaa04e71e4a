"""Events, end to end: Git provider, gateway, Pipelines as Code, pods, and the status back at the provider."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from local.demo_event import RUN_FILE, pushed_file
from local.git_provider.hooks import Delivery
from local.git_provider.provider import GitProvider
from local.git_provider.repository import Commit
from local.images import BUSYBOX_IMAGE
from tests.support.events import REPOSITORIES, Connected, git_provider, output, runs_of, succeeded
from tests.support.live import ROOT, Done, kubectl, local, objects, pulumi, run, wait_until
from tests.support.on_demand import ON_DEMAND
from tests.support.runs import condition

STACK_FILE = ROOT / "Pulumi.dev.yaml"
LISTENER = ("pipelines-as-code-controller", "--namespace=pipelines-as-code")
CLUSTERS = ("local-a", "local-b")
QUIET_SECONDS = 8
"""How long nothing must happen where nothing may: several times what a run takes to appear."""


def operations(*arguments: str, **variables: str) -> Done:
    done = subprocess.run(
        [sys.executable, "-m", "operations", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Done(status=done.returncode, out=done.stdout, err=done.stderr)


def tenant(verb: str, *arguments: str) -> None:
    run(sys.executable, "-m", "operations", "tenant", verb, *arguments, "--stack", "dev")


def deploy() -> None:
    """Run the engine alone: no user is new, and nothing has to be built."""
    sys.stderr.write(pulumi("up", "--yes", "--skip-preview").out)


def add_team_c(cluster: str) -> None:
    """Write an entry into the stack file; the next `up` deploys it."""
    repository = ("--repository", "https://git.example.com/team-c/app")
    tenant("add", "team-c", "--cluster", cluster, "--developer-user", "carol", *repository)


@pytest.fixture(scope="module", autouse=True)
def without_team_c() -> Iterator[str]:
    """Deploy the tenant; give the stack file without it."""
    committed = STACK_FILE.read_text()
    try:
        add_team_c("local-b")
        local("up")
        yield committed
    finally:
        STACK_FILE.write_text(committed)
        local("up")


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory, without_team_c: str) -> Iterator[GitProvider]:  # noqa: ARG001 -- it has to be deployed
    events_url = output("tenants")["demo"]["eventsUrl"]
    folder: Path = tmp_path_factory.mktemp("git")
    with git_provider(folder, events_url, *CLUSTERS) as made:
        yield made
        assert made.unknown == [], "Pipelines as Code asked for what the provider doesn't serve"


def _connected(provider: GitProvider, tenant: str, user: str, cluster: str) -> Iterator[Connected]:
    repository = provider.add_repository(f"https://git.example.com/{tenant}/app")
    hook = provider.add_hook(repository, output("tenants")[tenant]["eventsUrl"], f"secret of {tenant}")
    made = Connected(
        tenant=tenant,
        user=user,
        cluster=cluster,
        repository=repository,
        hook=hook,
        token=provider.add_token(repository),
    )
    try:
        made.connect()
        yield made
    finally:
        made.disconnect()


@pytest.fixture(scope="module")
def demo(provider: GitProvider) -> Iterator[Connected]:
    yield from _connected(provider, "demo", "alice", "local-a")


@pytest.fixture(scope="module")
def team_c(provider: GitProvider) -> Iterator[Connected]:
    yield from _connected(provider, "team-c", "carol", "local-b")


def push(
    provider: GitProvider, to: Connected, secret: str | None = None, content: str = ""
) -> tuple[Commit, Delivery]:
    """Push a change that starts a run."""
    files = {RUN_FILE: content or pushed_file(BUSYBOX_IMAGE), "count": str(time.monotonic_ns())}
    return provider.push(to.hook, to.repository, files, secret=secret)


def push_until(code: int, provider: GitProvider, to: Connected) -> tuple[Commit, Delivery]:
    """Push until that is the answer: a gateway that is replaced still takes events for a moment."""
    pushed: list[tuple[Commit, Delivery]] = []

    def answered() -> bool:
        pushed.append(push(provider, to))
        return pushed[-1][1].code == code

    wait_until(answered, f"answered with {code}", lambda: pushed[-1][1].answer)
    return pushed[-1]


def states(provider: GitProvider, sha: str) -> list[str]:
    """Return what the provider was told of a commit, without repetitions."""
    told = [one.state for one in provider.statuses if one.sha == sha]
    return [state for state, _ in itertools.groupby(told)]


def listened(cluster: str, guid: str) -> bool:
    """Tell whether the listener of a cluster has logged an event."""
    return guid in kubectl(cluster, "logs", f"deployment/{LISTENER[0]}", LISTENER[1], "--tail=-1").out


def no_run(sha: str) -> None:
    """Give a run the time to appear, and see that none does."""
    time.sleep(QUIET_SECONDS)
    assert not any(runs_of(cluster, sha) for cluster in CLUSTERS)


def test_the_demonstration_succeeds_and_leaves_nothing_behind() -> None:
    done = local("demo-event")
    assert "pending, then success" in done.out
    assert re.search(r"received: Hello from \S+, at [0-9a-f]{40}\n", done.out)
    assert "doesn't serve" not in done.out
    assert objects("local-a", REPOSITORIES, "--all-namespaces") == []
    assert "pipeline-service-demo" not in kubectl("local-a", "get", "namespaces", "--output=name").out


def test_an_event_reaches_the_cluster_of_its_tenant_alone(provider: GitProvider, team_c: Connected) -> None:
    commit, delivery = push(provider, team_c)
    assert delivery.code == 202, delivery.answer
    wait_until(
        lambda: states(provider, commit.sha) == ["pending", "success"],
        "told of success",
        lambda: (states(provider, commit.sha), runs_of("local-b", commit.sha)),
    )
    assert succeeded("local-b", commit.sha)
    assert runs_of("local-a", commit.sha) == []
    assert [listened(cluster, delivery.guid) for cluster in CLUSTERS] == [False, True]


def test_a_forged_signature_makes_no_run(provider: GitProvider, demo: Connected) -> None:
    commit, delivery = push(provider, demo, secret="guessed")
    assert delivery.code == 202  # Pipelines as Code answers before it looks
    no_run(commit.sha)
    assert listened("local-a", delivery.guid)
    assert states(provider, commit.sha) == []


def test_a_tenant_cannot_claim_anothers_repository(
    provider: GitProvider, demo: Connected, team_c: Connected
) -> None:
    team_c.apply(demo.repository.html_url, check=False)
    try:
        commit, _ = push(provider, demo)
        wait_until(
            lambda: succeeded("local-a", commit.sha), "succeeded", lambda: runs_of("local-a", commit.sha)
        )
        assert runs_of("local-b", commit.sha) == []
        claimed = [one["spec"]["url"] for one in objects("local-b", REPOSITORIES, "--all-namespaces")]
        assert demo.repository.html_url not in claimed
    finally:
        team_c.apply()


def test_what_is_lost_is_sent_again_once(provider: GitProvider, demo: Connected) -> None:
    try:
        kubectl("local-a", "scale", "deployment", *LISTENER, "--replicas=0")
        # It takes the half minute that a pod gets to end.
        gone = ("wait", "--for=delete", "pod", "-l=app.kubernetes.io/name=controller", "--timeout=180s")
        kubectl("local-a", *gone, LISTENER[1])
        commit, lost = push(provider, demo)
        assert (lost.code, lost.status) == (503, "Invalid HTTP Response: 503"), lost.answer
        done = redeliver(provider, demo, "--dry-run")
        assert (done.status, "would be sent again" in done.out) == (3, True), done
    finally:
        kubectl("local-a", "scale", "deployment", *LISTENER, "--replicas=1")
        kubectl("local-a", "rollout", "status", "deployment", *LISTENER, "--timeout=180s")
    no_run(commit.sha)

    done = redeliver(provider, demo, "--json")
    assert done.status == 0, done
    assert [(one["id"], one["result"]) for one in json.loads(done.out)["events"]] == [
        (lost.guid, "delivered")
    ]
    wait_until(lambda: succeeded("local-a", commit.sha), "succeeded", lambda: runs_of("local-a", commit.sha))

    done = redeliver(provider, demo)
    assert (done.status, done.out.strip()) == (0, "every event since then was delivered")
    time.sleep(QUIET_SECONDS)
    assert succeeded("local-a", commit.sha, count=1)
    assert [one.code for one in demo.hook.deliveries if one.guid == lost.guid] == [202, 503]


def redeliver(provider: GitProvider, of: Connected, *more: str) -> Done:
    api = f"{provider.api}/api/v3"
    options = ("--stack", "dev", "--since", "1h", "--tenant", of.tenant)
    where = ("--provider", "github", "--api-url", api, "--token-variable", "TEST_TOKEN")
    return operations("gateway", "redeliver", *options, *where, *more, TEST_TOKEN=of.token)


def long_run() -> str:
    """What is pushed makes a run that lasts, and has something to do in the end."""
    wanted = yaml.safe_load(pushed_file(BUSYBOX_IMAGE))
    spec = wanted["spec"]["pipelineSpec"]
    step = {"name": "say", "image": BUSYBOX_IMAGE, "script": "#!/bin/sh\necho in the end\n"}
    spec["finally"] = [{"name": "end", "taskSpec": {"steps": [step]}}]
    spec["tasks"][0]["taskSpec"]["steps"][0]["script"] = "#!/bin/sh\nsleep 280\n"
    return yaml.safe_dump(wanted)


def states_of(cluster: str, sha: str) -> list[tuple[str, str, str]]:
    """Give what each run of a commit was told, and its condition with the reason."""
    return [(one["spec"].get("status", ""), *condition(one)) for one in runs_of(cluster, sha)]


def test_a_stopped_tenants_runs_are_cancelled_and_its_push_starts_nothing(
    provider: GitProvider, team_c: Connected
) -> None:
    team_c.apply(concurrency_limit=1)

    def limits() -> list[object]:
        there = objects("local-b", REPOSITORIES, f"--namespace={team_c.namespace}")
        return [one["spec"].get("concurrency_limit") for one in there]

    wait_until(lambda: limits() == [1], "limited", limits)
    runs, _ = push(provider, team_c, content=long_run())

    def pods() -> list[str]:
        listed = objects("local-b", "pods", f"--namespace={team_c.namespace}")
        return [one["status"]["phase"] for one in listed if "deletionTimestamp" not in one["metadata"]]

    # Beside it stand the pods of the runs before.
    wait_until(lambda: "Running" in pods(), "running", lambda: (pods(), runs_of("local-b", runs.sha)))
    waits, _ = push(provider, team_c, content=long_run())
    pending = [("PipelineRunPending", "Unknown", "PipelineRunPending")]
    wait_until(
        lambda: states_of("local-b", waits.sha) == pending, "waiting", lambda: states_of("local-b", waits.sha)
    )

    tenant("suspend", "team-c", "--stop")
    try:
        local("up")
        for commit in (runs, waits):
            assert states_of("local-b", commit.sha) == [("CancelledRunFinally", "False", "Cancelled")]
            # Pipelines as Code never takes it for a success.
            assert "success" not in states(provider, commit.sha)
        wait_until(lambda: "Running" not in pods(), "stopped", pods)
        commit, delivery = push_until(403, provider, team_c)
        assert "suspended" in delivery.answer
        no_run(commit.sha)
    finally:
        tenant("resume", "team-c")
        local("up")
    team_c.apply()
    commit, _ = push_until(202, provider, team_c)
    wait_until(lambda: succeeded("local-b", commit.sha), "succeeded", lambda: runs_of("local-b", commit.sha))


@ON_DEMAND
def test_a_tenant_that_moves_takes_its_events_along(
    provider: GitProvider, team_c: Connected, without_team_c: str, tmp_path: Path
) -> None:
    """As docs/tenants.md says; an event that comes meanwhile is refused, and sent again in the end."""
    export = tmp_path / "team-c.yaml"
    moved = replace(team_c, cluster="local-a")
    before, _ = push(provider, team_c)
    wait_until(lambda: succeeded("local-b", before.sha), "succeeded", lambda: runs_of("local-b", before.sha))

    tenant("retire", "team-c", "--export-to", str(export))
    deploy()
    while_retired, refused = push_until(403, provider, team_c)
    assert json.loads(refused.answer)["error"] == "tenant-suspended"
    STACK_FILE.write_text(without_team_c)
    deploy()
    while_gone, refused = push_until(404, provider, team_c)
    assert json.loads(refused.answer)["error"] == "unknown-tenant"
    assert kubectl("local-b", "get", "namespace", team_c.namespace, check=False).status != 0
    add_team_c(moved.cluster)
    tenant("suspend", "team-c")
    deploy()
    tenant("restore", "team-c", "--from", str(export))
    wait_until(moved.copied, "copied to the cluster", lambda: moved.namespace)
    tenant("resume", "team-c")
    deploy()

    after, _ = push_until(202, provider, moved)
    done = redeliver(provider, moved, "--also", "refused")
    assert done.status == 0, done
    commits = (while_retired, while_gone, after)
    wait_until(
        lambda: all(succeeded(moved.cluster, one.sha) for one in commits),
        "succeeded",
        lambda: [runs_of(moved.cluster, one.sha) for one in commits],
    )
    time.sleep(QUIET_SECONDS)
    assert all(succeeded(moved.cluster, one.sha, count=1) for one in commits)
    assert not any(runs_of("local-b", one.sha) for one in commits)
