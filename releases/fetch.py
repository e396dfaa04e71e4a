"""Where a release's manifest comes from: its URL by way of a cache and a lock, or a folder."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, Protocol

from releases.catalog import CatalogEntry, file_name
from releases.errors import ReleaseError
from releases.files import write_atomic
from releases.lock import LOCK_FILE, lock_key, read_lock, record, sha256
from releases.prepare import parsed

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.client import HTTPMessage
    from pathlib import Path

_TIMEOUT_SECONDS: Final = 30
_LARGEST_BYTES: Final = 64 * 1024 * 1024
_UNKNOWN: Final = -1


class Source(Protocol):
    """Where the manifests of releases come from."""

    def manifest(self, name: str, entry: CatalogEntry) -> bytes:
        """Get the manifest of a release as it was published.

        Parameters
        ----------
        name
            Name of the release.
        entry
            Its entry in the catalog, of the version that is wanted.

        Raises
        ------
        ReleaseError
            It is not there, or not what it should be.
        """


class _HttpsAlone(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https alone: a first fetch is locked as it comes, so nobody may alter it."""

    def redirect_request(  # noqa: PLR0913, PLR0917 -- as the library calls it
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Make the request that follows."""
        if not newurl.startswith("https://"):
            why = f"it redirects to {newurl}, which is not an https address"
            raise urllib.error.HTTPError(req.full_url, code, why, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(url: str) -> bytes:
    """Download a file.

    Parameters
    ----------
    url
        Its address; https only, and so is what it redirects to.

    Raises
    ------
    OSError
        It can't be reached, doesn't answer in 30 s, is cut off, or is larger than 64 MiB.
    """
    if not url.startswith("https://"):
        raise OSError(f"{url} is not an https address")
    opener = urllib.request.build_opener(_HttpsAlone)
    try:
        with opener.open(url, timeout=_TIMEOUT_SECONDS) as response:
            announced = int(response.headers.get("Content-Length", _UNKNOWN))
            # One byte more, to tell what is too large from what just fits.
            content: bytes = response.read(_LARGEST_BYTES + 1)
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"the answer is broken or was cut off: {error}") from None
    if len(content) > _LARGEST_BYTES:
        raise OSError(f"it is larger than {_LARGEST_BYTES} bytes")
    # A read of a given size takes a connection's end for the file's.
    if announced not in (_UNKNOWN, len(content)):
        raise OSError(f"it was cut off after {len(content)} of {announced} bytes")
    return content


@dataclass(frozen=True, kw_only=True)
class Published:
    """Manifests from the URLs of the catalog, each fetched once.

    Attributes
    ----------
    cache
        Folder in which fetched manifests are kept.
    lock_file
        File with the sha256 of what was fetched before; a first fetch is recorded there.
    report
        Takes a line about what was recorded: until that is committed, others take what they are given.
    download
        How to download an address.
    """

    cache: Path
    lock_file: Path = LOCK_FILE
    report: Callable[[str], None]
    download: Callable[[str], bytes] = download

    def manifest(self, name: str, entry: CatalogEntry) -> bytes:
        """Get a manifest: from the cache where that has what the lock says, else from its URL."""
        cached = self.cache / file_name(name, entry.version)
        key = lock_key(name, entry.version)
        lock = read_lock(self.lock_file)
        if cached.is_file() and sha256(content := cached.read_bytes()) == lock.get(key):
            return content
        url = entry.location()
        try:
            content = self.download(url)
        except (OSError, urllib.error.URLError) as error:
            raise ReleaseError(
                f"{name} {entry.version} can't be fetched from {url} ({getattr(error, 'reason', error)})",
                f"let this machine reach it, or put {cached.name} into the folder that releases.directory"
                " names, or name a bundle by releases.bundle",
            ) from None
        found = sha256(content)
        if (locked := lock.get(key)) is None:
            # A login page or an error's must not be what every later fetch is held against.
            parsed(name, content)
            locked = record(key, found, self.lock_file)
        if locked != found:
            raise ReleaseError(
                f"{name} {entry.version} from {url} has sha256 {found}, but the lock says {locked}",
                "find out why it changed; only then remove its line from releases/lock.yaml",
            )
        if key not in lock:
            self.report(f"{name} {entry.version}: recorded sha256 {found}; commit releases/lock.yaml")
        write_atomic(cached, content)
        return content


@dataclass(frozen=True, kw_only=True)
class Directory:
    """Manifests in a folder that somebody has filled, and answers for: nothing is held against the lock.

    Attributes
    ----------
    path
        The folder.
    """

    path: Path

    def manifest(self, name: str, entry: CatalogEntry) -> bytes:
        """Read a manifest."""
        file = self.path / file_name(name, entry.version)
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            raise ReleaseError(
                f"the manifest of {name} is not there: {file}"
                if self.path.is_dir()
                else f"the folder of manifests is not there: {self.path}",
                "put it there, or remove the setting to fetch it from its URL",
            ) from None
        except OSError as error:
            raise ReleaseError(
                f"{file} can't be read ({error.strerror})", "let its permissions allow it"
            ) from None
        if not content.strip():
            raise ReleaseError(f"{file} is empty", "put the release's manifest there")
        return content
