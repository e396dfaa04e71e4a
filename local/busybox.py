"""A static busybox, also where the machine's own is linked dynamically and must not be replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from local.errors import LocalError

SYSTEM = Path("/bin/busybox")
_LOADER = b"/ld-linux"  # part of the path of the dynamic loader, on every architecture


def is_static(program: Path) -> bool:
    """Return whether ``program`` needs no dynamic loader, and so runs in an image without one."""
    return _LOADER not in program.read_bytes()


def static_busybox(packages: Callable[[str], Sequence[Path]]) -> Path:
    """Return a static busybox: the machine's, or else the distribution's package, unpacked.

    The packages `busybox` and `busybox-static` exclude each other, so the second can't just be installed.

    Parameters
    ----------
    packages
        Folders of a package and what it depends on, unpacked, by its name (`local.packages.unpacked`).

    Raises
    ------
    LocalError
        The package can't be had.
    """
    if is_static(SYSTEM):
        return SYSTEM
    unpacked = packages("busybox-static")
    program = next(path for folder in unpacked for path in folder.glob("**/bin/busybox"))
    if not is_static(program):
        raise LocalError(f"{program} is not static: the distribution's busybox-static is of no use here")
    return program
