"""A static busybox, also where the machine's own is linked dynamically and must not be replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

from local.commands import run
from local.errors import LocalError

SYSTEM = Path("/bin/busybox")
_LOADER = b"/ld-linux"  # part of the path of the dynamic loader, on every architecture


def is_static(program: Path) -> bool:
    """Return whether ``program`` needs no dynamic loader, and so runs in an image without one."""
    return _LOADER not in program.read_bytes()


def static_busybox(folder: Path) -> Path:
    """Return a static busybox: the machine's, or else the distribution's package unpacked into ``folder``.

    The packages `busybox` and `busybox-static` exclude each other, so the second can't just be installed.

    Raises
    ------
    LocalError
        The package can't be had.
    """
    if is_static(SYSTEM):
        return SYSTEM
    unpacked = folder / "busybox-static" / "bin" / "busybox"
    if not unpacked.exists():
        scratch = folder / "busybox-static.partial"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        what = f"{SYSTEM} is linked dynamically; fetching busybox-static"
        run(["apt-get", "download", "busybox-static"], what=what, directory=scratch, seconds=300)
        (package,) = scratch.glob("*.deb")
        run(["dpkg-deb", "--extract", str(package), str(scratch)], what=what)
        package.unlink()
        shutil.rmtree(folder / "busybox-static", ignore_errors=True)
        scratch.rename(folder / "busybox-static")
    if not is_static(unpacked):
        raise LocalError(f"{unpacked} is not static: remove {unpacked.parents[1]} and run this again")
    return unpacked
