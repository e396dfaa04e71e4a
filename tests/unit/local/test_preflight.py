"""Each thing that would keep a start from succeeding is one line, before anything starts."""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from local import preflight
from local.errors import LocalError
from local.preflight import Needs, inotify_instances, problems


class Usage(NamedTuple):
    free: float


class Memory(NamedTuple):
    available: float


GIB = 1024**3


@pytest.fixture(autouse=True)
def plenty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.preflight.shutil.disk_usage", lambda _: Usage(500 * GIB))
    monkeypatch.setattr("local.preflight.psutil.virtual_memory", lambda: Memory(100 * GIB))
    monkeypatch.setattr("local.preflight.inotify_instances", lambda _: 0)


def needs(*, ports: tuple[tuple[str, int, str], ...] = (), cold: bool = False) -> Needs:
    return Needs(clusters=2, kcp=True, cold=cold, ports=ports)


def test_a_machine_with_plenty_has_no_problem(tmp_path: Path) -> None:
    assert problems(needs(cold=True), nodes=False, folders=[tmp_path]) == []


def test_a_taken_port_is_named_with_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (line,) = problems(needs(ports=(("127.0.0.1", port, "kcp"),)), nodes=False, folders=[tmp_path])
    assert f"port {port} for kcp is taken by process {os.getpid()}" in line


def test_too_little_disk_is_named_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.preflight.shutil.disk_usage", lambda _: Usage(5 * GIB))
    assert problems(needs(), nodes=False, folders=[tmp_path]) == []
    (line,) = problems(needs(cold=True), nodes=False, folders=[tmp_path])
    assert str(tmp_path) in line
    assert "5.0 GiB free and 20 are needed" in line


def test_few_inotify_instances_are_told_before_a_kubelet_dies_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "limit").write_text("128\n")
    monkeypatch.setattr("local.preflight._INOTIFY_LIMIT", tmp_path / "limit")
    monkeypatch.setattr("local.preflight.os.geteuid", lambda: 0)
    assert problems(needs(), nodes=True, folders=[tmp_path]) == []
    monkeypatch.setattr("local.preflight.inotify_instances", lambda _: 100)
    assert problems(needs(), nodes=False, folders=[tmp_path]) == []
    (line,) = problems(needs(), nodes=True, folders=[tmp_path])
    assert "28 inotify instances are left of 128 and 40 are needed for 2 clusters" in line
    assert "sysctl fs.inotify.max_user_instances=256" in line


def test_inotify_instances_are_counted() -> None:
    own = [psutil.Process()]
    before = inotify_instances(own)
    descriptor = ctypes.CDLL(None).inotify_init()
    try:
        assert inotify_instances(own) == before + 1
    finally:
        os.close(descriptor)


def test_too_little_memory_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.preflight.psutil.virtual_memory", lambda: Memory(3 * GIB))
    (line,) = problems(needs(), nodes=False, folders=[tmp_path])
    assert "3.0 GiB of memory are available and 6 are needed" in line


def test_real_nodes_without_root_name_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.preflight.os.geteuid", lambda: 1000)
    (line,) = problems(needs(), nodes=True, folders=[tmp_path])
    assert "NODES=simulated" in line


def test_missing_packages_where_none_can_be_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.preflight.shutil.which", lambda _: None)
    with pytest.raises(LocalError, match=r"install these packages and run this again: runc tini"):
        preflight.install_packages(["runc", "tini"])
