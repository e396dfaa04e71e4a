"""Tekton by OpenShift's operator: what the settings say reaches it as it reaches the release."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from components.delivery import SYNC_OPTIONS, SYNC_WAVE
from components.image_repository import PULL_SECRET
from releases.catalog import TEKTON_PIPELINES
from stacks import rendering
from stacks.mapping_releases import adaptation, on_openshift
from stacks.rendering import own_objects
from tests.support.recording import environment, loaded, record

if TYPE_CHECKING:
    from stacks.settings import EnvironmentSettings

IMAGES = {
    "offline": True,
    "mirrors": {"ghcr.io": "m.example/ghcr", "docker.io": "m.example/hub"},
    "pullSecret": {"secret": "credentials"},
}
POLICY = "networkpolicy.openshift-pipelines.resolvers.yaml"


def settings(**more: object) -> EnvironmentSettings:
    gitops = {
        "argocd": {"enabled": True},
        "gitops": {"repository": "https://git.example.com/sre/clusters"},
    }
    clusters = {
        "o": {"distribution": "openshift"},
        "g": {"distribution": "openshift", "delivery": "gitops"},
        "k": {},
    }
    return environment(clusters, {}, **gitops, **more)


def registered(given: EnvironmentSettings) -> dict[str, Any]:
    """Give the TektonConfig of cluster o, as it is applied."""
    recorder, _ = record(given)
    text = recorder.named("o-tekton-config-apply").inputs["stdin"]
    made: dict[str, Any] = yaml.safe_load(text)
    return made


@pytest.mark.parametrize("images", [{}, IMAGES])
def test_tekton_is_set_up_as_on_other_clusters(images: dict[str, Any]) -> None:
    given = settings(imageRepository=images, tekton={"resolvers": {"http": {"enabled": True}}})
    elsewhere = adaptation(given, "k", TEKTON_PIPELINES, loaded(given).images).config_maps
    maps = registered(given)["spec"]["pipeline"]["options"]["configMaps"]
    assert {name: one["data"] for name, one in maps.items()} == elsewhere


def test_offline_no_resolver_reaches_out_and_the_affinity_assistant_can_be_pulled() -> None:
    maps = registered(settings(imageRepository=IMAGES))["spec"]["pipeline"]["options"]["configMaps"]
    flags = maps["resolvers-feature-flags"]["data"]
    assert {flags[f"enable-{one}-resolver"] for one in ("git", "hub", "bundles")} == {"false"}
    assert PULL_SECRET in maps["config-defaults"]["data"]["default-affinity-assistant-pod-template"]


def test_no_config_map_without_data_is_given_to_the_operator() -> None:
    given = settings()
    images = replace(loaded(given).images, certificate_authority="made-up")
    assert "config-registry-cert" in adaptation(given, "k", TEKTON_PIPELINES, images).config_maps
    assert "config-registry-cert" not in on_openshift(given, images).config_maps


def test_the_controllers_resources_reach_its_deployment() -> None:
    pipeline = registered(settings(tekton={"controller": {"memoryLimit": "1Gi"}}))["spec"]["pipeline"]
    assert "1Gi" in str(pipeline["options"]["deployments"]["tekton-pipelines-controller"])
    assert "deployments" not in registered(settings())["spec"]["pipeline"]["options"]


def test_the_resolvers_are_kept_from_metadata_and_blocked_networks_once_their_namespace_is_there() -> None:
    given = settings(tekton={"resolvers": {"blockedNetworks": ["10.1.0.0/16"]}})
    recorder, _ = record(given)
    policy = recorder.named("o-resolvers-policy")
    assert policy.inputs["metadata"]["namespace"] == "openshift-pipelines"
    elsewhere = adaptation(given, "k", TEKTON_PIPELINES).objects[0]
    assert policy.inputs["spec"] == elsewhere["spec"]
    assert recorder.named("o-tekton-config-ready").urn in policy.dependencies
    assert not [one for one in recorder.registrations.values() if one.name == "g-resolvers-policy"]


def test_what_argo_cd_applies_is_the_same_and_waits_for_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings(imageRepository=IMAGES, tekton={"controller": {"memoryLimit": "1Gi"}})
    objects = {one["kind"]: one for one in own_objects(loaded(given), "g")["tekton"]}
    assert objects["TektonConfig"] == registered(given)

    monkeypatch.setattr(rendering, "release_objects", lambda _: [])
    content = rendering.cluster_content(loaded(given), "g", Path())
    config = content["tekton/tektonconfig.config.yaml"]["metadata"]["annotations"]
    policy = content[f"tekton/{POLICY}"]["metadata"]["annotations"]
    assert config[SYNC_WAVE] < policy[SYNC_WAVE]
    assert config[SYNC_OPTIONS] == "SkipDryRunOnMissingResource=true"
