"""A bundle: one archive of manifests, with their checksums and images, for a site without a network.

A `.tar.gz` with, in this order: `bundle.json` (the format, and the sha256 of every other member),
`images.txt` (the images that are needed, one a line), `manifests/<name>-<version>.yaml`, and `images/*.tar`,
OCI archives. What is small stands first, so that manifests are read without what follows. The same content
makes the same bytes.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import tarfile
import tempfile
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from releases.catalog import CatalogEntry, file_name
from releases.errors import BrokenBundleError, ReleaseError
from releases.lock import sha256

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

INDEX: Final = "bundle.json"
IMAGES: Final = "images.txt"
MANIFESTS: Final = "manifests/"
ARCHIVES: Final = "images/"

_FORMAT: Final = 1
_MODE: Final = 0o644
_CHUNK_BYTES: Final = 1 << 20
_LARGEST_BYTES: Final = 64 * 1024 * 1024
"""Of a member that is read into memory: no manifest is nearly as large."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What a bundle holds.

    Attributes
    ----------
    manifests
        Manifests, by name of their file.
    images
        Names of the images that they, and this program's own pods, need.
    archives
        Sha256 of the images' OCI archives, by name of their file.
    """

    manifests: Mapping[str, bytes]
    images: tuple[str, ...]
    archives: Mapping[str, str] = field(default_factory=dict)


def write_bundle(
    path: Path, *, manifests: Mapping[str, bytes], images: Collection[str], archives: Mapping[str, Path]
) -> None:
    """Write a bundle; it appears whole, or not at all.

    Parameters
    ----------
    path
        The archive.
    manifests
        Manifests, by name of their file.
    images
        Names of the images that are needed.
    archives
        OCI archives of images, by the name that each gets.
    """
    listed = "".join(f"{image}\n" for image in sorted(set(images))).encode()
    small = {IMAGES: listed, **{f"{MANIFESTS}{name}": manifests[name] for name in sorted(manifests)}}
    large = {f"{ARCHIVES}{name}": archives[name] for name in sorted(archives)}
    digests = {name: sha256(content) for name, content in small.items()}
    digests |= {name: _digest_of(file) for name, file in large.items()}
    index = json.dumps({"format": _FORMAT, "sha256": digests}, indent=2, sort_keys=True) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as raw:
        temporary = Path(raw.name)
        try:
            temporary.chmod(_MODE)
            # Neither a time nor a file's name in the head, or no two bundles would be equal.
            with (
                gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
                tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
            ):
                for name, content in {INDEX: index.encode(), **small}.items():
                    archive.addfile(_member(name, len(content)), io.BytesIO(content))
                for name, file in large.items():
                    with file.open("rb") as opened:
                        archive.addfile(_member(name, file.stat().st_size), opened)
            raw.close()
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def read_bundle(path: Path) -> Bundle:
    """Read a bundle up to its manifests; images, which are large and stand last, are not looked at.

    Parameters
    ----------
    path
        The archive.

    Raises
    ------
    ReleaseError
        It isn't there, is not a bundle, or a manifest is not what it was.
    """
    found: dict[str, bytes] = {}
    with _opened(path) as members:
        digests = _index(path, members)
        for name, content in members:
            if name.startswith(ARCHIVES):
                break
            found[name] = _whole(path, name, content)
    for name, digest in digests.items():
        if not name.startswith(ARCHIVES) and (name not in found or sha256(found[name]) != digest):
            raise _broken(path, f"{name} is missing or not what it was")
    if IMAGES not in digests or not found.keys() <= digests.keys():
        raise _broken(path, "it holds what its index doesn't name")
    try:
        images = tuple(found[IMAGES].decode().split())
    except UnicodeDecodeError:
        raise _broken(path, f"{IMAGES} is not text") from None
    return Bundle(
        manifests={
            name.removeprefix(MANIFESTS): content
            for name, content in found.items()
            if name.startswith(MANIFESTS)
        },
        images=images,
        archives={
            name.removeprefix(ARCHIVES): digest
            for name, digest in digests.items()
            if name.startswith(ARCHIVES)
        },
    )


def broken_members(path: Path) -> list[str]:
    """List the members of a bundle that are missing or not what they were; all of it is read.

    Parameters
    ----------
    path
        The archive.

    Raises
    ------
    ReleaseError
        It isn't there, or is not a bundle.
    """
    with _opened(path) as members:
        digests = _index(path, members)
        found = {name: _digest(content) for name, content in members}
    return sorted(name for name in digests.keys() | found.keys() if digests.get(name) != found.get(name))


def extract_archives(path: Path, folder: Path) -> None:
    """Unpack the archives of a bundle's images; what differs from its index is refused, whatever it is.

    Parameters
    ----------
    path
        The archive.
    folder
        An empty folder, which holds them afterwards; where it fails, some of them or parts of them.

    Raises
    ------
    ReleaseError
        It isn't there, is not a whole bundle, or there is no room for what it holds.
    """
    found: set[str] = set()
    with _opened(path) as members:
        digests = _index(path, members)
        for name, content in members:
            file = name.removeprefix(ARCHIVES)
            is_archive = name.startswith(ARCHIVES)
            # A name with a way in it could lead out of the folder.
            if name in found or (is_archive and (file != Path(file).name or not file.endswith(".tar"))):
                raise _broken(path, f"{name} stands in it twice, or has a name that no archive gets")
            found.add(name)
            digest = _extracted(content, folder / file) if is_archive else _digest(content)
            if digests.get(name) != digest:
                raise _broken(path, f"{name} is not what it was")
    if missing := digests.keys() - found:
        raise _broken(path, f"{min(missing)} is missing")


@dataclass(frozen=True)
class BundleFile:
    """Manifests in a bundle.

    Attributes
    ----------
    path
        The archive.
    """

    path: Path

    @cached_property
    def content(self) -> Bundle:
        """What it holds; read once."""
        return read_bundle(self.path)

    def extract_archives(self, folder: Path) -> None:
        """Unpack the archives of its images, once every member is what it was; all of it is read.

        Parameters
        ----------
        folder
            An empty folder, which holds them afterwards; where it fails, some of them or parts of them.

        Raises
        ------
        ReleaseError
            It isn't there, is not a whole bundle, or there is no room for what it holds.
        """
        extract_archives(self.path, folder)

    def manifest(self, name: str, entry: CatalogEntry) -> bytes:
        """Take a manifest out of it."""
        file = file_name(name, entry.version)
        content = self.content.manifests.get(file)
        if content is None:
            raise ReleaseError(
                f"the manifest of {name} is not in {self.path.name}: {file}",
                "make the bundle anew where there is a network: python -m operations releases bundle",
            )
        return content


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, _MODE
    return member


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Open a bundle, to go through its files as they stand in it; says what is wrong with it."""
    try:
        with tarfile.open(path, "r|gz") as archive:
            yield _members(path, archive)
    except FileNotFoundError:
        raise ReleaseError(
            f"the bundle {path.name} is not there", "put it there, or correct the path"
        ) from None
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _broken(path, str(error) or "it is cut short") from None
    except OSError as error:
        raise ReleaseError(
            f"the bundle {path.name} can't be read ({error.strerror})", "let its permissions allow it"
        ) from None


def _members(path: Path, archive: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    for member in archive:
        content = archive.extractfile(member)
        if content is None:
            raise _broken(path, f"{member.name} is not a file")
        yield member.name, content


def _index(path: Path, members: Iterator[tuple[str, IO[bytes]]]) -> dict[str, str]:
    name, content = next(members, ("", io.BytesIO()))
    document = None
    if name == INDEX:
        with contextlib.suppress(ValueError, RecursionError):  # what is no JSON is refused below
            document = json.loads(_whole(path, name, content))
    if not isinstance(document, dict) or not isinstance(document.get("sha256"), dict):
        raise _broken(path, f"it does not begin with {INDEX}")
    if document.get("format") != _FORMAT:
        raise ReleaseError(
            f"the bundle {path.name} has format {document.get('format')}, and this program reads {_FORMAT}",
            "make it by this version of the program: python -m operations releases bundle",
        )
    return {str(member): str(digest) for member, digest in document["sha256"].items()}


def _whole(path: Path, name: str, content: IO[bytes]) -> bytes:
    read = content.read(_LARGEST_BYTES + 1)
    if len(read) > _LARGEST_BYTES:
        raise _broken(path, f"{name} is larger than any manifest")
    return read


def _digest(content: IO[bytes]) -> str:
    made = hashlib.sha256()
    while chunk := content.read(_CHUNK_BYTES):
        made.update(chunk)
    return made.hexdigest()


def _extracted(content: IO[bytes], target: Path) -> str:
    """Write a member into a file that isn't there yet; gives its digest."""
    made = hashlib.sha256()
    try:
        with target.open("xb") as file:
            while chunk := content.read(_CHUNK_BYTES):
                made.update(chunk)
                file.write(chunk)
    except OSError as error:
        raise ReleaseError(
            f"{target.name} can't be unpacked into {target.parent} ({error.strerror})",
            "make room there, or name a folder with more of it by the variable TMPDIR",
        ) from None
    return made.hexdigest()


def _digest_of(file: Path) -> str:
    with file.open("rb") as opened:
        return _digest(opened)


def _broken(path: Path, why: str) -> BrokenBundleError:
    return BrokenBundleError(
        f"{path.name} is not a whole bundle: {why}",
        "copy it anew, and compare its sha256 with the one of where it was made",
    )
