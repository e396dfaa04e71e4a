"""Images of an environment: put into a registry, and pinned to what a registry has."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from components.own_images import own_images
from operations.errors import OperationError
from releases.catalog import API_SYNCAGENT_CRDS
from releases.errors import ReleaseError
from releases.files import RUN_FOLDER
from releases.image_names import ImageName, ImageNameError, mirrored, parse
from releases.prepare import prepare
from stacks.loader import release_source
from stacks.mapping_releases import adaptation
from stacks.wanted_releases import wanted_releases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from stacks.settings import EnvironmentSettings

SKOPEO: Final = "skopeo"
SECONDS: Final = 600
"""How long one image may take."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """How registries are reached.

    Attributes
    ----------
    program
        The command that runs skopeo.
    authfile
        File of credentials, as `docker login` writes it; None: the user's own.
    cert_dir
        Folder with the certificate authority `ca.crt` of the registry; None: the system's are trusted.
    plain_http
        Whether the registry speaks plain HTTP, or has a certificate that nobody trusts.
    """

    program: Sequence[str] = (SKOPEO,)
    authfile: Path | None = None
    cert_dir: Path | None = None
    plain_http: bool = False

    def flags(self, side: str = "") -> list[str]:
        """Say it in skopeo's words.

        Parameters
        ----------
        side
            Beginning of the flags: `dest-` where something is written.
        """
        return [
            *([f"--{side}authfile={self.authfile}"] if self.authfile else []),
            *([f"--{side}cert-dir={self.cert_dir}"] if self.cert_dir else []),
            *([f"--{side}tls-verify=false"] if self.plain_http else []),
        ]

    def run(self, *arguments: str) -> bytes:
        """Run skopeo and give what it prints.

        Raises
        ------
        OperationError
            It is not installed, failed, or took too long.
        """
        if shutil.which(self.program[0]) is None:
            raise OperationError(
                "skopeo is not installed; install it (Debian, Fedora and others package it under this name)"
            )
        try:
            # What is copied comes from a file, or is only looked at: no policy of signatures is needed.
            done = subprocess.run(
                [*self.program, "--insecure-policy", *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise OperationError(f"skopeo {arguments[0]} took more than {SECONDS} s") from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise OperationError(f"skopeo {arguments[0]}: {said[-1] if said else done.returncode}")
        return done.stdout


def places(
    images: Iterable[str], *, registry: str | None, mirrors: Mapping[str, str]
) -> dict[str, ImageName]:
    """Say where images go: where the mirrors say, or all into one registry, each with its whole name.

    Parameters
    ----------
    images
        Their names.
    registry
        A registry, with a path or without; None: the mirrors decide.
    mirrors
        What replaces the beginning of a name, by that beginning.

    Raises
    ------
    OperationError
        A name is none, no mirror has it, or two of them would be in one place.
    """
    found: dict[str, ImageName] = {}
    for image in images:
        try:
            name = parse(image)
        except ImageNameError as error:
            raise OperationError(f"an archive holds {error}") from None
        there = mirrored(name, {name.registry: f"{registry}/{name.registry}"} if registry else mirrors)
        if there is None:
            raise OperationError(
                f"imageRepository.mirrors says nothing of {image}; add {name.registry}: REGISTRY,"
                " or push all into one registry by --to"
            )
        found[image] = there
    _apart({parse(image).tagged: there for image, there in found.items()})
    return found


def _apart(where: Mapping[str, ImageName]) -> None:
    """Refuse two images in one place: the one that came last would be pulled under both names."""
    owners: dict[str, str] = {}
    for image, there in sorted(where.items()):
        owner = owners.setdefault(str(_target(there)), image)
        the_same = there.digest is not None and there.digest == where[owner].digest
        if owner != image and not the_same:
            raise OperationError(
                f"imageRepository.mirrors sends both {owner} and {image} to {_target(there)};"
                " give each registry a mirror of its own"
            )


def _target(there: ImageName) -> ImageName:
    """Name where an image is put: skopeo takes a tag or a digest, not both; the digest is kept anyway."""
    return there if there.tag is None else replace(there, digest=None)


def push(
    held: Mapping[str, Path], where: Mapping[str, ImageName], access: Access, report: Callable[[str], None]
) -> None:
    """Copy images into registries; what is there already is not sent again.

    Parameters
    ----------
    held
        OCI archives by name of the image.
    where
        Where each goes.
    access
        How registries are reached.
    report
        Takes a line of progress.

    Raises
    ------
    OperationError
        One of them could not be copied; those before it are there.
    """
    for image, path in sorted(held.items()):
        there = where[image]
        try:
            # Their digest stays what it is, so that a lock holds for every copy. One that is named by it
            # may be of several platforms, and is what it is only with all of them.
            access.run(
                "copy",
                "--preserve-digests",
                *(["--all"] if there.digest else []),
                *access.flags("dest-"),
                f"oci-archive:{path}",
                f"docker://{_target(there)}",
            )
        except OperationError as error:
            raise OperationError(f"{image} could not be put to {there}: {error}") from None
        report(f"{image}: {there}")


def images_of(
    settings: EnvironmentSettings, root: Path, stack: str, more: Iterable[tuple[str, str]] = ()
) -> list[str]:
    """List the images that an environment's clusters pull, under their own names.

    That is what is left of the releases' images when the settings have changed the releases.

    Parameters
    ----------
    settings
        The environment's settings.
    root
        The project's folder.
    stack
        Name of the stack, with its project's or without.
    more
        Names and versions of releases that the clusters may get beside those of the settings.

    Raises
    ------
    OperationError
        A release's manifest can't be had.
    """
    source, *_ = release_source(settings.releases, root)
    folder = root / RUN_FOLDER / stack.rpartition("/")[2] / "manifests"
    asked = set(more)
    found: set[str] = set()
    for cluster, releases in wanted_releases(settings).items():
        for name, version in sorted({*releases.items(), *asked}):
            if name == API_SYNCAGENT_CRDS:
                gateway = bool(settings.gateway.clusters)
                found |= set(own_images(gateway=gateway, syncer_version=version))
            try:
                prepared = prepare(
                    name,
                    version=version,
                    adaptation=adaptation(settings, cluster, name),
                    source=source,
                    root=root,
                    folder=folder,
                )
            except ReleaseError as error:
                raise OperationError(str(error)) from None
            found |= set(prepared.contents.images)
    return sorted(found)


def left_without(images: Iterable[str], beginnings: Iterable[str]) -> list[str]:
    """Leave out images by the beginnings of their names.

    Parameters
    ----------
    images
        Their names.
    beginnings
        The beginnings, as --without gives them.

    Raises
    ------
    OperationError
        One is empty, and so every name's.
    """
    spared = tuple(beginnings)
    if "" in spared:
        raise OperationError('--without "": every name begins so; give the beginning of those to leave out')
    return [image for image in images if not image.startswith(spared)]


def digests(
    images: Iterable[str], mirrors: Mapping[str, str], access: Access, report: Callable[[str], None]
) -> dict[str, str]:
    """Ask registries which images names stand for now.

    Parameters
    ----------
    images
        Their own names; those that have a digest already are left out.
    mirrors
        What replaces the beginning of a name, by that beginning: that is where they are asked for.
    access
        How registries are reached.
    report
        Takes a line of progress.

    Returns
    -------
    dict
        Digests by the image's own name.

    Raises
    ------
    OperationError
        A registry didn't answer, or doesn't have one of them; or two of them are in one place.
    """
    names = [name for name in map(parse, images) if name.digest is None]
    where = {name.tagged: mirrored(name, mirrors) or name for name in names}
    _apart(where)
    found: dict[str, str] = {}
    for image, there in where.items():
        try:
            # The digest of what the name stands for, for all platforms: of the manifest's own bytes.
            manifest = access.run("inspect", "--raw", *access.flags(), f"docker://{there}")
        except OperationError as error:
            raise OperationError(f"{image} could not be asked for at {there}: {error}") from None
        found[image] = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        report(f"{image}: {found[image]}")
    return found


def lock_text(found: Mapping[str, str]) -> str:
    """Write digests as `imageRepository.digests` takes them.

    Parameters
    ----------
    found
        Digests by the image's own name.
    """
    lines = [f"{image}: {digest}" for image, digest in sorted(found.items())]
    return "\n".join(
        ["# Which images the names stand for; written by: python -m operations images lock", *lines, ""]
    )
