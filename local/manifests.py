"""Release manifests from the Go modules that are built anyway.

Where a project's release page can't be reached, its release manifest is made from the module's own sources,
the way the project's release pipeline makes it (Tekton Pipelines v1.6.0: `tekton/publish.yaml`): every file
below `config/`, walked in lexical order; ``ko://`` references become image names; the placeholder "devel"
becomes the version in the very fields that the pipeline rewrites. Two things differ on purpose. Images are
named by tag alone, since images assembled on this machine have digests of their own. And the shell image,
which upstream pins to a registry's digest, is the busybox that the embedded clusters hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from local.errors import LocalError
from local.images import SHELL_IMAGE, TEKTON_MODULE, TEKTON_VERSION, ko_image
from local.toolchain.catalog import API_SYNCAGENT
from releases.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

SYNCAGENT_MODULE = API_SYNCAGENT.source
SYNCAGENT_VERSION = API_SYNCAGENT.version
TEKTON_RELEASE = f"tekton-pipelines-{TEKTON_VERSION}.yaml"
SYNCAGENT_CRDS = f"api-syncagent-crds-{SYNCAGENT_VERSION}.yaml"

_PLACEHOLDER = "devel"
_VERSION_FIELDS = ("version", "app.kubernetes.io/version", "pipeline.tekton.dev/release")
"""Keys whose placeholder upstream's pipeline rewrites; `resolution.tekton.dev/release` it leaves alone."""
_SHELL_IMAGE_FLAG = "-shell-image"
_KO = "ko://"

Object = dict[str, Any]
"""A Kubernetes object as a plain mapping."""


class ManifestError(LocalError):
    """A release manifest that can't be made; the text names the file, why, and the mend."""


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: what looks like a date stays text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.CSafeDumper):
    """YAML without anchors, which a reader of a diff would have to follow."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the base class's signature
        return True


def write_release_manifests(sources: Mapping[str, Path], out_dir: Path) -> list[Path]:
    """Write the release manifests of everything that the embedded clusters run.

    Parameters
    ----------
    sources
        Folder of the sources of `TEKTON_MODULE` and of `SYNCAGENT_MODULE`, by the module's import path.
    out_dir
        Where the files go; each appears whole or not at all, and stays untouched where nothing changed.

    Returns
    -------
    list of Path
        The manifests: `TEKTON_RELEASE` and `SYNCAGENT_CRDS`.

    Raises
    ------
    ManifestError
        When a module's folder lacks what is expected there.
    """
    releases = {
        TEKTON_RELEASE: tekton_pipelines(sources[TEKTON_MODULE]),
        SYNCAGENT_CRDS: syncagent_crds(sources[SYNCAGENT_MODULE]),
    }
    written = []
    for name, objects in releases.items():
        path = out_dir / name
        write_atomic(path, render(objects))
        written.append(path)
    return written


def tekton_pipelines(module: Path, *, version: str = TEKTON_VERSION) -> list[Object]:
    """Return the objects of Tekton Pipelines' `release.yaml`, in upstream's order.

    Parameters
    ----------
    module
        Folder of the sources of `TEKTON_MODULE`.
    version
        What takes the placeholder's place, with its leading ``v``.

    Raises
    ------
    ManifestError
        When the folder holds no manifests, one can't be parsed, or a placeholder is left.
    """
    return [resolve(entry, version=version) for entry in read_objects(module / "config")]


def syncagent_crds(module: Path) -> list[Object]:
    """Return the agent's CustomResourceDefinitions.

    Parameters
    ----------
    module
        Folder of the sources of `SYNCAGENT_MODULE`.

    Raises
    ------
    ManifestError
        When the folder holds anything but CustomResourceDefinitions, or nothing.
    """
    folder = module / "deploy" / "crd"
    objects = read_objects(folder)
    for entry in objects:
        if entry["kind"] != "CustomResourceDefinition":
            raise ManifestError(
                f"{folder}: holds a {entry['kind']}, expected CRDs only; check the module's version",
            )
    return objects


def read_objects(folder: Path) -> list[Object]:
    """Read the Kubernetes objects of every ``*.yaml`` below a folder, in `ko resolve -R`'s order.

    Documents that hold only comments are left out.

    Raises
    ------
    ManifestError
        When there is no such file, or one is not made of Kubernetes objects.
    """
    objects: list[Object] = []
    # Path compares part by part, which is filepath.Walk's lexical order.
    for path in sorted(folder.rglob("*.yaml")):
        try:
            documents = list(yaml.load_all(path.read_text(encoding="utf-8"), Loader=_Loader))
        except (OSError, yaml.YAMLError) as error:
            raise ManifestError(f"{path}: {' '.join(str(error).split())}; fetch the module again") from error
        for document in documents:
            if document is None:
                continue
            if not isinstance(document, dict) or not {"apiVersion", "kind", "metadata"} <= document.keys():
                raise ManifestError(f"{path}: a document is no Kubernetes object; check the module's version")
            objects.append(document)
    if not objects:
        raise ManifestError(f"{folder}: no manifests there; check the module's version and its folder")
    return objects


def resolve(entry: Object, *, version: str) -> Object:
    """Return an object of Tekton's `config/` as a release carries it; the argument stays as it is.

    Raises
    ------
    ManifestError
        When the shell image's flag has no value.
    """
    resolved = _resolve(entry, version)
    assert isinstance(resolved, dict)  # noqa: S101 - a mapping's copy is a mapping; for the type checker
    return resolved


def _resolve(value: object, version: str) -> object:
    if isinstance(value, dict):
        return {
            key: version if key in _VERSION_FIELDS and item == _PLACEHOLDER else _resolve(item, version)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return _with_shell_image([_resolve(item, version) for item in value])
    if isinstance(value, str) and value.startswith(_KO):
        return ko_image(value.removeprefix(_KO), tag=version)
    return value


def _with_shell_image(items: list[object]) -> list[object]:
    if _SHELL_IMAGE_FLAG not in items:
        return items
    value = items.index(_SHELL_IMAGE_FLAG) + 1
    if value == len(items):
        raise ManifestError(f"{_SHELL_IMAGE_FLAG}: the flag has no value; check the module's version")
    return [*items[:value], SHELL_IMAGE, *items[value + 1 :]]


def render(objects: Iterable[Object]) -> str:
    """Return the objects as one YAML text without comments; equal objects give equal text."""
    return yaml.dump_all(
        objects,
        Dumper=_Dumper,
        sort_keys=False,
        explicit_start=True,
        allow_unicode=True,
        width=110,
    )
