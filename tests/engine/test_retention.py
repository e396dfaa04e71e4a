"""Retention on a real kcp: pruned with the identity that the program makes, by the script that it deploys."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.error
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from components import kcp_identity, retention_manifests, retention_prune
from components.api_export import api_export
from components.kcp_workspace import UNIVERSAL, workspace
from components.names import labels
from components.retention_prune import Kcp, Policy
from components.tenant_manifests import CLAIMS, api_binding
from tests.support.apiserver import require_binaries
from tests.support.kcp import KcpServer, kcp_server
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = 60
NOW = datetime.now(UTC)
SCHEMA: dict[str, Any] = {
    "apiVersion": "apis.kcp.io/v1alpha1",
    "kind": "APIResourceSchema",
    "metadata": {"name": "v1.pipelineruns.tekton.dev"},
    "spec": {
        "group": "tekton.dev",
        "names": {
            "kind": "PipelineRun",
            "listKind": "PipelineRunList",
            "plural": "pipelineruns",
            "singular": "pipelinerun",
        },
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            }
        ],
    },
}
TENANTS = ("team-a", "team-b", "team-c", "team-d", "team-e")


class Fleet:
    """A kcp with an export that workspaces bind, of which the first two have a policy."""

    def __init__(self, server: KcpServer, folder: Path) -> None:
        self.folder = folder
        self.server = server.server
        (folder / "admin").write_text(server.kubeconfig("root"))
        self.admin = Kcp(server.kubeconfig("root:compute"))
        self.authority = json.loads(server.kubeconfig("root"))["clusters"][0]["cluster"].get(
            "certificate-authority-data"
        )
        self.apply("root", *(workspace(name, UNIVERSAL, "test") for name in ("compute", *TENANTS)))
        for name in ("compute", *TENANTS):
            self.wait("root", f"workspace/{name}", "jsonpath={.status.phase}=Ready")
        claims = [{"group": group, "resource": resource, "verbs": ["*"]} for group, resource in CLAIMS]
        schema = {"group": "tekton.dev", "name": "pipelineruns", "schema": SCHEMA["metadata"]["name"]}
        self.apply("root:compute", SCHEMA)
        for cluster in ("east", "west"):
            export = api_export(cluster)
            resources = [{**schema, "storage": {"crd": {}}}]
            self.apply(
                "root:compute", {**export, "spec": {"resources": resources, "permissionClaims": claims}}
            )
        for name in TENANTS:
            self.apply(f"root:{name}", api_binding(("root:compute", "east"), {}))
            self.wait(f"root:{name}", "apibinding/pipelines", "jsonpath={.status.phase}=Bound")
        account = retention_manifests.kcp_account_name("east")
        marked = labels("retention", cluster="east")
        self.apply(
            "root:compute",
            kcp_identity.service_account(account, marked),
            kcp_identity.token_secret(account, marked),
            *retention_manifests.kcp_rights("east").values(),
            *(
                retention_manifests.policy_map("east", f"root:{name}", Policy(tenant=name, runs=runs, days=7))
                for name, runs in (("team-a", 15), ("team-b", 1000))
            ),
        )
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(self._kubeconfig(f"{account}-token"))
        until(self._serves, "the account reads tenants' runs")

    def _serves(self) -> bool:
        """Tell whether kcp knows of the account's rights, and has published where it finds the tenants."""
        own = Kcp(self.kubeconfig.read_text())
        try:
            url = endpoint(own)
            list(own.items(f"{url}/clusters/*/{retention_prune.RUNS}/pipelineruns"))
        except (urllib.error.HTTPError, LookupError):
            return False
        return True

    def _kubeconfig(self, secret: str) -> str:
        url = f"{self.server}/clusters/root:compute/api/v1/namespaces/default/secrets/{secret}"
        until(lambda: "token" in (self.admin.request(url).get("data") or {}), "filled in")
        token = self.admin.request(url)["data"]["token"]
        return kcp_identity.kubeconfig(
            f"{self.server}/clusters/root:compute", self.authority, "retention", token
        )

    def kubectl(self, path: str, *arguments: str, stdin: str = "") -> str:
        command = [
            "kubectl",
            f"--kubeconfig={self.folder / 'admin'}",
            f"--server={self.server}/clusters/{path}",
        ]
        done = subprocess.run(
            [*command, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def apply(self, path: str, *manifests: dict[str, Any]) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl(path, "apply", "--server-side", "--filename=-", stdin=json.dumps(items))

    def wait(self, path: str, what: str, condition: str) -> None:
        self.kubectl(path, "wait", what, f"--for={condition}", f"--timeout={SECONDS}s")

    def runs_url(self, tenant: str) -> str:
        return f"{self.server}/clusters/root:{tenant}/{retention_prune.RUNS}/namespaces/default/pipelineruns"

    def clear(self, *tenants: str) -> None:
        """Delete what an earlier try of a test has left."""
        for tenant in tenants:
            self.kubectl(f"root:{tenant}", "delete", "pipelineruns", "--all", "--namespace=default")

    def create(self, tenant: str, name: str, age: timedelta | None, status: object = None) -> None:
        """Create a run that finished some time ago, or one that still runs."""
        url = self.runs_url(tenant)
        run = {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": name}}
        made = self.admin.request(url, "POST", run)
        condition = {"type": "Succeeded", "status": "Unknown" if age is None else "True"}
        made["status"] = status or {"conditions": [condition]}
        if age is not None and not status:
            made["status"]["completionTime"] = (NOW - age).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.admin.request(f"{url}/{name}/status", "PUT", made)

    def names(self, tenant: str) -> set[str]:
        return {item["metadata"]["name"] for item in self.admin.items(self.runs_url(tenant))}

    def prune(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # As the pod runs it: by itself, without this project.
        script = self.folder / "prune.py"
        script.write_text(retention_manifests.ground("")["retention-script"]["data"]["prune.py"])
        command = [
            sys.executable,
            "-I",
            "-B",
            str(script),
            f"--kubeconfig={self.kubeconfig}",
            "--export=east",
        ]
        return subprocess.run(
            [*command, *arguments], capture_output=True, text=True, check=False, cwd="/", timeout=2 * SECONDS
        )


def endpoint(own: Kcp) -> str:
    """Return where the account finds its cluster's tenants."""
    slices = f"{own.server}/apis/apis.kcp.io/v1alpha1/apiexportendpointslices"
    return str(own.request(f"{slices}/east")["status"]["endpoints"][0]["url"])


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    require_binaries("kubectl")
    with kcp_server(tmp_path_factory.mktemp("kcp")) as server:
        yield Fleet(server, tmp_path_factory.mktemp("client"))


def test_finished_runs_are_pruned_to_the_retention_and_nothing_else(fleet: Fleet) -> None:
    fleet.clear("team-a", "team-b", "team-c")
    for number in range(150):
        fleet.create("team-a", f"done-{number:03}", timedelta(minutes=number))
    for number in range(3):
        fleet.create("team-a", f"running-{number}", None)
        fleet.create("team-c", f"done-{number}", timedelta(days=90))
    fleet.create("team-a", "nonsense", timedelta(0), {"conditions": "none", "completionTime": 3})
    fleet.create("team-b", "week", timedelta(days=8))
    fleet.create("team-b", "day", timedelta(days=1))

    dry = fleet.prune("--dry-run")
    assert (dry.returncode, dry.stderr) == (0, "")
    assert "tenant team-a: 154 runs, 150 finished, 135 would be deleted\n" in dry.stdout
    assert len(fleet.names("team-a")) == 154

    bounded = fleet.prune("--most=36")
    assert "tenant team-b: 2 runs, 2 finished, 1 deleted\n" in bounded.stdout
    assert "tenant team-a: 154 runs, 150 finished, 35 deleted\n" in bounded.stdout
    assert fleet.names("team-b") == {"day"}

    done = fleet.prune()
    assert (done.returncode, done.stderr) == (0, "")
    assert "tenant team-a: 119 runs, 115 finished, 100 deleted\n" in done.stdout
    kept = {f"done-{number:03}" for number in range(15)}
    assert fleet.names("team-a") == kept | {f"running-{number}" for number in range(3)} | {"nonsense"}
    assert fleet.names("team-c") == {f"done-{number}" for number in range(3)}
    assert ": 3 runs, 3 finished, no retention: left alone\n" in done.stdout
    token = json.loads(fleet.kubeconfig.read_text())["users"][0]["user"]["token"]
    assert token not in done.stdout
    assert fleet.prune().stdout.count(", 0 deleted\n") == 2

    # Somebody's edit of one tenant's policy is told, and the other tenants are pruned all the same.
    policy = ("configmap", "retention-team-b", "--namespace=default")
    fleet.kubectl("root:compute", "patch", *policy, "--type=merge", '--patch={"data": {"runs": "all"}}')
    fleet.create("team-a", "old", timedelta(days=60))
    failed = fleet.prune()
    fleet.kubectl("root:compute", "patch", *policy, "--type=merge", '--patch={"data": {"runs": "1000"}}')
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: ConfigMap default/retention-team-b: can't be read (ValueError: ")
    assert "old" not in fleet.names("team-a")
    assert fleet.names("team-b") == {"day"}


def test_the_identity_can_neither_make_nor_change_a_run_nor_reach_anything_else(fleet: Fleet) -> None:
    fleet.clear("team-d")
    fleet.create("team-d", "target", None)
    own = Kcp(fleet.kubeconfig.read_text())
    slices = f"{own.server}/apis/apis.kcp.io/v1alpha1/apiexportendpointslices"
    url = endpoint(own)
    [run] = [
        item
        for item in own.items(f"{url}/clusters/*/{retention_prune.RUNS}/pipelineruns")
        if item["metadata"]["name"] == "target"
    ]
    cluster = run["metadata"]["annotations"]["kcp.io/cluster"]
    runs = f"{url}/clusters/{cluster}/{retention_prune.RUNS}/namespaces/default/pipelineruns"
    new = {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": "new"}}
    refused = [
        (runs, "POST", new),
        (f"{runs}/target", "PUT", run),
        (f"{runs}/target/status", "PUT", run),
        (f"{slices}/west", "GET", None),
        (f"{own.server}/api/v1/namespaces/default/secrets", "GET", None),
        (f"{own.server}/apis/apis.kcp.io/v1alpha2/apiexports/east", "GET", None),
        # A workspace in which it has deleted nothing: see docs/runbooks/retention.md for what else was seen.
        (fleet.runs_url("team-e"), "GET", None),
        (url.replace("/east", "/west") + f"/clusters/*/{retention_prune.RUNS}/pipelineruns", "GET", None),
    ]
    answers = {}
    for address, method, body in refused:
        try:
            answers[method, address] = str(own.request(address, method, body))
        except urllib.error.HTTPError as error:
            answers[method, address] = str(error.code)
    assert {what: answer for what, answer in answers.items() if answer != "403"} == {}


def test_a_run_that_changed_since_it_was_looked_at_is_not_deleted(fleet: Fleet) -> None:
    fleet.clear("team-d")
    fleet.create("team-d", "changing", timedelta(days=30))
    own = Kcp(fleet.kubeconfig.read_text())
    url = endpoint(own)
    [seen] = [
        retention_prune.read_run(item, url)
        for item in own.items(f"{url}/clusters/*/{retention_prune.RUNS}/pipelineruns")
        if item["metadata"]["name"] == "changing"
    ]
    fleet.kubectl("root:team-d", "label", "pipelinerun", "changing", "kept=yes")
    retention_prune._delete(own, seen)
    assert "changing" in fleet.names("team-d")


def test_a_wrong_token_is_an_error_that_shows_no_credential(fleet: Fleet, tmp_path: Path) -> None:
    token = base64.b64encode(b"made-up-token").decode()
    document = kcp_identity.kubeconfig(
        f"{fleet.server}/clusters/root:compute", fleet.authority, "retention", token
    )
    (tmp_path / "kubeconfig").write_text(document)
    done = fleet.prune(f"--kubeconfig={tmp_path / 'kubeconfig'}")
    assert done.returncode == 1
    assert done.stderr.startswith("error: kcp: ")
    assert "made-up-token" not in done.stderr + done.stdout
