"""A file is written whole or not at all, and not when nothing changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from releases.files import write_atomic


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    assert write_atomic(path, "one")
    assert not write_atomic(path, "one")
    assert write_atomic(path, "two")
    assert path.read_text() == "two"


def test_a_secret_file_never_had_other_permissions(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, "one")
    write_atomic(path, "one", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, "one")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "two")
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_file_is_written_only_where_it_differs(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "kubeconfig"
    assert write_atomic(path, "one", mode=0o600)
    assert not write_atomic(path, "one", mode=0o600)
    path.chmod(0o644)
    assert write_atomic(path, "one", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    assert write_atomic(path, "two", mode=0o600)
    assert [one.name for one in path.parent.iterdir()] == ["kubeconfig"]
