"""Get a release's manifest: from a folder, or from its URL by way of a cache and a lock."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from releases.catalog import CatalogEntry, file_name
from releases.errors import ReleaseError
from releases.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable

LOCK_FILE: Final = Path(__file__).parent / "lock.yaml"

_TIMEOUT_SECONDS: Final = 30
_LARGEST_BYTES: Final = 64 * 1024 * 1024


def download(url: str) -> bytes:
    """Download a file.

    Parameters
    ----------
    url
        Its address; https only.

    Raises
    ------
    OSError
        It can't be reached, or doesn't answer in 30 s.
    """
    if not url.startswith("https://"):
        raise OSError(f"{url} is not an https address")
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310 -- https, checked above
        content: bytes = response.read(_LARGEST_BYTES)
    return content


def source(  # noqa: PLR0913 -- the last two are there for tests
    name: str,
    entry: CatalogEntry,
    *,
    directory: Path | None,
    cache: Path,
    lock_file: Path = LOCK_FILE,
    download: Callable[[str], bytes] = download,
) -> bytes:
    """Get the manifest of a release as it was published.

    Parameters
    ----------
    name
        Name of the release.
    entry
        Its entry in the catalog.
    directory
        Folder that holds it; where it is None, it is fetched from its URL.
    cache
        Folder in which fetched manifests are kept.
    lock_file
        File with the sha256 of what was fetched before; a first fetch is recorded there.
    download
        How to download an address.

    Raises
    ------
    ReleaseError
        It is not there, can't be fetched, or is not what was fetched before.
    """
    file = file_name(name, entry.version)
    if directory is not None:
        return _from_directory(directory, name, file)
    cached = cache / file
    key = file.removesuffix(".yaml")
    lock = _read_lock(lock_file)
    if cached.is_file() and _sha256(content := cached.read_bytes()) == lock.get(key):
        return content
    url = entry.location()
    try:
        content = download(url)
    except (OSError, urllib.error.URLError) as error:
        raise ReleaseError(
            f"{name} {entry.version} can't be fetched from {url} ({getattr(error, 'reason', error)})",
            f"let this machine reach it, or put {file} into the folder that releases.directory names",
        ) from None
    found = _sha256(content)
    if (locked := lock.setdefault(key, found)) != found:
        raise ReleaseError(
            f"{name} {entry.version} from {url} has sha256 {found}, but the lock says {locked}",
            "find out why it changed; only then remove its line from releases/lock.yaml",
        )
    write_atomic(cached, content)
    _write_lock(lock_file, lock)
    return content


def _from_directory(directory: Path, name: str, file: str) -> bytes:
    path = directory / file
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ReleaseError(
            f"the manifest of {name} is not there: {file}",
            "put it there, or remove the setting to fetch it from its URL",
        ) from None
    except OSError as error:
        raise ReleaseError(
            f"{file} can't be read ({error.strerror})", "let its permissions allow it"
        ) from None
    if not content.strip():
        raise ReleaseError(f"{file} is empty", "put the release's manifest there")
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read_lock(path: Path) -> dict[str, str]:
    return dict(yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}


def _write_lock(path: Path, lock: dict[str, str]) -> None:
    lines = path.read_text().splitlines() if path.is_file() else []
    comments = [line for line in lines if line.startswith("#")]
    entries = [f"{key}: {value}" for key, value in sorted(lock.items())]
    write_atomic(path, "\n".join([*comments, *entries, ""]))
