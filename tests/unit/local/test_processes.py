"""Daemons are known by their marks in the process table alone."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local.errors import LocalError
from local.processes import Daemon, assert_running, find, owned, start, stop, stop_named, wait_until

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
    assert wait_until(lambda: find(wanted) is not None, seconds=5, interval=0.02)
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
    assert wait_until(lambda: bool(process.children()), seconds=5, interval=0.02)
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
    assert wait_until(ready.exists, seconds=5, interval=0.02)
    process = marked(wanted)
    stop([process], grace=0.3)
    assert not process.is_running()


def test_a_daemon_that_died_is_reported_with_the_end_of_its_log(owner: str, tmp_path: Path) -> None:
    wanted = daemon(owner, tmp_path, code="print('no such flag'); raise SystemExit(3)")
    start(wanted)
    assert wait_until(lambda: not owned(owner), seconds=5, interval=0.02)
    with pytest.raises(LocalError, match=r"place/daemon stopped right after its start: no such flag"):
        assert_running(wanted)


def test_waiting_gives_up_when_the_time_has_passed() -> None:
    assert not wait_until(lambda: False, seconds=0.05, interval=0.01)
