"""Tenants' pods use images of allowed registries alone, on a real API server, by whatever name they ask."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from components.compute_cluster import namespace
from components.image_repository import (
    PULL_SECRET,
    RESOLUTION_POLICY,
    ImagePolicy,
    policy,
    policy_binding,
    resolution_policy,
    resolution_policy_binding,
)
from tests.support.apiserver import control_plane, require_binaries
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.apiserver import ControlPlane

DIGEST = "sha256:" + "a1" * 32
ALLOWED = ("ghcr.io/team", "docker.io/library", "registry.example.com:5000", "quay.io")
INJECTED = ("mirror.example.com/tekton/entrypoint", "cgr.dev/chainguard/busybox")
MERGE = "application/strategic-merge-patch+json"
PODS = "/api/v1/namespaces/{}/pods"

FINE = (
    "ghcr.io/team/app",
    "ghcr.io/team/app:v1",
    f"ghcr.io/team/app:v1@{DIGEST}",
    "ghcr.io/team:v1",
    "ghcr.io/team",
    f"ghcr.io/team@{DIGEST}",
    "quay.io/whatever/deep/app:v1",
    "registry.example.com:5000/app",
    "busybox",
    "busybox:1.36",
    f"busybox@{DIGEST}",
    "docker.io/busybox",
    "docker.io/library/busybox:1.36",
    "index.docker.io/busybox",
    # Not that registry, but an image of Docker's own of that name.
    "quay.io:v1",
    "mirror.example.com/tekton/entrypoint:v1.6.0",
    f"mirror.example.com/tekton/entrypoint:v1.6.0@{DIGEST}",
    f"cgr.dev/chainguard/busybox@{DIGEST}",
)
REFUSED = (
    "evil.io/ghcr.io/team/x",
    "ghcr.io.evil.com/team/x",
    "ghcr.io/teams/app",
    "ghcr.io/tea",
    "GHCR.IO/team/app",
    "GHCR.IO/TEAM/APP",
    "ghcr.io:443/team/app",
    "ghcr.io:team/app",
    "team/app",
    "docker.io/team/app",
    "registry.example.com/app",
    "registry.example.com:5001/app",
    "localhost/ghcr.io/team/app",
    "localhost:5000/app",
    "mirror.example.com/tekton/entrypoint/more",
    "mirror.example.com/tekton/entrypoint2",
    "mirror.example.com/tekton/other",
    "cgr.dev/chainguard/bash",
    DIGEST,
    "sha256:abcdef",
)


IMAGES = ImagePolicy(allowed=ALLOWED, injected=INJECTED, keeps_secret=True)


def test_the_lists_here_are_what_the_program_expects_of_the_policy() -> None:
    assert [image for image in FINE if not IMAGES.allows(image)] == []
    assert [image for image in REFUSED if IMAGES.allows(image)] == []
    assert ImagePolicy(keeps_secret=True).allows("evil.io/x")


def pod(image: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 -- any part of a pod
    spec = {"containers": [{"name": "a", "image": image}], "automountServiceAccountToken": False, **more}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "p-"}, "spec": spec}


class Place:
    """A cluster with a tenant's namespace, and one that is nobody's."""

    def __init__(self, api: ControlPlane) -> None:
        self.api = api
        for name, tenant in (("team-a", "team-a"), ("elsewhere", None)):
            home = namespace(name, "tenant", "baseline", **({"tenant": tenant} if tenant else {}))
            api.create("/api/v1/namespaces", home)
            account = {"metadata": {"name": "default"}}
            self.ask("POST", f"/api/v1/namespaces/{name}/serviceaccounts", account)
        group = "/apis/admissionregistration.k8s.io/v1"
        api.create(f"{group}/validatingadmissionpolicies", policy(IMAGES))
        api.create(f"{group}/validatingadmissionpolicybindings", policy_binding())

    def ask(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, answer = self.api.request(method, path, body)
        return status, answer

    def refusal(self, body: dict[str, Any], home: str = "team-a") -> str | None:
        """Create a pod, dry; give what was said where it was refused."""
        status, answer = self.ask("POST", f"{PODS.format(home)}?dryRun=All", body)
        assert status in {201, 403, 422}, answer
        return None if status == 201 else str(answer["message"])

    def until_enforced(self) -> None:
        """Wait for the policy: it comes into force a moment after it is there."""
        until(lambda: self.refusal(pod("evil.io/x")) is not None, "in force")

    def type_checking(self, name: str) -> object:
        """Return what the API server finds odd in a policy, once it has looked."""
        path = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{name}"
        until(lambda: "typeChecking" in self.api.get(path).get("status", {}), "looked at")
        return self.api.get(path)["status"]["typeChecking"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    require_binaries("etcd", "kube-apiserver", "kube-controller-manager")
    with control_plane(tmp_path_factory.mktemp("images")) as api:
        made = Place(api)
        made.until_enforced()
        yield made


@pytest.mark.parametrize("image", FINE)
def test_an_image_of_an_allowed_registry_is_used(place: Place, image: str) -> None:
    assert place.refusal(pod(image)) is None


@pytest.mark.parametrize("image", REFUSED)
def test_an_image_of_another_registry_is_refused_by_name(place: Place, image: str) -> None:
    said = place.refusal(pod(image))
    assert said is not None
    assert f"image {image} may not be used here; allowed are images of {', '.join(sorted(ALLOWED))}" in said


def test_all_containers_of_a_pod_are_looked_at(place: Place) -> None:
    init = place.refusal(pod("busybox", initContainers=[{"name": "i", "image": "evil.io/i"}]))
    assert init is not None
    assert "image evil.io/i may not" in init
    second = {"name": "b", "image": "evil.io/b"}
    both = place.refusal(pod("busybox", containers=[{"name": "a", "image": "evil.io/a"}, second]))
    assert both is not None
    assert "image evil.io/a, evil.io/b may not" in both


def test_other_namespaces_use_what_they_like(place: Place) -> None:
    assert place.refusal(pod("evil.io/x"), "elsewhere") is None


def test_a_running_pod_gets_no_other_image_and_can_be_changed_otherwise(place: Place) -> None:
    status, made = place.ask("POST", PODS.format("team-a"), pod("busybox"))
    assert status == 201, made
    path = f"{PODS.format('team-a')}/{made['metadata']['name']}"

    def patched(patch: dict[str, Any], sub: str = "") -> tuple[int, dict[str, Any]]:
        return place.api.request("PATCH", f"{path}{sub}", patch, MERGE)

    assert patched({"metadata": {"annotations": {"tekton.dev/ready": "READY"}}})[0] == 200
    # As Tekton ends a sidecar.
    injected = f"{INJECTED[0]}:v1"
    assert patched({"spec": {"containers": [{"name": "a", "image": injected}]}})[0] == 200
    status, answer = patched({"spec": {"containers": [{"name": "a", "image": "evil.io/x"}]}})
    assert status in {403, 422}
    assert "image evil.io/x may not" in answer["message"]
    debug = {"name": "debug", "image": "evil.io/debug", "targetContainerName": "a"}
    status, answer = patched({"spec": {"ephemeralContainers": [debug]}}, "/ephemeralcontainers")
    assert status in {403, 422}
    assert "image evil.io/debug may not" in answer["message"]
    status, _ = patched(
        {"spec": {"ephemeralContainers": [{**debug, "image": "busybox"}]}}, "/ephemeralcontainers"
    )
    assert status == 200


def test_a_pod_from_before_the_policy_can_still_be_changed(place: Place) -> None:
    group = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/pipeline-service-images"
    place.api.delete(group)
    try:
        until(lambda: place.refusal(pod("evil.io/x")) is None, "out of force")
        _, made = place.ask("POST", PODS.format("team-a"), pod("evil.io/old"))
    finally:
        # Other tests share the place.
        place.api.create(group.rpartition("/")[0], policy_binding())
        place.until_enforced()
    path = f"{PODS.format('team-a')}/{made['metadata']['name']}"
    status, answer = place.api.request("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, MERGE)
    assert status == 200, answer


@pytest.mark.parametrize(
    "reads",
    [
        {"volumes": [{"name": "v", "secret": {"secretName": PULL_SECRET}}]},
        {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": PULL_SECRET}}]}}]},
        {
            "containers": [
                {
                    "name": "a",
                    "image": "busybox",
                    "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": PULL_SECRET, "key": "k"}}}],
                }
            ]
        },
        {
            "initContainers": [
                {"name": "i", "image": "busybox", "envFrom": [{"secretRef": {"name": PULL_SECRET}}]}
            ]
        },
    ],
)
def test_no_pod_reads_the_pull_secret(place: Place, reads: dict[str, Any]) -> None:
    said = place.refusal(pod("busybox", **reads))
    assert said is not None
    assert PULL_SECRET in said
    other = json.loads(json.dumps(reads).replace(PULL_SECRET, "own"))
    assert place.refusal(pod("busybox", **other)) is None
    assert place.refusal(pod("busybox", imagePullSecrets=[{"name": PULL_SECRET}])) is None


def test_the_api_server_finds_nothing_odd_in_the_policy(place: Place) -> None:
    assert place.type_checking("pipeline-service-images") == {}


RESOLUTIONS = "/apis/resolution.tekton.dev/{}/namespaces/{}/resolutionrequests"


def resolution_definition() -> dict[str, Any]:
    """Define ResolutionRequests as Tekton does (v1.6.0): parameters are a mapping, and in v1beta1 a list."""
    value = {"x-kubernetes-preserve-unknown-fields": True}
    one = {
        "type": "object",
        "required": ["name", "value"],
        "properties": {"name": {"type": "string"}, "value": value},
    }
    params = {
        "v1alpha1": {"type": "object", "additionalProperties": {"type": "string"}},
        "v1beta1": {"type": "array", "items": one, "x-kubernetes-list-type": "atomic"},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "resolutionrequests.resolution.tekton.dev"},
        "spec": {
            "group": "resolution.tekton.dev",
            "scope": "Namespaced",
            "names": {"kind": "ResolutionRequest", "plural": "resolutionrequests"},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == "v1beta1",
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {
                                "spec": {
                                    "type": "object",
                                    "properties": {"params": schema, "url": {"type": "string"}},
                                }
                            },
                        }
                    },
                }
                for version, schema in params.items()
            ],
        },
    }


def resolution(version: str, params: object, name: str = "one") -> dict[str, Any]:
    return {
        "apiVersion": f"resolution.tekton.dev/{version}",
        "kind": "ResolutionRequest",
        "metadata": {"name": name, "labels": {"resolution.tekton.dev/type": "git"}},
        "spec": {} if params is None else {"params": params},
    }


class Resolutions:
    """What is said to ResolutionRequests, one of which is older than the policy."""

    def __init__(self, place: Place) -> None:
        self.place = place
        place.api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", resolution_definition())
        self.old = resolution("v1beta1", [{"name": "token", "value": PULL_SECRET}], "old")
        asked = ("POST", RESOLUTIONS.format("v1beta1", "team-a"), self.old)
        until(lambda: place.ask(*asked)[0] == 201, "created")
        group = "/apis/admissionregistration.k8s.io/v1"
        place.api.create(f"{group}/validatingadmissionpolicies", resolution_policy())
        place.api.create(f"{group}/validatingadmissionpolicybindings", resolution_policy_binding())
        naming = [{"name": "token", "value": PULL_SECRET}]
        until(lambda: self.refusal("v1beta1", naming) is not None, "in force")

    def refusal(self, version: str, params: object, home: str = "team-a") -> str | None:
        path = f"{RESOLUTIONS.format(version, home)}?dryRun=All"
        status, answer = self.place.ask("POST", path, resolution(version, params))
        assert status in {201, 403, 422}, answer
        return None if status == 201 else str(answer["message"])

    def change(self, patch: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        path = f"{RESOLUTIONS.format('v1beta1', 'team-a')}/old"
        return self.place.api.request("PATCH", path, patch, "application/merge-patch+json")


@pytest.fixture(scope="module")
def resolutions(place: Place) -> Resolutions:
    return Resolutions(place)


def listed(**params: object) -> list[dict[str, object]]:
    return [{"name": name, "value": value} for name, value in params.items()]


NAMING_IT = (
    {"url": "https://evil.example.com/x.git", "token": PULL_SECRET, "tokenKey": ".dockerconfigjson"},
    {"url": "https://evil.example.com/x.git", "gitToken": PULL_SECRET},
    {"url": "https://evil.example.com/x", "http-password-secret": PULL_SECRET},
    # Whatever a later resolver calls it.
    {"anything": PULL_SECRET},
)
NOT_NAMING_IT: tuple[dict[str, str], ...] = (
    {},
    {"url": "https://git.example.com/x.git", "token": "own"},
    {"url": f"https://git.example.com/{PULL_SECRET}.git"},
    # The resolver bundles pulls with it, as pods do.
    {"bundle": "ghcr.io/team/tasks", "secret": PULL_SECRET},
)


@pytest.mark.parametrize("params", NAMING_IT)
def test_no_resolver_is_given_the_pull_secret(resolutions: Resolutions, params: dict[str, str]) -> None:
    for version, written in (("v1beta1", listed(**params)), ("v1alpha1", params)):
        said = resolutions.refusal(version, written)
        assert said is not None, version
        assert f"Secret {PULL_SECRET} is there to pull images, and may not be a resolver's" in said
        assert resolutions.refusal(version, written, "elsewhere") is None


@pytest.mark.parametrize("params", NOT_NAMING_IT)
def test_any_other_request_is_resolved(resolutions: Resolutions, params: dict[str, str]) -> None:
    assert resolutions.refusal("v1beta1", listed(**params)) is None
    assert resolutions.refusal("v1alpha1", params) is None


def test_parameters_of_any_type_are_read(resolutions: Resolutions) -> None:
    assert resolutions.refusal("v1beta1", None) is None
    assert resolutions.refusal("v1alpha1", None) is None
    assert resolutions.refusal("v1beta1", listed(paths=["a", "b"], options={"a": "b"}, depth=1)) is None
    assert resolutions.refusal("v1beta1", listed(paths=["a"], token=PULL_SECRET)) is not None


def test_a_request_from_before_the_policy_can_be_changed_but_not_to_name_it(resolutions: Resolutions) -> None:
    # As its resolver does, and whoever takes it away.
    status, answer = resolutions.change({"metadata": {"annotations": {"a": "b"}, "finalizers": ["a.b/c"]}})
    assert status == 200, answer
    status, answer = resolutions.change({"metadata": {"finalizers": None}})
    assert status == 200, answer
    status, answer = resolutions.change({"spec": {"params": listed(gitToken=PULL_SECRET)}})
    assert status in {403, 422}, answer
    status, answer = resolutions.change({"spec": {"params": listed(token="own")}})
    assert status == 200, answer
    status, answer = resolutions.change({"spec": {"params": listed(token=PULL_SECRET)}})
    assert status in {403, 422}, answer


def test_the_api_server_finds_nothing_odd_in_the_policy_of_resolvers(resolutions: Resolutions) -> None:
    assert resolutions.place.type_checking(RESOLUTION_POLICY) == {}
