"""Settings of Tekton, and Chains coming and going, on a real engine and a real API server."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from releases.catalog import TEKTON_CHAINS, TEKTON_PIPELINES
from releases.transform import SIGNING_SECRET, transform
from stacks.mapping_releases import adaptation
from tests.support.cluster_project import (
    CRDS,
    RELEASES,
    cluster,
    cluster_project,
    definition,
    write_release,
)
from tests.support.recording import environment
from tests.support.tekton import config_maps

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.apiserver import ControlPlane
    from tests.support.pulumi_project import PulumiProject

NAMESPACES = ("tekton-pipelines", "tekton-pipelines-resolvers", "tekton-chains")
MAPS = "/api/v1/namespaces/{namespace}/configmaps"
RUNS = "/apis/tekton.dev/v1/namespaces/default/pipelineruns"
SECRET = f"/api/v1/namespaces/tekton-chains/secrets/{SIGNING_SECRET}"
POLICY = "/apis/networking.k8s.io/v1/namespaces/tekton-pipelines-resolvers/networkpolicies/resolvers"
HELD = ["chains.tekton.dev/pipelinerun", "example.com/somebody-elses"]

PROGRAM = (
    RELEASES
    + """
from components.tekton import CHAINS_FINALIZERS, signing_secret

more = ()
if "tekton-chains" in values:
    key = signing_secret(pulumi.Output.secret(values["key"]))
    more = (release("tekton-chains", objects={"signing-key": key}, let_go=CHAINS_FINALIZERS),)
TektonControllers("east", TektonControllersArgs(pipelines=release("tekton-pipelines"), more=more))
"""
)


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    with cluster(tmp_path, *NAMESPACES) as running:
        yield running


@pytest.fixture
def project(plane: ControlPlane, tmp_path: Path) -> PulumiProject:
    return cluster_project(tmp_path, plane, PROGRAM)


def chains(version: str) -> list[dict[str, Any]]:
    of = {"namespace": "tekton-chains"}
    maps = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {**of, "name": name},
            "data": {"version": version},
        }
        for name in ("chains-config", "chains-info")
    ]
    return [*maps, {"apiVersion": "v1", "kind": "Secret", "metadata": {**of, "name": SIGNING_SECRET}}]


def prepared(project: PulumiProject, name: str, manifests: list[dict[str, Any]], **tekton: object) -> str:
    settings = environment({"a": {}}, tekton=tekton)
    return write_release(project, name, transform(name, manifests, adaptation(settings, "a", name)))


def versions(plane: ControlPlane) -> dict[str, str]:
    return {
        one["metadata"]["name"]: one["metadata"]["resourceVersion"]
        for namespace in NAMESPACES
        for one in plane.get(MAPS.format(namespace=namespace))["items"]
        if one["metadata"]["name"] != "kube-root-ca.crt"
    }


def test_a_changed_setting_changes_the_one_config_map_that_it_speaks_of(
    plane: ControlPlane, project: PulumiProject
) -> None:
    published = config_maps()
    project.set_values({TEKTON_PIPELINES: prepared(project, TEKTON_PIPELINES, published)})
    project.up()
    assert project.changes() == {}
    before, policy = versions(plane), plane.get(POLICY)
    assert policy["spec"]["policyTypes"] == ["Egress"]

    changed = prepared(project, TEKTON_PIPELINES, published, features={"coschedule": "disabled"})
    project.set_values({TEKTON_PIPELINES: changed})
    project.up()
    after = versions(plane)
    assert {name for name in after if after[name] != before[name]} == {"feature-flags"}
    flags = plane.get(f"{MAPS.format(namespace='tekton-pipelines')}/feature-flags")["data"]
    assert (flags["coschedule"], flags["set-security-context"]) == ("disabled", "true")
    assert plane.get(POLICY)["metadata"]["resourceVersion"] == policy["metadata"]["resourceVersion"]
    assert project.changes() == {}


def test_the_signing_key_outlives_an_upgrade_and_runs_are_free_once_chains_is_gone(
    plane: ControlPlane, project: PulumiProject
) -> None:
    for plural, kind in (("pipelineruns", "PipelineRun"), ("taskruns", "TaskRun")):
        plane.create(CRDS, definition("tekton.dev", "v1", plural, kind))
    pipelines = prepared(project, TEKTON_PIPELINES, config_maps())

    def values(version: str) -> dict[str, Any]:
        made = prepared(project, TEKTON_CHAINS, chains(version))
        return {TEKTON_PIPELINES: pipelines, TEKTON_CHAINS: made, "key": "made-up-signing-key"}

    project.set_values(values("v1"))
    project.up()
    secret = plane.get(SECRET)
    assert base64.b64decode(secret["data"]["x509.pem"]).decode() == "made-up-signing-key"
    assert "made-up-signing-key" not in project.export()
    run = {
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {"name": "r", "finalizers": HELD},
    }
    plane.create(RUNS, run)

    project.set_values(values("v2"))
    assert project.changes() == {"east-tekton-chains-apply": "update", "east-tekton-chains-ready": "update"}
    project.up()
    assert plane.get(SECRET)["metadata"]["resourceVersion"] == secret["metadata"]["resourceVersion"]
    assert plane.get(f"{RUNS}/r")["metadata"]["finalizers"] == HELD

    project.set_values({TEKTON_PIPELINES: pipelines})
    project.up()
    assert not plane.exists(SECRET)
    assert plane.get(f"{RUNS}/r")["metadata"]["finalizers"] == HELD[1:]
    assert project.changes() == {}
