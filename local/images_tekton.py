"""The images of Tekton's projects, laid out and named as their release pipelines do with ko.

What they must hold was read from Tekton Pipelines v1.6.0 and v1.9.0 (`pkg/pod`: the commands it gives its own
images; `.ko.yaml`: their base images; `config/`: the Deployments), Triggers v0.34.0 and Chains v0.26.0. They
read nothing below KO_DATA_PATH (the change set is set at link time), so no kodata is carried.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

from local.commands import run
from local.image_parts import CA_BUNDLE, NONROOT, PATH, Sources, accounts, executable, require
from local.oci import ImageError, ImageFile, ImageSpec
from local.toolchain.catalog import TEKTON, TEKTON_NEXT, Module

SHELL_IMAGE = "cgr.dev/chainguard/busybox:1.36"
"""What Tekton's own script containers run, by upstream's name: the same busybox, but not as root. With its
flag `set-security-context` Tekton asks for `runAsNonRoot` and names no user."""

_REGISTRY = "ghcr.io"
_LDD_LINE = re.compile(r"^\s*(?:\S+ => )?(?P<path>/\S+) \(0x[0-9a-f]+\)$")


def ko_image(import_path: str, *, tag: str) -> str:
    """Return the name ko gives the image of a Go command of a Tekton project.

    Its repository is the project's; then come the last element and the MD5 of its import path
    (``ghcr.io/tektoncd/pipeline/controller-10a3e32792f33651396d02b6855a6e36``).
    """
    project = import_path.removeprefix("github.com/").partition("/cmd/")[0]
    digest = hashlib.md5(import_path.encode(), usedforsecurity=False).hexdigest()
    return f"{_REGISTRY}/{project}/{import_path.rpartition('/')[2]}-{digest}:{tag}"


def tekton_images(module: Module, sources: Sources) -> list[ImageSpec]:
    """Return an image for each command of a Tekton project."""
    images = [_command(module, name, sources) for name in module.packages]
    if module not in (TEKTON, TEKTON_NEXT):
        return images
    # Its Deployment starts /sbin/tini, which reaps what git leaves behind, and the git resolver runs git.
    git_files, git_links = _git(sources.git)
    added = {**git_files, "/sbin/tini": executable(sources.tini), **accounts(NONROOT)}
    resolvers = _name(module, "resolvers")
    return [
        replace(image, files={**image.files, **added}, symlinks=git_links)
        if image.name == resolvers
        else image
        for image in images
    ]


def _name(module: Module, command: str) -> str:
    return ko_image(module.packages[command], tag=module.version)


def _command(module: Module, command: str, sources: Sources) -> ImageSpec:
    return ko_layout(_name(module, command), command, sources.program(module, command), sources)


def ko_layout(name: str, command: str, program: Path, sources: Sources) -> ImageSpec:
    """Return an image as ko lays it out: the binary in /ko-app, which Tekton's code names.

    Parameters
    ----------
    name
        The image's name.
    command
        Name of the command.
    program
        Its built program.
    sources
        Where the certificates come from.
    """
    return ImageSpec(
        name=name,
        entrypoint=(f"/ko-app/{command}",),
        files={f"/ko-app/{command}": executable(program), **sources.certificates()},
        directories={"/tmp": 0o1777},  # noqa: S108 - a directory of the image, not of this machine
        user=NONROOT,
        env={"PATH": f"{PATH}:/ko-app", "SSL_CERT_FILE": CA_BUNDLE},
    )


def _git(git: Path) -> tuple[dict[str, ImageFile], dict[str, str]]:
    """Return git, its transport for http(s) and the libraries both link to, at the places they have here."""
    exec_path = Path(run([str(git), "--exec-path"], what="finding git's transports").strip())
    remote = exec_path / "git-remote-http"
    require(remote, "git")
    files = {"/usr/bin/git": executable(git), str(remote): executable(remote)}
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
