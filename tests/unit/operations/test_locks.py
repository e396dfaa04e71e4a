"""Whose lock may be lifted."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.errors import OperationError
from operations.locks import CLOCK_TOLERANCE, Lock, is_stale, lock_folder, process_start, read_locks

TAKEN = datetime(2025, 1, 1, 12, 0, tzinfo=UTC)


def lock(hostname: str = "here") -> Lock:
    return Lock(path=Path("lock.json"), pid=4711, username="sre", hostname=hostname, taken=TAKEN)


def test_a_lock_of_another_machine_is_never_stale() -> None:
    assert not is_stale(lock("elsewhere"), hostname="here", start_of=lambda _pid: None)


def test_a_lock_whose_process_is_gone_is_stale() -> None:
    assert is_stale(lock(), hostname="here", start_of=lambda _pid: None)


@given(st.floats(min_value=0, max_value=1e8))
def test_a_process_older_than_the_lock_holds_it(age: float) -> None:
    assert not is_stale(lock(), hostname="here", start_of=lambda _pid: TAKEN.timestamp() - age)


@given(st.floats(min_value=CLOCK_TOLERANCE + 1, max_value=1e8))
def test_a_process_younger_than_the_lock_only_has_its_number(age: float) -> None:
    assert is_stale(lock(), hostname="here", start_of=lambda _pid: TAKEN.timestamp() + age)


def test_the_time_is_read_as_go_writes_it(tmp_path: Path) -> None:
    content = {
        "pid": 17,
        "username": "root",
        "hostname": "h",
        "timestamp": "2025-01-01T13:00:00.123456789+01:00",
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    (found,) = read_locks(tmp_path)
    assert abs(found.taken - TAKEN) < timedelta(seconds=1)
    assert (found.pid, found.username, found.hostname) == (17, "root", "h")
    assert "root@h, process 17" in str(found)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"pid": 1, "username": "u", "hostname": "h", "timestamp": "2025-01-01T13:00:00"}'],
)
def test_a_lock_that_cant_be_read_stops_everything(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(OperationError, match="pulumi cancel"):
        read_locks(tmp_path)


def test_no_folder_is_no_lock(tmp_path: Path) -> None:
    assert read_locks(tmp_path / "absent") == []


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("file:///srv/state", "/srv/state"),
        ("file:///srv/my%20state", "/srv/my state"),
        ("file://~", str(Path("~").expanduser())),
    ],
)
def test_locks_lie_below_the_file_backend(url: str, base: str) -> None:
    expected = Path(base) / ".pulumi" / "locks" / "organization" / "shop" / "dev"
    assert lock_folder(url, project="shop", stack="dev") == expected


@pytest.mark.parametrize("url", ["https://api.pulumi.com", "s3://bucket", "gs://bucket"])
def test_other_backends_have_no_folder_of_locks(url: str) -> None:
    assert lock_folder(url, project="shop", stack="dev") is None


def test_a_living_process_has_a_start_and_a_dead_one_has_none() -> None:
    started = process_start(os.getpid())
    assert started == psutil.Process().create_time()
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert process_start(child.pid) is None


def test_a_killed_process_that_its_parent_has_not_noticed_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert process_start(child.pid) is not None
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and still a zombie
        assert process_start(child.pid) is None
    finally:
        child.wait()
