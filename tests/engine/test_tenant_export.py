"""`tenant retire`, `restore` and `show --live` against a real kcp."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from components.access import (
    PIPELINE_KINDS,
    WORKSPACE_ACCESS,
    Subject,
    cluster_role,
    cluster_role_binding,
    rule,
)
from components.kcp_workspace import UNIVERSAL, workspace
from components.names import labels, tenant_namespace
from components.tenant_manifests import namespace_objects, stored_runs_quota
from operations.__main__ import app
from stacks.loader import read_stack_file
from stacks.mapping import tenant_network, tenant_quota
from stacks.tenant_settings import NetworkSettings, QuotaSettings
from tests.support.apiserver import require_binaries
from tests.support.kcp import KcpServer, kcp_server

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 60
RUNS = 520
"""More than kubectl lists in one request."""

TENANTS = "root:svc:tenants"
CLUSTER = "root:svc:cluster"
READER = "reader"
STACK = """\
config:
  pipeline-service:kcp:
    kubeconfig: {path: kcp.kubeconfig}
    workspace: svc
  pipeline-service:computeClusters:
    east: {kubeconfig: {path: cluster.kubeconfig}}
  pipeline-service:tenants:
    # goes
    old:
      cluster: east
      namespaces: [default, build]
    # comes
    new: {cluster: east, namespaces: [default, build]}
    small: {cluster: east}
"""


class Kcp:
    """A kcp with the workspaces of three tenants, which serve stand-ins of Tekton's kinds."""

    def __init__(self, server: KcpServer, folder: Path) -> None:
        self.server = server
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(server.kubeconfig("root"))
        for parent, names in (
            ("root", ["svc"]),
            ("root:svc", ["tenants", "cluster"]),
            (TENANTS, ["old", "new", "small"]),
        ):
            self.apply(parent, *(workspace(name, UNIVERSAL, "test") for name in names))
            for name in names:
                phase = "--for=jsonpath={.status.phase}=Ready"
                self.kubectl(parent, "wait", f"workspace/{name}", phase, f"--timeout={SECONDS}s")
        for name in ("old", "new", "small"):
            path = f"{TENANTS}:{name}"
            kinds = {**{kind: ("tekton.dev", plural) for kind, plural in PIPELINE_KINDS.items()}}
            kinds["Repository"] = ("pipelinesascode.tekton.dev", "repositories")
            crds = [definition(kind, group, plural) for kind, (group, plural) in kinds.items()]
            self.apply(path, *crds)
            for crd in crds:
                self.until_established(path, crd)
            spaces = ["default", "build", "pipeline-service", "admin"]
            self.apply(path, *(plain("Namespace", one) for one in spaces))

    def kubectl(self, path: str, *arguments: str, stdin: str = "") -> str:
        address = f"--server={self.server.server}/clusters/{path}"
        result = subprocess.run(
            ["kubectl", f"--kubeconfig={self.kubeconfig}", address, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=4 * SECONDS,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def until_established(self, path: str, crd: dict[str, Any]) -> None:
        what = f"crd/{crd['metadata']['name']}"
        self.kubectl(path, "wait", what, "--for=condition=Established", f"--timeout={SECONDS}s")

    def apply(self, path: str, *manifests: dict[str, Any]) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl(path, "apply", "--server-side", "--filename=-", stdin=json.dumps(items))

    def items(self, path: str, resource: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.kubectl(path, "get", resource, "-A", "-o=json"))[
            "items"
        ]
        return found


def definition(kind: str, group: str, plural: str) -> dict[str, Any]:
    open_ended = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": open_ended},
                }
            ],
        },
    }


def plain(kind: str, name: str, **more: object) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **more}


def tekton(kind: str, name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "tekton.dev/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def work() -> list[dict[str, Any]]:
    """Make what the users of tenant `old` made."""
    account = plain("ServiceAccount", "ci")
    repository = tekton("Repository", "app", "default", {"url": "https://git.example.com/old/app"})
    repository["apiVersion"] = "pipelinesascode.tekton.dev/v1"
    made = [
        plain("Secret", "token", stringData={"token": "s3cret: 'é'\n"}),
        plain("ConfigMap", "settings", data={"yes": "no", "text": "a\n  b\n"}),
        account,
    ]
    for one in made:
        one["metadata"]["namespace"] = "build"
    # Finished runs carry the syncer's finalizer as any other.
    runs = [tekton("PipelineRun", f"run-{number:03}", "build", {"n": number}) for number in range(RUNS)]
    for run in runs:
        run["metadata"]["finalizers"] = ["syncagent.kcp.io/cleanup"]
    pipeline = tekton("Pipeline", "app", "build", {"tasks": [{"name": "a"}]})
    return [*made, repository, pipeline, tekton("Task", "t", "default", {"steps": []}), *runs]


@pytest.fixture(scope="module")
def kcp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kcp]:
    require_binaries("kubectl")
    with kcp_server(tmp_path_factory.mktemp("kcp"), [READER]) as server:
        kcp = Kcp(server, tmp_path_factory.mktemp("client"))
        ours = plain("ServiceAccount", "named-by-the-entry")
        ours["metadata"] |= {"namespace": "build", "labels": labels("tenant", tenant="old")}
        kcp.apply(f"{TENANTS}:old", *work(), ours)
        kcp.kubectl(
            f"{TENANTS}:old",
            "patch",
            "pipelinerun/run-007",
            "--namespace=build",
            "--subresource=status",
            "--type=merge",
            '--patch={"status": {"conditions": [{"type": "Succeeded", "status": "True"}]}}',
        )
        yield kcp


@pytest.fixture
def project(kcp: Kcp, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: pipeline-service\nruntime: python\n")
    (folder / "Pulumi.dev.yaml").write_text(STACK)
    (folder / "kcp.kubeconfig").write_text(kcp.server.kubeconfig("root"))
    (folder / "cluster.kubeconfig").write_text(kcp.server.kubeconfig(CLUSTER))
    return folder


def run(project: Path, *arguments: str) -> Result:
    options = [f"--project={project}", "--stack=dev"]
    return CliRunner().invoke(app, ["tenant", arguments[0], *options, *arguments[1:]])


def retired(project: Path, file: Path) -> str:
    result = run(project, "retire", "old", f"--export-to={file}")
    assert result.exit_code == 0, result.output
    return result.stdout


def test_an_export_is_complete_private_and_recorded_by_its_digest(
    kcp: Kcp, project: Path, tmp_path: Path
) -> None:
    file = tmp_path / "old.yaml"
    said = retired(project, file)
    assert f"{RUNS} PipelineRun" in said
    assert "it holds the values of Secrets in plain text" in said
    assert file.stat().st_mode & 0o777 == 0o600
    entry = read_stack_file(project / "Pulumi.dev.yaml").tenants["old"]
    assert entry.retired is not None
    assert entry.retired.export == hashlib.sha256(file.read_bytes()).hexdigest()

    exported = yaml.safe_load(file.read_text())["items"]
    names = {(one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]) for one in exported}
    assert names == {(one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]) for one in work()}
    assert len(exported) == len(names)
    keys = {key for one in exported for key in one["metadata"]}
    assert keys == {"name", "namespace"}
    by_name = {one["metadata"]["name"]: one for one in exported}
    assert by_name["run-007"]["status"]["conditions"][0]["status"] == "True"
    assert {one["spec"]["status"] for one in exported if one["kind"] == "PipelineRun"} == {
        "PipelineRunPending"
    }
    # Nothing in the workspace was touched.
    assert all("status" not in one["spec"] for one in kcp.items(f"{TENANTS}:old", "pipelineruns.tekton.dev"))


def test_two_exports_of_the_same_objects_are_the_same(project: Path, tmp_path: Path) -> None:
    retired(project, tmp_path / "1.yaml")
    assert "it says so already" in retired(project, tmp_path / "2.yaml")
    assert (tmp_path / "1.yaml").read_bytes() == (tmp_path / "2.yaml").read_bytes()


def test_a_restored_tenant_has_everything_as_it_was_and_not_one_run(
    kcp: Kcp, project: Path, tmp_path: Path
) -> None:
    file = tmp_path / "old.yaml"
    retired(project, file)
    for _ in range(2):  # a second time finds it there, and is no error
        result = run(project, "restore", "new", f"--from={file}")
        assert result.exit_code == 0, result.output
    there = f"{TENANTS}:new"
    assert kcp.items(there, "pipelineruns.tekton.dev") == []
    for resource in ("pipelines.tekton.dev", "tasks.tekton.dev", "repositories.pipelinesascode.tekton.dev"):
        before, after = (kcp.items(f"{TENANTS}:{name}", resource) for name in ("old", "new"))
        assert [one["spec"] for one in before] == [one["spec"] for one in after]
        assert len(after) == 1
    for resource in ("secrets", "configmaps"):
        data = [
            {one["metadata"]["name"]: one.get("data") for one in kcp.items(f"{TENANTS}:{name}", resource)}
            for name in ("old", "new")
        ]
        kept = {"token", "settings"} & data[0].keys()
        assert kept
        assert {name: data[0][name] for name in kept} == {name: data[1][name] for name in kept}
    accounts = {one["metadata"]["name"] for one in kcp.items(there, "serviceaccounts")}
    assert "ci" in accounts


def test_restoring_overwrites_nothing_that_differs(kcp: Kcp, project: Path, tmp_path: Path) -> None:
    file = tmp_path / "old.yaml"
    retired(project, file)
    theirs = plain("ConfigMap", "settings", data={"yes": "maybe"})
    theirs["metadata"]["namespace"] = "build"
    kcp.kubectl(
        f"{TENANTS}:new", "delete", "configmap", "settings", "--namespace=build", "--ignore-not-found"
    )
    kcp.apply(f"{TENANTS}:new", theirs)
    result = run(project, "restore", "new", f"--from={file}")
    assert result.exit_code == 1
    assert "conflict" in result.stderr
    found = [
        one for one in kcp.items(f"{TENANTS}:new", "configmaps") if one["metadata"]["name"] == "settings"
    ]
    assert found[0]["data"] == {"yes": "maybe"}
    kcp.kubectl(f"{TENANTS}:new", "delete", "configmap", "settings", "--namespace=build")


def test_a_tenant_that_lacks_a_namespace_gets_nothing(kcp: Kcp, project: Path, tmp_path: Path) -> None:
    file = tmp_path / "old.yaml"
    retired(project, file)
    result = run(project, "restore", "small", f"--from={file}")
    assert result.exit_code == 1
    assert "namespaces that the tenant's entry doesn't name: build" in result.stderr
    assert kcp.items(f"{TENANTS}:small", "tasks.tekton.dev") == []


def test_what_cannot_all_be_read_is_not_exported_and_nobody_retires(
    kcp: Kcp, project: Path, tmp_path: Path
) -> None:
    reader = [Subject(kind="User", name=READER)]
    kcp.apply(
        f"{TENANTS}:old",
        cluster_role("half", [rule("tekton.dev", ["*"], ["list"])], {}),
        cluster_role_binding("half", "half", reader, {}),
        cluster_role_binding("enter", WORKSPACE_ACCESS, reader, {}),
    )
    document = json.loads(kcp.server.kubeconfig("root"))
    document["users"][0]["user"] = {"token": f"{READER}-token"}
    # The credential of the last `up` goes before the one that the settings name.
    last = project / ".run" / "dev" / "kubeconfigs" / "kcp.kubeconfig"
    last.parent.mkdir(parents=True)
    last.write_text(json.dumps(document))
    result = run(project, "retire", "old", f"--export-to={tmp_path / 'half.yaml'}")
    assert result.exit_code == 1
    assert "forbidden" in result.stderr
    assert not (tmp_path / "half.yaml").exists()
    assert (project / "Pulumi.dev.yaml").read_text() == STACK


def test_a_workspace_without_the_pipelines_api_is_not_exported(
    kcp: Kcp, project: Path, tmp_path: Path
) -> None:
    kcp.kubectl(f"{TENANTS}:small", "delete", "crd", "pipelineruns.tekton.dev")
    result = run(project, "retire", "small", f"--export-to={tmp_path / 'small.yaml'}")
    restored = definition("PipelineRun", "tekton.dev", "pipelineruns")
    kcp.apply(f"{TENANTS}:small", restored)
    kcp.until_established(f"{TENANTS}:small", restored)
    assert result.exit_code == 1
    assert "it serves no pipelineruns.tekton.dev now" in result.stderr


def test_whoever_retires_a_tenant_that_still_works_is_told(kcp: Kcp, project: Path, tmp_path: Path) -> None:
    assert "can still work" not in retired(project, tmp_path / "1.yaml")
    users = cluster_role_binding(
        "pipeline-service:access", WORKSPACE_ACCESS, [Subject(kind="User", name="u")], labels("tenant")
    )
    kcp.apply(f"{TENANTS}:old", users)
    said = retired(project, tmp_path / "2.yaml")
    kcp.kubectl(f"{TENANTS}:old", "delete", "clusterrolebinding", "pipeline-service:access")
    assert "note: the users of old can still work" in said


def test_show_tells_live_what_is_used(kcp: Kcp, project: Path) -> None:
    path = f"{TENANTS}:old"
    kcp.apply(path, stored_runs_quota(600, labels("tenant", tenant="old")))
    there = tenant_namespace(path, "build")
    parts = namespace_objects(
        tenant="old",
        workspace_path=path,
        kcp_namespace="build",
        namespace_name=there,
        quota=tenant_quota(QuotaSettings()),
        network=tenant_network(NetworkSettings()),
    )
    kcp.apply(CLUSTER, parts["namespace"], parts["quota"])
    shown = run(project, "show", "old", "--live").stdout
    assert "    stored in the workspace: count/pipelineruns.tekton.dev " in shown
    assert " of 600\n" in shown
    assert "    running in default: not deployed yet\n" in shown
    assert "    running in build: " in shown
    assert "requests.cpu ? of 8" in shown  # nothing counts pods in this stand-in of a cluster
