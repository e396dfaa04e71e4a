"""Every image that a manifest names is found, sent to its mirror and pinned; what is no image stays."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from releases.errors import ImageError
from releases.images import ImageRules, apply_rules, images_by_place, named_images, pod_namespaces

DIGEST = "sha256:" + "a1" * 32
OTHER = "sha256:" + "b2" * 32


def _workload(kind: str, spec: dict[str, Any], *, namespace: str = "system") -> dict[str, Any]:
    inside: dict[str, Any] = {"template": {"spec": spec}}
    match kind:
        case "Pod":
            inside = spec
        case "CronJob":
            inside = {"jobTemplate": {"spec": {"template": {"spec": spec}}}}
    body = {"template": {"spec": spec}} if kind == "PodTemplate" else {"spec": inside}
    return {"kind": kind, "metadata": {"name": "x", "namespace": namespace}, **body}


CONTROLLER = _workload(
    "Deployment",
    {
        "serviceAccountName": "controller",
        "containers": [
            {
                "name": "controller",
                "image": "ghcr.io/t/controller:v1",
                "imagePullPolicy": "IfNotPresent",
                "args": [
                    "-entrypoint-image",
                    "ghcr.io/t/entrypoint:v1",
                    "-shell-image-win",
                    f"mcr.microsoft.com/powershell:nano@{DIGEST}",
                    "--el-image=ghcr.io/t/sink:v1",
                    "-image-pull-secret",
                    "none.example/secret",
                    "-config-image",
                    "no-registry",
                    "-nop-image",
                ],
                "env": [
                    {"name": "IMAGE_PIPELINES_PROXY", "value": "ghcr.io/t/proxy:v1"},
                    {"name": "EL_IMAGE_PULL_POLICY", "value": "IfNotPresent"},
                    {"name": "URL", "value": "ghcr.io/t/no-image:v1"},
                    {"name": "IMAGE", "valueFrom": {}},
                ],
            }
        ],
        "initContainers": [{"name": "a", "image": "alpine:3"}],
        "ephemeralContainers": [{"name": "b", "image": "quay.io/debug"}],
        "volumes": [
            {"name": "v", "image": {"reference": "ghcr.io/t/model:v1"}},
            {"name": "w", "emptyDir": {}},
        ],
    },
)


def test_an_image_is_found_wherever_a_controller_is_told_of_it() -> None:
    assert named_images([CONTROLLER]) == sorted(
        [
            "ghcr.io/t/controller:v1",
            "ghcr.io/t/entrypoint:v1",
            f"mcr.microsoft.com/powershell:nano@{DIGEST}",
            "ghcr.io/t/sink:v1",
            "ghcr.io/t/proxy:v1",
            "alpine:3",
            "quay.io/debug",
            "ghcr.io/t/model:v1",
        ]
    )


@pytest.mark.parametrize(
    "kind",
    [
        "Pod",
        "PodTemplate",
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "ReplicaSet",
        "ReplicationController",
        "Job",
        "CronJob",
    ],
)
def test_pods_of_every_kind_of_workload_are_looked_at(kind: str) -> None:
    assert named_images([_workload(kind, {"containers": [{"image": "a.example/x:1"}]})]) == ["a.example/x:1"]


def test_tasks_and_config_maps_are_looked_at() -> None:
    task = {
        "kind": "Task",
        "metadata": {"name": "t"},
        "spec": {
            "stepTemplate": {"image": "a.example/template:1"},
            "steps": [{"image": "a.example/step:1"}, {"image": "$(params.image)"}],
            "sidecars": [{"image": "a.example/sidecar:1"}],
        },
    }
    action = {"kind": "StepAction", "metadata": {"name": "s"}, "spec": {"image": "a.example/action:1"}}
    settings = {
        "kind": "ConfigMap",
        "metadata": {"name": "c"},
        "data": {
            "sidecar-image": "a.example/from-map:1",
            "image": "word",
            "image-pull-policy": "a.example/no:1",
            "other": "a.example/no:1",
        },
    }
    assert named_images([task, action, settings]) == [
        "a.example/action:1",
        "a.example/from-map:1",
        "a.example/sidecar:1",
        "a.example/step:1",
        "a.example/template:1",
    ]


def test_what_a_controller_puts_into_the_pods_of_others_is_told_apart() -> None:
    assert set(images_by_place([CONTROLLER]).told) == {
        "ghcr.io/t/entrypoint:v1",
        f"mcr.microsoft.com/powershell:nano@{DIGEST}",
        "ghcr.io/t/sink:v1",
        "ghcr.io/t/proxy:v1",
    }


def test_without_rules_nothing_changes() -> None:
    before = copy.deepcopy(CONTROLLER)
    assert apply_rules([CONTROLLER], ImageRules()) == [before]


def test_images_go_to_their_mirror_and_the_argument_stays_as_it_was() -> None:
    before = copy.deepcopy(CONTROLLER)
    rules = ImageRules(mirrors={"ghcr.io": "m.example/ghcr", "docker.io": "m.example/hub"})
    (changed,) = apply_rules([CONTROLLER], rules)
    assert before == CONTROLLER
    assert named_images([changed]) == sorted(
        [
            "m.example/ghcr/t/controller:v1",
            "m.example/ghcr/t/entrypoint:v1",
            f"mcr.microsoft.com/powershell:nano@{DIGEST}",
            "m.example/ghcr/t/sink:v1",
            "m.example/ghcr/t/proxy:v1",
            "m.example/hub/library/alpine:3",
            "quay.io/debug",
            "m.example/ghcr/t/model:v1",
        ]
    )
    args = changed["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args[4:] == [
        "--el-image=m.example/ghcr/t/sink:v1",
        *before["spec"]["template"]["spec"]["containers"][0]["args"][5:],
    ]


def test_a_digest_is_looked_up_by_the_images_own_name_and_stays_in_the_mirror() -> None:
    rules = ImageRules(
        mirrors={"ghcr.io": "m.example"},
        digests={"ghcr.io/t/app:v1": DIGEST, "docker.io/library/alpine:latest": OTHER},
    )
    assert rules.image("ghcr.io/t/app:v1") == f"m.example/t/app:v1@{DIGEST}"
    assert rules.image("alpine") == f"docker.io/library/alpine:latest@{OTHER}"
    assert rules.image("ghcr.io/t/app:v2") == "m.example/t/app:v2"
    assert rules.image(f"ghcr.io/t/app:v1@{DIGEST}") == f"m.example/t/app:v1@{DIGEST}"


def test_a_release_that_is_pinned_otherwise_than_the_lock_says_is_refused() -> None:
    rules = ImageRules(digests={"ghcr.io/t/app:v1": DIGEST})
    with pytest.raises(ImageError, match=r"ghcr.io/t/app:v1 is sha256:b2b2.* and sha256:a1a1"):
        rules.image(f"ghcr.io/t/app:v1@{OTHER}")


def test_what_is_no_image_where_one_must_stand_is_refused() -> None:
    with pytest.raises(ImageError, match='"Not An Image"'):
        apply_rules([_workload("Pod", {"containers": [{"image": "Not An Image"}]})], ImageRules())


def test_the_pull_secret_goes_to_accounts_and_to_pods_without_one_of_the_release() -> None:
    account = {
        "kind": "ServiceAccount",
        "metadata": {"name": "controller", "namespace": "system"},
        "imagePullSecrets": [{"name": "own"}],
    }
    stranger = _workload("Job", {"containers": []}, namespace="elsewhere")
    changed = apply_rules([account, CONTROLLER, stranger], ImageRules(pull_secret="pull"))
    assert changed[0]["imagePullSecrets"] == [{"name": "own"}, {"name": "pull"}]
    assert "imagePullSecrets" not in changed[1]["spec"]["template"]["spec"]
    assert changed[2]["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "pull"}]
    assert apply_rules(changed, ImageRules(pull_secret="pull")) == changed


def test_namespaces_with_pods_are_listed_once() -> None:
    config = {"kind": "ConfigMap", "metadata": {"name": "c", "namespace": "no-pods"}}
    stranger = _workload("Job", {"containers": []}, namespace="elsewhere")
    assert pod_namespaces([CONTROLLER, CONTROLLER, stranger, config]) == ["elsewhere", "system"]
