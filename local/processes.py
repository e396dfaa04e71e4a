"""Long-running processes of the embedded environment.

The process table is the only record of what runs: each daemon carries a mark in its environment that names
the checkout, the daemon and the exact command. There is no pid file to go stale, so a run that was killed at
any point is understood by the next one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from local.errors import LocalError

_OWNER = "PIPELINE_SERVICE_LOCAL"
_NAME = "PIPELINE_SERVICE_DAEMON"
_DIGEST = "PIPELINE_SERVICE_DIGEST"
_SUPERVISE = Path(__file__).with_name("supervise.py")
_LOG_LIMIT = 20_000_000  # bytes; a larger log is set aside when its daemon starts


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """One long-running process.

    Parameters
    ----------
    owner
        The checkout that it belongs to (`Layout.identity`).
    name
        Name within the checkout, e.g. ``local-a/etcd``.
    command
        Program and arguments; no secret may stand among them.
    log
        File that takes its output.
    inputs
        Files whose content decides whether a running process is still the wanted one.
    restarted
        Whether it is started again when it dies (`local/supervise.py`).
    variables
        Environment variables that it is given; no secret may stand among them.
    """

    owner: str
    name: str
    command: tuple[str, ...]
    log: Path
    inputs: tuple[Path, ...] = ()
    restarted: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def restarts(self) -> Path:
        """File with a line for each time that it was started again since it was started by ``up``."""
        return self.log.with_suffix(".restarts")

    @property
    def started(self) -> tuple[str, ...]:
        """The command that is started for it."""
        if not self.restarted:
            return self.command
        return (sys.executable, "-I", str(_SUPERVISE), str(self.restarts), *self.command)

    @property
    def digest(self) -> str:
        """Digest of the command, its variables and the content of its input files."""
        variables = (f"{name}={value}" for name, value in sorted(self.variables.items()))
        digest = hashlib.sha256("\0".join((*variables, *self.started)).encode())
        for path in (*self.inputs, *([_SUPERVISE] if self.restarted else [])):
            digest.update(path.read_bytes())
        return digest.hexdigest()[:16]


def _marks(process: psutil.Process) -> Mapping[str, str]:
    try:
        return process.environ()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return {}


def _leads_session(process: psutil.Process) -> bool:
    try:
        return os.getsid(process.pid) == process.pid
    except ProcessLookupError:
        return False


def owned(owner: str) -> dict[psutil.Process, Mapping[str, str]]:
    """Return every process that carries the mark of ``owner``, with its environment."""
    found = ((process, _marks(process)) for process in psutil.process_iter())
    return {process: marks for process, marks in found if marks.get(_OWNER) == owner}


def running(owner: str) -> set[str]:
    """Return the names of the daemons of ``owner`` that run, e.g. ``local-a/etcd``."""
    return {marks[_NAME] for marks in owned(owner).values() if _NAME in marks}


def find(daemon: Daemon) -> psutil.Process | None:
    """Return the running process of ``daemon``, whatever command it was started with."""
    for process, marks in owned(daemon.owner).items():
        if marks.get(_NAME) == daemon.name and _leads_session(process):
            return process
    return None


def current(daemon: Daemon) -> psutil.Process | None:
    """Return the running process of ``daemon`` if it has this very command and these inputs."""
    found = find(daemon)
    return found if found is not None and _marks(found).get(_DIGEST) == daemon.digest else None


def start(daemon: Daemon) -> bool:
    """Start ``daemon`` unless it runs with this very command and these inputs.

    Returns
    -------
    bool
        True where a process was started, False where the right one was running.
    """
    if current(daemon) is not None:
        return False
    outdated = find(daemon)
    if outdated is not None:
        stop([outdated])
    if daemon.restarted:
        # One whose supervisor was killed goes on without it.
        stop([process for process, marks in owned(daemon.owner).items() if marks.get(_NAME) == daemon.name])
    daemon.log.parent.mkdir(parents=True, exist_ok=True)
    if daemon.log.exists() and daemon.log.stat().st_size > _LOG_LIMIT:
        daemon.log.replace(daemon.log.with_suffix(".log.1"))
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", "/"),
        _OWNER: daemon.owner,
        _NAME: daemon.name,
        _DIGEST: daemon.digest,
        **daemon.variables,
    }
    with daemon.log.open("ab") as log:
        subprocess.Popen(
            daemon.started,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            cwd="/",
        )
    return True


def told_restarts(record: Path) -> str:
    """Say how often a daemon was started again, and when and why last; empty where it never was."""
    lines = record.read_text().splitlines() if record.exists() else []
    return f"; restarts: {len(lines)}, the last one {lines[-1]}" if lines else ""


def assert_running(daemon: Daemon) -> None:
    """Raise `LocalError` with the end of the log where ``daemon`` is not running."""
    found = find(daemon)
    if found is None or found.status() == psutil.STATUS_ZOMBIE:
        lines = daemon.log.read_text(errors="replace").splitlines()[-3:] if daemon.log.exists() else []
        raise LocalError(
            f"{daemon.name} stopped right after its start: {' | '.join(lines)} (whole log: {daemon.log})"
        )


def stop(processes: list[psutil.Process], *, grace: float = 10.0) -> None:
    """End ``processes``: SIGTERM, then SIGKILL after ``grace`` seconds; returns when all are gone."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=grace)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _, alive = psutil.wait_procs(alive, timeout=10)
    if alive:
        raise LocalError(
            f"processes {sorted(p.pid for p in alive)} do not end, even when killed; look at `ps` for why"
        )


def stop_named(owner: str, prefix: str) -> None:
    """End every process of ``owner`` whose daemon name starts with ``prefix``, with all their descendants."""
    marked = [p for p, marks in owned(owner).items() if marks.get(_NAME, "").startswith(prefix)]
    descendants: set[psutil.Process] = set()
    for process in marked:
        with contextlib.suppress(psutil.NoSuchProcess):
            descendants.update(process.children(recursive=True))
    # Those that supervise go first, or they would start again what was ended below them.
    stop(marked)
    stop([p for p in descendants if p.is_running()], grace=2.0)


def wait_until(condition: Callable[[], bool], *, seconds: float, interval: float = 0.5) -> bool:
    """Call ``condition`` until it returns True; False once ``seconds`` have passed."""
    deadline = time.monotonic() + seconds
    while True:
        if condition():
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
