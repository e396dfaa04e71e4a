"""PipelineRuns of tenants' users in the embedded environment."""

from __future__ import annotations

import json
import time
from typing import Any

from local.images import BUSYBOX_IMAGE
from local.processes import wait_until
from tests.support.live import Done, in_workspace

TENANTS = "root:pipeline-service:tenants"
GRANTED_SECONDS = 60


def pipeline_run(script: str, *, cpu: str | None = None) -> dict[str, Any]:
    """Return a PipelineRun of one task with one step."""
    step: dict[str, Any] = {
        "name": "work",
        "image": BUSYBOX_IMAGE,
        "script": f"#!/bin/sh\nset -eu\n{script}\n",
    }
    if cpu is not None:
        step["computeResources"] = {"requests": {"cpu": cpu}}
    task = {"name": "work", "taskSpec": {"steps": [step]}}
    return {
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {"generateName": "try-", "namespace": "default"},
        "spec": {"pipelineSpec": {"tasks": [task]}, "taskRunTemplate": {"serviceAccountName": "pipeline"}},
    }


def create(user: str, tenant: str, *runs: dict[str, Any]) -> Done:
    """Create objects in a tenant's workspace as a user; whether it succeeds is for the caller to look at."""
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": runs})
    return in_workspace(
        f"{TENANTS}:{tenant}",
        *("create", "--filename=-", "--output=name"),
        user=user,
        check=False,
        stdin=manifest,
    )


def start(user: str, tenant: str, script: str = "true", *, cpu: str | None = None) -> str:
    """Start a run as a user and return its name."""
    run = pipeline_run(script, cpu=cpu)
    begun = time.monotonic()
    # kcp knows of a right a moment after it is granted.
    while (done := create(user, tenant, run)).status != 0:
        assert "forbidden" in done.err.lower(), done.err
        assert time.monotonic() - begun < GRANTED_SECONDS, done.err
        time.sleep(1)
    return done.out.strip().rpartition("/")[2]


def runs(tenant: str) -> dict[str, dict[str, Any]]:
    """Return the runs in a tenant's workspace by name, as the operator sees them."""
    listed = in_workspace(
        f"{TENANTS}:{tenant}", "get", "pipelineruns.tekton.dev", "--namespace=default", "-o=json"
    )
    return {run["metadata"]["name"]: run for run in json.loads(listed.out)["items"]}


def condition(run: dict[str, Any]) -> tuple[str, str]:
    """Return status and reason of a run's condition Succeeded; empty texts before it has one."""
    found = [c for c in run.get("status", {}).get("conditions", ()) if c["type"] == "Succeeded"]
    return (found[0]["status"], found[0]["reason"]) if found else ("", "")


def running(tenant: str, name: str) -> None:
    """Wait until a run is under way on the tenant's cluster."""
    assert wait_until(lambda: condition(runs(tenant)[name])[1] == "Running", seconds=120), runs(tenant)[name]


def finished(tenant: str, name: str, *, seconds: float = 240) -> str:
    """Wait until a run has finished and return the reason of its condition."""
    assert wait_until(lambda: condition(runs(tenant)[name])[0] in {"True", "False"}, seconds=seconds), runs(
        tenant
    )[name]
    return condition(runs(tenant)[name])[1]
