"""Argo CD's release made what is installed: a part of what it brings, closed, in a namespace of its own.

Pure functions over the objects of install.yaml and ha/install.yaml of argo-cd v3.2. What each change is for:
docs/adr/0007-argocd.md.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from releases.errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Manifest = dict[str, Any]

NAMESPACE: Final = "argocd"
"""Namespace of Argo CD on every cluster; its manifest states none, but for the subjects of its bindings."""

CONTROLLER: Final = "argocd-application-controller"
SERVER: Final = "argocd-server"
"""ServiceAccounts of the parts that work on the cluster."""

_LEFT_OUT: Final = ("argocd-dex", "argocd-notifications", "argocd-applicationset")
"""Beginnings of the names of parts that nothing here uses; the server still reads their definitions."""

_CLUSTER_SCOPED: Final = ("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace")
_WORKLOADS: Final = ("Deployment", "StatefulSet")
_USERS: Final = ("runAsUser", "runAsGroup", "fsGroup")
_CONFIG: Final = "argocd-cm"
_PARAMETERS: Final = "argocd-cmd-params-cm"
_EXCLUSIONS: Final = "resource.exclusions"

_DEFINED_HEALTH: Final = """\
return {status = "Healthy", message = "Defined"}
"""
_PUBLISHED_HEALTH: Final = """\
if obj.status ~= nil and obj.status.resourceSchemaName ~= nil and obj.status.resourceSchemaName ~= "" then
  return {status = "Healthy", message = "Published as " .. obj.status.resourceSchemaName}
end
return {status = "Progressing", message = "Waiting for the syncer to publish it"}
"""

_HEALTH: Final[Mapping[str, str]] = {
    "tekton.dev_Pipeline": _DEFINED_HEALTH,
    "tekton.dev_Task": _DEFINED_HEALTH,
    "syncagent.kcp.io_PublishedResource": _PUBLISHED_HEALTH,
}
"""Health checks, in Lua, of kinds that Argo CD has none for."""

CONFIG: Final[Mapping[str, Mapping[str, str]]] = {
    _CONFIG: {
        "admin.enabled": "false",
        "users.anonymous.enabled": "false",
        "exec.enabled": "false",
        "statusbadge.enabled": "false",
        # Only plain manifests are delivered: nothing of the repository is ever executed.
        "helm.enabled": "false",
        "jsonnet.enabled": "false",
        "kustomize.enabled": "false",
        "application.resourceTrackingMethod": "annotation",
        # Its role is narrow: it watches what that allows, where it would otherwise fail over all else.
        "resource.respectRBAC": "normal",
        **{f"resource.customizations.health.{kind}": lua for kind, lua in _HEALTH.items()},
    },
    "argocd-rbac-cm": {
        # Who is in no group that the settings name may do nothing, not even look.
        "policy.default": "",
        "scopes": "[groups]",
    },
    _PARAMETERS: {
        "server.insecure": "false",
        "server.disable.auth": "false",
        "reposerver.enable.git.submodule": "false",
    },
}
"""By ConfigMap: what is set whatever the settings are."""

_NEVER_MANAGED: Final = """\
### Never managed here, and so not even watched: what tenants make, and what holds credentials
- apiGroups:
  - tekton.dev
  kinds:
  - PipelineRun
  - TaskRun
  - CustomRun
- apiGroups:
  - ''
  kinds:
  - Pod
  - Secret
"""


def finish(name: str, objects: Iterable[Manifest], *, assigned_users: bool) -> list[Manifest]:
    """Make Argo CD's objects those that are installed, once their ConfigMaps are set.

    Parameters
    ----------
    name
        Name of the release.
    objects
        Its objects; they are changed.
    assigned_users
        Whether the platform gives pods their users, so that they may name none: OpenShift.

    Raises
    ------
    ReleaseError
        Something that must be changed is not there: the release is not what this function knows.
    """
    kept = [manifest for manifest in objects if _kept(manifest)]
    for manifest in kept:
        if manifest["kind"] not in _CLUSTER_SCOPED:
            manifest["metadata"]["namespace"] = NAMESPACE
        if manifest["kind"] == "RoleBinding":
            for subject in manifest["subjects"]:
                subject["namespace"] = NAMESPACE
    config = _config_map(name, kept, _CONFIG)
    config[_EXCLUSIONS] = config.get(_EXCLUSIONS, "") + _NEVER_MANAGED
    workloads = [manifest for manifest in kept if manifest["kind"] in _WORKLOADS]
    if missing := {SERVER, CONTROLLER} - {manifest["metadata"]["name"] for manifest in workloads}:
        raise ReleaseError(
            f"{name} has no workload {min(missing)}", "use a manifest of a version the catalog supports"
        )
    # Its pods read most of these only when they start.
    settings = json.dumps([config, _config_map(name, kept, _PARAMETERS)], sort_keys=True)
    digest = hashlib.sha256(settings.encode()).hexdigest()
    for manifest in workloads:
        template = manifest["spec"]["template"]
        template["metadata"].setdefault("annotations", {})["pipeline-service/config"] = digest
        for security in _prepared(template["spec"]):
            for key in _USERS if assigned_users else ():
                security.pop(key, None)
    return [_namespace(), *kept]


def _kept(manifest: Manifest) -> bool:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    # The roles for the whole cluster, everything and anything in the release, are made from what it delivers.
    return kind not in ("ClusterRole", "ClusterRoleBinding") and (
        kind == "CustomResourceDefinition" or not name.startswith(_LEFT_OUT)
    )


def _config_map(name: str, objects: Iterable[Manifest], config_map: str) -> dict[str, str]:
    for manifest in objects:
        if manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"] == config_map:
            data: dict[str, str] = manifest.setdefault("data", {})
            return data
    raise ReleaseError(
        f"{name} has no ConfigMap {config_map}", "use a manifest of a version the catalog supports"
    )


def _prepared(pod: Manifest) -> Iterator[Manifest]:
    """Set what holds for every container; give all security contexts of the pod."""
    if "securityContext" in pod:
        yield pod["securityContext"]
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        # Its tags name versions, so there is nothing to look for anew; offline nobody would answer.
        container["imagePullPolicy"] = "IfNotPresent"
        if "securityContext" in container:
            yield container["securityContext"]


def _namespace() -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "labels": {
                "app.kubernetes.io/part-of": "argocd",
                "pod-security.kubernetes.io/enforce": "restricted",
                "pod-security.kubernetes.io/warn": "restricted",
            },
        },
    }
