"""PostgreSQL from Debian's packages: the database with which Tekton Results is tried on an embedded cluster.

The release wants one and brings none, and this program manages none: in production it is somebody's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from local.image_parts import FOR_INSTALLING, beside_packages, package_image
from local.packages import Contents

if TYPE_CHECKING:
    from local.image_parts import Sources
    from local.oci import ImageSpec

POSTGRESQL_IMAGE: Final = "docker.io/library/postgres:15-bookworm"
POSTGRESQL_PROGRAMS: Final = "/usr/lib/postgresql/15/bin"

_PACKAGE: Final = "postgresql-15"
_LEFT_OUT: Final = (
    *FOR_INSTALLING,
    "libjson-perl",
    "libllvm14",  # compiles queries, where that is turned on
    "libz3-4",
    "locales",
    "postgresql-client-common",
    "postgresql-common",
    "sensible-utils",
    "ssl-cert",
    "ucf",
)


def postgresql_image(sources: Sources) -> ImageSpec:
    """Return the image, whose command is a shell: who runs it says where its data lie.

    Parameters
    ----------
    sources
        Where its content comes from.
    """
    content = sources.of_packages(_PACKAGE, leave_out=_LEFT_OUT)
    shell, applets = beside_packages(sources.busybox, content)
    return package_image(
        POSTGRESQL_IMAGE,
        Contents(
            files={**content.files, **shell},
            symlinks={**content.symlinks, **applets},
            directories=content.directories,
        ),
        command=("sh",),
        symlinks={},
        certificates=sources.certificates(),
    )
