"""What the images of the embedded clusters have in common: accounts, authorities, shells, packages' files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.commands import run
from local.oci import ImageError, ImageFile, ImageSpec
from local.packages import Contents, contents
from local.toolchain.catalog import Module

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_CA_BUNDLES = (  # Debian and Alpine, Fedora and RHEL, SUSE
    Path(CA_BUNDLE),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
)
NONROOT = "65532:65532"
"""The unprivileged user of the base images that upstream builds on; the Deployments name it too."""

FOR_INSTALLING = (
    "adduser",
    "debconf",
    "dpkg",
    "init-system-helpers",
    "libdb5.3",
    "libfile-find-rule-perl",
    "libgdbm-compat4",
    "libgdbm6",
    "libnumber-compare-perl",
    "libpam-modules",
    "libpam-modules-bin",
    "libperl5.36",
    "libsemanage-common",
    "libsemanage2",
    "libsepol2",
    "libtext-glob-perl",
    "lsb-base",
    "passwd",
    "perl",
    "perl-base",
    "perl-modules-5.36",
    "sysvinit-utils",
    "tar",
    "usrmerge",
)
"""Debian packages that others depend on for being installed, not for running."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the content of images comes from.

    Parameters
    ----------
    program
        Path of a built program by its module and name (`Toolchain.program`).
    packages
        Folders of a package and what it depends on, unpacked, by its name (`local.packages.unpacked`).
    busybox
        A static busybox (`busybox-static`).
    tini
        A static tini (`tini`).
    git
        The distribution's git; what it links to comes along.
    ca_bundle
        The certificate authorities to trust, PEM. Default: this machine's bundle.

    Raises
    ------
    ImageError
        When a package's file is missing; the text names the package. A missing tool shows when assembling.
    """

    program: Callable[[Module, str], Path]
    packages: Callable[[str], Sequence[Path]]
    busybox: Path
    tini: Path = Path("/usr/bin/tini-static")
    git: Path = Path("/usr/bin/git")
    ca_bundle: Path | None = None

    def __post_init__(self) -> None:
        require(self.busybox, "busybox-static")
        require(self.tini, "tini")
        require(self.git, "git")

    def certificates(self) -> dict[str, ImageFile]:
        """Return the file of the certificate authorities."""
        return {CA_BUNDLE: ImageFile(source=self.ca_bundle or _host_ca_bundle())}

    def of_packages(self, *names: str, leave_out: Collection[str] = ()) -> Contents:
        """Return what packages and all that they depend on hold, but for those to leave out."""
        folders = dict.fromkeys(folder for name in names for folder in self.packages(name))
        return contents([folder for folder in folders if folder.name.partition("_")[0] not in leave_out])


def executable(source: Path) -> ImageFile:
    """Return a program."""
    return ImageFile(source=source, mode=0o755)


def accounts(user: str, name: str = "nonroot", home: str = "/tmp") -> dict[str, ImageFile]:  # noqa: S108 - of the image
    """Return the account files that programs built on glibc look things up in (Go's need none).

    Parameters
    ----------
    user
        ``uid:gid`` that the image runs as.
    name, home
        Name and home of that user, where it is not root.
    """
    uid, gid = user.split(":")
    users = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
    group = "root:x:0:\nnogroup:x:65534:\n"
    if uid != "0":
        users += f"{name}:x:{uid}:{gid}:{name}:{home}:/bin/false\n"
        group += f"{name}:x:{gid}:\n"
    return {
        "/etc/passwd": ImageFile(source=users.encode()),
        "/etc/group": ImageFile(source=group.encode()),
        # Without this file glibc asks the name server first, and /etc/hosts only where that can't be reached.
        "/etc/nsswitch.conf": ImageFile(source=b"hosts: files dns\n"),
    }


def applets(busybox: Path) -> list[str]:
    """Return the names that a busybox acts by.

    Raises
    ------
    ImageError
        It has no shell.
    """
    names = run([str(busybox), "--list"], what="listing busybox's applets").split()
    if "sh" not in names:
        raise ImageError(f"busybox {busybox}: it lists no applet 'sh'; install busybox-static")
    return [name for name in names if name != "busybox"]


def busybox_image(name: str, busybox: Path, *, user: str) -> ImageSpec:
    """Return an image with a shell and every applet."""
    return ImageSpec(
        name=name,
        command=("sh",),
        files={"/bin/busybox": executable(busybox), **accounts(user)},
        symlinks={
            "/usr/bin/env": "/bin/busybox",
            **{f"/bin/{applet}": "busybox" for applet in applets(busybox)},
        },
        directories={"/tmp": 0o1777, "/root": 0o700, "/var/tmp": 0o1777},  # noqa: S108 - as above
        user=user,
        env={"PATH": PATH},
    )


def beside_packages(busybox: Path, unpacked: Contents) -> tuple[dict[str, ImageFile], dict[str, str]]:
    """Return the file and the links of a busybox in /usr/bin, for what no package of the image has.

    The image's /bin is a link to /usr/bin, as in an installed system.
    """
    taken = {Path(path).name for path in (*unpacked.files, *unpacked.symlinks) if path.startswith("/usr/")}
    links = {f"/usr/bin/{name}": "busybox" for name in applets(busybox) if name not in taken}
    return {"/usr/bin/busybox": executable(busybox)}, {"/bin": "usr/bin"} | links


def package_image(
    name: str,
    unpacked: Contents,
    *,
    command: tuple[str, ...],
    symlinks: Mapping[str, str],
    certificates: Mapping[str, ImageFile],
) -> ImageSpec:
    """Return an image of distribution packages, run as root unless the pod says otherwise."""
    return ImageSpec(
        name=name,
        command=command,
        files={**unpacked.files, **accounts("0:0"), **certificates},
        symlinks={**unpacked.symlinks, **symlinks},
        directories={**unpacked.directories, "/tmp": 0o1777, "/root": 0o700, "/var/tmp": 0o1777},  # noqa: S108
        env={"PATH": PATH, "SSL_CERT_FILE": CA_BUNDLE, "LANG": "C.UTF-8"},
    )


def require(path: Path, package: str) -> None:
    """Raise `ImageError` where a file of a package is missing."""
    if not path.is_file():
        raise ImageError(f"{path}: no such file; install the package {package}")


def _host_ca_bundle() -> Path:
    for path in _CA_BUNDLES:
        if path.is_file():
            return path
    places = ", ".join(map(str, _CA_BUNDLES))
    raise ImageError(f"certificate authorities: none of {places} exists; install ca-certificates")
