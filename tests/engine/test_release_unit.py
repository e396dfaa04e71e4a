"""A release's life on a real API server: upgrade, rollback, adoption, and what a failure says."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from components.unit import UnitArgs, environment
from releases.transform import serialize
from tests.support.apiserver import ControlPlane, control_plane, require_binaries
from tests.support.waiting import until
from units.apply import apply
from units.delete import delete
from units.errors import UnitError
from units.kubectl import Kubectl
from units.request import read_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Manifest = dict[str, Any]

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KITES = "/apis/example.com/v1/kites"
DEPLOYMENT = "/apis/apps/v1/namespaces/kites/deployments/flyer"
RECORD = "/api/v1/namespaces/pipeline-service/configmaps/unit-kites"


def definition(plural: str, kind: str, *versions: str) -> Manifest:
    """Define a kind in versions, of which the last one is stored."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"kind": kind, "plural": plural},
            "scope": "Cluster",
            "versions": [
                {"name": one, "served": True, "storage": one == versions[-1], "schema": schema}
                for one in versions
            ],
        },
    }


def deployment(image: str, **variables: str) -> Manifest:
    container = {
        "name": "main",
        "image": image,
        "env": [{"name": name, "value": value} for name, value in variables.items()],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "flyer", "namespace": "kites"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "flyer"}},
            "template": {"metadata": {"labels": {"app": "flyer"}}, "spec": {"containers": [container]}},
        },
    }


def config(name: str, **data: str) -> Manifest:
    metadata = {"name": name, "namespace": "kites"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


HOME: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kites"}}
OLD = [
    HOME,
    definition("kites", "Kite", "v1"),
    definition("lines", "Line", "v1"),
    config("settings", wind="calm", old="yes"),
    config("leaving", a="b"),
    deployment("example.com/flyer:1", OLD="1", KEPT="1"),
]
NEW = [
    HOME,
    # The newer version is stored; the older one is still served.
    definition("kites", "Kite", "v1", "v2"),
    definition("tails", "Tail", "v1"),
    # An object of a kind that this very version brings.
    {"apiVersion": "example.com/v1", "kind": "Tail", "metadata": {"name": "long"}, "spec": {"ribbons": 3}},
    config("settings", wind="strong"),
    deployment("example.com/flyer:2", KEPT="2"),
]


@dataclass(frozen=True)
class Cluster:
    """A cluster with what runs units there."""

    plane: ControlPlane
    folder: Path

    def apply(self, version: str, manifests: list[Manifest], **more: Any) -> str:  # noqa: ANN401 -- fields of UnitArgs
        text = serialize(manifests)
        args = UnitArgs(
            unit="kites",
            version=version,
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            kubeconfig=str(self.folder / "kubeconfig"),
            **more,
        )
        request = read_request({key: str(value) for key, value in environment(args).items()})
        with Kubectl(request) as kubectl:
            return apply(kubectl, request, text)

    def delete(self) -> None:
        args = UnitArgs(unit="kites", sha256="0" * 64, kubeconfig=str(self.folder / "kubeconfig"))
        request = read_request({key: str(value) for key, value in environment(args).items()})
        with Kubectl(request) as kubectl:
            delete(kubectl, request)

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as somebody does who knows nothing of this program."""
        return subprocess.run(
            ["kubectl", f"--kubeconfig={self.folder / 'kubeconfig'}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def uids(self) -> dict[str, str]:
        """The uid of everything that is there, by kind and name: another one is another object."""
        paths = {
            "Namespace": "/api/v1/namespaces",
            "ConfigMap": "/api/v1/namespaces/kites/configmaps",
            "Deployment": "/apis/apps/v1/namespaces/kites/deployments",
            "CustomResourceDefinition": CRDS,
        }
        return {
            f"{kind} {item['metadata']['name']}": item["metadata"]["uid"]
            for kind, path in paths.items()
            for item in self.plane.get(path)["items"]
        }

    def variables(self) -> dict[str, str]:
        [container] = self.plane.get(DEPLOYMENT)["spec"]["template"]["spec"]["containers"]
        return {one["name"]: one["value"] for one in container.get("env", [])}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    require_binaries("kubectl")
    with control_plane(tmp_path_factory.mktemp("plane")) as running:
        running.create("/api/v1/namespaces", {"metadata": {"name": "pipeline-service"}})
        yield running


@pytest.fixture
def cluster(plane: ControlPlane, tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "kubeconfig").write_text(plane.kubeconfig())
    made = Cluster(plane, tmp_path)
    yield made
    made.delete()
    assert not plane.exists(RECORD)
    assert not plane.exists("/api/v1/namespaces/kites")
    left = [one["metadata"]["name"] for one in plane.get(CRDS)["items"]]
    assert [name for name in left if name.endswith(".example.com")] == []


def kite(cluster: Cluster, name: str, version: str = "v1") -> None:
    body = {"apiVersion": f"example.com/{version}", "kind": "Kite", "metadata": {"name": name}}
    # A definition that somebody applied is served a moment later.
    made = f"/apis/example.com/{version}/kites"
    until(lambda: cluster.plane.request("POST", made, body)[0] == 201, "created")


def test_an_upgrade_and_the_way_back_make_nothing_anew_and_prune_what_was_dropped(cluster: Cluster) -> None:
    assert cluster.apply("v1", OLD) == "kites v1: 6 objects applied, 0 pruned"
    kite(cluster, "red")
    first = cluster.uids()

    assert cluster.apply("v2", NEW) == "kites v2: 6 objects applied, 2 pruned"
    second = cluster.uids()
    both = {str(one["kind"]) + " " + one["metadata"]["name"] for one in OLD} & {
        str(one["kind"]) + " " + one["metadata"]["name"] for one in NEW
    }
    assert len(both) == 4
    assert {name: second[name] for name in both} == {name: first[name] for name in both}
    assert {"ConfigMap leaving", "CustomResourceDefinition lines.example.com"} & second.keys() == set()
    assert cluster.plane.get("/apis/example.com/v1/tails/long")["spec"] == {"ribbons": 3}
    assert cluster.variables() == {"KEPT": "2"}
    assert cluster.plane.get("/api/v1/namespaces/kites/configmaps/settings")["data"] == {"wind": "strong"}
    assert cluster.plane.get(f"{KITES}/red")["metadata"]["name"] == "red"

    # Back, while there is an object of a kind that only the newer version has, and that no version brings.
    body = {"apiVersion": "example.com/v1", "kind": "Tail", "metadata": {"name": "own"}}
    cluster.plane.create("/apis/example.com/v1/tails", body)
    # A version in which objects may be stored stays defined: the server holds it for as long as that is so.
    back = [one for one in OLD if one["metadata"]["name"] != "kites.example.com"]
    told = cluster.apply("v1", [*back, definition("kites", "Kite", "v2", "v1")])
    assert told.endswith(
        "1 pruned, 1 kept because objects of their kind exist: CustomResourceDefinition tails.example.com"
    )
    third = cluster.uids()
    assert {name: third[name] for name in both} == {name: first[name] for name in both}
    assert cluster.variables() == {"OLD": "1", "KEPT": "1"}
    assert cluster.plane.exists(f"{KITES}/red")
    assert cluster.plane.exists("/apis/example.com/v1/tails/own")
    # It stays recorded, and goes once nothing needs it.
    cluster.plane.delete("/apis/example.com/v1/tails/own")
    assert cluster.apply("v1", OLD[:1] + OLD[3:] + [definition("kites", "Kite", "v2", "v1")])
    assert not cluster.plane.exists(f"{CRDS}/tails.example.com")


def test_a_version_in_which_objects_are_stored_is_kept_by_the_server_and_named(cluster: Cluster) -> None:
    cluster.apply("v1", [HOME, definition("kites", "Kite", "v1alpha1")])
    with pytest.raises(
        UnitError, match=r'kites: .*"kites\.example\.com" is invalid: status\.storedVersions\[0\].*v1alpha1'
    ):
        cluster.apply("v2", [HOME, definition("kites", "Kite", "v1")])


def test_a_refused_object_is_named_with_the_reason(cluster: Cluster) -> None:
    broken = deployment("example.com/flyer:1")
    broken["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    with pytest.raises(UnitError, match=r'kites: .*Deployment.* "flyer" is invalid: .*selector.*template'):
        cluster.apply("v1", [HOME, config("settings", a="b"), broken])
    # What was made is recorded, so the next run, or a delete, knows of it.
    assert cluster.plane.get(RECORD)["data"]["state"] == "applying"


def test_a_field_that_somebody_changed_is_named_with_its_object_and_whoever_holds_it(
    cluster: Cluster,
) -> None:
    cluster.apply("v1", OLD)
    patch = '{"data": {"wind": "storm"}}'
    cluster.kubectl("patch", "configmap", "settings", "--namespace=kites", f"--patch={patch}")
    with pytest.raises(
        UnitError,
        match=r"held by kubectl-patch: \.data\.wind in ConfigMap kites/settings; raise the entry.s incarn",
    ):
        cluster.apply("v2", NEW)


@pytest.mark.parametrize("options", [("apply",), ("apply", "--server-side"), ("create",)], ids=" ".join)
def test_what_somebody_installed_is_refused_or_adopted_whole(
    cluster: Cluster, options: tuple[str, ...]
) -> None:
    # Definitions, namespaces and the rest, as its instructions have it.
    cluster.kubectl(*options, "--filename=-", stdin=serialize(OLD))
    kite(cluster, "red")
    there = cluster.uids()
    with pytest.raises(UnitError, match=r"installed already by kubectl\S*: Custom.*, Deployment kites/flyer"):
        cluster.apply("v1", OLD)
    assert not cluster.plane.exists(RECORD)
    assert cluster.uids() == there

    # Another value than theirs would be a conflict.
    ours = [*OLD[:-1], deployment("example.com/flyer:1", OLD="ours", KEPT="1")]
    assert cluster.apply("v1", ours, adopt=True) == "kites v1: 6 objects applied, 0 pruned"
    assert cluster.uids() == there
    assert cluster.variables() == {"OLD": "ours", "KEPT": "1"}

    # From then on it is a release like any other: nothing of theirs stays in what a newer version drops.
    cluster.apply("v2", NEW)
    assert cluster.variables() == {"KEPT": "2"}
    assert cluster.plane.get("/api/v1/namespaces/kites/configmaps/settings")["data"]["wind"] == "strong"
    assert not cluster.plane.exists("/api/v1/namespaces/kites/configmaps/leaving")
    assert cluster.plane.exists(f"{KITES}/red")
