"""Argo CD's rights, guard, project and Application: as much as what it delivers, and no more."""

from typing import Any

import pytest

from components.access import READ, Subject, cluster_role, cluster_role_binding, role_binding, rule
from components.argocd_manifests import GitSource, application, closed_project, guard, project, rights
from components.argocd_rights import ContentError, delivered_kinds, handed_on, read_rules, sync_rules

PEOPLE = [Subject(kind="Group", name="sre")]
RUNNER = cluster_role(
    "runner",
    [
        rule("tekton.dev", ("pipelineruns",), (*READ, "create")),
        rule("", ("secrets",), READ),
        rule("", ("configmaps", "pods"), ("update",)),
    ],
    {},
)
DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "foxes.example.com"},
    "spec": {"group": "example.com", "names": {"kind": "Fox", "plural": "foxes"}},
}


def one(kind: str, name: str = "x", namespace: str | None = "place", group: str = "v1") -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": group, "kind": kind, "metadata": metadata}


CONTENT = [one("ConfigMap"), one("Namespace", "place", None), RUNNER, DEFINITION, one("Secret")]
SOURCE = GitSource(repository="https://git.example.com/sre/clusters", branch="main", path="clusters/east")


def verbs(rules: list[dict[str, Any]], group: str, resource: str) -> set[str]:
    return {
        verb
        for found in rules
        if group in found["apiGroups"] and resource in found["resources"] and "resourceNames" not in found
        for verb in found["verbs"]
    }


def test_it_may_write_what_it_delivers_and_nothing_is_a_wildcard() -> None:
    rules = sync_rules(CONTENT)
    assert verbs(rules, "", "configmaps") == {*READ, "create", "patch", "update", "delete"}
    assert verbs(rules, "", "services") == set()
    assert not any("*" in value for found in rules for values in found.values() for value in values)


def test_no_definition_is_deleted_since_all_objects_of_its_kind_would_go() -> None:
    rules = sync_rules(CONTENT)
    assert "delete" not in verbs(rules, "apiextensions.k8s.io", "customresourcedefinitions")
    assert "create" in verbs(rules, "apiextensions.k8s.io", "customresourcedefinitions")


def test_it_holds_what_the_roles_it_delivers_hold_and_never_escalates() -> None:
    rules = sync_rules(CONTENT)
    assert verbs(rules, "tekton.dev", "pipelineruns") == {*READ, "create"}
    assert not {"escalate", "impersonate", "bind"} & {verb for found in rules for verb in found["verbs"]}


def test_a_role_that_is_bound_but_not_delivered_may_be_bound_by_its_name_alone() -> None:
    bound = [
        cluster_role_binding("ours", "runner", PEOPLE, {}),
        role_binding("theirs", "place", "view", PEOPLE, {}),
    ]
    found = [found for found in sync_rules([RUNNER, *bound]) if "bind" in found["verbs"]]
    assert found == [rule("rbac.authorization.k8s.io", ("clusterroles",), ("bind",), ("view",))]


def test_objects_of_definitions_that_are_delivered_are_known_by_them() -> None:
    fox = one("Fox", group="example.com/v1")
    assert "delete" in verbs(sync_rules([DEFINITION, fox]), "example.com", "foxes")
    with pytest.raises(ContentError, match=r"Fox x: the resource of this kind, of group example\.com"):
        sync_rules([fox])


def test_a_role_that_sums_up_others_cant_be_delivered() -> None:
    with pytest.raises(ContentError, match="aggregates others"):
        sync_rules([{**RUNNER, "aggregationRule": {"clusterRoleSelectors": []}}])


def test_credentials_and_runs_are_never_delivered() -> None:
    kinds = [one("Secret"), one("Pod"), one("PipelineRun", group="tekton.dev/v1")]
    assert delivered_kinds(kinds) == []


def test_people_see_what_is_delivered_and_change_nothing() -> None:
    rules = read_rules(CONTENT)
    assert {verb for found in rules for verb in found["verbs"]} == {"get"}
    assert verbs(rules, "", "configmaps") == {"get"}
    assert verbs(rules, "", "secrets") == set()


def test_the_order_of_the_content_changes_nothing() -> None:
    for made in (sync_rules, read_rules, handed_on):
        assert made([*reversed(CONTENT)]) == made(CONTENT)
    assert project(SOURCE, [*reversed(CONTENT)]) == project(SOURCE, CONTENT)
    assert rights([*reversed(CONTENT)]) == rights(CONTENT)


def test_what_is_only_handed_on_is_guarded_and_what_is_delivered_is_not() -> None:
    assert handed_on(CONTENT) == {"": ["pods"], "tekton.dev": ["pipelineruns"]}
    spec = guard(CONTENT)["guard"]["spec"]
    guarded = {
        found["apiGroups"][0]: found["resources"] for found in spec["matchConstraints"]["resourceRules"]
    }
    assert guarded == {"": ["pods", "pods/*", "secrets"], "tekton.dev": ["*/*"]}
    assert '"/configmaps"' in spec["validations"][0]["expression"]
    assert "secrets" not in spec["validations"][0]["expression"]


def test_a_guarded_resource_that_another_covers_stands_there_once() -> None:
    role = cluster_role(
        "r",
        [
            rule("", ("pods/log", "services/status", "services"), ("update",)),
            rule("apps", ("*", "deployments"), ("update",)),
        ],
        {},
    )
    rules = guard([role])["guard"]["spec"]["matchConstraints"]["resourceRules"]
    guarded = {found["apiGroups"][0]: found["resources"] for found in rules}
    assert guarded[""] == ["pods", "pods/*", "secrets", "services", "services/status"]
    assert guarded["apps"] == ["*/*"]


def test_the_project_allows_one_repository_and_what_is_delivered_from_it() -> None:
    spec = project(SOURCE, CONTENT)["spec"]
    assert spec["sourceRepos"] == [SOURCE.repository]
    here = "https://kubernetes.default.svc"
    assert spec["destinations"] == [
        {"server": here, "namespace": "pipeline-service"},
        {"server": here, "namespace": "place"},
    ]
    assert spec["namespaceResourceWhitelist"] == [{"group": "", "kind": "ConfigMap"}]
    assert {found["kind"] for found in spec["clusterResourceWhitelist"]} == {
        "ClusterRole",
        "CustomResourceDefinition",
        "Namespace",
    }


def test_its_own_namespace_is_no_destination() -> None:
    spec = project(SOURCE, [one("ConfigMap", "argocd-rbac-cm", "argocd")])["spec"]
    assert [found["namespace"] for found in spec["destinations"]] == ["pipeline-service"]


def test_the_project_that_argo_cd_makes_by_itself_allows_nothing() -> None:
    spec = closed_project()["spec"]
    assert not any(spec[key] for key in spec if key != "description")


def test_the_application_heals_and_prunes_and_takes_nothing_with_it() -> None:
    made = application(SOURCE)
    assert made["spec"]["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True, "allowEmpty": False}
    assert "finalizers" not in made["metadata"]
    assert made["spec"]["source"]["path"] == "clusters/east"
