"""What the commands of releases read: bundles, folders and manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from operations.errors import OperationError
from releases.bundle import BundleFile
from releases.catalog import catalog, file_name, find
from releases.errors import ReleaseError
from releases.prepare import parsed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from releases.fetch import Source

Objects = list[dict[str, Any]]
Side = tuple[str, Objects]
"""What is compared, as it is called, and its objects."""


def is_bundle(path: Path) -> bool:
    """Tell a bundle from a manifest by its name.

    Parameters
    ----------
    path
        The file.
    """
    return path.name.endswith((".tar.gz", ".tgz"))


def is_there(path: Path) -> Path:
    """Refuse a path that leads nowhere.

    Parameters
    ----------
    path
        What was given.

    Raises
    ------
    OperationError
        Nothing is there.
    """
    if not path.exists():
        raise OperationError(f"{path} is not there; correct the path")
    return path


def sides(text: str, path: Path, releases: Iterable[str], source: Source) -> dict[str, Side]:
    """Find one side of a comparison, by release.

    Parameters
    ----------
    text
        A version, a manifest's file or a bundle's.
    path
        The file that the text would name.
    releases
        Names of the releases that are meant; none: those of the bundle, else Tekton Pipelines.
    source
        Where manifests of versions come from.

    Raises
    ------
    ReleaseError
        A manifest is not there, or is none.
    OperationError
        A file is not there, or it is not clear what is meant.
    """
    if "/" in text or text.endswith((".tar.gz", ".tgz", ".yaml", ".yml")):
        is_there(path)
    if path.is_file() and is_bundle(path):
        return _of_bundle(BundleFile(path), set(releases))
    named = sorted(releases) or ["tekton-pipelines"]
    if path.is_file():
        if len(named) != 1:
            raise OperationError(f"{text} is one manifest; give one --release")
        return {named[0]: (path.name, parsed(path.name, path.read_bytes()))}
    return {name: (text, parsed(name, source.manifest(name, find(name, text)))) for name in named}


def _of_bundle(bundle: BundleFile, releases: set[str]) -> dict[str, Side]:
    found: dict[str, Side] = {}
    for name, entry in catalog().items():
        if releases and name not in releases:
            continue
        versions = [one for one in entry.supported if file_name(name, one) in bundle.content.manifests]
        if len(versions) > 1:
            raise OperationError(
                f"{bundle.path.name} has {name} in {' and '.join(versions)};"
                f" compare versions: diff {versions[0]} {versions[-1]} --from {bundle.path.name}"
            )
        for version in versions:
            content = bundle.content.manifests[file_name(name, version)]
            found[name] = (version, parsed(name, content))
    return found


def files_of(path: Path) -> Mapping[str, bytes]:
    """Read the files of a folder, or the manifests of a bundle.

    Parameters
    ----------
    path
        The folder or the bundle.

    Raises
    ------
    ReleaseError
        It is not there, or can't be read.
    """
    if not path.is_dir():
        return BundleFile(path).content.manifests
    try:
        return {file.name: file.read_bytes() for file in sorted(path.glob("*.yaml"))}
    except OSError as error:
        raise ReleaseError(
            f"{error.filename} can't be read ({error.strerror})", "let its permissions allow it"
        ) from None
