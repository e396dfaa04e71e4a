"""Which processes are a dead engine's, and that they end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from operations.errors import OperationError
from operations.orphans import ProcessFacts, end, find_orphans, is_orphan, role

ROOT = Path("/srv/project")


def facts(
    command: list[str], *, folder: str = "/srv/project", ancestors: tuple[str, ...] = ("systemd",)
) -> ProcessFacts:
    return ProcessFacts(command=command, folder=Path(folder), ancestors=ancestors)


PLUGIN = ["/home/p/plugins/resource-kubernetes-v4.34.2/pulumi-resource-kubernetes", "127.0.0.1:4000"]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (PLUGIN, "pulumi-resource-kubernetes"),
        (["python3", "/h/pulumi-language-python-exec", "--stack", "dev"], "pulumi-language-python-exec"),
        (["python", "-I", "/p/local/plugins/launch.py", "command", "127.0.0.1:4000"], "stand-in plugin"),
        (["python", "-I", "/p/other/launch.py", "command", "127.0.0.1:4000"], None),
        ([".venv/bin/python", "-m", "units", "apply"], "units"),
        (["sh", "-c", ".venv/bin/python -m units apply"], None),
        (["python", "-m", "pytest", "units"], None),
        (["vim", "notes.txt", "x", "pulumi-resource-kubernetes"], None),
        (["pulumi", "up"], None),
        ([], None),
    ],
)
def test_roles_are_told_by_the_program(command: list[str], expected: str | None) -> None:
    assert role(command) == expected


def test_a_plugin_without_engine_in_the_projects_folder_is_an_orphan() -> None:
    assert is_orphan(facts(PLUGIN), root=ROOT)
    assert is_orphan(facts(PLUGIN, folder="/srv/project/sub"), root=ROOT)


def test_a_plugin_of_a_living_engine_is_left_alone() -> None:
    assert not is_orphan(facts(PLUGIN, ancestors=("sh", "pulumi", "bash", "systemd")), root=ROOT)


@pytest.mark.parametrize("folder", ["/", "/srv", "/srv/project-2", "/home/other"])
def test_a_plugin_of_another_project_is_left_alone(folder: str) -> None:
    assert not is_orphan(facts(PLUGIN, folder=folder), root=ROOT)


def start(folder: Path, script: str, *arguments: str) -> psutil.Process:
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return psutil.Process(process.pid)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == tmp_path:
                process.kill()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


OBEDIENT = "import time; print('ready', flush=True); time.sleep(60)"
BRIEF = "import time; print('ready', flush=True); time.sleep(0.5)"
STUBBORN = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)


def test_a_real_orphan_is_found_by_its_folder_and_role(project: Path) -> None:
    plugin = start(project, OBEDIENT, "pulumi-resource-kubernetes")
    bystander = start(project, OBEDIENT, "something-else")
    # The second argument of `python -c SCRIPT NAME` is the script, so the name stands where a plugin's file
    # would.
    assert plugin.cmdline()[3] == "pulumi-resource-kubernetes"
    assert find_orphans(project) == []
    named = project / "pulumi-resource-kubernetes"
    named.write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    real = subprocess.Popen([sys.executable, str(named)], cwd=project, stdout=subprocess.PIPE, text=True)
    assert real.stdout is not None
    real.stdout.readline()
    assert [process.pid for process in find_orphans(project)] == [real.pid]
    assert bystander.is_running()


def test_one_that_finishes_by_itself_is_not_ended(project: Path) -> None:
    said: list[str] = []
    end([start(project, BRIEF)], said.append, grace=50)
    assert len(said) == 1
    assert said[0].endswith("has finished")


def test_one_that_goes_on_is_ended_after_the_grace(project: Path) -> None:
    said: list[str] = []
    process = start(project, OBEDIENT)
    began = time.monotonic()
    end([process], said.append, grace=0.2)
    assert time.monotonic() - began < 40
    assert said[0].endswith("was ended")
    assert not psutil.pid_exists(process.pid)


def test_one_that_changes_nothing_is_ended_at_once(project: Path) -> None:
    named = project / "pulumi-language-python-exec"
    named.write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    host = subprocess.Popen([sys.executable, str(named)], cwd=project, stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    host.stdout.readline()
    began = time.monotonic()
    end([psutil.Process(host.pid)], lambda _line: None, grace=50)
    assert time.monotonic() - began < 40


def test_one_that_ignores_the_request_is_killed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operations.orphans._TERM_SECONDS", 0.3)
    process = start(project, STUBBORN)
    end([process], lambda _line: None, grace=0.1)
    assert not psutil.pid_exists(process.pid)


def test_one_that_survives_is_reported(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operations.orphans._TERM_SECONDS", 0.2)
    monkeypatch.setattr("operations.orphans._KILL_SECONDS", 0.2)
    process = start(project, STUBBORN)
    monkeypatch.setattr(psutil.Process, "kill", lambda _self: None)
    with pytest.raises(OperationError, match=f"{process.pid} of the dead engine don't end"):
        end([process], lambda _line: None, grace=0)
    os.kill(process.pid, signal.SIGKILL)
