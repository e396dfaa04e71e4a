"""Settings of Pipelines as Code, and its GitHub App, on a real engine and a real API server."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from components.pipelines_as_code import FINALIZERS
from releases.catalog import PIPELINES_AS_CODE, TEKTON_PIPELINES
from releases.transform import transform
from stacks.mapping_releases import adaptation
from tests.support.cluster_project import (
    CRDS,
    RELEASES,
    cluster,
    cluster_project,
    definition,
    write_release,
)
from tests.support.pipelines_as_code import of, release
from tests.support.recording import environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.apiserver import ControlPlane
    from tests.support.pulumi_project import PulumiProject

HOME = "/api/v1/namespaces/pipelines-as-code"
SECRET = f"{HOME}/secrets/pipelines-as-code-secret"
RUNS = "/apis/tekton.dev/v1/namespaces/default/pipelineruns"
APP = {"id": 12, "privateKey": {"secret": "appKey"}, "webhookSecret": {"secret": "appHook"}}
KEY, HOOK = "made-up-app-key", "made-up-app-hook"

PROGRAM = (
    RELEASES
    + """
from components.pipelines_as_code import FINALIZERS, AppCredentials, app_secret

more = ()
if "pipelines-as-code" in values:
    app = AppCredentials(
        app_id=12,
        private_key=pulumi.Output.secret(values["key"]),
        webhook_secret=pulumi.Output.secret(values["hook"]),
    )
    objects = {"github-app": app_secret(app)}
    more = (release("pipelines-as-code", objects=objects, let_go=FINALIZERS),)
TektonControllers("east", TektonControllersArgs(pipelines=release("tekton-pipelines"), more=more))
"""
)


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    with cluster(tmp_path) as running:
        yield running


@pytest.fixture
def project(plane: ControlPlane, tmp_path: Path) -> PulumiProject:
    return cluster_project(tmp_path, plane, PROGRAM)


def prepared(project: PulumiProject, **settings: object) -> dict[str, str]:
    """Prepare both releases, and give the values of the program."""
    of_settings = environment({"a": {}}, pipelinesAsCode={"enabled": True, "githubApp": APP, **settings})
    # None of its pods is wanted, so that it is available without nodes.
    changed = adaptation(of_settings, "a", PIPELINES_AS_CODE)
    ours = transform(PIPELINES_AS_CODE, release(replicas=0), changed)
    pipelines = of("ConfigMap", "made-up")
    pipelines["metadata"]["namespace"] = "pipeline-service"
    return {
        TEKTON_PIPELINES: write_release(project, TEKTON_PIPELINES, [pipelines]),
        PIPELINES_AS_CODE: write_release(project, PIPELINES_AS_CODE, ours),
        "key": KEY,
        "hook": HOOK,
    }


def version(metadata: dict[str, Any]) -> str:
    """Tell what changes with an object, but for its status, which its controller writes when it likes."""
    number = metadata.get("generation", metadata["resourceVersion"])
    return json.dumps([number, metadata.get("labels"), metadata.get("annotations")])


def versions(plane: ControlPlane) -> dict[str, str]:
    lists = (
        f"{HOME}/configmaps",
        "/apis/apps/v1/namespaces/pipelines-as-code/deployments",
        "/apis/networking.k8s.io/v1/namespaces/pipelines-as-code/networkpolicies",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/pipelines-as-code/roles",
        f"{HOME}/secrets",
    )
    return {
        f"{path.rpartition('/')[2]}/{one['metadata']['name']}": version(one["metadata"])
        for path in lists
        for one in plane.get(path)["items"]
        if one["metadata"]["name"] != "kube-root-ca.crt"
    }


def test_a_changed_setting_changes_the_one_config_map_and_the_apps_secret_shows_nowhere(
    plane: ControlPlane, project: PulumiProject
) -> None:
    project.set_values(prepared(project))
    said = project.up()
    assert project.changes() == {}
    data = plane.get(SECRET)["data"]
    assert {key: base64.b64decode(value).decode() for key, value in data.items()} == {
        "github-application-id": "12",
        "github-private-key": KEY,
        "webhook.secret": HOOK,
    }
    state = project.export()
    for value in (KEY, HOOK):
        for text in (value, base64.b64encode(value.encode()).decode()):
            assert text not in said
            assert text not in state

    before = versions(plane)
    project.set_values(prepared(project, keptRuns={"runs": 3}, applicationName="Ours"))
    project.up()
    after = versions(plane)
    assert {name for name in after if after[name] != before[name]} == {"configmaps/pipelines-as-code"}
    settings = plane.get(f"{HOME}/configmaps/pipelines-as-code")["data"]
    assert (settings["default-max-keep-runs"], settings["application-name"]) == ("3", "Ours")
    assert project.changes() == {}


def test_once_it_is_gone_runs_are_free(plane: ControlPlane, project: PulumiProject) -> None:
    plane.create(CRDS, definition("tekton.dev", "v1", "pipelineruns", "PipelineRun"))
    values = prepared(project)
    project.set_values(values)
    project.up()
    held = [FINALIZERS[0]["finalizer"], "example.com/somebody-elses"]
    run = {
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {"name": "r", "finalizers": held},
    }
    plane.create(RUNS, run)
    project.set_values({TEKTON_PIPELINES: values[TEKTON_PIPELINES]})
    project.up()
    assert not plane.exists(SECRET)
    assert plane.get(f"{RUNS}/r")["metadata"]["finalizers"] == held[1:]
