"""Archives of images, as they are put into bundles and pushed: OCI archives of one image each."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING, Final

from operations.errors import OperationError
from releases.image_names import ImageNameError, parse

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_NAMES: Final = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
"""Annotations by which containerd, and skopeo, say what an archive holds."""
_INDEX: Final = "index.json"
_INDEX_BYTES: Final = 1 << 20
_MEND: Final = "make it by: skopeo copy docker://IMAGE oci-archive:FILE.tar:IMAGE"


def archives(folder: Path) -> dict[str, Path]:
    """Find the archives of a folder, by the whole name of the image that each holds.

    Parameters
    ----------
    folder
        Folder with OCI archives `*.tar`, each of one image, which it names.

    Raises
    ------
    OperationError
        There is no such folder, or an archive is none of one image that it names, or is another's double.
    """
    if not folder.is_dir():
        raise OperationError(f"{folder} is not a folder; name one that holds the images' archives, *.tar")
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.tar")):
        image = _image(path)
        if image in found:
            raise OperationError(f"{found[image].name} and {path.name} both hold {image}; take one away")
        found[image] = path
    return found


def archives_of(folder: Path, images: Iterable[str]) -> tuple[dict[str, Path], list[str]]:
    """Find the archives of images that are needed.

    Parameters
    ----------
    folder
        Folder with archives, as `archives` reads it.
    images
        Names of the images.

    Returns
    -------
    tuple
        The archives of these images, by name of their file; and the images that none of them holds.

    Raises
    ------
    OperationError
        The folder can't be read, or holds something else.
    """
    held = archives(folder)
    whole = {image: str(parse(image)) for image in sorted(set(images))}
    found = [held[name] for name in whole.values() if name in held]
    return {path.name: path for path in found}, [image for image, name in whole.items() if name not in held]


def _image(path: Path) -> str:
    """Read the whole name of the image that an archive holds."""
    try:
        with tarfile.open(path) as archive:
            members = {member.name.removeprefix("./"): member for member in archive}
            index = archive.extractfile(members[_INDEX]) if _INDEX in members else None
            entries = [] if index is None else json.loads(index.read(_INDEX_BYTES))["manifests"]
        annotations = [entry.get("annotations") or {} for entry in entries]
    except (OSError, LookupError, TypeError, AttributeError, ValueError, tarfile.TarError) as error:
        raise OperationError(
            f"{path.name} is not an OCI archive ({type(error).__name__}: {error}); {_MEND}"
        ) from None
    if index is None:
        raise OperationError(
            f"{path.name} is not an OCI archive: it has no {_INDEX}, as what docker save wrote before"
            f" Docker 25; {_MEND}"
        )
    if len(entries) != 1:
        # Of several, skopeo takes one only by a name that containerd doesn't write.
        raise OperationError(f"{path.name} holds {len(entries)} images, and is to hold one; {_MEND}")
    [named] = annotations
    name = next((str(named[key]) for key in _NAMES if named.get(key)), None)
    if name is None:
        raise OperationError(f"{path.name} doesn't name the image that it holds; {_MEND}")
    try:
        return str(parse(name))
    except ImageNameError as error:
        raise OperationError(f"{path.name} holds an image, and {error}; {_MEND}") from None
