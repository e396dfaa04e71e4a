"""A made-up release of Pipelines as Code: as much of it as the program changes, with the rights of v0.37."""

from __future__ import annotations

from typing import Any

NAMESPACE = "pipelines-as-code"
GROUP = "pipelinesascode.tekton.dev"
_RBAC = "rbac.authorization.k8s.io/v1"
API_VERSIONS = {"ClusterRole": _RBAC, "Deployment": "apps/v1", "Role": _RBAC}


def of(kind: str, name: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 -- any part of an object
    return {
        "apiVersion": API_VERSIONS.get(kind, "v1"),
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {}},
        **more,
    }


def rights(group: str, resource: str, *verbs: str) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}


def deployment(part: str, replicas: int) -> dict[str, Any]:
    name = f"pipelines-as-code-{part}"
    container = {"name": f"pac-{part}", "image": f"{name}:v1", "imagePullPolicy": "Always", "env": []}
    labels = {"app.kubernetes.io/name": part}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return of("Deployment", name, spec=spec)


def release(replicas: int = 1) -> list[dict[str, Any]]:
    namespace = of("Namespace", NAMESPACE)
    namespace["metadata"]["labels"] = {"openshift.io/cluster-monitoring": "true", "kept": "yes"}
    watches = ("configmaps", "get", "list", "watch")
    return [
        namespace,
        of("ClusterRole", "pipelines-as-code-aggregate", rules=[rights(GROUP, "repositories", "create")]),
        of("Role", "pipelines-as-code-controller-role", rules=[rights("", *watches)]),
        of("Role", "pipelines-as-code-watcher-role", rules=[rights("", *watches)]),
        of(
            "ClusterRole",
            "pipeline-as-code-controller-clusterrole",
            rules=[
                rights("", "namespaces", "create"),
                rights("", "secrets", "get", "create", "update", "delete"),
                rights(GROUP, "repositories", "get", "create", "list"),
                rights("tekton.dev", "pipelineruns", "get", "list", "create", "patch"),
                rights("", "events", "create"),
            ],
        ),
        of(
            "ClusterRole",
            "pipeline-as-code-watcher-clusterrole",
            rules=[
                rights("", "secrets", "get", "delete"),
                rights(GROUP, "repositories", "get", "list", "update", "watch"),
                rights("tekton.dev", "pipelineruns", "get", "delete", "list", "watch", "update", "patch"),
                rights("tekton.dev", "taskruns", "get", "list"),
                rights("", "pods/log", "get"),
                rights("", "events", "create", "update", "patch"),
            ],
        ),
        of("ConfigMap", "pipelines-as-code", data={"application-name": "Pipelines as Code CI"}),
        *(deployment(part, replicas) for part in ("controller", "watcher", "webhook")),
    ]
