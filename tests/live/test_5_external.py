"""A tenant whose workspace is someone else's: its people bind and run there, apart from all others."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.names import tenant_namespace
from components.tenant_manifests import api_binding
from local.processes import wait_until
from operations.network_pods import SELECTOR
from tests.support.live import ROOT, Done, in_workspace, kubectl, local, objects, run
from tests.support.products import product

CLUSTER = "local-a"
STACK_FILE = ROOT / "Pulumi.dev.yaml"
WORKSPACE = "root:outside"
NAMESPACE = tenant_namespace(WORKSPACE, "default")
ERIN = ROOT / ".local" / "users" / "erin.kubeconfig"
OWNER = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: owner}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: erin}]
"""
HOME = """
apiVersion: tenancy.kcp.io/v1alpha1
kind: Workspace
metadata: {name: outside}
spec: {type: {name: universal, path: root}}
"""
ALLOW_ALL = f"""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: allow-all, namespace: {NAMESPACE}}}
spec: {{podSelector: {{}}, ingress: [{{}}]}}
"""
CHECK = (sys.executable, "-m", "operations", "check", "network", "--stack", "dev", "--cluster", CLUSTER)


@pytest.fixture(scope="module", autouse=True)
def _outside() -> Iterator[None]:
    """Erin has a workspace of her own, and an entry that lets her bind."""
    committed = STACK_FILE.read_text()
    try:
        options = ("--cluster", CLUSTER, "--external", WORKSPACE, "--binder-user", "erin")
        run(sys.executable, "-m", "operations", "tenant", "add", "outside", "--stack", "dev", *options)
        local("up")
        in_workspace("root", "apply", "--filename=-", stdin=HOME)
        ready = "--for=jsonpath={.status.phase}=Ready"
        in_workspace("root", "wait", "workspaces.tenancy.kcp.io/outside", ready, "--timeout=60s")
        in_workspace(WORKSPACE, "apply", "--filename=-", stdin=OWNER)
        yield
    finally:
        STACK_FILE.write_text(committed)
        in_workspace("root", "delete", "workspaces.tenancy.kcp.io", "outside", "--ignore-not-found")
        local("up")


def bind(cluster: str) -> Done:
    binding = json.dumps(api_binding(("root:pipeline-service:compute", cluster), {}))
    return in_workspace(WORKSPACE, "create", "--filename=-", user="erin", stdin=binding, check=False)


def test_its_owner_binds_and_runs_by_the_example_and_nothing_hangs_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with product(tmp_path, monkeypatch) as pulumi:
        pulumi("config", "set", "environment", "organization/pipeline-service/dev")
        pulumi("config", "set", "tenant", "outside")
        pulumi("config", "set", "bind", "true")
        pulumi("config", "set", "--secret", "kubeconfig", stdin=ERIN.read_text())
        pulumi("up", "--yes", "--skip-preview")
        pulumi("preview", "--expect-no-changes")
        manifest = pulumi("stack", "output", "run", "--json").out
        made = in_workspace(
            WORKSPACE,
            *("create", "--namespace=default", "--filename=-", "--output=name"),
            user="erin",
            stdin=manifest,
        ).out.strip()
        succeeded = ("--for=condition=Succeeded", "--timeout=300s", "--namespace=default")
        in_workspace(WORKSPACE, "wait", made, *succeeded, user="erin")
        label = f"--selector=tekton.dev/pipelineRun={made.rpartition('/')[2]}"
        logs = kubectl(CLUSTER, "logs", label, f"--namespace={NAMESPACE}", "--all-containers").out
        assert "Hello, outside" in logs
    # The binding is gone, and with it what was bound.
    left = in_workspace(WORKSPACE, "get", "apibindings.apis.kcp.io", "--output=name", user="erin").out
    assert "/pipelines" not in left
    assert wait_until(lambda: not objects(CLUSTER, "pipelineruns", f"--namespace={NAMESPACE}"), seconds=120)


def test_its_owner_may_bind_no_other_clusters_api() -> None:
    refused = bind("local-b")
    assert refused.status != 0
    assert "no permission to bind" in refused.err


@pytest.mark.parametrize(
    ("user", "workspace"),
    [
        ("erin", "root:pipeline-service:tenants:demo"),
        ("erin", "root:pipeline-service:compute"),
        ("alice", WORKSPACE),
    ],
)
@pytest.mark.parametrize("resource", ["pipelineruns.tekton.dev", "secrets"])
def test_nobody_reads_anothers_workspace(user: str, workspace: str, resource: str) -> None:
    refused = in_workspace(workspace, "get", resource, user=user, check=False)
    assert refused.status != 0
    assert "forbidden" in refused.err.lower()


@pytest.fixture
def checked() -> Iterator[Callable[..., Done]]:
    """The check of the network; that it leaves nothing behind is looked at after each."""
    yield lambda *arguments: run(*CHECK, *arguments, check=False)
    assert objects(CLUSTER, "pods", "--all-namespaces", f"--selector={SELECTOR}") == []
    assert objects(CLUSTER, "namespaces", f"--selector={SELECTOR}") == []


def test_two_tenants_pods_are_apart_and_each_ones_own_are_not(checked: Callable[..., Done]) -> None:
    done = checked("--json")
    assert done.status == 0, done
    [cluster] = json.loads(done.out)["clusters"]
    results = {
        (one["tenant"], one["target"]): one["result"]
        for one in cluster["findings"]
        if one["kind"] != "metadata"
    }
    assert results == {
        ("demo", "demo"): "answered",
        ("demo", "outside"): "blocked",
        ("demo", "kubernetes.default.svc"): "answered",
        ("outside", "outside"): "answered",
        ("outside", "demo"): "blocked",
        ("outside", "kubernetes.default.svc"): "answered",
    }


def test_a_policy_that_lets_everybody_in_is_found(checked: Callable[..., Done]) -> None:
    done: list[Done] = []

    def is_found() -> bool:
        done.append(checked("--json", "--tenant=outside", "--tenant=demo"))
        return done[-1].status == 3

    kubectl(CLUSTER, "apply", "--filename=-", stdin=ALLOW_ALL)
    try:
        # A policy is in force a moment after it is there.
        assert wait_until(is_found, seconds=120), done[-1]
    finally:
        kubectl(CLUSTER, "delete", "networkpolicy", "allow-all", f"--namespace={NAMESPACE}")
    [cluster] = json.loads(done[-1].out)["clusters"]
    found = [(one["tenant"], one["target"]) for one in cluster["findings"] if one["meaning"] == "open"]
    assert found == [("demo", "outside")]


def test_tenants_that_are_made_up_are_apart_as_well(checked: Callable[..., Done]) -> None:
    assert checked("--namespaces").status == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_check_leaves_nothing_behind(
    checked: Callable[..., Done], how: signal.Signals
) -> None:
    process = _started()
    process.send_signal(how)
    assert process.wait(timeout=120) != 0
    assert objects(CLUSTER, "pods", "--all-namespaces", f"--selector={SELECTOR}") == []
    assert checked("--tenant=demo").status == 1  # one alone is refused


def test_what_a_killed_check_left_the_next_one_removes(checked: Callable[..., Done]) -> None:
    process = _started()
    process.kill()
    process.wait(timeout=10)
    left = {one["metadata"]["uid"] for one in objects(CLUSTER, "pods", "-A", f"--selector={SELECTOR}")}
    assert left
    assert checked().status == 0


def _started() -> subprocess.Popen[str]:
    """Start a check; give it once it has made a pod."""
    process = subprocess.Popen(CHECK, cwd=ROOT, text=True, stdout=subprocess.DEVNULL)
    assert wait_until(
        lambda: bool(objects(CLUSTER, "pods", "--all-namespaces", f"--selector={SELECTOR}")), seconds=120
    )
    return process
