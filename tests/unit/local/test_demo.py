"""The demonstration: whose credential does what, and what its exit code says."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from components.names import tenant_namespace
from local import demo
from local.demo import run_demo
from local.errors import LocalError

URL = "https://127.0.0.1:6443/clusters/root:pipeline-service:tenants:demo"
WORKSPACE = "root:pipeline-service:tenants:demo"
NAMESPACE = tenant_namespace(WORKSPACE, "default")
STACK_FILE = """\
config:
  pipeline-service:kcp:
    kubeconfig: {path: .local/kcp/admin.kubeconfig}
  pipeline-service:computeClusters:
    local-a:
      kubeconfig: {path: .local/local-a/kubeconfig}
  pipeline-service:tenants:
    demo:
      cluster: local-a
      access:
        developers: {users: [alice]}
"""
POD = {
    "metadata": {"name": "demo-x-produce-pod", "creationTimestamp": "2025-01-01T00:00:01Z"},
    "spec": {"containers": [{"name": "step-write"}, {"name": "sidecar-x"}, {"name": "step-late"}]},
    "status": {
        "containerStatuses": [
            {"name": "step-write", "state": {"terminated": {}}},
            {"name": "step-late", "state": {"waiting": {}}},
        ],
    },
}


def run_object(status: str | None, reason: str = "Running") -> dict[str, Any]:
    entry: dict[str, Any] = {"metadata": {"name": "demo-x"}, "status": {}}
    if status is not None:
        entry["status"] = {
            "conditions": [
                {"type": "Succeeded", "status": status, "reason": reason, "message": "[1/2] done"}
            ],
            "startTime": "2025-01-01T00:00:00Z",
            "childReferences": [{"kind": "TaskRun", "name": "demo-x-produce", "pipelineTaskName": "produce"}],
        }
    return entry


class Commands:
    """Answers the commands that the demonstration may run, and fails on any other."""

    def __init__(self, runs: list[dict[str, Any]], pods: list[dict[str, Any]]) -> None:
        self.runs = runs
        self.pods = pods
        self.seen: list[list[str]] = []
        self.created: dict[str, Any] = {}

    def __call__(
        self,
        command: list[str],
        *,
        what: str,
        directory: Path,
        stdin: str | None = None,
    ) -> str:
        assert what
        assert directory.is_absolute()
        words = list(command)
        self.seen.append(words)
        if words[0] == "pulumi":
            return json.dumps({"demo": {"url": URL, "workspace": WORKSPACE}})
        as_user = [
            "kubectl",
            "--kubeconfig=.local/users/alice.kubeconfig",
            f"--server={URL}",
            "--namespace=default",
        ]
        as_operator = ["kubectl", "--kubeconfig=.local/local-a/kubeconfig", f"--namespace={NAMESPACE}"]
        if words[:4] == as_user and words[4] == "create":
            assert stdin is not None
            self.created = json.loads(stdin)
            return json.dumps(run_object(None))
        if words[:4] == as_user and words[4:7] == ["get", "pipelinerun", "demo-x"]:
            return json.dumps(self.runs.pop(0) if len(self.runs) > 1 else self.runs[0])
        if words[:3] == as_operator and words[3:5] == ["get", "pods"]:
            assert "--selector=tekton.dev/pipelineRun=demo-x" in words
            return json.dumps({"items": self.pods})
        if words[:3] == as_operator and words[3:] == ["logs", "demo-x-produce-pod", "--container=step-write"]:
            return "wrote: [bold]Hello[/bold]\n"
        raise AssertionError(words)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK_FILE)
    users = tmp_path / ".local" / "users"
    users.mkdir(parents=True)
    (users / "alice.kubeconfig").touch()
    return tmp_path


@pytest.fixture
def play(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, Commands]]:
    def play(
        runs: list[dict[str, Any]], *, terminal: bool = False, seconds: float = 60
    ) -> tuple[int, str, Commands]:
        commands = Commands(runs, [POD])
        monkeypatch.setattr(demo, "run", commands)
        monkeypatch.setattr(demo, "sleep", lambda _seconds: None)
        out = io.StringIO()
        console = Console(file=out, force_terminal=terminal, width=200, highlight=False)
        return run_demo(project, "dev", console, seconds=seconds), out.getvalue(), commands

    return play


def test_success_is_exit_0_and_shows_status_and_logs(play: Callable[..., tuple[int, str, Commands]]) -> None:
    code, out, _ = play([run_object(None), run_object("Unknown"), run_object("True", "Succeeded")])
    assert code == 0
    assert "waiting for the compute cluster" in out
    assert "Running: [1/2] done" in out
    assert "True  Succeeded: [1/2] done" in out
    assert "TaskRun demo-x-produce" in out
    assert "demo-x-produce-pod step-write | wrote: [bold]Hello[/bold]" in out
    assert "delete pipelinerun demo-x" in out


def test_a_failed_run_is_exit_1_and_still_shows_its_logs(
    play: Callable[..., tuple[int, str, Commands]],
) -> None:
    code, out, _ = play([run_object("False", "Failed")])
    assert code == 1
    assert "False  Failed" in out
    assert "wrote:" in out
    assert "timed out" not in out


@pytest.mark.parametrize(
    ("seen", "place"),
    [(None, "--namespace=pipeline-service-syncer get pods"), ("Unknown", "describe pods --selector=")],
)
def test_a_timeout_is_exit_1_and_says_where_to_look(
    play: Callable[..., tuple[int, str, Commands]],
    seen: str | None,
    place: str,
) -> None:
    code, out, _ = play([run_object(seen)], seconds=0)
    assert code == 1
    assert "timed out" in out
    assert place in out


def test_kcp_is_only_ever_asked_as_the_tenants_user(play: Callable[..., tuple[int, str, Commands]]) -> None:
    _, _, commands = play([run_object("True")])
    for words in commands.seen:
        assert "admin.kubeconfig" not in " ".join(words)
        if any(word.startswith("--server=") for word in words):
            assert "--kubeconfig=.local/users/alice.kubeconfig" in words


def test_the_second_task_depends_on_the_first_ones_result(
    play: Callable[..., tuple[int, str, Commands]],
) -> None:
    _, _, commands = play([run_object("True")])
    assert "name" not in commands.created["metadata"]
    first, second = commands.created["spec"]["pipelineSpec"]["tasks"]
    (result,) = first["taskSpec"]["results"]
    assert f"$(results.{result['name']}.path)" in first["taskSpec"]["steps"][0]["script"]
    assert second["params"] == [
        {"name": "text", "value": f"$(tasks.{first['name']}.results.{result['name']})"}
    ]


def test_each_new_text_is_one_plain_line_where_there_is_no_terminal(
    play: Callable[..., tuple[int, str, Commands]],
) -> None:
    _, out, _ = play([run_object("Unknown")] * 5 + [run_object("True")])
    assert out.count("Running: [1/2] done") == 2  # Unknown, and True with the same text, but for the summary
    assert "\x1b" not in out


def test_a_terminal_gets_the_same_facts(play: Callable[..., tuple[int, str, Commands]]) -> None:
    code, out, _ = play([run_object("Unknown"), run_object("True", "Succeeded")], terminal=True)
    assert code == 0
    assert "True  Succeeded" in out


def test_a_user_without_credential_is_named_with_the_mend(
    project: Path,
    play: Callable[..., tuple[int, str, Commands]],
) -> None:
    (project / ".local" / "users" / "alice.kubeconfig").unlink()
    with pytest.raises(LocalError, match=r"tenants\.demo\.access: no developer or admin \(alice\).*make up"):
        play([run_object("True")])


def test_a_stack_without_the_tenant_is_named_with_the_mend(
    project: Path,
    play: Callable[..., tuple[int, str, Commands]],
) -> None:
    (project / "Pulumi.dev.yaml").write_text(STACK_FILE.replace("    demo:", "    other:"))
    with pytest.raises(LocalError, match=r"settings have no tenant `demo`.*\(tenants: other\)"):
        play([run_object("True")])
