"""HAProxy as the embedded clusters run it, from Debian's packages: for tests and measurements here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from local.errors import LocalError
from local.packages import unpacked

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE: Final = "haproxy"


def haproxy(packages: Path) -> list[str]:
    """Return the command that runs HAProxy with the libraries of its own packages; nothing is installed.

    Parameters
    ----------
    packages
        Where unpacked packages are kept.

    Raises
    ------
    LocalError
        The packages can't be had.
    """
    folders = unpacked(PACKAGE, packages)
    libraries = sorted({path.parent for folder in folders for path in folder.rglob("lib*.so.*")})
    loaders = [path for folder in folders for path in folder.rglob("ld-linux-*.so.*")]
    programs = [path for folder in folders for path in folder.glob("usr/sbin/haproxy")]
    if not loaders or not programs:
        raise LocalError(f"the package {PACKAGE} in {packages} is not whole: delete it and run this again")
    return [str(loaders[0]), "--library-path", ":".join(map(str, libraries)), str(programs[0])]
