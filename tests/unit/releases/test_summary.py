"""What an upgrade changes, as a pull request shows it."""

from __future__ import annotations

from typing import Any

from releases.summary import markdown, outline, summarize

Manifest = dict[str, Any]


def crd(name: str, *versions: tuple[str, bool, bool]) -> Manifest:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "versions": [{"name": one, "served": served, "storage": kept} for one, served, kept in versions]
        },
    }


def role(*rules: dict[str, list[str]], name: str = "controller") -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": list(rules),
    }


def rule(group: str, resources: list[str], verbs: list[str], **more: list[str]) -> dict[str, list[str]]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs, **more}


def deployment(image: str, version: str = "apps/v1") -> Manifest:
    containers = [{"name": "main", "image": image, "args": ["-entrypoint-image", f"{image}-entrypoint"]}]
    return {
        "apiVersion": version,
        "kind": "Deployment",
        "metadata": {"name": "controller", "namespace": "tekton"},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


def test_objects_and_images_that_come_go_and_change_are_told() -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "tekton"}}
    found = summarize(
        "x", ("v1", [deployment("ghcr.io/a:1"), config]), ("v2", [deployment("ghcr.io/a:2"), role()])
    )
    assert (found.added, found.removed, found.changed) == (
        ("ClusterRole controller",),
        ("ConfigMap tekton/c",),
        ("Deployment tekton/controller",),
    )
    assert found.images_added == ("ghcr.io/a:2", "ghcr.io/a:2-entrypoint")
    assert found.images_removed == ("ghcr.io/a:1", "ghcr.io/a:1-entrypoint")


def test_the_same_manifests_in_another_order_differ_in_nothing() -> None:
    objects = [deployment("ghcr.io/a:1"), role(rule("", ["pods"], ["get"])), crd("a.b", ("v1", True, True))]
    found = summarize("x", ("v1", objects), ("v1", objects[::-1]))
    told = found.model_dump(exclude={"release", "old", "new"})
    assert set(told.values()) == {()}


def test_an_object_that_moves_to_another_version_of_its_api_is_changed_not_removed() -> None:
    found = summarize(
        "x", ("1", [deployment("ghcr.io/a:1", "apps/v1beta1")]), ("2", [deployment("ghcr.io/a:1")])
    )
    assert (found.added, found.removed) == ((), ())
    assert found.changed == ("Deployment tekton/controller",)


def test_rights_are_compared_however_rules_group_them() -> None:
    together = role(rule("", ["pods", "secrets"], ["get", "list"]))
    apart = role(
        rule("", ["secrets"], ["list", "get"]), rule("", ["pods"], ["get"]), rule("", ["pods"], ["list"])
    )
    found = summarize("x", ("1", [together]), ("2", [apart]))
    assert (found.rights_added, found.rights_removed) == ((), ())


def test_rights_that_come_and_go_are_told_by_role_and_resource() -> None:
    before = role(rule("", ["pods"], ["get", "watch"]), rule("apps", ["deployments"], ["get"]))
    after = role(
        rule("", ["pods"], ["get", "delete", "create"]),
        rule("", ["secrets"], ["get"], resourceNames=["certs"]),
        {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
    )
    found = summarize("x", ("1", [before]), ("2", [after]))
    assert found.rights_added == (
        "ClusterRole controller: /metrics: get",
        "ClusterRole controller: pods: create, delete",
        "ClusterRole controller: secrets/certs: get",
    )
    assert found.rights_removed == (
        "ClusterRole controller: deployments.apps: get",
        "ClusterRole controller: pods: watch",
    )


def test_versions_that_are_dropped_and_objects_stored_as_them_are_told() -> None:
    before = [
        crd("tasks.x", ("v1alpha1", False, False), ("v1beta1", True, True), ("v1", True, False)),
        crd("runs.x", ("v1alpha1", True, True)),
        crd("kept.x", ("v1beta1", True, False), ("v1", True, True)),
    ]
    after = [
        crd("tasks.x", ("v1", True, True)),
        crd("kept.x", ("v1beta1", False, False), ("v1", True, True), ("v2", True, False)),
    ]
    found = summarize("x", ("1", before), ("2", after))
    assert found.versions_dropped == ("kept.x v1beta1", "runs.x v1alpha1", "tasks.x v1beta1")
    assert found.versions_added == ("kept.x v2",)
    assert [line.split(":")[0] for line in found.at_risk] == [
        "runs.x is no longer part of the release",
        "tasks.x has no v1alpha1 any more",
        "tasks.x has no v1beta1 any more (new objects were stored as it)",
    ]


def test_a_pull_request_gets_what_is_there_and_no_empty_list() -> None:
    text = markdown(summarize("x", ("v1", [deployment("ghcr.io/a:1")]), ("v2", [])))
    assert text.startswith("### x: v1 to v2\n\nObjects: 0 added, 1 removed, 0 changed.\n")
    assert "**Objects removed**\n\n- Deployment tekton/controller\n" in text
    assert "Rights" not in text
    assert "added**" not in text


def test_an_outline_shows_line_by_line_what_an_upgrade_changes() -> None:
    before = [
        crd("tasks.x", ("v1beta1", True, True), ("v1", True, False)),
        role(rule("", ["pods", "secrets"], ["get", "list"])),
        deployment("ghcr.io/a:1"),
    ]
    after = [
        crd("tasks.x", ("v1", True, True)),
        role(rule("", ["pods"], ["list", "get"]), rule("", ["secrets"], ["get"])),
        deployment("ghcr.io/a:1"),
    ]
    old, new = outline(before), outline(list(reversed(after)))
    assert [line for line in old if line not in new][1:3] == [
        "  allows get, list: pods, secrets",
        next(line for line in old if line.startswith("CustomResourceDefinition tasks.x ")),
    ]
    assert "  serves v1, v1beta1; stores v1beta1" in old
    assert [line for line in new if line.startswith("  ")] == [
        "  allows get: secrets",
        "  allows get, list: pods",
        "  serves v1; stores v1",
        "  image ghcr.io/a:1",
        "  image ghcr.io/a:1-entrypoint",
    ]
    assert [line for line in old if line.startswith("Deployment")] == [
        line for line in new if line.startswith("Deployment")
    ]


def test_an_outline_holds_no_value_of_a_secret() -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "n"},
        "stringData": {"key": "hunter2"},
    }
    [line] = outline([secret])
    assert line.startswith("Secret n/s ")
    assert "hunter2" not in line
