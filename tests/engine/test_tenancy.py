"""A tenant on a real kcp and a real API server: roles, suspension, and what it leaves behind when it goes."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from components.access import PIPELINE_KINDS, Subject, cluster_role, rule
from components.api_export import api_export, bind_role
from components.names import digest
from components.suspension import suspension_binding, suspension_policy
from components.syncer_manifests import FINALIZER
from components.tenant_manifests import TenantAccess, TenantQuota, namespace_objects
from components.tenant_network import TenantNetwork
from components.unit import UnitArgs, environment, to_yaml
from operations.api_servers import ApiServer
from operations.tenant_grants import grants
from stacks import kubeconfigs
from tests.support.apiserver import control_plane, require_binaries
from tests.support.kcp import KcpClient, KcpServer, kcp_server
from tests.support.pulumi_project import ROOT
from tests.support.recording import environment as environment_of
from tests.support.tenants import workspace_content
from tests.support.waiting import until
from units import delete
from units.kubectl import Kubectl
from units.request import read_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.apiserver import ControlPlane

HOME = "root:demo"
RUNS = "pipelineruns.tekton.dev"
USERS = ("alice", "dan", "gina", "victor", "mallory")
GROUPS = {"gina": "team"}
QUOTA = TenantQuota(pipeline_runs=100, cpu="2", memory="4Gi", pods=10, storage="10Gi")
ROBOT = Subject(kind="ServiceAccount", name="robot", namespace="ci")
ACCESS = TenantAccess(
    admins=(Subject(kind="User", name="alice"),),
    developers=(Subject(kind="User", name="dan"), Subject(kind="Group", name="team"), ROBOT),
    viewers=(Subject(kind="User", name="victor"),),
)


def definition(kind: str, plural: str) -> dict[str, Any]:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.tekton.dev", "annotations": {"api-approved.kubernetes.io": "test"}},
        "spec": {
            "group": "tekton.dev",
            "names": {"plural": plural, "kind": kind, "singular": kind.lower(), "listKind": f"{kind}List"},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def pipeline_run(name: str, namespace: str = "ci", **more: Any) -> dict[str, Any]:  # noqa: ANN401 -- any part
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": metadata, "spec": {}, **more}


class Home(KcpClient):
    """A kcp with a tenant's workspace, whose API of pipelines is defined in place, without an agent."""

    def __init__(self, server: KcpServer, folder: Path) -> None:
        super().__init__(server, folder, USERS)
        self.make_workspaces("compute", "demo")
        self.apply("root:compute", api_export("east"), bind_role("east"))
        self.apply(HOME, *(definition(kind, plural) for kind, plural in PIPELINE_KINDS.items()))
        for plural in PIPELINE_KINDS.values():
            self.run(HOME, "wait", f"crd/{plural}.tekton.dev", "--for=condition=Established")
        # As the program writes it: with kcp's own address, to which units add the workspace.
        document = json.loads(server.kubeconfig("root"))
        document["clusters"][0]["cluster"]["server"] = server.server
        self.of_units = folder / "of-units"
        self.of_units.write_text(json.dumps(document))

    def variables(
        self, access: TenantAccess, *, suspended: bool, stopped: bool
    ) -> tuple[str, dict[str, Any]]:
        """Make the unit's manifest and its environment."""
        text = to_yaml(
            workspace_content(
                tenant="demo",
                export=("root:compute", "east"),
                namespaces=("ci",),
                access=access,
                quota=QUOTA,
                suspended=suspended,
            )
        )
        args = UnitArgs(
            unit="tenant",
            sha256=digest(text),
            kubeconfig=str(self.of_units),
            workspace=HOME,
            manifest=text,
            drain=[RUNS],
            release_finalizers=[FINALIZER],
            cancel=[RUNS] if stopped else [],
        )
        return text, dict(environment(args))

    def settle(self, access: TenantAccess = ACCESS, *, suspended: bool = False, stopped: bool = False) -> str:
        """Apply the unit, as the program's command does."""
        text, variables = self.variables(access, suspended=suspended, stopped=stopped)
        # kubectl is found by PATH; the rest of the environment is the unit's own.
        done = subprocess.run(
            [sys.executable, "-m", "units", "apply"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env={**_inherited(), **variables},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def may(self, user: str, *what: str) -> bool:
        answer = self.kubectl(HOME, "auth", "can-i", *what, "--namespace=ci", user=user)
        return answer.stdout.strip() == "yes"

    def make(self, user: str | None, manifest: dict[str, Any]) -> str:
        """Create an object; give what was refused."""
        return self.kubectl(HOME, "create", "--filename=-", stdin=json.dumps(manifest), user=user).stderr


def _inherited() -> dict[str, str]:
    return {key: os.environ[key] for key in ("PATH", "HOME")}


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    require_binaries("kubectl")
    with kcp_server(tmp_path_factory.mktemp("kcp"), USERS, GROUPS) as server:
        yield Home(server, tmp_path_factory.mktemp("client"))


@pytest.fixture
def home(workspaces: Home) -> Iterator[Home]:
    """The tenant's workspace, from which goes what its people made, also where a test fails."""
    yield workspaces
    made = ("rolebinding/granted-developer", "rolebinding/granted-admin", "secret/robot-token", "secret/kept")
    for what in (made, (RUNS, "--all", "--wait=false")):
        workspaces.kubectl(HOME, "delete", *what, "--namespace=ci", "--ignore-not-found")


def test_each_role_may_what_it_says_and_a_stranger_nothing(home: Home) -> None:
    home.settle()
    until(lambda: home.may("dan", "create", RUNS), "dan may work")
    asked = {
        "runs": ("list", RUNS),
        "new runs": ("create", RUNS),
        "secrets": ("get", "secrets"),
        "bindings": ("create", "rolebindings"),
        "accounts": ("create", "serviceaccounts"),
        "roles": ("create", "roles"),
        "escalation": ("escalate", "clusterroles"),
    }
    wanted = {
        "victor": {"runs"},
        "dan": {"runs", "new runs", "secrets"},
        "gina": {"runs", "new runs", "secrets"},
        "alice": {"runs", "new runs", "secrets", "bindings"},
        "mallory": set(),
    }

    def found() -> dict[str, set[str]]:
        return {user: {what for what, asks in asked.items() if home.may(user, *asks)} for user in USERS}

    until(lambda: found() == wanted, "each may what it says", found)


def binding(role: str, subject: dict[str, str]) -> dict[str, Any]:
    rbac = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{rbac}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"granted-{role.rpartition(':')[2]}", "namespace": "ci"},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }


def test_an_admin_grants_the_tenants_roles_and_no_other(home: Home) -> None:
    home.settle()
    until(lambda: home.may("alice", "create", "rolebindings"), "alice may grant")
    victor = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "victor"}
    home.apply(HOME, cluster_role("test:other", [rule("", ("namespaces",), ("delete",))], {}))
    until(
        lambda: "forbidden" in home.make("alice", binding("test:other", victor)),
        "another role is not alice's to give",
    )
    granted = binding("pipeline-service:developer", victor)
    until(lambda: home.make("alice", granted) == "", "alice grants")
    until(lambda: home.may("victor", "create", RUNS), "victor works")


def test_a_suspension_locks_out_people_and_service_accounts_and_lifting_it_restores_all(home: Home) -> None:
    home.settle()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": "robot-token",
            "namespace": "ci",
            "annotations": {"kubernetes.io/service-account.name": "robot"},
        },
    }
    until(lambda: home.make("dan", secret) == "", "a developer makes the robot's token")

    def token() -> str:
        text = home.run(HOME, "get", "secret", "robot-token", "--namespace=ci", "--output=json")
        return base64.b64decode(json.loads(text).get("data", {}).get("token", "")).decode()

    until(lambda: token() != "", "kcp fills the token in")
    home.add_user("robot", token())
    until(lambda: home.may("robot", "create", RUNS), "the robot works")
    granted = binding(
        "pipeline-service:admin", {"kind": "ServiceAccount", "name": "robot", "namespace": "ci"}
    )
    until(lambda: home.make("alice", granted) == "", "alice grants")
    until(lambda: home.make("robot", pipeline_run("before")) == "", "the robot's run is stored")

    home.settle(suspended=True)
    for user in ("alice", "dan", "robot"):
        until(lambda user=user: not home.may(user, "list", RUNS), f"{user} is locked out")  # type: ignore[misc]
        assert not home.may(user, "get", "secrets")
    until(lambda: "exceeded quota" in home.make(None, pipeline_run("refused")), "no run is stored")
    assert json.loads(home.run(HOME, "get", RUNS, "before", "--namespace=ci", "--output=json"))["spec"] == {}

    home.settle()
    for user in ("alice", "dan", "robot"):
        until(lambda user=user: home.may(user, "create", RUNS), f"{user} is back")  # type: ignore[misc]
    until(lambda: home.may("robot", "create", "rolebindings"), "the robot has its right back")
    until(lambda: home.make("dan", pipeline_run("after")) == "", "runs are stored again")


def test_what_a_revoked_admin_leaves_behind_works_on_and_is_listed_with_whom_it_serves(home: Home) -> None:
    home.settle()
    until(lambda: home.may("alice", "create", "rolebindings"), "alice may grant")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": "kept",
            "namespace": "ci",
            "annotations": {"kubernetes.io/service-account.name": "default"},
            "labels": {"app.kubernetes.io/part-of": "pipeline-service"},
        },
    }
    account = {"kind": "ServiceAccount", "name": "default", "namespace": "ci"}
    until(lambda: home.make("alice", secret) == "", "alice has a token made")
    until(lambda: home.make("alice", binding("pipeline-service:admin", account)) == "", "alice grants")

    def token() -> str:
        text = home.run(HOME, "get", "secret", "kept", "--namespace=ci", "--output=json")
        return base64.b64decode(json.loads(text).get("data", {}).get("token", "")).decode()

    until(lambda: token() != "", "kcp fills the token in")
    home.add_user("kept", token())

    home.settle(TenantAccess(viewers=(Subject(kind="User", name="victor"),)))
    until(lambda: not home.may("alice", "list", RUNS), "alice is revoked")
    until(lambda: home.may("kept", "create", "rolebindings"), "what she made works on")
    server = ApiServer(name="demo", kubeconfig=kubeconfigs.read(home.of_units).at_workspace(HOME))
    entry = {"cluster": "east", "namespaces": ["ci"], "access": {"viewers": {"users": ["victor"]}}}
    settings = environment_of({"east": {}}, {"demo": entry})
    found = [str(one).partition(", since ")[0] for one in grants(server, settings, "demo")]
    # The last one is the test's own, of what an admin may not hand out.
    assert [one for one in found if one != "ClusterRole test:other: a role"] == [
        "RoleBinding ci/granted-admin: gives pipeline-service:admin to service account ci/default",
        "Secret ci/kept: a token of service account ci/default",
    ]
    assert token() not in str(found)
    home.run(HOME, "delete", "rolebinding/granted-admin", "secret/kept", "--namespace=ci")
    until(lambda: not home.may("kept", "list", RUNS), "nothing is left of it")


def test_stopping_cancels_what_is_unfinished_and_nothing_else(home: Home) -> None:
    home.settle()
    finished = pipeline_run("finished", status={"completionTime": "2026-01-01T00:00:00Z"})
    for place in range(5):
        until(lambda place=place: home.make(None, pipeline_run(f"run-{place}")) == "", "stored")  # type: ignore[misc]
    assert home.make(None, finished) == ""
    assert "5 cancelled" in home.settle(suspended=True, stopped=True)
    listed = json.loads(home.run(HOME, "get", RUNS, "--namespace=ci", "--output=json"))["items"]
    assert {run["metadata"]["name"]: run["spec"].get("status") for run in listed} == {
        **{f"run-{place}": "Cancelled" for place in range(5)},
        "finished": None,
    }
    # Another time, with something else changed, there is nothing left to cancel.
    assert "0 cancelled" in home.settle(TenantAccess(), suspended=True, stopped=True)


def test_a_retired_tenant_goes_without_hanging_where_no_agent_answers(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.settle()
    for place in range(10):
        run = pipeline_run(f"run-{place}")
        run["metadata"]["finalizers"] = [FINALIZER]
        until(lambda run=run: home.make(None, run) == "", "stored")  # type: ignore[misc]
    home.settle(suspended=True, stopped=True)
    _, variables = home.variables(ACCESS, suspended=True, stopped=True)
    request = read_request(variables)
    monkeypatch.setattr(delete, "_DRAIN_SECONDS", 3)
    with Kubectl(request) as kubectl:
        assert "10 objects were let go by force" in delete.delete(kubectl, request)
    assert json.loads(home.run(HOME, "get", RUNS, "--all-namespaces", "--output=json"))["items"] == []
    gone = home.kubectl(HOME, "get", "apibinding/pipelines", "namespace/ci")
    assert gone.stderr.count("NotFound") == 2


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    admission = "/apis/admissionregistration.k8s.io/v1"
    with control_plane(tmp_path_factory.mktemp("control-plane")) as running:
        for kind, plural in {"PipelineRun": "pipelineruns", "TaskRun": "taskruns"}.items():
            running.create(crds, definition(kind, plural))
        running.create(f"{admission}/validatingadmissionpolicies", suspension_policy())
        running.create(f"{admission}/validatingadmissionpolicybindings", suspension_binding())
        yield running


def test_the_cluster_holds_a_tenants_pods_and_claims_to_what_its_entry_says(cluster: ControlPlane) -> None:
    name = f"held-{uuid.uuid4().hex[:8]}"
    parts = namespace_objects(
        tenant=name,
        workspace_path=f"root:{name}",
        kcp_namespace="ci",
        namespace_name=name,
        quota=QUOTA,
        network=TenantNetwork(),
    )
    cluster.create("/api/v1/namespaces", parts["namespace"])
    space = f"/api/v1/namespaces/{name}"
    kinds = {"quota": "resourcequotas", "limits": "limitranges", "account": "serviceaccounts"}
    for part, plural in kinds.items():
        cluster.create(f"{space}/{plural}", parts[part])
    account = parts["account"]["metadata"]["name"]

    def pod(**container: Any) -> dict[str, Any]:  # noqa: ANN401 -- any part of a container
        spec = {"serviceAccountName": account, "containers": [{"name": "a", "image": "x", **container}]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}

    def claim(size: str) -> dict[str, Any]:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "a"}, "spec": spec}

    def tried(plural: str, manifest: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return cluster.request("POST", f"{space}/{plural}?dryRun=All", manifest)

    def counted() -> bool:
        status, answer = cluster.request("GET", f"{space}/resourcequotas/running")
        return status == 200 and "hard" in answer.get("status", {})

    # The quota is in force once its controller has counted.
    until(counted, "the quota is counted")
    [made] = tried("pods", pod())[1]["spec"]["containers"]
    assert made["resources"] == {
        "limits": {"memory": "512Mi"},
        "requests": {"cpu": "50m", "memory": "64Mi"},
    }
    assert tried("persistentvolumeclaims", claim(QUOTA.storage))[0] == 201
    for plural, manifest, why in (
        (
            "persistentvolumeclaims",
            claim("11Gi"),
            "exceeded quota: running, requested: requests.storage=11Gi",
        ),
        ("pods", pod(resources={"limits": {"memory": "5Gi"}}), "requested: limits.memory=5Gi"),
        ("pods", pod(resources={"requests": {"cpu": "3"}}), "requested: requests.cpu=3"),
        ("pods", pod(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}}), "violates PodSecurity"),
    ):
        status, answer = tried(plural, manifest)
        assert status == 403, (manifest, answer)
        assert why in answer["message"]


def test_the_cluster_refuses_new_runs_of_a_suspended_tenant_alone_and_lets_tasks_go_on(
    cluster: ControlPlane,
) -> None:
    paths = {
        "ResourceQuota": "/api/v1/namespaces/{}/resourcequotas",
        "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    }
    own = uuid.uuid4().hex[:8]
    asleep, awake = f"asleep-{own}", f"awake-{own}"
    for name, suspended in ((asleep, True), (awake, False)):
        parts = namespace_objects(
            tenant=name,
            workspace_path=f"root:{name}",
            kcp_namespace="ci",
            namespace_name=name,
            quota=QUOTA,
            network=TenantNetwork(egress=("192.0.2.0/24", "168.0.0.0/6", "::/0")),
            suspended=suspended,
            stopped=suspended,
        )
        cluster.create("/api/v1/namespaces", parts["namespace"])
        for part in ("quota", "network"):
            cluster.create(paths[parts[part]["kind"]].format(name), parts[part])

    def make(kind: str, namespace: str, name: str) -> tuple[int, str]:
        path = f"/apis/tekton.dev/v1/namespaces/{namespace}/{kind.lower()}s"
        manifest = {**pipeline_run(name, namespace), "kind": kind}
        status, answer = cluster.request("POST", path, manifest)
        return status, str(answer.get("message", ""))

    # It was left pending before the suspension was in force, or by the owner of an external workspace.
    pending = pipeline_run("pending", asleep)
    pending["spec"]["status"] = "PipelineRunPending"
    path = f"/apis/tekton.dev/v1/namespaces/{asleep}/pipelineruns"

    def mark(suspended: str | None) -> None:
        labels = {"pipeline-service/suspended": suspended}
        cluster.patch(f"/api/v1/namespaces/{asleep}", {"metadata": {"labels": labels}})

    mark(None)
    until(lambda: cluster.request("POST", path, pending)[0] in {201, 409}, "a run is pending")
    mark("true")
    numbers = iter(range(10_000))
    until(lambda: make("PipelineRun", asleep, f"try-{next(numbers)}")[0] == 403, "the policy is in force")
    assert "suspended" in make("PipelineRun", asleep, "run")[1]
    merge = {"content_type": "application/merge-patch+json"}
    assert cluster.request("PATCH", f"{path}/pending", {"spec": {"status": None}}, **merge)[0] == 403
    assert cluster.request("PATCH", f"{path}/pending", {"spec": {"status": "Cancelled"}}, **merge)[0] == 200
    # Pipelines as Code lets the next in its queue go, without looking whether it was cancelled.
    assert cluster.request("PATCH", f"{path}/pending", {"spec": {"status": ""}}, **merge)[0] == 403
    marked = {"metadata": {"labels": {"example.com/more": "x"}}}
    assert cluster.request("PATCH", f"{path}/pending", marked, **merge)[0] == 200
    until(lambda: make("TaskRun", asleep, f"task-{next(numbers)}")[0] == 201, "tasks go on")
    assert make("PipelineRun", awake, "run")[0] == 201
    mark(None)
    until(lambda: make("PipelineRun", asleep, f"later-{next(numbers)}")[0] == 201, "runs start again")
