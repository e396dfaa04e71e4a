"""Make a release's manifest ready to be applied as a unit; parse it only where something changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from releases.adaptation import UNADAPTED, Adaptation
from releases.catalog import ARGO_CD, ARGO_CD_HA, find
from releases.contents import Contents, contents, from_json
from releases.errors import ReleaseError
from releases.files import write_atomic
from releases.images import apply_rules
from releases.shapes import misshapen
from releases.summary import outline
from releases.transform import serialize, transform

if TYPE_CHECKING:
    from releases.fetch import Source

_SHORT: Final = 12

_TRANSFORMATION: Final = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
"""A part of the cache's key: what an earlier version of this package made is not taken for this one's."""

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
    contents
        What others must know of it.
    """

    name: str
    version: str
    sha256: str
    manifest: Path
    contents: Contents = field(default_factory=Contents)

    @property
    def unit(self) -> str:
        """Name of its unit: one for both manifests of Argo CD, since either replaces the other."""
        return ARGO_CD if self.name == ARGO_CD_HA else self.name


def prepare(  # noqa: PLR0913 -- what is installed, and three places
    name: str,
    *,
    version: str | None = None,
    adaptation: Adaptation = UNADAPTED,
    source: Source,
    root: Path,
    folder: Path,
) -> PreparedRelease:
    """Make a release's manifest ready to be applied.

    Parameters
    ----------
    name
        Name of the release.
    version
        Its version; by default the one that the catalog pins.
    adaptation
        What the settings change of it.
    source
        Where its manifest as published comes from.
    root
        The project's folder.
    folder
        Folder for transformed manifests, relative to the project's.

    Raises
    ------
    ReleaseError
        The manifest is not there, not what was expected, or not a manifest.
    """
    entry = find(name, version)
    content = source.manifest(name, entry)
    # What it is made of, and by what, names what is made: an unchanged preview only hashes the source.
    what = f"{name} {entry.version} {adaptation.as_json()}"
    key = hashlib.sha256(content + what.encode() + _TRANSFORMATION).hexdigest()
    index = root / folder / f"{name}.json"
    known = _read_index(index)
    digest = known.get(key)
    held = None if digest is None else _holds(root / manifest_file(folder, name, digest), digest)
    if digest is None or held is None:
        objects = transform(name, parsed(name, content), adaptation)
        applied = apply_rules(objects, adaptation.images)
        held = replace(contents(objects), outline=outline(applied))
        text = serialize(applied)
        digest = hashlib.sha256(text.encode()).hexdigest()
        manifest = root / manifest_file(folder, name, digest)
        write_atomic(manifest, text)
        write_atomic(_beside(manifest), held.as_json())
        # Clusters may have a release in several versions and adaptations: each keeps its line.
        lines = {**known, key: digest}
        there = {
            line: made for line, made in lines.items() if (root / manifest_file(folder, name, made)).is_file()
        }
        write_atomic(index, json.dumps(there, sort_keys=True) + "\n")
    return PreparedRelease(
        name=name,
        version=entry.version,
        sha256=digest,
        manifest=manifest_file(folder, name, digest),
        contents=held,
    )


def _holds(path: Path, digest: str) -> Contents | None:
    """Tell what a prepared file holds; None where it isn't there and whole, which would fail every unit."""
    whole = path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest
    return from_json(_beside(path).read_bytes()) if whole and _beside(path).is_file() else None


def _beside(manifest: Path) -> Path:
    return manifest.with_suffix(".contents.json")


def manifest_file(folder: Path, name: str, digest: str) -> Path:
    """Name the file of a manifest that units apply: another content has another name.

    Parameters
    ----------
    folder
        Folder of such files.
    name
        What it is of.
    digest
        Digest of its content, in hexadecimal.
    """
    return folder / f"{name}-{digest[:_SHORT]}.yaml"


def _read_index(path: Path) -> dict[str, str]:
    try:
        index = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        # Not there yet, or broken by somebody: it is only a cache.
        return {}
    lines = index.items() if isinstance(index, dict) else ()
    return {line: made for line, made in lines if isinstance(made, str)}


def parsed(name: str, content: bytes) -> list[dict[str, Any]]:
    """Read the objects of a manifest as it was published.

    Parameters
    ----------
    name
        Name of the release, for what is said of it.
    content
        The manifest.

    Raises
    ------
    ReleaseError
        It is not a manifest.
    """
    try:
        documents = list(yaml.load_all(content, Loader=_Loader))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ReleaseError(
            f"the manifest of {name} is not YAML ({error})".replace("\n", " "), "get it anew"
        ) from None
    objects = [document for document in documents if document is not None]
    for document in objects:
        if (what := misshapen(document)) is not None:
            raise ReleaseError(f"the manifest of {name} holds {what}", "get it anew")
    if not objects:
        raise ReleaseError(f"the manifest of {name} holds no object", "get it anew")
    return objects
