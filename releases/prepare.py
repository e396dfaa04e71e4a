"""Make a release's manifest ready to be applied as a unit; parse it only where something changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from releases import fetch
from releases.catalog import find
from releases.errors import ReleaseError
from releases.files import RUN_FOLDER, write_atomic
from releases.transform import serialize, transform

_SHORT: Final = 12

_TRANSFORMATION: Final = Path(__file__).with_name("transform.py").read_bytes()
"""A part of the cache's key: what an earlier version of that module made is not taken for this one's."""

# The C parser reads Tekton's 3 MB in about a tenth of the time; PyYAML is also built without it.
_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, kw_only=True)
class PreparedRelease:
    """A release whose manifest is ready to be applied.

    Attributes
    ----------
    name
        Name of the release.
    version
        Its version.
    sha256
        Digest of the transformed manifest, in hexadecimal.
    manifest
        The file with the transformed manifest, relative to the project's folder.
    """

    name: str
    version: str
    sha256: str
    manifest: Path


def prepare(name: str, *, directory: Path | None, root: Path, folder: Path) -> PreparedRelease:
    """Make a release's manifest ready to be applied.

    Parameters
    ----------
    name
        Name of the release.
    directory
        Folder that holds its manifest as published, or None to fetch it.
    root
        The project's folder.
    folder
        Folder for transformed manifests, relative to the project's.

    Raises
    ------
    ReleaseError
        The manifest is not there, not what was expected, or not a manifest.
    """
    entry = find(name)
    content = fetch.source(name, entry, directory=directory, cache=root / RUN_FOLDER / "releases")
    # What it is made of, and by what, names what is made: an unchanged preview only hashes the source.
    key = hashlib.sha256(content + f"{name} {entry.version}".encode() + _TRANSFORMATION).hexdigest()
    index = root / folder / f"{name}.json"
    if index.is_file():
        known = _read_index(index)
        digest = known.get(key)
        if digest is not None and _holds(root / _file(folder, name, digest), digest):
            return PreparedRelease(
                name=name, version=entry.version, sha256=digest, manifest=_file(folder, name, digest)
            )
    text = serialize(transform(name, _parsed(name, content)))
    digest = hashlib.sha256(text.encode()).hexdigest()
    manifest = _file(folder, name, digest)
    write_atomic(root / manifest, text)
    write_atomic(index, json.dumps({key: digest}) + "\n")
    return PreparedRelease(name=name, version=entry.version, sha256=digest, manifest=manifest)


def _holds(path: Path, digest: str) -> bool:
    """Return whether the file is there and whole; one that was cut short would fail every unit."""
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def _file(folder: Path, name: str, digest: str) -> Path:
    return folder / f"{name}-{digest[:_SHORT]}.yaml"


def _read_index(path: Path) -> dict[str, str]:
    try:
        index = json.loads(path.read_text())
    except ValueError:
        # Broken by somebody: it is only a cache.
        return {}
    return index if isinstance(index, dict) else {}


def _parsed(name: str, content: bytes) -> list[dict[str, Any]]:
    try:
        documents = list(yaml.load_all(content, Loader=_Loader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ReleaseError(
            f"the manifest of {name} is not YAML ({error})".replace("\n", " "), "get it anew"
        ) from None
    objects = [document for document in documents if document is not None]
    for document in objects:
        if (
            not isinstance(document, dict)
            or not document.get("kind")
            or not document.get("metadata", {}).get("name")
        ):
            raise ReleaseError(f"the manifest of {name} holds something that is not an object", "get it anew")
    if not objects:
        raise ReleaseError(f"the manifest of {name} holds no object", "get it anew")
    return objects
