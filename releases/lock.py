"""The lock: the sha256 of each release's manifest as it was first published, by `<name>-<version>`."""

from __future__ import annotations

import fcntl
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from releases.catalog import catalog, file_name
from releases.errors import ReleaseError
from releases.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCK_FILE: Final = Path(__file__).parent / "lock.yaml"


@dataclass(frozen=True, kw_only=True, order=True)
class Verified:
    """What holding a release's file against the lock showed.

    Attributes
    ----------
    file
        Name of the file.
    found
        The sha256 that it has.
    locked
        The sha256 that it should have; None where the lock doesn't name it.
    """

    file: str
    found: str
    locked: str | None

    @property
    def differs(self) -> bool:
        """Whether it is not what the lock says."""
        return self.locked is not None and self.found != self.locked

    def __str__(self) -> str:
        """Say it in a line."""
        if self.locked is None:
            return f"{self.file}: not in the lock (sha256 {self.found})"
        if self.differs:
            return f"{self.file}: differs: it has sha256 {self.found}, and the lock says {self.locked}"
        return f"{self.file}: as locked"


def sha256(content: bytes) -> str:
    """Make the digest of a file, in hexadecimal.

    Parameters
    ----------
    content
        What it holds.
    """
    return hashlib.sha256(content).hexdigest()


def lock_key(name: str, version: str) -> str:
    """Name a release's line in the lock.

    Parameters
    ----------
    name
        Name of the release.
    version
        Its version.
    """
    return file_name(name, version).removesuffix(".yaml")


def read_lock(path: Path = LOCK_FILE) -> dict[str, str]:
    """Read the lock.

    Parameters
    ----------
    path
        The file; where it is not there, nothing is locked yet.

    Raises
    ------
    ReleaseError
        It is not a lock.
    """
    try:
        document = yaml.safe_load(path.read_text()) if path.is_file() else None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        document = path
    if document is None:
        return {}
    if not isinstance(document, dict) or not all(
        isinstance(text, str) for text in (*document, *document.values())
    ):
        raise ReleaseError(
            f"{path.name} is not a lock",
            "restore it from Git: each line is <name>-<version>: and 64 hexadecimal digits",
        )
    return document


def record(key: str, digest: str, path: Path = LOCK_FILE) -> str:
    """Record a digest in the lock, unless another fetch has recorded one meanwhile.

    Parameters
    ----------
    key
        The release's line, as `lock_key` names it.
    digest
        The sha256 of its manifest.
    path
        The file.

    Returns
    -------
    str
        The sha256 that the lock has now.

    Raises
    ------
    ReleaseError
        It is not a lock.
    """
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        # The folder's, since the file is another one after each write.
        fcntl.flock(folder, fcntl.LOCK_EX)
        lock = read_lock(path)
        if key not in lock:
            _write({**lock, key: digest}, path)
    finally:
        os.close(folder)
    return lock.get(key, digest)


def _write(lock: Mapping[str, str], path: Path) -> None:
    """Write the lock; comments at its head stay."""
    lines = path.read_text().splitlines() if path.is_file() else []
    comments = [line for line in lines if line.startswith("#")]
    entries = [f"{key}: {value}" for key, value in sorted(lock.items())]
    write_atomic(path, "\n".join([*comments, *entries, ""]))


def hold_against(lock: Mapping[str, str], files: Mapping[str, bytes]) -> list[Verified]:
    """Hold files of releases against a lock.

    Parameters
    ----------
    lock
        The lock.
    files
        What files hold, by name; one that is no release's of the catalog is passed over.
    """
    ours = {
        file_name(name, version): lock_key(name, version)
        for name, entry in catalog().items()
        for version in entry.supported
    }
    return sorted(
        Verified(file=file, found=sha256(content), locked=lock.get(ours[file]))
        for file, content in files.items()
        if file in ours
    )
