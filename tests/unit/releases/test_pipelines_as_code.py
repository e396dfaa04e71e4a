"""Pipelines as Code's release with no more rights than it needs here."""

from __future__ import annotations

from typing import Any

import pytest

from releases.adaptation import UNADAPTED
from releases.catalog import PIPELINES_AS_CODE
from releases.errors import ReleaseError
from releases.transform import transform
from tests.support.pipelines_as_code import GROUP, release, rights

CONTROLLER = "pipeline-as-code-controller-clusterrole"


def installed(objects: list[dict[str, Any]] | None = None) -> dict[tuple[str, str], dict[str, Any]]:
    made = transform(PIPELINES_AS_CODE, objects or release(), UNADAPTED)
    return {(one["kind"], one["metadata"]["name"]): one for one in made}


def may(role: dict[str, Any], resource: str) -> set[str]:
    """What a role allows with any object of a resource."""
    return {
        verb
        for rule in role["rules"]
        if resource in rule["resources"] and "resourceNames" not in rule
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("part", ["controller", "watcher"])
def test_over_the_whole_cluster_it_only_looks_and_at_no_secret(part: str) -> None:
    made = installed()
    role = made["ClusterRole", f"pipeline-as-code-{part}-clusterrole"]
    verbs = {verb for rule in role["rules"] for verb in rule["verbs"]}
    assert verbs <= {"get", "list", "watch"}
    assert not may(role, "secrets")
    own = made["Role", f"pipelines-as-code-{part}-role"]
    assert not may(own, "secrets")
    named = [rule["resourceNames"] for rule in own["rules"] if rule["resources"] == ["secrets"]]
    assert named == [["pipelines-as-code-secret", "pipelines-as-code-tls-secret"]]


def test_what_it_does_in_tenants_namespaces_is_a_role_to_be_bound_there() -> None:
    made = installed()
    controller = made["ClusterRole", "pipelines-as-code-controller-in-tenants"]
    assert may(controller, "pipelineruns") == {"get", "list", "create", "patch"}
    assert may(controller, "secrets") == {"get", "create", "update", "delete"}
    assert not may(controller, "repositories")
    watcher = made["ClusterRole", "pipelines-as-code-watcher-in-tenants"]
    assert may(watcher, "repositories") == {"update"}
    assert may(watcher, "pods/log") == {"get"}


def test_it_makes_no_namespaces_and_no_editor_of_a_namespace_makes_repositories() -> None:
    made = installed()
    assert ("ClusterRole", "pipelines-as-code-aggregate") not in made
    assert not [one for one in made.values() if "create" in may({"rules": [], **one}, "namespaces")]
    assert made["ConfigMap", "pipelines-as-code"]["data"]["auto-configure-new-github-repo"] == "false"


def test_a_runs_token_of_the_app_reaches_its_own_repository_alone() -> None:
    data = installed()["ConfigMap", "pipelines-as-code"]["data"]
    assert data["secret-github-app-token-scoped"] == "true"
    assert data["secret-github-app-scope-extra-repos"] == ""


def test_its_namespace_is_closed_and_what_is_openshifts_is_left_out() -> None:
    labels = installed()["Namespace", "pipelines-as-code"]["metadata"]["labels"]
    assert labels == {
        "kept": "yes",
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
    }


def test_its_images_are_not_pulled_at_each_start() -> None:
    made = installed()
    for part in ("controller", "watcher", "webhook"):
        [container] = made["Deployment", f"pipelines-as-code-{part}"]["spec"]["template"]["spec"][
            "containers"
        ]
        assert container["imagePullPolicy"] == "IfNotPresent"


def test_a_version_with_other_rights_is_refused_by_name() -> None:
    more = release()
    for one in more:
        if one["metadata"]["name"] == CONTROLLER:
            one["rules"].append(rights("", "pods", "create"))
    with pytest.raises(ReleaseError, match="a further right of pipelines-as-code-controller to create pods"):
        installed(more)
    less = [one for one in release() if one["metadata"]["name"] != CONTROLLER]
    with pytest.raises(ReleaseError, match=f"no ClusterRole {CONTROLLER}"):
        installed(less)
    for one in (fewer := release()):
        if one["metadata"]["name"] == CONTROLLER:
            one["rules"] = [rule for rule in one["rules"] if rule["apiGroups"] != [GROUP]]
    with pytest.raises(
        ReleaseError, match=r"no right of pipelines-as-code-controller to create repositories"
    ):
        installed(fewer)
