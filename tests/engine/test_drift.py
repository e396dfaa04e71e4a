"""Drift of units on real API servers: found to the field, told without a value, healed by an application."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from components.access import Subject
from components.api_export import api_export
from components.kcp_workspace import UNIVERSAL, workspace
from components.tenant_manifests import TenantAccess, TenantQuota, own_content, shared_content
from components.unit import UnitArgs, environment, to_yaml
from operations import drift
from operations.drift import DeployedUnit, UnitReport, compare_units
from tests.support.apiserver import ControlPlane, control_plane, require_binaries
from tests.support.kcp import KcpServer, kcp_server
from tests.support.ports import free_port
from tests.support.waiting import until
from units import compare
from units.apply import apply
from units.kubectl import Kubectl
from units.live import live_objects
from units.request import read_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "dmFsdWUtb2YtYS1zZWNyZXQ="
MANIFESTS: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "pipeline-service"}},
    {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "kites.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"kind": "Kite", "plural": "kites"},
            "scope": "Cluster",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                    },
                }
            ],
        },
    },
    {"apiVersion": "example.com/v1", "kind": "Kite", "metadata": {"name": "red"}, "spec": {"tail": 3}},
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "options", "namespace": "pipeline-service"},
        "data": {"a.b": "1", "c": "2"},
    },
    {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "hidden", "namespace": "pipeline-service"},
        "data": {"key": SECRET},
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "kites"},
        "rules": [{"apiGroups": ["example.com"], "resources": ["kites"], "verbs": ["get"]}],
    },
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "flyer", "namespace": "pipeline-service"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "flyer"}},
            "template": {
                "metadata": {"labels": {"app": "flyer"}},
                "spec": {"containers": [{"name": "main", "image": "example.com/flyer:1"}]},
            },
        },
    },
]


@dataclass(frozen=True)
class Applied:
    """A unit that was applied, as the state would hold it."""

    unit: DeployedUnit
    folder: Path

    def report(self) -> UnitReport:
        [report] = compare_units([self.unit], self.folder)
        return report

    def found(self) -> list[str]:
        report = self.report()
        assert report.problem is None
        return [str(one) for one in report.differences]

    def apply(self, incarnation: int = 0) -> None:
        kubeconfig = str(self.folder / self.unit.environment["UNIT_KUBECONFIG"])
        shared = self.unit.environment.get("UNIT_SHARED")
        request = read_request(
            {
                **self.unit.environment,
                "UNIT_KUBECONFIG": kubeconfig,
                **({"UNIT_SHARED": str(self.folder / shared)} if shared else {}),
                "UNIT_INCARNATION": str(incarnation),
            }
        )
        with Kubectl(request) as kubectl:
            apply(kubectl, request, self.unit.stdin)


def unit(
    folder: Path,
    target: str,
    manifests: list[dict[str, Any]],
    path: str | None = None,
    shared: list[dict[str, Any]] | None = None,
) -> Applied:
    text = to_yaml(manifests)
    before = to_yaml(shared) if shared else ""
    if shared:
        (folder / "shared.yaml").write_text(before)
    args = UnitArgs(
        unit="test",
        sha256=hashlib.sha256(f"{before}{text}".encode()).hexdigest(),
        kubeconfig=f"{target}.kubeconfig",
        workspace=path,
        shared_file="shared.yaml" if shared else None,
    )
    variables = {key: str(value) for key, value in environment(args).items()}
    deployed = DeployedUnit(
        name="test", section="x", entry=target, target=target, environment=variables, stdin=text
    )
    return Applied(deployed, folder)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    require_binaries("kubectl")
    with control_plane(tmp_path_factory.mktemp("plane")) as running:
        yield running


@pytest.fixture
def release(plane: ControlPlane, tmp_path: Path) -> Applied:
    """A release on a cluster, exactly as applied."""
    (tmp_path / "east.kubeconfig").write_text(plane.kubeconfig())
    applied = unit(tmp_path, "east", MANIFESTS)
    applied.apply(incarnation=1)
    assert applied.found() == []
    return applied


def test_a_changed_field_is_named_without_its_value_and_what_others_add_is_none(
    plane: ControlPlane, release: Applied
) -> None:
    core, apps = "/api/v1/namespaces/pipeline-service", "/apis/apps/v1/namespaces/pipeline-service"
    plane.patch(f"{core}/configmaps/options", {"data": {"a.b": "other", "theirs": "x"}})
    plane.patch(f"{core}/secrets/hidden", {"data": {"key": "c29tZXRoaW5nLWVsc2U="}})
    plane.patch(f"{apps}/deployments/flyer", {"metadata": {"annotations": {"theirs": "y"}}})
    image = [{"name": "main", "image": "example.com/flyer:2"}]
    plane.patch(
        f"{apps}/deployments/flyer", {"spec": {"replicas": 0, "template": {"spec": {"containers": image}}}}
    )

    report = release.report()

    container = "spec.template.spec.containers[main]"
    assert [str(one) for one in report.differences] == [
        f"changed: Deployment pipeline-service/flyer (spec.replicas, {container}.image)",
        "changed: ConfigMap pipeline-service/options (data[a.b])",
        "changed: Secret pipeline-service/hidden (data.key)",
    ]
    assert not {SECRET, "c29tZXRoaW5nLWVsc2U="} & set(report.model_dump_json().split('"'))
    assert plane.get(f"{core}/configmaps/options")["data"]["a.b"] == "other"


def test_what_was_deleted_is_missing_with_all_of_a_kind_that_is_gone(
    plane: ControlPlane, release: Applied
) -> None:
    plane.delete("/apis/rbac.authorization.k8s.io/v1/clusterroles/kites")
    definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/kites.example.com"
    plane.delete(definition)
    until(lambda: not plane.exists(definition), "deleted")

    assert release.found() == [
        "missing: CustomResourceDefinition kites.example.com",
        "missing: Kite red",
        "missing: ClusterRole kites",
    ]
    release.apply()
    assert release.found() == []


def test_a_lost_record_is_drift_since_a_delete_goes_by_it(plane: ControlPlane, release: Applied) -> None:
    plane.delete("/api/v1/namespaces/pipeline-service/configmaps/unit-test")
    assert release.found() == ["missing: ConfigMap pipeline-service/unit-test"]
    release.apply()
    assert release.found() == []


@pytest.mark.parametrize("drifts", [False, True])
def test_what_a_controller_writes_while_a_unit_is_compared_is_no_drift_and_hides_none(
    plane: ControlPlane, release: Applied, monkeypatch: pytest.MonkeyPatch, *, drifts: bool
) -> None:
    flyer = "/apis/apps/v1/namespaces/pipeline-service/deployments/flyer"
    if drifts:
        plane.patch(flyer, {"spec": {"replicas": 0}})

    def read(*asked: Any) -> Any:  # noqa: ANN401 -- whatever the real one takes and gives
        found = live_objects(*asked)
        plane.patch(flyer, {"metadata": {"annotations": {"revision": str(time.monotonic_ns())}}})
        return found

    monkeypatch.setattr(compare, "live_objects", read)
    told = ["changed: Deployment pipeline-service/flyer (spec.replicas)"]
    assert release.found() == told * drifts


def test_what_goes_while_a_unit_is_compared_is_missing_and_not_changed(
    plane: ControlPlane, release: Applied, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = "/api/v1/namespaces/pipeline-service/configmaps/options"
    plane.patch(options, {"data": {"a.b": "other"}})

    def read(*asked: Any) -> Any:  # noqa: ANN401 -- whatever the real one takes and gives
        found = live_objects(*asked)
        plane.delete(options)
        return found

    monkeypatch.setattr(compare, "live_objects", read)
    assert release.found() == ["missing: ConfigMap pipeline-service/options"]


def test_what_only_the_record_still_names_is_gone(release: Applied, plane: ControlPlane) -> None:
    path = "/api/v1/namespaces/pipeline-service/configmaps/unit-test"
    record = json.loads(plane.get(path)["data"]["objects"])
    plane.patch(path, {"data": {"objects": json.dumps([*record, ["v1", "Secret", "default", "old"]])}})
    assert release.found() == ["gone: Secret default/old"]


def test_what_dropped_out_and_is_still_there_is_told_but_for_a_kind_in_use(
    release: Applied, plane: ControlPlane
) -> None:
    path = "/api/v1/namespaces/pipeline-service/configmaps/unit-test"
    record = json.loads(plane.get(path)["data"]["objects"])
    kept = {key: value for key, value in MANIFESTS[1].items() if key != "metadata"}
    kept["metadata"] = {"name": "boats.example.com"}
    kept["spec"] = {**kept["spec"], "names": {"kind": "Boat", "plural": "boats"}}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    plane.create_anew(definitions, kept)
    plane.create_anew(
        "/api/v1/namespaces/default/configmaps",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "old"}},
    )
    dropped = [
        ["apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "boats.example.com"],
        ["v1", "ConfigMap", "default", "old"],
    ]
    plane.patch(path, {"data": {"objects": json.dumps([*record, *dropped])}})
    boats = "/apis/example.com/v1/boats"
    until(lambda: plane.request("GET", boats)[0] == 200, "served")
    left = "left: CustomResourceDefinition boats.example.com"
    assert release.found() == [left, "left: ConfigMap default/old"]

    plane.create(boats, {"apiVersion": "example.com/v1", "kind": "Boat", "metadata": {"name": "one"}})
    assert release.found() == ["left: ConfigMap default/old"]
    release.apply(incarnation=1)
    assert release.found() == []
    assert not plane.exists("/api/v1/namespaces/default/configmaps/old")
    assert plane.exists(f"{boats}/one")
    plane.delete(f"{boats}/one")
    assert release.found() == [left]
    release.apply(incarnation=1)
    assert release.found() == []


def test_a_change_that_the_server_will_not_take_back_is_told_and_hides_no_other(
    plane: ControlPlane, release: Applied
) -> None:
    path = "/apis/apps/v1/namespaces/pipeline-service/deployments"
    plane.delete("/apis/rbac.authorization.k8s.io/v1/clusterroles/kites")
    flyer = json.loads(json.dumps(MANIFESTS[-1]))
    flyer["spec"]["selector"]["matchLabels"] = {"app": "other"}
    flyer["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    plane.create_anew(path, flyer)
    try:
        refused, missing = release.report().differences
    finally:
        # Or the release could not be applied for the other tests.
        plane.delete(f"{path}/flyer")

    assert (refused.what, refused.object) == ("refused", "Deployment pipeline-service/flyer")
    assert "immutable" in refused.reason
    assert str(missing) == "missing: ClusterRole kites"


def test_an_unreachable_cluster_is_told_and_stops_no_other(
    release: Applied, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "_PROBE_SECONDS", 2)
    document = json.loads((release.folder / "east.kubeconfig").read_text())
    with socket.create_server(("127.0.0.1", 0)) as swallower:
        ports = {"dead": free_port(), "mute": swallower.getsockname()[1]}
        for name, port in ports.items():
            document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
            (release.folder / f"{name}.kubeconfig").write_text(json.dumps(document))
        units = [
            replace(
                release.unit,
                target=name,
                environment={**release.unit.environment, "UNIT_KUBECONFIG": f"{name}.kubeconfig"},
            )
            for name in (*ports, "lost", "declared")
        ]
        reports = compare_units([*units, release.unit], release.folder, {"declared": "as its entry says"})

    assert [str(report.problem).partition(":")[0] for report in reports[:2]] == [
        "dead is unreachable",
        "mute is unreachable",
    ]
    assert "lost.kubeconfig is not there" in str(reports[2].problem)
    assert (reports[3].problem, reports[3].skipped) == (None, "as its entry says")
    assert (reports[4].problem, reports[4].skipped, reports[4].differences) == (None, None, ())


@pytest.fixture(scope="module")
def kcp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KcpServer]:
    require_binaries("kubectl")
    with kcp_server(tmp_path_factory.mktemp("kcp")) as server:
        yield server


def test_drift_inside_a_tenants_workspace_is_found_and_healed(kcp: KcpServer, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kcp.kubeconfig"
    document = json.loads(kcp.kubeconfig("root"))
    document["clusters"][0]["cluster"]["server"] = kcp.server
    kubeconfig.write_text(json.dumps(document))

    def kubectl(path: str, *arguments: str, stdin: str = "") -> None:
        command = ["kubectl", f"--kubeconfig={kubeconfig}", f"--server={kcp.server}/clusters/{path}"]
        subprocess.run(
            [*command, *arguments], input=stdin, check=True, text=True, timeout=120, capture_output=True
        )

    for name in ("compute", "team"):
        kubectl("root", "apply", "--filename=-", stdin=json.dumps(workspace(name, UNIVERSAL, "test")))
        kubectl("root", "wait", f"workspace/{name}", "--for=jsonpath={.status.phase}=Ready", "--timeout=60s")
    kubectl("root:compute", "apply", "--server-side", "--filename=-", stdin=json.dumps(api_export("east")))
    content = own_content(
        tenant="team",
        export=("root:compute", "east"),
        namespaces=["default"],
        access=TenantAccess(viewers=(Subject(kind="User", name="bob"),)),
        quota=TenantQuota(pipeline_runs=10, cpu="1", memory="1Gi", pods=5, storage="20Gi"),
    )
    tenant = unit(tmp_path, "kcp", content, "root:team", shared_content(None))
    tenant.apply()
    assert tenant.found() == []

    kubectl("root:team", "delete", "rolebinding", "pipeline-service:viewer", "--namespace=default")
    kubectl("root:team", "delete", "clusterrole", "pipeline-service:developer")
    patch = '{"spec":{"hard":{"count/pipelineruns.tekton.dev":"99"}}}'
    kubectl(
        "root:team",
        "patch",
        "resourcequota",
        "stored-runs",
        "--namespace=admin",
        "--type=merge",
        f"--patch={patch}",
    )

    assert tenant.found() == [
        "missing: ClusterRole pipeline-service:developer",
        "missing: RoleBinding default/pipeline-service:viewer",
        "changed: ResourceQuota admin/stored-runs (spec.hard[count/pipelineruns.tekton.dev])",
    ]
    tenant.apply(incarnation=1)
    assert tenant.found() == []
