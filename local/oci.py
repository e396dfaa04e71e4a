"""Container images from files: an OCI image layout in one tar, by the standard library alone.

Where no registry can be reached, images are put together from the static binaries that were built anyway and
from files of the distribution. Equal inputs give equal bytes (sorted entries, no times, no owners), so the
digest of an image tells whether a cluster already has it.

Formats: OCI image specification 1.1 (layout, index, manifest, configuration, layer); the annotation
`io.containerd.image.name` is how `ctr images import` learns the exact name.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from local.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FORMAT = 1
"""Part of every cache key: raise it when the same specification is to give other bytes."""

_CHUNK = 1 << 20
_EPOCH = "1970-01-01T00:00:00Z"
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_MEDIA = "application/vnd.oci.image."


class ImageError(LocalError):
    """An image that can't be put together; the text names the image, the part, why, and the mend."""


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """One regular file of an image.

    Attributes
    ----------
    source
        Where its bytes come from: a file of this machine (links are followed), or the bytes themselves.
    mode
        Permission bits, such as ``0o755``.
    """

    source: Path | bytes
    mode: int = 0o644

    def open(self) -> IO[bytes]:
        """Open the content for reading.

        Raises
        ------
        OSError
            When the source is a file that can't be read.
        """
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb")


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """What an image holds and how it starts.

    Attributes
    ----------
    name
        Full reference with registry and tag, as the manifests write it.
    entrypoint, command
        `ENTRYPOINT` and `CMD`.
    files
        Absolute path in the image to file. Parent directories are made (0755).
    symlinks
        Absolute path in the image to link target.
    directories
        Absolute path to mode, for directories that are empty or that are not 0755.
    user
        Numeric ``uid`` or ``uid:gid`` (a name needs /etc/passwd, and kubelet's `runAsNonRoot` refuses names).
    env
        Variables of the process.
    working_dir
        Absolute path.
    stop_signal
        Signal by which it ends in good order; None: SIGTERM.

    Raises
    ------
    ImageError
        When a path is not absolute and normalised, is given twice, or the name has no tag.
    """

    name: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    files: Mapping[str, ImageFile] = field(default_factory=dict)
    symlinks: Mapping[str, str] = field(default_factory=dict)
    directories: Mapping[str, int] = field(default_factory=dict)
    user: str = "0"
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = "/"
    stop_signal: str | None = None

    def __post_init__(self) -> None:
        if ":" not in self.name.rpartition("/")[2] or "@" in self.name:
            raise ImageError(f"image {self.name!r}: no tag; write it as registry/repository:tag")
        if not all(part.isdecimal() for part in self.user.split(":")):
            raise ImageError(f"image {self.name}: user {self.user!r} is not numeric; write uid or uid:gid")
        seen: set[str] = set()
        for path in (*self.files, *self.symlinks, *self.directories):
            if not path.startswith("/") or path != str(PurePosixPath(path)) or ".." in path.split("/"):
                raise ImageError(
                    f"image {self.name}: path {path!r} is not absolute and normalised; mend the path"
                )
            if path in seen:
                raise ImageError(f"image {self.name}: path {path!r} is given twice; keep one")
            seen.add(path)
        for path in seen:
            if any(
                str(parent) in self.files or str(parent) in self.symlinks
                for parent in PurePosixPath(path).parents
            ):
                raise ImageError(f"image {self.name}: {path!r} lies below a file or link; move one of them")

    @property
    def slug(self) -> str:
        """The name as one path element, for file names."""
        return "".join(c if c.isalnum() or c in ".-" else "_" for c in self.name)


def architecture() -> str:
    """Return this machine's architecture in OCI's terms.

    Raises
    ------
    ImageError
        When it is none that the tools are built for.
    """
    machine = platform.machine()
    try:
        return _ARCHITECTURES[machine]
    except KeyError:
        known = ", ".join(sorted(set(_ARCHITECTURES.values())))
        raise ImageError(
            f"machine {machine!r}: images are made for {known} only; use NODES=simulated"
        ) from None


def cache_key(image: ImageSpec) -> str:
    """Return the sha256 (hex) of everything that decides an image's bytes, the files' content included.

    Raises
    ------
    ImageError
        When a source file can't be read.
    """
    files = {path: [entry.mode, _content_digest(image, path, entry)] for path, entry in image.files.items()}
    inputs = {
        "format": FORMAT,
        "architecture": architecture(),
        "config": _config(image, diff_id=""),
        "name": image.name,
        "files": files,
        "symlinks": dict(image.symlinks),
        "directories": dict(image.directories),
    }
    return hashlib.sha256(_canonical(inputs)).hexdigest()


def assemble(image: ImageSpec, out: Path) -> Path:
    """Write the image as an OCI image layout in one tar file.

    Parameters
    ----------
    image
        What to put together.
    out
        The tar file to write. It appears whole or not at all.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    ImageError
        When a source file is missing or can't be read.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".assemble-") as scratch:
        layer = Path(scratch) / "layer.tar"
        _write_layer(image, layer)
        layer_descriptor = _descriptor("layer.v1.tar", layer)
        config = _canonical(_config(image, diff_id=layer_descriptor["digest"]))
        config_descriptor = _descriptor("config.v1+json", config)
        manifest = _canonical(
            {
                "schemaVersion": 2,
                "mediaType": f"{_MEDIA}manifest.v1+json",
                "config": config_descriptor,
                "layers": [layer_descriptor],
            },
        )
        manifest_descriptor = _descriptor("manifest.v1+json", manifest) | {
            "platform": {"architecture": architecture(), "os": "linux"},
            "annotations": {
                "io.containerd.image.name": image.name,
                "org.opencontainers.image.ref.name": image.name,
            },
        }
        index = {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}index.v1+json",
            "manifests": [manifest_descriptor],
        }
        parts: dict[str, bytes | Path] = {
            "oci-layout": _canonical({"imageLayoutVersion": "1.0.0"}),
            # Early in the file, so that reading the digest needs no walk over the layer.
            "index.json": _canonical(index),
            _blob(manifest_descriptor): manifest,
            _blob(config_descriptor): config,
            _blob(layer_descriptor): layer,
        }
        whole = Path(scratch) / "image.tar"
        with tarfile.open(whole, "w", format=tarfile.PAX_FORMAT) as tar:
            for name, content in parts.items():
                _add(tar, name, ImageFile(source=content))
        whole.replace(out)
    return out


def assemble_cached(image: ImageSpec, folder: Path) -> Path:
    """Assemble an image into `folder`, unless the very same one lies there; older ones of that name go.

    Returns
    -------
    Path
        ``<folder>/<slug>-<first 16 digits of the cache key>.tar``.

    Raises
    ------
    ImageError
        As `assemble` does.
    """
    out = folder / f"{image.slug}-{cache_key(image)[:16]}.tar"
    if not out.exists():
        assemble(image, out)
    for other in folder.glob(f"{image.slug}-{'[0-9a-f]' * 16}.tar"):
        if other != out:
            other.unlink()
    return out


def image_digest(archive: Path) -> str:
    """Return the manifest's digest of an assembled image: what `ctr images list` shows once it is imported.

    Raises
    ------
    ImageError
        When the file is no assembled image.
    """
    try:
        with tarfile.open(archive) as tar:
            member = tar.extractfile("index.json")
            if member is None:
                raise ImageError(f"{archive}: index.json is no file; remove it and assemble again")
            return str(json.load(member)["manifests"][0]["digest"])
    except (OSError, KeyError, ValueError, tarfile.TarError) as error:
        raise ImageError(f"{archive}: no image layout ({error}); remove it and assemble again") from error


def _write_layer(image: ImageSpec, out: Path) -> None:
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted({*_directories(image), *image.files, *image.symlinks}):
            name = path.lstrip("/")
            if path in image.files:
                try:
                    _add(tar, name, image.files[path])
                except OSError as error:
                    raise _unreadable(image, path, error) from error
                continue
            info = tarfile.TarInfo(name)
            if path in image.symlinks:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, image.symlinks[path], 0o777
            else:
                info.type, info.mode = tarfile.DIRTYPE, image.directories.get(path, 0o755)
            tar.addfile(info)


def _directories(image: ImageSpec) -> Iterator[str]:
    """Every directory the image needs, the given ones and all parents, without the root."""
    yield from (path for path in image.directories if path != "/")
    for path in (*image.files, *image.symlinks, *image.directories):
        yield from (str(parent) for parent in PurePosixPath(path).parents if str(parent) != "/")


def _add(tar: tarfile.TarFile, name: str, entry: ImageFile) -> None:
    info = tarfile.TarInfo(name)
    info.mode = entry.mode
    with entry.open() as content:
        info.size = content.seek(0, os.SEEK_END)
        content.seek(0)
        tar.addfile(info, content)


def _config(image: ImageSpec, *, diff_id: str) -> dict[str, Any]:
    return {
        "created": _EPOCH,
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "User": image.user,
            "Env": [f"{key}={value}" for key, value in sorted(image.env.items())],
            "Entrypoint": list(image.entrypoint),
            "Cmd": list(image.command),
            "WorkingDir": image.working_dir,
            **({} if image.stop_signal is None else {"StopSignal": image.stop_signal}),
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }


def _descriptor(kind: str, content: bytes | Path) -> dict[str, Any]:
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    with ImageFile(source=content).open() as stream:
        return {"mediaType": _MEDIA + kind, "digest": f"sha256:{_sha256(stream)}", "size": size}


def _blob(descriptor: Mapping[str, Any]) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")


def _content_digest(image: ImageSpec, path: str, entry: ImageFile) -> str:
    try:
        with entry.open() as content:
            return _sha256(content)
    except OSError as error:
        raise _unreadable(image, path, error) from error


def _unreadable(image: ImageSpec, path: str, error: OSError) -> ImageError:
    return ImageError(
        f"image {image.name}: {path}: {error.strerror}: {error.filename}; build or install that file"
    )


def _sha256(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
