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


def test_the_machines_own_is_used_where_it_is_static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = program(tmp_path / "system", b"\x7fELF static")
    monkeypatch.setattr(busybox, "SYSTEM", system)
    assert static_busybox(tmp_path / "cache") == system


def test_a_dynamic_one_is_left_alone_and_the_static_package_unpacked_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        busybox, "SYSTEM", program(tmp_path / "system", b"\x7fELF /lib64/ld-linux-x86-64.so.2")
    )
    commands: list[str] = []

    def run(command: list[str], *, directory: Path | None = None, **_: object) -> str:
        commands.append(command[0])
        if directory is not None:
            program(directory / "busybox-static_1.deb", b"")
        else:
            program(Path(command[-1]) / "bin" / "busybox", b"\x7fELF static")
        return ""

    monkeypatch.setattr(busybox, "run", run)
    first = static_busybox(tmp_path / "cache")
    assert first.read_bytes() == b"\x7fELF static"
    assert static_busybox(tmp_path / "cache") == first
    assert commands == ["apt-get", "dpkg-deb"]
