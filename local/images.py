"""The images of the embedded clusters, put together from built tools and distribution packages.

Each is imported under the very name that the release manifests write, so that these stay as upstream ships
them. What an image must hold was read from Tekton Pipelines v1.6.0 (`pkg/pod`: the commands it gives its own
images; `.ko.yaml`: their base images; `config/`: the Deployments) and from the `Dockerfile` of api-syncagent
v0.7.0. Tekton v1.6.0 reads nothing below KO_DATA_PATH (its change set comes from the binary's build
information), so no kodata is carried.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from local.commands import run
from local.oci import ImageError, ImageFile, ImageSpec
from local.packages import contents
from local.toolchain.catalog import API_SYNCAGENT, COREDNS, TEKTON, Module
from releases.catalog import PYTHON_IMAGE

# The versions are those of the Go modules that are built: each image is named after what is in it.
TEKTON_VERSION = TEKTON.version
TEKTON_MODULE = TEKTON.source
TEKTON_REPOSITORY = "ghcr.io/tektoncd/pipeline"
TEKTON_COMMANDS = tuple(TEKTON.packages)
SYNCAGENT_IMAGE = f"ghcr.io/kcp-dev/api-syncagent:{API_SYNCAGENT.version}"
PAUSE_IMAGE = "registry.k8s.io/pause:3.10"
COREDNS_IMAGE = f"registry.k8s.io/coredns/coredns:{COREDNS.version}"
BUSYBOX_IMAGE = "docker.io/library/busybox:1.36"
"""The name a workload asks for; what it gets is the distribution's busybox."""

SHELL_IMAGE = "cgr.dev/chainguard/busybox:1.36"
"""What Tekton's own script containers run, by upstream's name: the same busybox, but not as root. With its
flag `set-security-context` Tekton asks for `runAsNonRoot` and names no user."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_CA_BUNDLES = (  # Debian and Alpine, Fedora and RHEL, SUSE
    Path(_CA_BUNDLE),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
)
_NONROOT = "65532:65532"
"""The unprivileged user of the base images that upstream builds on; the Deployments name it too."""
_FOREVER = "2147483647"
"""Seconds, 68 years: the longest that every build of `sleep` takes."""
_LDD_LINE = re.compile(r"^\s*(?:\S+ => )?(?P<path>/\S+) \(0x[0-9a-f]+\)$")


def ko_image(import_path: str, *, repository: str = TEKTON_REPOSITORY, tag: str = TEKTON_VERSION) -> str:
    """Return the name ko gives the image of a Go command: its last element and the MD5 of its import path.

    Tekton's releases are named this way (``controller-10a3e32792f33651396d02b6855a6e36``).
    """
    digest = hashlib.md5(import_path.encode(), usedforsecurity=False).hexdigest()
    return f"{repository}/{import_path.rpartition('/')[2]}-{digest}:{tag}"


def images(  # noqa: PLR0913 - each is a place that a test puts its own files in
    program: Callable[[Module, str], Path],
    *,
    packages: Callable[[str], Sequence[Path]],
    busybox: Path,
    tini: Path = Path("/usr/bin/tini-static"),
    git: Path = Path("/usr/bin/git"),
    ca_bundle: Path | None = None,
) -> tuple[ImageSpec, ...]:
    """Return all images of an embedded cluster.

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
    _require(busybox, "busybox-static")
    _require(tini, "tini")
    _require(git, "git")
    certificates = {_CA_BUNDLE: ImageFile(source=ca_bundle or _host_ca_bundle())}
    git_files, git_links = _git(git)
    tekton = {name: _tekton(name, program(TEKTON, name), certificates) for name in TEKTON_COMMANDS}
    # Its Deployment starts /sbin/tini, which reaps what git leaves behind, and the git resolver runs git.
    resolvers = tekton["resolvers"]
    tekton["resolvers"] = replace(
        resolvers,
        files={**resolvers.files, **git_files, "/sbin/tini": _executable(tini), **_accounts(_NONROOT)},
        symlinks=git_links,
    )
    syncagent = _executable(program(API_SYNCAGENT, "api-syncagent"))
    return (
        *tekton.values(),
        ImageSpec(
            name=SYNCAGENT_IMAGE,
            entrypoint=("api-syncagent",),
            files={"/usr/local/bin/api-syncagent": syncagent, **certificates},
            directories={"/tmp": 0o1777},  # noqa: S108 - a directory of the image, not of this machine
            user="65534:65534",
            env={"PATH": _PATH},
        ),
        # Root, as its port is 53: what it may do is the Deployment's to narrow (to NET_BIND_SERVICE).
        ImageSpec(
            name=COREDNS_IMAGE,
            entrypoint=("/coredns",),
            files={"/coredns": _executable(program(COREDNS, "coredns")), **certificates},
            env={"PATH": _PATH},
        ),
        _of_packages(
            PYTHON_IMAGE,
            packages("python3"),
            command=("python3",),
            # Where upstream's image has it, for who names it by its path.
            symlinks={
                "/usr/local/bin/python": "/usr/bin/python3",
                "/usr/local/bin/python3": "/usr/bin/python3",
            },
            certificates=certificates,
        ),
        _busybox(BUSYBOX_IMAGE, busybox, user="0:0"),
        _busybox(SHELL_IMAGE, busybox, user=_NONROOT),
        # What a sandbox's first process has to do: exist, reap orphans where processes share a namespace, and
        # end at once on SIGTERM. tini as process 1 reaps and hands the signal on; a `sleep` that is not
        # process 1 obeys it.
        ImageSpec(
            name=PAUSE_IMAGE,
            entrypoint=("/tini", "--", "/sleep", _FOREVER),
            files={"/tini": _executable(tini), "/sleep": _executable(busybox)},
            user="65535:65535",
            env={"PATH": _PATH},
        ),
    )


def _tekton(command: str, binary: Path, certificates: dict[str, ImageFile]) -> ImageSpec:
    """Return one of Tekton's images, laid out as ko does: the binary in /ko-app, which its code names."""
    return ImageSpec(
        name=ko_image(f"{TEKTON_MODULE}/cmd/{command}"),
        entrypoint=(f"/ko-app/{command}",),
        files={f"/ko-app/{command}": _executable(binary), **certificates},
        directories={"/tmp": 0o1777},  # noqa: S108 - a directory of the image, not of this machine
        user=_NONROOT,
        env={"PATH": f"{_PATH}:/ko-app", "SSL_CERT_FILE": _CA_BUNDLE},
    )


def _busybox(name: str, busybox: Path, *, user: str) -> ImageSpec:
    """Return an image with a shell and every applet."""
    return ImageSpec(
        name=name,
        command=("sh",),
        files={"/bin/busybox": _executable(busybox), **_accounts(user)},
        symlinks={
            "/usr/bin/env": "/bin/busybox",
            **{f"/bin/{applet}": "busybox" for applet in _applets(busybox)},
        },
        directories={"/tmp": 0o1777, "/root": 0o700, "/var/tmp": 0o1777},  # noqa: S108 - as above
        user=user,
        env={"PATH": _PATH},
    )


def _of_packages(
    name: str,
    folders: Sequence[Path],
    *,
    command: tuple[str, ...],
    symlinks: Mapping[str, str],
    certificates: Mapping[str, ImageFile],
) -> ImageSpec:
    """Return an image of distribution packages, run as root unless the pod says otherwise."""
    unpacked = contents(folders)
    return ImageSpec(
        name=name,
        command=command,
        files={**unpacked.files, **_accounts("0:0"), **certificates},
        symlinks={**unpacked.symlinks, **symlinks},
        directories={**unpacked.directories, "/tmp": 0o1777, "/root": 0o700, "/var/tmp": 0o1777},  # noqa: S108
        env={"PATH": _PATH, "SSL_CERT_FILE": _CA_BUNDLE, "LANG": "C.UTF-8"},
    )


def _applets(busybox: Path) -> list[str]:
    names = run([str(busybox), "--list"], what="listing busybox's applets").split()
    if "sh" not in names:
        raise ImageError(f"busybox {busybox}: it lists no applet 'sh'; install busybox-static")
    return [name for name in names if name != "busybox"]


def _accounts(user: str) -> dict[str, ImageFile]:
    """Return the account files that programs built on glibc look things up in (Go's need none)."""
    uid, gid = user.split(":")
    users = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
    group = "root:x:0:\nnogroup:x:65534:\n"
    if uid != "0":
        users += f"nonroot:x:{uid}:{gid}:nonroot:/tmp:/bin/false\n"
        group += f"nonroot:x:{gid}:\n"
    return {
        "/etc/passwd": ImageFile(source=users.encode()),
        "/etc/group": ImageFile(source=group.encode()),
        # Without this file glibc asks the name server first, and /etc/hosts only where that can't be reached.
        "/etc/nsswitch.conf": ImageFile(source=b"hosts: files dns\n"),
    }


def _git(git: Path) -> tuple[dict[str, ImageFile], dict[str, str]]:
    """Return git, its transport for http(s) and the libraries both link to, at the places they have here."""
    exec_path = Path(run([str(git), "--exec-path"], what="finding git's transports").strip())
    remote = exec_path / "git-remote-http"
    _require(remote, "git")
    files = {"/usr/bin/git": _executable(git), str(remote): _executable(remote)}
    for binary in (git, remote):
        for library in _libraries(binary):
            files[library] = ImageFile(source=Path(library), mode=0o755)
    return files, {str(exec_path / "git-remote-https"): "git-remote-http"}


def _libraries(binary: Path) -> list[str]:
    """Return the paths of the shared libraries and the loader of a program of this machine, sorted."""
    listing = run(["ldd", str(binary)], what=f"listing the libraries of {binary}")
    if "not found" in listing:
        missing = [line.split()[0] for line in listing.splitlines() if "not found" in line]
        raise ImageError(f"{binary}: libraries {', '.join(missing)} are missing; reinstall its package")
    return sorted(match["path"] for line in listing.splitlines() if (match := _LDD_LINE.match(line)))


def _executable(source: Path) -> ImageFile:
    return ImageFile(source=source, mode=0o755)


def _host_ca_bundle() -> Path:
    for path in _CA_BUNDLES:
        if path.is_file():
            return path
    places = ", ".join(map(str, _CA_BUNDLES))
    raise ImageError(f"certificate authorities: none of {places} exists; install ca-certificates")


def _require(path: Path, package: str) -> None:
    if not path.is_file():
        raise ImageError(f"{path}: no such file; install the package {package}")
