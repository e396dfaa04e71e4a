"""Only a static busybox runs in an image that holds nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import busybox
from local.busybox import static_busybox


def program(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def none(name: str) -> list[Path]:
    pytest.fail(f"package {name} is not wanted")


def test_the_machines_own_is_used_where_it_is_static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = program(tmp_path / "system", b"\x7fELF static")
    monkeypatch.setattr(busybox, "SYSTEM", system)
    assert static_busybox(none) == system


@pytest.mark.parametrize("place", ["bin", "usr/bin"])
def test_a_dynamic_one_is_left_alone_and_the_static_packages_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    system = program(tmp_path / "system", b"\x7fELF /lib64/ld-linux-x86-64.so.2")
    monkeypatch.setattr(busybox, "SYSTEM", system)
    unpacked = tmp_path / "busybox-static_1_amd64"
    static = program(unpacked / place / "busybox", b"\x7fELF static")
    assert static_busybox({"busybox-static": [unpacked]}.__getitem__) == static
