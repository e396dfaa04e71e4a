"""Argo CD's release: what is left out of it, and closed in it; on a small cut of its manifest."""

from typing import Any

import pytest
import yaml

from releases.adaptation import UNADAPTED, Adaptation
from releases.catalog import ARGO_CD
from releases.errors import ReleaseError
from releases.transform import transform

HEALTH = "resource.customizations.health."


def named(kind: str, name: str, **more: object) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **more}


def workload(kind: str, name: str) -> dict[str, Any]:
    pod = {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 999},
        "initContainers": [{"name": "first", "image": "x"}],
        "containers": [
            {
                "name": "x",
                "image": "x",
                "imagePullPolicy": "Always",
                "securityContext": {"runAsUser": 99, "allowPrivilegeEscalation": False},
            }
        ],
    }
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    return named(kind, name, spec={"template": template})


def cut() -> list[dict[str, Any]]:
    return [
        named("CustomResourceDefinition", "applicationsets.argoproj.io"),
        named("ClusterRole", "argocd-application-controller", rules=[{"verbs": ["*"]}]),
        named("ClusterRoleBinding", "argocd-application-controller"),
        named("RoleBinding", "argocd-server", subjects=[{"kind": "ServiceAccount", "name": "argocd-server"}]),
        named("ConfigMap", "argocd-cm", data={"resource.exclusions": "- kinds: [Endpoints]\n", "kept": "x"}),
        named("ConfigMap", "argocd-rbac-cm"),
        named("ConfigMap", "argocd-cmd-params-cm"),
        named("ConfigMap", "argocd-notifications-cm"),
        named("Secret", "argocd-secret"),
        named("Service", "argocd-dex-server"),
        workload("Deployment", "argocd-server"),
        workload("Deployment", "argocd-dex-server"),
        workload("Deployment", "argocd-notifications-controller"),
        workload("Deployment", "argocd-applicationset-controller"),
        workload("StatefulSet", "argocd-application-controller"),
    ]


def made(adaptation: Adaptation = UNADAPTED) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["kind"], one["metadata"]["name"]): one for one in transform(ARGO_CD, cut(), adaptation)}


def test_what_nothing_uses_and_the_roles_for_everything_are_left_out() -> None:
    assert set(made()) == {
        ("Namespace", "argocd"),
        ("CustomResourceDefinition", "applicationsets.argoproj.io"),
        ("RoleBinding", "argocd-server"),
        ("ConfigMap", "argocd-cm"),
        ("ConfigMap", "argocd-rbac-cm"),
        ("ConfigMap", "argocd-cmd-params-cm"),
        ("Secret", "argocd-secret"),
        ("Deployment", "argocd-server"),
        ("StatefulSet", "argocd-application-controller"),
    }


def test_everything_but_what_is_the_clusters_lies_in_its_namespace() -> None:
    for (kind, _), one in made().items():
        expected = None if kind in ("Namespace", "CustomResourceDefinition") else "argocd"
        assert one["metadata"].get("namespace") == expected
    assert made()["RoleBinding", "argocd-server"]["subjects"][0]["namespace"] == "argocd"


def test_nobody_gets_in_by_default() -> None:
    config = made()["ConfigMap", "argocd-cm"]["data"]
    assert {config[key] for key in ("admin.enabled", "users.anonymous.enabled", "exec.enabled")} == {"false"}
    assert made()["ConfigMap", "argocd-rbac-cm"]["data"]["policy.default"] == ""
    parameters = made()["ConfigMap", "argocd-cmd-params-cm"]["data"]
    assert (parameters["server.insecure"], parameters["server.disable.auth"]) == ("false", "false")


def test_the_settings_cant_open_what_is_closed() -> None:
    opened = Adaptation(config_maps={"argocd-cm": {"admin.enabled": "true", "url": "https://x"}})
    config = made(opened)["ConfigMap", "argocd-cm"]["data"]
    assert (config["admin.enabled"], config["url"], config["kept"]) == ("false", "https://x", "x")


def test_runs_and_credentials_are_excluded_beside_what_upstream_excludes() -> None:
    exclusions = made()["ConfigMap", "argocd-cm"]["data"]["resource.exclusions"]
    assert exclusions.startswith("- kinds: [Endpoints]\n")
    for kind in ("PipelineRun", "TaskRun", "Secret", "Pod"):
        assert f"  - {kind}\n" in exclusions


def test_no_health_is_checked_of_what_is_never_watched() -> None:
    config = made()["ConfigMap", "argocd-cm"]["data"]
    checked = {key.removeprefix(HEALTH) for key in config if key.startswith(HEALTH)}
    excluded = {
        f"{group}_{kind}"
        for entry in yaml.safe_load(config["resource.exclusions"])
        for group in entry.get("apiGroups", ["*"])
        for kind in entry["kinds"]
    }
    assert "tekton.dev_PipelineRun" in excluded
    assert checked
    assert not checked & excluded


def test_pods_are_made_anew_where_what_they_read_at_their_start_changes() -> None:
    def annotations(adaptation: Adaptation) -> set[str]:
        return {
            one["spec"]["template"]["metadata"]["annotations"]["pipeline-service/config"]
            for (kind, _), one in made(adaptation).items()
            if kind in ("Deployment", "StatefulSet")
        }

    before = annotations(UNADAPTED)
    assert len(before) == 1
    assert annotations(UNADAPTED) == before
    assert annotations(Adaptation(config_maps={"argocd-cm": {"timeout.reconciliation": "9s"}})) != before


@pytest.mark.parametrize("assigned", [False, True])
def test_pods_name_a_user_unless_the_platform_assigns_it(*, assigned: bool) -> None:
    pod = made(Adaptation(assigned_users=assigned))["Deployment", "argocd-server"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert ("runAsUser" in pod["securityContext"]) is not assigned
    assert ("runAsUser" in container["securityContext"]) is not assigned
    assert pod["securityContext"]["runAsNonRoot"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert {one["imagePullPolicy"] for one in (*pod["containers"], *pod["initContainers"])} == {
        "IfNotPresent"
    }


@pytest.mark.parametrize("missing", ["argocd-cm", "argocd-cmd-params-cm", "argocd-server"])
def test_another_manifest_than_the_known_one_is_refused(missing: str) -> None:
    objects = [one for one in cut() if one["metadata"]["name"] != missing]
    with pytest.raises(ReleaseError, match=missing):
        transform(ARGO_CD, objects)
