"""Made-up settings of Tekton Results, and its release as far as they change it."""

from __future__ import annotations

from typing import Any

from releases.adaptation import Adaptation
from releases.catalog import TEKTON_RESULTS
from releases.transform import transform

RESULTS: dict[str, Any] = {"enabled": True, "tls": {"secret": "front"}, "serverTls": {"secret": "server"}}
"""Section `tekton.results`."""

PLACE: dict[str, Any] = {
    "database": {"host": "postgresql.databases.svc", "password": {"secret": "password"}},
    "host": "results.example.com",
}
"""Section `results` of a cluster."""

NAMESPACE = "tekton-pipelines"


def _deployment(name: str, *arguments: str) -> dict[str, Any]:
    container = {
        "name": name,
        "image": f"ghcr.io/tekton/{name}:v1",
        "args": list(arguments),
        "env": [{"name": "DB_USER", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}}],
        "volumeMounts": [{"name": "tls", "mountPath": "/etc/tls"}],
    }
    pod = {"containers": [container], "volumes": [{"name": "tls", "secret": {"secretName": "tls"}}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"tekton-results-{name}", "namespace": NAMESPACE},
        "spec": {"template": {"spec": pod}},
    }


def published() -> list[dict[str, Any]]:
    """Return what of the release is changed."""
    rules = [
        {"apiGroups": ["tekton.dev"], "resources": ["pipelineruns"], "verbs": ["get", "patch", "delete"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "delete"]},
    ]
    return [
        _deployment("api"),
        _deployment("watcher", "-api_addr", "there"),
        _deployment("retention-policy-agent"),
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "tekton-results-watcher"},
            "rules": rules,
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "tekton-results-config-results-retention-policy",
                "namespace": NAMESPACE,
            },
            "data": {"runAt": "5 5 * * 0", "defaultRetention": "30"},
        },
    ]


def installed(adaptation: Adaptation) -> dict[tuple[str, str], dict[str, Any]]:
    """Transform the made-up release, and give its objects by kind and name."""
    made = transform(TEKTON_RESULTS, published(), adaptation)
    return {(one["kind"], one["metadata"]["name"]): one for one in made}
