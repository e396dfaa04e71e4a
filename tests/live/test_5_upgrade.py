"""Tekton is upgraded and rolled back while tenants' runs are under way: none is lost, none executed twice."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from components.names import tenant_namespace
from local.images import BUSYBOX_IMAGE
from releases.catalog import TEKTON_PIPELINES, catalog
from tests.support.live import (
    ROOT,
    TENANT_WORKSPACE,
    in_workspace,
    local,
    objects,
    pulumi,
    wait_until,
)
from tests.support.on_demand import ON_DEMAND
from tests.support.runs import condition, create, runs

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [ON_DEMAND, pytest.mark.timeout(2400)]

STACK_FILE = ROOT / "Pulumi.dev.yaml"
CLUSTER = "local-a"
NAMESPACE = tenant_namespace(TENANT_WORKSPACE, "default")
OLD = catalog()[TEKTON_PIPELINES].version
NEW = "v1.9.0"
TASKS = ("first", "second", "third")
UNDER_WAY = 3
"""How many runs are under way when it begins; after that, one more is started again and again."""
PAUSE_SECONDS = 8
DONE_SECONDS = 600


def pipeline_run() -> dict[str, Any]:
    """Make a run whose tasks need what the one before has said, so that it has steps on both sides."""
    tasks = []
    for number, name in enumerate(TASKS):
        before = f"$(tasks.{TASKS[number - 1]}.results.said)" if number else "begun"
        script = (
            f'#!/bin/sh\nset -eu\nsleep 15\nprintf "%s {name}" "$(params.heard)" > $(results.said.path)\n'
        )
        tasks.append(
            {
                "name": name,
                "params": [{"name": "heard", "value": before}],
                "taskSpec": {
                    "params": [{"name": "heard"}],
                    "results": [{"name": "said"}],
                    "steps": [{"name": "work", "image": BUSYBOX_IMAGE, "script": script}],
                },
            }
        )
    results = [{"name": "said", "value": f"$(tasks.{TASKS[-1]}.results.said)"}]
    return {
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {"generateName": "upgraded-", "namespace": "default"},
        "spec": {
            "pipelineSpec": {"tasks": tasks, "results": results},
            "taskRunTemplate": {"serviceAccountName": "pipeline"},
        },
    }


class Watch:
    """What was ever seen of runs: their uids, and the pods that executed their tasks."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.uids: dict[str, set[str]] = defaultdict(set)
        self.pods: dict[tuple[str, str], set[str]] = defaultdict(set)

    def start(self) -> None:
        done = create("alice", "demo", pipeline_run())
        assert done.status == 0, done.err
        self.names.append(done.out.strip().rpartition("/")[2])

    def look(self) -> None:
        for one in objects(CLUSTER, "pods", "--namespace", NAMESPACE):
            labels = one["metadata"].get("labels", {})
            task = (labels.get("tekton.dev/pipelineRun", ""), labels.get("tekton.dev/pipelineTask", ""))
            self.pods[task].add(one["metadata"]["uid"])
        for one in objects(CLUSTER, "pipelineruns.tekton.dev", "--namespace", NAMESPACE):
            self.uids[one["metadata"]["name"]].add(one["metadata"]["uid"])

    def is_at_work(self, names: list[str]) -> bool:
        self.look()
        return all(self.pods[name, TASKS[0]] for name in names)

    def all_done(self) -> bool:
        self.look()
        there = runs("demo")
        return all(condition(there[name])[0] in {"True", "False"} for name in self.names)

    def told(self) -> str:
        there = runs("demo")
        told = {name: there[name].get("status") if name in there else "lost" for name in self.names}
        return json.dumps(told)[-6000:]

    def assert_each_ran_once(self) -> None:
        there = runs("demo")
        for name in self.names:
            assert condition(there[name])[0] == "True", there[name]["status"]
            [result] = there[name]["status"]["results"]
            assert result["value"] == " ".join(("begun", *TASKS))
            assert len(self.uids[name]) == 1, f"{name} was made anew on the cluster"
            counts = {task: len(self.pods[name, task]) for task in TASKS}
            assert counts == dict.fromkeys(TASKS, 1), f"{name}: pods that executed its tasks"


def controllers() -> dict[str, str]:
    """Give the versions of Tekton's controllers that run on the cluster, and when each came to be."""
    pods = objects(
        CLUSTER,
        "pods",
        "--namespace=tekton-pipelines",
        "--selector=app.kubernetes.io/part-of=tekton-pipelines",
    )
    return {
        one["metadata"]["labels"]["app.kubernetes.io/version"]: one["metadata"]["creationTimestamp"]
        for one in pods
        if one["metadata"]["labels"]["app.kubernetes.io/component"] == "controller"
    }


def assert_runs_under_way_changed_controllers(watch: Watch, version: str) -> None:
    """Make sure that the test has tried what it says."""
    wait_until(lambda: controllers().keys() == {version}, f"at {version}", controllers)
    changed = controllers()[version]
    there = [runs("demo")[name] for name in watch.names]
    crossed = [one for one in there if one["status"]["startTime"] < changed < one["status"]["completionTime"]]
    assert len(crossed) >= UNDER_WAY, f"{len(crossed)} of {len(there)} runs were under way at {changed}"


def definitions() -> dict[str, str]:
    found = objects(CLUSTER, "customresourcedefinitions")
    return {
        one["metadata"]["name"]: one["metadata"]["uid"]
        for one in found
        if one["metadata"]["name"].endswith(".tekton.dev")
    }


def up_with_runs_under_way(watch: Watch) -> None:
    """Run `pulumi up` while runs are under way, and start more until it has ended."""
    for _ in range(UNDER_WAY):
        watch.start()
    wait_until(
        lambda: watch.is_at_work(watch.names[-UNDER_WAY:]), "at work", watch.told, seconds=DONE_SECONDS
    )
    with ThreadPoolExecutor(1) as pool:
        up = pool.submit(pulumi, "up", "--yes", "--skip-preview")
        while not up.done():
            watch.start()
            watch.look()
            time.sleep(PAUSE_SECONDS)
        up.result()


@pytest.fixture
def before() -> Iterator[str]:
    """Give the stack file's text, which stands again afterwards; the newer version is at hand."""
    text = STACK_FILE.read_text()
    local("provide", f"{TEKTON_PIPELINES}={NEW}")
    try:
        yield text
    finally:
        STACK_FILE.write_text(text)
        pulumi("up", "--yes", "--skip-preview")
        in_workspace(
            TENANT_WORKSPACE,
            "delete",
            "pipelineruns.tekton.dev",
            "--all",
            "--namespace=default",
            "--wait=false",
        )


def test_an_upgrade_and_the_way_back_lose_no_run_and_execute_none_twice(before: str) -> None:
    assert controllers().keys() == {OLD}
    kinds = definitions()
    watch = Watch()

    settings = yaml.safe_load(before)
    settings["config"]["pipeline-service:releases"]["versions"] = {TEKTON_PIPELINES: NEW}
    for text, version in ((yaml.safe_dump(settings, sort_keys=False), NEW), (before, OLD)):
        STACK_FILE.write_text(text)
        up_with_runs_under_way(watch)
        wait_until(watch.all_done, "finished", watch.told, seconds=DONE_SECONDS)
        watch.assert_each_ran_once()
        assert_runs_under_way_changed_controllers(watch, version)
    # What both versions define stayed, and what tenants made of it with them.
    assert definitions().items() >= kinds.items()
    pulumi("preview", "--expect-no-changes")
