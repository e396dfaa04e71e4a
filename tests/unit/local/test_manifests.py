"""Release manifests made from module sources."""

from pathlib import Path

import pytest
import yaml

from local.assembled import MODULES, Release
from local.images_tekton import ko_image
from local.manifests import (
    _MAKERS,
    ManifestError,
    Object,
    argocd,
    pipelines_as_code,
    tekton,
    write_release_manifests,
)

PIPELINES = ("tekton-pipelines", "v1.6.0")
SYNCAGENT = ("api-syncagent-crds", "v0.7.0")

CONTROLLER = """\
# Copyright
apiVersion: apps/v1
kind: Deployment
metadata:
  name: controller
  labels: {app.kubernetes.io/version: "devel", pipeline.tekton.dev/release: devel, version: "devel"}
  annotations: {note: devel, resolution.tekton.dev/release: devel, since: 2024-01-02}
spec:
  template:
    spec:
      containers:
      - image: ko://github.com/tektoncd/pipeline/cmd/controller
        args: [
          # built on demand
          "-nop-image", "ko://github.com/tektoncd/pipeline/cmd/nop",
          "-shell-image", "cgr.dev/chainguard/busybox@sha256:19f0",
          "-shell-image-win", "mcr.microsoft.com/powershell:nanoserver@sha256:b6d5",
        ]
"""
CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: config-defaults}
data:
  _example: |
    # a comment that is data: devel
    key: value
---
# nothing but a comment
"""
CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: publishedresources.syncagent.kcp.io}
"""


def named(kind: str, name: str) -> str:
    return f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n"


@pytest.fixture
def modules(tmp_path: Path) -> dict[Release, Path]:
    files = {
        "pipeline/config/controller.yaml": CONTROLLER,
        "pipeline/config/config-defaults.yaml": CONFIG,
        "pipeline/config/100-namespace/100-namespace.yaml": named("Namespace", "tekton-pipelines"),
        "pipeline/config/200-role.yaml": named("Role", "role"),
        "pipeline/config/resolvers/100-namespace.yaml": named("Namespace", "tekton-pipelines-resolvers"),
        "pipeline/config/webhook.yaml": named("Service", "webhook"),
        "pipeline/config/dummy.go": "package config",
        "agent/deploy/crd/kcp.io/publishedresources.yaml": CRD,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {PIPELINES: tmp_path / "pipeline", SYNCAGENT: tmp_path / "agent"}


def tekton_pipelines(modules: dict[Release, Path]) -> list[Object]:
    return tekton(modules[PIPELINES] / "config", "v1.6.0", recursive=True)


def test_objects_stand_in_the_order_of_upstreams_release(modules: dict[Release, Path]) -> None:
    names = [entry["metadata"]["name"] for entry in tekton_pipelines(modules)]
    assert names == [
        "tekton-pipelines",
        "role",
        "config-defaults",
        "controller",
        "tekton-pipelines-resolvers",
        "webhook",
    ]


def test_only_the_fields_that_upstream_rewrites_carry_the_version(modules: dict[Release, Path]) -> None:
    controller = tekton_pipelines(modules)[3]
    assert controller["metadata"]["labels"] == {
        "app.kubernetes.io/version": "v1.6.0",
        "pipeline.tekton.dev/release": "v1.6.0",
        "version": "v1.6.0",
    }
    # A date stays the text that Kubernetes would see.
    assert controller["metadata"]["annotations"] == {
        "note": "devel",
        "resolution.tekton.dev/release": "devel",
        "since": "2024-01-02",
    }


def test_images_are_those_that_the_clusters_hold(modules: dict[Release, Path]) -> None:
    (container,) = tekton_pipelines(modules)[3]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == ko_image("github.com/tektoncd/pipeline/cmd/controller", tag="v1.6.0")
    assert container["args"] == [
        "-nop-image",
        ko_image("github.com/tektoncd/pipeline/cmd/nop", tag="v1.6.0"),
        "-shell-image",
        "cgr.dev/chainguard/busybox:1.36",
        "-shell-image-win",
        "mcr.microsoft.com/powershell:nanoserver@sha256:b6d5",
    ]


def test_written_files_hold_no_comment_but_keep_comments_that_are_data(
    modules: dict[Release, Path],
    tmp_path: Path,
) -> None:
    paths = write_release_manifests(modules, tmp_path / "out")
    assert [path.name for path in paths] == ["tekton-pipelines-v1.6.0.yaml", "api-syncagent-crds-v0.7.0.yaml"]
    text = paths[0].read_text()
    assert "Copyright" not in text
    assert "built on demand" not in text
    objects = list(yaml.safe_load_all(text))
    assert objects[2]["data"]["_example"] == "# a comment that is data: devel\nkey: value\n"
    assert [entry["kind"] for entry in yaml.safe_load_all(paths[1].read_text())] == [
        "CustomResourceDefinition"
    ]


def test_a_second_run_leaves_the_files_untouched(modules: dict[Release, Path], tmp_path: Path) -> None:
    first = [path.stat() for path in write_release_manifests(modules, tmp_path / "out")]
    second = [path.stat() for path in write_release_manifests(modules, tmp_path / "out")]
    assert [(s.st_ino, s.st_mtime_ns) for s in first] == [(s.st_ino, s.st_mtime_ns) for s in second]


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("agent/deploy/crd/kcp.io/role.yaml", named("Role", "extra"), "holds a Role, expected CRDs only"),
        ("pipeline/config/broken.yaml", "a: [", "fetch the module again"),
        ("pipeline/config/list.yaml", "- a\n", "no Kubernetes object"),
        ("pipeline/config/args.yaml", named("Pod", "p") + "spec: {args: [-shell-image]}\n", "no value"),
    ],
)
def test_sources_that_are_not_what_they_should_be_are_refused(
    modules: dict[Release, Path],
    tmp_path: Path,
    name: str,
    text: str,
    error: str,
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ManifestError, match=error) as caught:
        write_release_manifests(modules, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_a_module_without_manifests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no manifests there"):
        tekton(tmp_path, "v1.6.0")


def test_the_interceptors_of_triggers_are_a_release_of_their_own(tmp_path: Path) -> None:
    config = tmp_path / "config"
    (config / "interceptors").mkdir(parents=True)
    (config / "controller.yaml").write_text(
        named("Deployment", "controller").replace(
            "{name: controller}", "{name: controller, labels: {triggers.tekton.dev/release: devel}}"
        )
    )
    (config / "interceptors" / "core.yaml").write_text(named("Service", "core"))
    sources: dict[Release, Path] = {
        ("tekton-triggers", "v0.34.0"): tmp_path,
        ("tekton-triggers-interceptors", "v0.34.0"): tmp_path,
    }
    triggers, interceptors = (
        list(yaml.safe_load_all(path.read_text()))
        for path in write_release_manifests(sources, tmp_path / "out")
    )
    assert [entry["metadata"]["name"] for entry in triggers] == ["controller"]
    assert triggers[0]["metadata"]["labels"] == {"triggers.tekton.dev/release": "v0.34.0"}
    assert [entry["metadata"]["name"] for entry in interceptors] == ["core"]


def test_results_is_what_kustomize_makes_of_its_release(tmp_path: Path) -> None:
    kubectl = tmp_path / "kubectl"
    image = "ko://github.com/tektoncd/results/cmd/api"
    made = (
        named("Deployment", "api") + f"spec: {{template: {{spec: {{containers: [{{image: {image}}}]}}}}}}\n"
    )
    made += "---\n" + named("ConfigMap", "info") + "data: {version: devel}\n"
    kubectl.write_text(f"#!/bin/sh\ntest \"$*\" = 'kustomize {tmp_path}/release' && cat <<'END'\n{made}END\n")
    kubectl.chmod(0o755)
    sources: dict[Release, Path] = {("tekton-results", "v0.18.0"): tmp_path}
    (path,) = write_release_manifests(sources, tmp_path / "out", kubectl)
    deployment, info = yaml.safe_load_all(path.read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == ko_image("github.com/tektoncd/results/cmd/api", tag="v0.18.0")
    assert info["data"] == {"version": "v0.18.0"}


def test_argo_cds_images_are_taken_from_the_cluster_and_nothing_else_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "install.yaml"
    path.write_text(
        "# made by kustomize\n"
        + named("Pod", "a")
        + "spec: {containers: [{image: 'q/a:v1', imagePullPolicy: Always}]}\n---\n"
        + named("ConfigMap", "b")
        + "data: {policy: Always}\n"
    )
    pod, config = argocd(path)
    assert pod["spec"] == {"containers": [{"image": "q/a:v1", "imagePullPolicy": "IfNotPresent"}]}
    assert config["data"] == {"policy": "Always"}


def test_pipelines_as_code_is_made_for_kubernetes_with_the_names_and_the_version_of_its_releases(
    tmp_path: Path,
) -> None:
    command = "github.com/openshift-pipelines/pipelines-as-code/cmd/pipelines-as-code-watcher"
    files = {
        "100-namespace.yaml": named("Namespace", "pipelines-as-code"),
        "200-role.yaml": named("ClusterRole", "watcher")
        + "rules:\n- {apiGroups: [''], resources: [secrets], verbs: [get]}\n"
        "- {apiGroups: [route.openshift.io], resources: [routes], verbs: [get]}\n",
        "303-info.yaml": named("ConfigMap", "info") + "data: {version: devel, provider: ''}\n",
        "500-watcher.yaml": named("Pod", "watcher")
        + f"spec: {{containers: [{{image: 'ko://{command}', imagePullPolicy: Always}}]}}\n",
        "openshift/10-routes.yaml": named("Route", "controller"),
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    namespace, role, info, pod = pipelines_as_code(tmp_path, "v0.37.0")
    assert namespace["kind"] == "Namespace"
    assert role["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    assert info["data"] == {"version": "v0.37.0", "provider": ""}
    image = "ghcr.io/openshift-pipelines/pipelines-as-code/pipelines-as-code-watcher:v0.37.0"
    assert pod["spec"] == {"containers": [{"image": image, "imagePullPolicy": "Always"}]}


def test_every_release_that_is_made_can_be_written() -> None:
    assert _MAKERS.keys() == MODULES.keys()
