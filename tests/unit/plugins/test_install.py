from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from local.plugins.install import PLUGIN_VERSIONS, install

ROOT = Path(__file__).resolve().parents[3]


def launchers(home: Path) -> list[Path]:
    return [
        home / "plugins" / f"resource-{name}-v{number}" / f"pulumi-resource-{name}"
        for name, number in PLUGIN_VERSIONS.items()
    ]


def test_launchers_stand_where_the_engine_looks_for_them(tmp_path: Path) -> None:
    install(tmp_path, Path(sys.executable), ROOT)
    for launcher in launchers(tmp_path):
        assert os.access(launcher, os.X_OK)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path not in launchers(tmp_path)]


def test_versions_are_those_that_the_sdks_ask_for() -> None:
    for name, number in PLUGIN_VERSIONS.items():
        assert version(f"pulumi-{name}") == number


def test_second_installation_touches_nothing_and_mends_what_is_broken(tmp_path: Path) -> None:
    install(tmp_path, Path(sys.executable), ROOT)
    intact, broken = launchers(tmp_path)
    before = intact.stat().st_mtime_ns, intact.stat().st_ino
    broken.write_text("half-writ")
    broken.chmod(0o644)
    install(tmp_path, Path(sys.executable), ROOT)
    assert (intact.stat().st_mtime_ns, intact.stat().st_ino) == before
    assert "exec" in broken.read_text()
    assert os.access(broken, os.X_OK)


def test_launcher_works_from_any_directory_with_any_environment(tmp_path: Path) -> None:
    home = tmp_path / "a home with spaces & more"
    install(home, Path(sys.executable), ROOT)
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "__init__.py").write_text("raise ImportError('the wrong local')")
    for launcher in launchers(home):
        result = subprocess.run(
            [str(launcher), "no-address"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "run by the Pulumi engine" in result.stderr


def test_missing_interpreter_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-python"):
        install(tmp_path, tmp_path / "no-such-python", ROOT)
