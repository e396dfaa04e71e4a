"""The embedded environment and its stack, as the live tests use them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.kcp import READY
from local.layout import default_layout
from local.processes import owned, running

ROOT = Path(__file__).resolve().parents[2]

STACK = "dev"
TENANT_WORKSPACE = "root:pipeline-service:tenants:demo"


@dataclass(frozen=True, kw_only=True)
class Done:
    """A command that ended."""

    status: int
    out: str
    err: str


def run(*command: str, check: bool = True, stdin: str | None = None, seconds: float = 600) -> Done:
    """Run a command in the project's folder; with ``check``, a failure is shown with all that it printed."""
    done = subprocess.run(
        command, cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=seconds, check=False
    )
    ended = Done(status=done.returncode, out=done.stdout, err=done.stderr)
    return checked(command, ended) if check else ended


def checked(command: tuple[str, ...], done: Done) -> Done:
    """Return what ended well; what failed is shown with all that it printed."""
    if done.status != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.status}:\n{done.out}\n{done.err}")
    return done


def pulumi(*arguments: str, check: bool = True, seconds: float = 900) -> Done:
    """Run the engine on the stack without questions or colours."""
    common = ("--stack", STACK, "--non-interactive", "--color=never")
    return run("pulumi", *arguments, *common, check=check, seconds=seconds)


def local(*arguments: str, check: bool = True, seconds: float = 1800) -> Done:
    """Run ``python -m local``; once more where kcp died meanwhile, as whoever reads `make status` would."""
    command = (sys.executable, "-m", "local", *arguments)
    before = kcp_restarts()
    done = run(*command, check=False, seconds=seconds)
    if done.status != 0 and kcp_restarts() != before:
        sys.stdout.write(
            f"kcp died under `{' '.join(arguments)}`, which is run again:\n{done.out}\n{done.err}"
        )
        wait_for_kcp()
        return run(*command, check=check, seconds=seconds)
    return checked(command, done) if check else done


def kcp_restarts() -> str:
    """Return what is recorded of the times that kcp was started again since it was started by `up`."""
    record = default_layout().kcp / "log" / "kcp.restarts"
    return record.read_text() if record.exists() else ""


def wait_for_kcp() -> None:
    """Wait until kcp serves, where it runs: if it died (docs/adr/0003-syncer.md) it is back in seconds."""

    def answers() -> list[str]:
        done = [kubectl("kcp", "get", *what, check=False) for what in READY]
        return [one.err for one in done if one.status != 0]

    if "kcp/kcp" in running(default_layout().identity):
        wait_until(lambda: not answers(), "kcp serves", answers, seconds=120)


def recover(*, check: bool = True) -> Done:
    """Run ``python -m operations recover``."""
    return run(sys.executable, "-m", "operations", "recover", "--stack", STACK, check=check)


def kubectl(context: str, *arguments: str, check: bool = True, stdin: str | None = None) -> Done:
    """Run kubectl as the administrator of a place: ``kcp`` or a cluster's name."""
    return run("kubectl", f"--context={context}", *arguments, check=check, stdin=stdin)


def in_workspace(
    path: str, *arguments: str, check: bool = True, user: str | None = None, stdin: str | None = None
) -> Done:
    """Run kubectl in a workspace, as kcp's administrator or as a user of the stack."""
    if user is None:
        config = ROOT / ".local" / "kcp" / "admin.kubeconfig"
    else:
        config = ROOT / ".local" / "users" / f"{user}.kubeconfig"
    server = run(
        "kubectl", f"--kubeconfig={config}", "config", "view", "--minify", "-o=jsonpath={..server}"
    ).out
    base = server.partition("/clusters/")[0]
    at = (f"--kubeconfig={config}", f"--server={base}/clusters/{path}")
    return run("kubectl", *at, *arguments, check=check, stdin=stdin)


def objects(context: str, *arguments: str) -> list[dict[str, Any]]:
    """Return the objects that ``kubectl get`` lists."""
    listed: list[dict[str, Any]] = json.loads(kubectl(context, "get", *arguments, "--output=json").out)[
        "items"
    ]
    return listed


def state() -> dict[str, Any]:
    """Return the stack's deployment, secrets encrypted."""
    deployment: dict[str, Any] = json.loads(pulumi("stack", "export").out)["deployment"]
    return deployment


def resources() -> dict[str, dict[str, Any]]:
    """Return the stack's resources by URN."""
    return {resource["urn"]: resource for resource in state().get("resources", [])}


def wait_until(
    holds: Callable[[], bool], what: str, tell: Callable[[], object], seconds: float = 240
) -> float:
    """Wait until something holds; return the seconds that it took."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < seconds, f"not {what} within {seconds:.0f} s: {tell()}"
        time.sleep(0.5)
    return time.monotonic() - begun


def daemon_process(name: str) -> int:
    """Return the process id of a daemon of the embedded environment."""
    leaders = [
        process.pid
        for process, marks in owned(default_layout().identity).items()
        if marks.get("PIPELINE_SERVICE_DAEMON") == name and os.getsid(process.pid) == process.pid
    ]
    if len(leaders) != 1:
        raise AssertionError(f"{name} has the processes {leaders}, expected one")
    return leaders[0]


def interrupted_up(trigger: str, how: signal.Signals) -> str:
    """Start ``pulumi up`` and send it a signal when a line of its output matches; return what it printed.

    Parameters
    ----------
    trigger
        Regular expression for the line.
    how
        SIGINT reaches the engine as from a terminal; SIGKILL ends the engine alone and leaves its plugins.
    """
    process = subprocess.Popen(
        ["pulumi", "up", "--stack", STACK, "--yes", "--skip-preview", "--non-interactive", "--color=never"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    printed, matched = [], False
    for line in _lines(process):
        printed.append(line)
        if not matched and re.search(trigger, line):
            matched = True
            if how is signal.SIGKILL:
                time.sleep(1)  # the line comes before the operation stands in the state
            process.send_signal(how)
            if how is signal.SIGKILL:
                break
    process.wait(timeout=300)
    if process.stdout is not None:
        process.stdout.close()
    text = "".join(printed)
    if not matched:
        raise AssertionError(f"no line matched {trigger!r}:\n{text}")
    return text


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    if process.stdout is None:
        raise AssertionError("the engine's output is not piped")
    yield from process.stdout
