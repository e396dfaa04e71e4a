"""A made-up release of Tekton Pipelines: as much of it as the program changes."""

from __future__ import annotations

from typing import Any

CONFIG_MAPS = {
    "config-defaults": "tekton-pipelines",
    "config-leader-election-controller": "tekton-pipelines",
    "config-registry-cert": "tekton-pipelines",
    "feature-flags": "tekton-pipelines",
    "bundleresolver-config": "tekton-pipelines-resolvers",
    "cluster-resolver-config": "tekton-pipelines-resolvers",
    "git-resolver-config": "tekton-pipelines-resolvers",
    "http-resolver-config": "tekton-pipelines-resolvers",
    "resolvers-feature-flags": "tekton-pipelines-resolvers",
}
"""Namespaces of the ConfigMaps that are set, by their names."""


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": CONFIG_MAPS.get(name, "tekton-pipelines")},
        "data": data,
    }


def config_maps() -> list[dict[str, Any]]:
    return [config_map(name) for name in CONFIG_MAPS]


def controller() -> dict[str, Any]:
    container = {"name": "controller", "image": "controller:v1", "args": ["-entrypoint-image", "e:v1"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "tekton-pipelines-controller", "namespace": "tekton-pipelines"},
        "spec": {"replicas": 1, "template": {"metadata": {}, "spec": {"containers": [container]}}},
    }
