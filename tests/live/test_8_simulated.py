"""Without root's powers the whole stack is deployed all the same, and what a tenant makes is synced."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from components.names import tenant_namespace
from local.layout import Layout, default_layout
from local.processes import owned, wait_until
from tests.support.checkout import copy_project, outside, run_in
from tests.support.live import TENANT_WORKSPACE

POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
TASK = """
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: synced, namespace: default}
spec: {steps: [{name: say, image: example.test/say:1, script: echo}]}
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return another checkout of this very state of the project."""
    copy_project(tmp_path)
    return tmp_path


def there(checkout: Path, *command: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in the checkout as its own, without a capability and with simulated nodes."""
    variables = outside({"NODES": "simulated"})
    return run_in(checkout, *POWERLESS, *command, variables=variables, stdin=stdin, seconds=1200)


def local(checkout: Path, verb: str) -> subprocess.CompletedProcess[str]:
    return there(checkout, sys.executable, "-m", "local", verb)


def kubectl(checkout: Path, kubeconfig: str, *arguments: str, stdin: str | None = None) -> str:
    program = str(checkout / ".local" / "bin" / "kubectl")
    done = there(checkout, program, f"--kubeconfig={kubeconfig}", *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_stack_is_deployed_on_simulated_nodes_without_root_powers(checkout: Path) -> None:
    layout = Layout(root=checkout, cache=default_layout().cache)
    try:
        for _ in ("from nothing", "once more"):
            up = local(checkout, "up")
            assert up.returncode == 0, up.stdout + up.stderr
        assert re.search(r"Resources:\s+\d+ unchanged\s+Duration", up.stdout), up.stdout
        status = local(checkout, "status")
        assert status.returncode == 0, status.stdout
        assert "local-a/syncer" in status.stdout

        demo = local(checkout, "demo")
        assert demo.returncode == 1
        assert "no pod executes" in demo.stderr

        user = ".local/users/alice.kubeconfig"
        server = kubectl(checkout, user, "config", "view", "--minify", "--output=jsonpath={..server}")
        workspace = f"--server={server}/clusters/{TENANT_WORKSPACE}"
        kubectl(checkout, user, workspace, "create", "--filename=-", stdin=TASK)
        namespace = f"--namespace={tenant_namespace(TENANT_WORKSPACE, 'default')}"

        def arrived() -> bool:
            listed = kubectl(
                checkout, ".local/local-a/kubeconfig", "get", "tasks", namespace, "--output=name"
            )
            return "task.tekton.dev/synced" in listed

        assert wait_until(arrived, seconds=120, interval=1)
    finally:
        down = local(checkout, "down")
    assert down.returncode == 0, down.stderr
    assert owned(layout.identity) == {}
    assert not layout.local.exists()
