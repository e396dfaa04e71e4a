"""A tool is built once for each state of its sources, and a fitting one on PATH wins."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from local import assembled
from local.errors import LocalError
from local.toolchain import build, catalog
from local.toolchain.build import ensure, fits_on_path, key
from local.toolchain.catalog import ETCD, WITH_NODES, Module

MODULES = {
    module.name: module
    for module in (*WITH_NODES, *catalog.SIMULATED, *(m for made in assembled.MODULES.values() for m in made))
}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    folder = tmp_path / "modules" / "hello"
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module hello\n\ngo 1.21\n\nrequire example.test/hello v1.2.3\n")
    (folder / "main.go").write_text(
        "package main\n\nfunc main() { println(version) }\n\nvar version string\n"
    )
    monkeypatch.setattr(catalog, "FOLDER", tmp_path / "modules")
    return Module(
        name="hello",
        source="example.test/hello",
        packages={"hello": "."},
        links={"hello": ("hallo",)},
        variables={"main.version": "{version} {major} {minor}"},
        probes={"hello": ((), r"^1\.2\.")},
    )


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_module_is_locked(name: str) -> None:
    folder = MODULES[name].folder
    assert re.fullmatch(r"v\d+\.\d+\.\d+", MODULES[name].version)
    assert (folder / "go.sum").is_file()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_module_names_a_registry_or_a_folder_of_some_machine(name: str) -> None:
    for file in MODULES[name].folder.rglob("*"):
        if file.is_file():
            assert not re.search(r"https?://|/root/|/home/", file.read_text()), file


def test_the_key_follows_the_sources_and_the_flags(module: Module) -> None:
    first = key(module)
    assert key(module) == first
    assert key(replace(module, variables={})) != first
    (module.folder / "main.go").write_text("package main\n\nfunc main() {}\n")
    assert key(module) != first


def test_versions_reach_the_linker(module: Module) -> None:
    assert module.flags == "-s -w -X main.version=1.2.3 1 2"


def tool(folder: Path, name: str, prints: str) -> str:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\necho {prints}\n")
    program.chmod(0o755)
    return str(folder)


def test_a_fitting_program_on_path_is_used(tmp_path: Path) -> None:
    path = tool(tmp_path / "bin", "etcd", "etcd Version: 3.5.21")
    assert fits_on_path(ETCD, path)
    assert ensure([ETCD], tmp_path / "cache", pytest.fail, path=path).folders == {}


def test_an_old_program_on_path_is_not_used(tmp_path: Path) -> None:
    assert not fits_on_path(ETCD, tool(tmp_path / "bin", "etcd", "etcd Version: 3.3.1"))


def test_a_module_without_a_probe_never_comes_from_path(tmp_path: Path) -> None:
    assert not fits_on_path(catalog.COREDNS, tool(tmp_path / "bin", "coredns", "CoreDNS-1.12.4"))


def test_a_failed_build_names_its_log_and_leaves_nothing(
    module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "go", lambda: tool(tmp_path / "go", "go", "syntax error >&2; exit 1") + "/go")
    with pytest.raises(
        LocalError, match=r"building hello failed: syntax error \(whole log: .*hello-.*\.log\)"
    ):
        ensure([module], tmp_path / "cache", lambda _: None, path="")
    assert not (tmp_path / "cache" / "toolchain" / f"hello-{key(module)}").exists()


@pytest.mark.skipif(shutil.which("go") is None, reason="no Go on PATH")
def test_a_build_is_made_once_and_holds_every_name(
    module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = replace(module, variables={})
    (module.folder / "go.mod").write_text("module hello\n\ngo 1.21\n\n// require example.test/hello v1.2.3\n")
    monkeypatch.setattr(type(module), "version", property(lambda _: "v1.2.3"))
    lines: list[str] = []
    toolchain = ensure([module], tmp_path / "cache", lines.append, path="")
    assert {path.name for path in toolchain.folders["hello"].iterdir()} == {"hello", "hallo"}
    assert "building hello v1.2.3 (1 of 1) …" in lines
    ensure([module], tmp_path / "cache", pytest.fail, path="")


@pytest.mark.parametrize(
    ("printed", "fits"), [("go version go1.19.8 linux/amd64", False), ("go version go1.26.8", True)]
)
def test_a_go_that_can_not_read_the_modules_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str, *, fits: bool
) -> None:
    folder = tool(tmp_path / "bin", "go", printed)
    beside = Path(tool(tmp_path / "venv", "go", "go version go1.26.6"))
    monkeypatch.setenv("PATH", folder)
    monkeypatch.setattr("local.toolchain.build.sys.executable", str(beside / "python"))
    assert build.go.__wrapped__() == str((Path(folder) if fits else beside) / "go")
