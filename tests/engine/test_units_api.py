"""Requests for single objects on a real API server: credentials, pages, and what a failure says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.apiserver import ControlPlane, control_plane, require_binaries
from tests.support.ports import free_port
from units.api import Api
from units.delete import let_go
from units.errors import KubectlError, RefusedError, passes_by_itself
from units.kubectl import Kubectl
from units.manifest import Identity, identify
from units.request import LetGo, Request, read_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANY = 2_000
FINALIZER = "example.com/held"
RUNS = "runs.example.com"

DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": RUNS},
    "spec": {
        "group": "example.com",
        "names": {"kind": "Run", "plural": "runs"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"size": {"type": "integer"}}}
                        },
                    }
                },
            }
        ],
    },
}


def run(name: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 -- fields of a manifest
    metadata = {"name": name, "namespace": "default", **more.pop("metadata", {})}
    return {"apiVersion": "example.com/v1", "kind": "Run", "metadata": metadata, **more}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    require_binaries("kubectl")
    with control_plane(tmp_path_factory.mktemp("plane")) as running:
        yield running


def request_for(kubeconfig: Path) -> Request:
    return read_request(
        {
            "UNIT_NAME": "runs",
            "UNIT_SHA256": "0" * 64,
            "UNIT_KUBECONFIG": str(kubeconfig),
            "UNIT_NAMESPACE": "default",
            "UNIT_FIELD_MANAGER": "pipeline-service",
        }
    )


@pytest.fixture
def kubectl(plane: ControlPlane, tmp_path: Path) -> Iterator[Kubectl]:
    file = tmp_path / "kubeconfig"
    file.write_text(plane.kubeconfig())
    with Kubectl(request_for(file)) as made:
        made.api.each(lambda one: made.api.apply(one, "test"), [DEFINITION])
        # Its objects can be applied as soon as the server serves them.
        made.api.each(lambda one: made.api.apply(one, "test"), [run("first")])
        yield made


def test_what_is_applied_is_found_and_what_is_not_there_is_not(kubectl: Kubectl) -> None:
    api = kubectl.api
    api.apply(run("first", spec={"size": 3}), "test")
    found = api.find(identify(run("first")))
    assert found is not None
    assert found["spec"] == {"size": 3}
    gone = [
        identify(run("second")),
        Identity(api_version="example.com/v1", kind="Walk", namespace="", name="x"),
        Identity(api_version="nobody.example.com/v1", kind="Run", namespace="", name="x"),
    ]
    assert api.each(api.find, gone) == [None, None, None]


def test_what_is_deleted_goes_or_waits_for_its_holder_and_what_is_gone_is_no_error(
    kubectl: Kubectl, tmp_path: Path
) -> None:
    api = kubectl.api
    held = run("kept", metadata={"finalizers": [FINALIZER]})
    api.each(lambda one: api.apply(one, "test"), [run("short"), held])
    unserved = Identity(api_version="nobody.example.com/v1", kind="Run", namespace="", name="x")
    api.each(api.delete, [identify(run("short")), identify(held), identify(run("absent")), unserved])
    assert api.find(identify(run("short"))) is None
    found = api.find(identify(held))
    assert found is not None
    assert found["metadata"]["deletionTimestamp"]
    let_go(kubectl, request_for(tmp_path / "kubeconfig"), LetGo(resource=RUNS, finalizer=FINALIZER))
    assert api.find(identify(held)) is None


def test_a_refused_deletion_says_why(kubectl: Kubectl) -> None:
    home = Identity(api_version="v1", kind="Namespace", namespace="", name="kube-system")
    with pytest.raises(RefusedError, match=r"Namespace kube-system: .*may not be deleted"):
        kubectl.api.each(kubectl.api.delete, [home])


def test_a_name_with_a_colon_is_a_name_like_any_other(kubectl: Kubectl) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "example:run:reader"},
        "rules": [],
    }
    kubectl.api.apply(role, "test")
    assert kubectl.api.find(identify(role))


def test_a_dry_run_gives_the_whole_object_and_changes_nothing(kubectl: Kubectl) -> None:
    told = kubectl.api.apply(run("dry", spec={"size": 5}), "test", dry_run=True)
    assert told["spec"] == {"size": 5}
    assert kubectl.api.find(identify(run("dry"))) is None


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (run("bad", spec={"size": "large"}), r"Run default/bad: .*spec\.size"),
        (run("odd", spec={"colour": "red"}), r"Run default/odd: .*spec\.colour: field not declared"),
        (run("lost", metadata={"namespace": ""}), r"Run lost names no namespace"),
        (run("far", metadata={"namespace": "nowhere"}), r'Run nowhere/far: .*namespaces "nowhere" not found'),
        (run("held", metadata={"resourceVersion": "1", "uid": "x"}), r"Run default/held: .*\(Conflict\)"),
    ],
)
def test_a_refused_object_is_named_with_the_reason(
    kubectl: Kubectl, manifest: dict[str, Any], why: str
) -> None:
    with pytest.raises(RefusedError, match=why):
        kubectl.api.each(lambda one: kubectl.api.apply(one, "test"), [run("first"), manifest], patient=False)


def test_a_credential_may_come_from_a_program(plane: ControlPlane, tmp_path: Path) -> None:
    # As those of most clouds do: whoever read the kubeconfig by himself would have to run it.
    document = json.loads(plane.kubeconfig())
    user = document["users"][0]["user"]
    given = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {
            name: (plane.directory / "admin.pem").read_text()
            for name in ("clientCertificateData", "clientKeyData")
        },
    }
    (tmp_path / "credential.json").write_text(json.dumps(given))
    user.clear()
    user["exec"] = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "cat",
        "args": [str(tmp_path / "credential.json")],
        "interactiveMode": "Never",
    }
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(document))
    with Kubectl(request_for(file)) as kubectl:
        home = Identity(api_version="v1", kind="Namespace", namespace="", name="default")
        assert kubectl.api.find(home)


def test_a_server_that_is_not_there_is_told_as_such(plane: ControlPlane, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(plane.kubeconfig().replace(plane.server, f"https://127.0.0.1:{free_port()}"))
    with Kubectl(request_for(file)) as kubectl, pytest.raises(KubectlError) as raised:
        kubectl.api.find(Identity(api_version="v1", kind="Namespace", namespace="", name="default"))
    assert "connection refused" in raised.value.stderr
    assert passes_by_itself(raised.value.stderr, 1)


def test_a_proxy_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(KubectlError, match=r"kubectl proxy didn't start: .*nowhere"):
        Api([f"--kubeconfig={tmp_path / 'nowhere'}"])


@pytest.mark.timeout(300)
def test_thousands_of_objects_are_let_go_page_by_page(kubectl: Kubectl, tmp_path: Path) -> None:
    api = kubectl.api
    held = [
        run(f"run-{number}", metadata={"finalizers": [FINALIZER, "example.com/others"]})
        for number in range(MANY)
    ]
    api.each(lambda one: api.apply(one, "chains"), held)
    free = run("free", metadata={"finalizers": ["example.com/others"]})
    api.apply(free, "others")
    before = api.find(identify(free))
    assert max(len(page) for page in api.pages(RUNS)) < MANY

    let_go(kubectl, request_for(tmp_path / "kubeconfig"), LetGo(resource=RUNS, finalizer=FINALIZER))

    left = {item["metadata"]["name"]: item["metadata"] for page in api.pages(RUNS) for item in page}
    assert len(left) == MANY + 2
    finalizers = {tuple(left[f"run-{number}"]["finalizers"]) for number in range(MANY)}
    assert finalizers == {("example.com/others",)}
    assert api.find(identify(free)) == before


def test_a_resource_that_is_not_served_has_nothing_to_let_go(kubectl: Kubectl) -> None:
    for resource in ("walks.example.com", "runs.nobody.example.com"):
        assert list(kubectl.api.pages(resource)) == []
    # Served, and there are none.
    assert list(kubectl.api.pages("replicasets.apps")) == [[]]


def test_resources_of_the_core_group_which_stands_in_no_list_of_groups_are_listed(kubectl: Kubectl) -> None:
    found = [item for page in kubectl.api.pages("namespaces") for item in page]
    assert "kube-system" in {item["metadata"]["name"] for item in found}
    assert {(item["apiVersion"], item["kind"]) for item in found} == {("v1", "Namespace")}
