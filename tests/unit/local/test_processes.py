"""Daemons are known by their marks in the process table alone."""

from __future__ import annotations

import re
import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local import supervise
from local.errors import LocalError
from local.processes import (
    Daemon,
    assert_running,
    find,
    owned,
    start,
    stop,
    stop_named,
    told_restarts,
    wait_until,
)

SLEEP = "import time; time.sleep(60)"
SPAWN = (
    "import subprocess, sys, time; "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], env={}, start_new_session=True);"
    " "
    "time.sleep(60)"
)


@pytest.fixture
def owner() -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:8]}"
    yield name
    stop_named(name, "")


def daemon(
    owner: str, folder: Path, *, code: str = SLEEP, name: str = "place/daemon", **more: object
) -> Daemon:
    command = (sys.executable, "-c", code)
    return Daemon(owner=owner, name=name, command=command, log=folder / "log", **more)  # type: ignore[arg-type]


def marked(wanted: Daemon) -> psutil.Process:
    assert wait_until(lambda: find(wanted) is not None, seconds=30, interval=0.02)
    found = find(wanted)
    assert found is not None
    return found


def test_a_running_daemon_is_not_started_twice(owner: str, tmp_path: Path) -> None:
    wanted = daemon(owner, tmp_path)
    assert start(wanted)
    first = marked(wanted)
    assert not start(wanted)
    assert marked(wanted).pid == first.pid


def test_a_changed_command_replaces_the_process(owner: str, tmp_path: Path) -> None:
    before = daemon(owner, tmp_path)
    start(before)
    first = marked(before)
    after = daemon(owner, tmp_path, code=f"{SLEEP} # changed")
    assert start(after)
    assert marked(after).pid != first.pid
    assert not first.is_running()


def test_a_changed_input_file_replaces_the_process(owner: str, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("one")
    wanted = daemon(owner, tmp_path, inputs=(config,))
    start(wanted)
    marked(wanted)
    assert not start(wanted)
    config.write_text("two")
    assert start(wanted)


def test_a_daemon_has_its_variables_and_another_value_replaces_the_process(
    owner: str, tmp_path: Path
) -> None:
    code = f"import os; print(os.environ['THREADS'], flush=True); {SLEEP}"
    wanted = daemon(owner, tmp_path, code=code, variables={"THREADS": "1"})
    start(wanted)
    marked(wanted)
    assert wait_until(lambda: wanted.log.read_text() == "1\n", seconds=30)
    assert not start(wanted)
    assert start(daemon(owner, tmp_path, code=code, variables={"THREADS": "2"}))


def test_another_checkouts_daemon_of_the_same_name_is_left_alone(owner: str, tmp_path: Path) -> None:
    wanted = daemon(owner, tmp_path)
    start(wanted)
    marked(wanted)
    stop_named(f"{owner}-other", "")
    assert find(wanted) is not None


def test_stopping_by_prefix_spares_other_places(owner: str, tmp_path: Path) -> None:
    one, other = daemon(owner, tmp_path, name="a/etcd"), daemon(owner, tmp_path, name="b/etcd")
    for each in (one, other):
        start(each)
        marked(each)
    stop_named(owner, "a/")
    assert find(one) is None
    assert find(other) is not None


def test_descendants_without_a_mark_end_with_their_daemon(owner: str, tmp_path: Path) -> None:
    wanted = daemon(owner, tmp_path, code=SPAWN)
    start(wanted)
    process = marked(wanted)
    assert wait_until(lambda: bool(process.children()), seconds=30, interval=0.02)
    child = process.children()[0]
    stop_named(owner, "")
    assert not child.is_running()


def test_a_daemon_that_ignores_sigterm_is_killed(owner: str, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    code = (
        "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    )
    wanted = daemon(owner, tmp_path, code=code)
    start(wanted)
    assert wait_until(ready.exists, seconds=30, interval=0.02)
    process = marked(wanted)
    stop([process], grace=0.3)
    assert not process.is_running()


def test_a_daemon_that_died_is_reported_with_the_end_of_its_log(owner: str, tmp_path: Path) -> None:
    wanted = daemon(owner, tmp_path, code="print('no such flag'); raise SystemExit(3)")
    start(wanted)
    assert wait_until(lambda: not owned(owner), seconds=30, interval=0.02)
    with pytest.raises(LocalError, match=r"place/daemon stopped right after its start: no such flag"):
        assert_running(wanted)


def supervised(owner: str, folder: Path, code: str) -> Daemon:
    return daemon(owner, folder, code=code, restarted=True)


def child_of(process: psutil.Process) -> psutil.Process:
    def begun() -> bool:
        # What was forked and has not yet become the program answers signals otherwise.
        return any(child.cmdline()[-1:] == [SLEEP] for child in process.children())

    assert wait_until(begun, seconds=30, interval=0.02)
    [child] = process.children()
    return child


def test_a_supervised_daemon_that_dies_is_started_again_and_that_is_told(owner: str, tmp_path: Path) -> None:
    wanted = supervised(owner, tmp_path, SLEEP)
    assert start(wanted)
    supervisor = marked(wanted)
    first = child_of(supervisor)
    assert told_restarts(wanted.restarts) == ""
    first.kill()
    assert wait_until(lambda: told_restarts(wanted.restarts) != "", seconds=30, interval=0.05)
    second = child_of(supervisor)
    assert second != first
    assert not start(wanted)
    assert re.fullmatch(
        r"; restarts: 1, the last one \S+Z was ended by signal 9 after \d+ s", told_restarts(wanted.restarts)
    )
    assert re.search(
        r"was ended by signal 9 after \d+ s; it is started again in 1 s\n", wanted.log.read_text()
    )
    stop_named(owner, "")
    assert not second.is_running()
    assert not supervisor.is_running()


def test_who_ends_a_supervisor_ends_what_it_supervises(owner: str, tmp_path: Path) -> None:
    wanted = supervised(owner, tmp_path, SLEEP)
    start(wanted)
    child = child_of(marked(wanted))
    stop([marked(wanted)])
    assert not child.is_running()
    assert "started again" not in wanted.log.read_text()


def test_what_a_killed_supervisor_left_gives_way_to_a_new_one(owner: str, tmp_path: Path) -> None:
    wanted = supervised(owner, tmp_path, SLEEP)
    start(wanted)
    straggler = child_of(marked(wanted))
    marked(wanted).kill()
    assert wait_until(lambda: find(wanted) is None, seconds=30, interval=0.02)
    assert straggler.is_running()
    assert start(wanted)
    assert not straggler.is_running()
    assert child_of(marked(wanted)).is_running()


def test_a_daemon_that_dies_again_and_again_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervise, "_PAUSE", 0.01)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # the tests' own stay as they are
    record = tmp_path / "record"
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    assert supervise.Supervisor(record, command).run() == 1
    assert len(record.read_text().splitlines()) == 4
    assert re.search(r"ended with status 3 after \d+ s; it died 5 times in a row", capfd.readouterr().out)


def test_waiting_gives_up_when_the_time_has_passed() -> None:
    assert not wait_until(lambda: False, seconds=0.05, interval=0.01)
