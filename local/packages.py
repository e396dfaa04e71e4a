"""Debian packages unpacked beside the machine's own: what images of the distribution's programs are made of.

apt itself chooses the packages, as if none was installed, and checks what it downloads; nothing is installed,
and so no maintainer script runs. An image maker does by hand what a program needs of them.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local.commands import run
from local.errors import LocalError
from local.oci import ImageFile
from releases.files import write_atomic

MERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
"""Folders that are links into /usr on a Debian of today, though packages of release 12 still name them."""

_LISTS = Path("/var/lib/apt/lists")
"""What apt knows of the mirror; choosing anew takes it seconds, and is of use only after a change here."""

_LEFT_OUT = re.compile(r"/usr/share/(bug|doc|doc-base|info|lintian|locale|man)(/|$)")
_SECONDS = 600.0
_CHOSEN = re.compile(
    r"^Inst (?P<name>[^\s:]+)\S* \((?P<version>\S+) .*\[(?P<architecture>[a-z0-9]+)\]\)", re.MULTILINE
)
_CHOOSE = (
    "apt-get",
    "install",
    "--simulate",
    "--no-install-recommends",
    "-o=Dir::State::status=/dev/null",  # no package is installed
    "-o=Dir::Cache::pkgcache=",  # or the machine's own cache would be of that state
)
_DOWNLOAD = ("apt-get", "download", "-qq", "-o=APT::Sandbox::User=root")  # no other user may read the cache


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Files, links and folders of packages, as `ImageSpec` takes them."""

    files: dict[str, ImageFile] = field(default_factory=dict)
    symlinks: dict[str, str] = field(default_factory=dict)
    directories: dict[str, int] = field(default_factory=dict)


def unpacked(name: str, folder: Path) -> list[Path]:
    """Return a folder for a package and for each that it depends on, recommended ones left out.

    Parameters
    ----------
    name
        Name of a Debian package.
    folder
        Where unpacked packages are kept, by name and version; a version that is there needs no network.

    Raises
    ------
    LocalError
        A package can't be had, not even with the mirror's newest lists.
    """
    what = f"getting the package {name}"
    if shutil.which("apt-get") is None:
        raise LocalError(f"{what}: there is no apt-get; use Debian, whose packages the images are made of")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the folder is shared by checkouts
        try:
            return _unpacked(name, folder, what)
        except LocalError:  # the lists are missing, or name versions that the mirror has no more
            run(["apt-get", "update", "-qq"], what=what, seconds=_SECONDS)
            return _unpacked(name, folder, what)


def _unpacked(name: str, folder: Path, what: str) -> list[Path]:
    chosen = folder / f"{name}.chosen"
    if chosen.exists() and _newer(chosen, _LISTS):
        known = [folder / line for line in chosen.read_text().splitlines()]
        if all(path.is_dir() for path in known):
            return known
    listing = run([*_CHOOSE, name], what=what)
    wanted = {
        folder / f"{found['name']}_{found['version']}_{found['architecture']}": found
        for found in _CHOSEN.finditer(listing)
    }
    if not wanted:
        raise LocalError(
            f"{what}: `apt-get install --simulate {name}` names no package; look at what it prints"
        )
    missing = {path: found for path, found in wanted.items() if not path.is_dir()}
    if missing:
        _fetch(missing, folder / "partial", what)
    write_atomic(chosen, "\n".join(path.name for path in wanted))
    return list(wanted)


def _newer(path: Path, other: Path) -> bool:
    return not other.exists() or path.stat().st_mtime > other.stat().st_mtime


def _fetch(missing: dict[Path, re.Match[str]], scratch: Path, what: str) -> None:
    """Download packages and unpack each to its place, where it appears whole or not at all."""
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    scratch.mkdir()
    versions = [f"{found['name']}={found['version']}" for found in missing.values()]
    run([*_DOWNLOAD, *versions], what=what, directory=scratch, seconds=_SECONDS)
    for place, found in missing.items():
        (archive,) = scratch.glob(f"{found['name']}_*.deb")
        content = scratch / place.name
        run(["dpkg-deb", "--extract", str(archive), str(content)], what=what)
        for other in place.parent.glob(f"{found['name']}_*_{found['architecture']}"):
            shutil.rmtree(other)  # an older version
        content.rename(place)
    shutil.rmtree(scratch)


def contents(folders: Sequence[Path]) -> Contents:
    """Return what unpacked packages hold, without their documentation and translations.

    Everything lies below /usr, as in an installed system, and `MERGED` are links to it. No file is setuid.

    Raises
    ------
    LocalError
        Two packages hold the same path.
    """
    found = Contents()
    for folder in folders:
        for place, directories, files in os.walk(folder):
            for name in (*directories, *files):
                source = Path(place, name)
                path = _merged(f"/{source.relative_to(folder)}")
                mode = source.lstat().st_mode
                if path.removeprefix("/usr/") in MERGED or _LEFT_OUT.match(path):
                    continue
                if source.is_dir() and not source.is_symlink():
                    found.directories[path] = mode & 0o1777
                    continue
                if path in found.files or path in found.symlinks:
                    raise LocalError(f"{folder}: {path} is also of another package; choose one of them")
                if source.is_symlink():
                    found.symlinks[path] = str(source.readlink())
                else:
                    found.files[path] = ImageFile(source=source, mode=mode & 0o777)
    used = {path.split("/")[2] for path in (*found.files, *found.symlinks) if path.startswith("/usr/")}
    found.symlinks.update({f"/{name}": f"usr/{name}" for name in MERGED if name in used})
    return found


def _merged(path: str) -> str:
    return f"/usr{path}" if path.split("/")[1] in MERGED else path
