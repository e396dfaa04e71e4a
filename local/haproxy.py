"""HAProxy from Debian's packages: the image of the embedded clusters, and the program for tests here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from local.errors import LocalError
from local.image_parts import FOR_INSTALLING, beside_packages, package_image
from local.packages import Contents, unpacked
from releases.catalog import HAPROXY_IMAGE

if TYPE_CHECKING:
    from pathlib import Path

    from local.image_parts import Sources
    from local.oci import ImageSpec

PACKAGE: Final = "haproxy"

_LEFT_OUT: Final = (*FOR_INSTALLING, "libpam0g")


def haproxy_image(sources: Sources) -> ImageSpec:
    """Return the image, which ends in good order by SIGUSR1 as upstream's does.

    Parameters
    ----------
    sources
        Where its content comes from.
    """
    content = sources.of_packages(PACKAGE, leave_out=_LEFT_OUT)
    # Of the programs beside it, a pod that ends needs `sleep`.
    shell, applets = beside_packages(sources.busybox, content)
    content = Contents(
        files={**content.files, **shell},
        symlinks={**content.symlinks, **applets},
        directories=content.directories,
    )
    made = package_image(
        HAPROXY_IMAGE,
        content,
        command=("haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"),
        symlinks={"/usr/local/sbin/haproxy": "/usr/sbin/haproxy"},
        certificates=sources.certificates(),
    )
    return replace(made, stop_signal="SIGUSR1")


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
