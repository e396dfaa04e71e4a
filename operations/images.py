"""Images of an environment: put into a registry, and pinned to what a registry has."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from components.own_images import SYNCER_IMAGE
from operations.errors import OperationError
from releases.catalog import API_SYNCAGENT_CRDS, PYTHON_IMAGE
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

_NAMES: Final = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
"""Annotations by which containerd, and skopeo, say what an archive holds."""
_ARCHIVES: Final = "images/"
_INDEX_BYTES: Final = 1 << 20


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


def archives(folder: Path) -> dict[str, Path]:
    """Find the OCI archives of a folder, by the name of the image that each holds.

    Parameters
    ----------
    folder
        Folder with files `*.tar`.

    Raises
    ------
    OperationError
        One of them can't be read, or doesn't say what it holds; or there is none.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.tar")):
        try:
            with tarfile.open(path) as archive:
                index = archive.extractfile("index.json")
                document = json.loads(index.read(_INDEX_BYTES)) if index else {}
            [annotations] = [entry["annotations"] for entry in document["manifests"]]
            found[next(annotations[key] for key in _NAMES if key in annotations)] = path
        except (OSError, LookupError, TypeError, ValueError, StopIteration, tarfile.TarError) as error:
            raise OperationError(
                f"{path.name} is no OCI archive of one image that it names ({type(error).__name__}: {error});"
                " make it by: skopeo copy docker://IMAGE oci-archive:FILE.tar:IMAGE"
            ) from None
    if not found:
        raise OperationError(f"{folder} holds no archive of an image, *.tar")
    return found


def unpack(bundle: Path, folder: Path) -> None:
    """Unpack the archives of a bundle's images.

    Parameters
    ----------
    bundle
        What `python -m operations releases bundle --images` wrote.
    folder
        Where to.

    Raises
    ------
    OperationError
        It can't be read.
    """
    try:
        with tarfile.open(bundle) as whole:
            for member in whole:
                name = member.name.removeprefix("./")
                if not (member.isfile() and name.startswith(_ARCHIVES) and name.endswith(".tar")):
                    continue
                content = whole.extractfile(member)
                target = folder / name.removeprefix(_ARCHIVES).replace("/", "_")
                if content is not None:
                    with target.open("wb") as file:
                        shutil.copyfileobj(content, file)
    except (OSError, tarfile.TarError) as error:
        raise OperationError(f"{bundle} can't be read ({error}); name a bundle, or a folder") from None


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
        A name is none, or no mirror has it.
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
    return found


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
            # Their digest stays what it is, so that a lock holds for every copy.
            access.run(
                "copy",
                "--preserve-digests",
                *access.flags("dest-"),
                f"oci-archive:{path}",
                f"docker://{there}",
            )
        except OperationError as error:
            raise OperationError(f"{image} could not be put to {there}: {error}") from None
        report(f"{image}: {there}")


def images_of(settings: EnvironmentSettings, root: Path, stack: str) -> list[str]:
    """List the images that an environment's clusters pull, under their own names.

    Parameters
    ----------
    settings
        The environment's settings.
    root
        The project's folder.
    stack
        Name of the stack.

    Raises
    ------
    OperationError
        A release's manifest can't be had.
    """
    source, *_ = release_source(settings.releases, root)
    found: set[str] = set()
    for cluster, releases in wanted_releases(settings).items():
        found |= {f"{SYNCER_IMAGE}:{releases[API_SYNCAGENT_CRDS]}", PYTHON_IMAGE}
        for name, version in releases.items():
            try:
                prepared = prepare(
                    name,
                    version=version,
                    adaptation=adaptation(settings, cluster, name),
                    source=source,
                    root=root,
                    folder=root / RUN_FOLDER / stack / "manifests",
                )
            except ReleaseError as error:
                raise OperationError(str(error)) from None
            found |= set(prepared.contents.images)
    return sorted(found)


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
        A registry didn't answer, or doesn't have one of them.
    """
    found: dict[str, str] = {}
    for name in map(parse, images):
        if name.digest is not None:
            continue
        there = mirrored(name, mirrors) or name
        try:
            # The digest of what the name stands for, for all platforms: of the manifest's own bytes.
            manifest = access.run("inspect", "--raw", *access.flags(), f"docker://{there}")
        except OperationError as error:
            raise OperationError(f"{name.tagged} could not be asked for at {there}: {error}") from None
        found[name.tagged] = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        report(f"{name.tagged}: {found[name.tagged]}")
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
