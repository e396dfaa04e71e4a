"""Release manifests from the Go modules that are built anyway.

Where a project's release page can't be reached, its release manifest is made from the module's own sources.

For a Tekton project the way its release pipeline makes it (Pipelines v1.6.0 and v1.9.0, Triggers v0.34.0:
`tekton/publish.yaml`; Chains v0.26.0: `release/publish.yaml`): every file of `config/`, in lexical order;
``ko://`` references become image names; the placeholder "devel" becomes the version in the very fields that
the pipeline rewrites. Two things differ on purpose. Images are named by tag alone, since images assembled on
this machine have digests of their own. And the shell image, which upstream pins to a registry's digest, is
the busybox that the embedded clusters hold.

Results' `config/` is for kustomize (v0.18.0: `release/release.sh`), which kubectl has built in; what it makes
is resolved in the same way.

For Pipelines as Code the way its script makes it for Kubernetes (`hack/generate-releaseyaml.sh`, v0.37.0):
every file of `config/` but not of its subfolder for OpenShift, images by the names of its registry, and no
rights on OpenShift's routes.

Argo CD's module holds its release manifests as they are published. One thing differs on purpose: where
upstream has an image pulled at each start (`imagePullPolicy: Always`), the one the cluster holds is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from local.commands import run
from local.errors import LocalError
from local.images_pipelines_as_code import pac_image
from local.images_tekton import SHELL_IMAGE, ko_image
from releases import catalog as names
from releases.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from local.assembled import Release

_PLACEHOLDER = "devel"
_VERSION_FIELDS = (
    "version",
    "app.kubernetes.io/version",
    "pipeline.tekton.dev/release",
    "triggers.tekton.dev/release",
)
"""Keys whose placeholder upstream's pipeline rewrites; `resolution.tekton.dev/release` it leaves alone."""
_SHELL_IMAGE_FLAG = "-shell-image"
_KO = "ko://"
_PULL_POLICY = "imagePullPolicy"
_ROUTES = "route.openshift.io"

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


def write_release_manifests(
    sources: Mapping[Release, Path], out_dir: Path, kubectl: Path = Path("kubectl")
) -> list[Path]:
    """Write release manifests.

    Parameters
    ----------
    sources
        Folder of the sources of the module that each release is made from (`local.assembled.module_of`).
    out_dir
        Where the files go; each appears whole or not at all, and stays untouched where nothing changed.
    kubectl
        What builds the kustomizations among them; by default the one on PATH.

    Returns
    -------
    list of Path
        The manifests, in the order of the releases.

    Raises
    ------
    ManifestError
        When a module's folder lacks what is expected there.
    """
    written = []
    for (name, version), module in sources.items():
        path = out_dir / names.file_name(name, version)
        write_atomic(path, render(_MAKERS[name](module, version, kubectl)))
        written.append(path)
    return written


def tekton_results(release: Path, version: str, kubectl: Path) -> list[Object]:
    """Return the objects of a release of Tekton Results without a database, in kustomize's order.

    Parameters
    ----------
    release
        Folder of the kustomization that its release is made from.
    version
        What takes the placeholder's place, with its leading ``v``.
    kubectl
        What builds it.

    Raises
    ------
    LocalError
        It can't be built.
    """
    what = f"building the kustomization {release}"
    text = run([str(kubectl), "kustomize", str(release)], what=what)
    return [resolve(entry, version=version) for entry in _parsed(text, release)]


def tekton(config: Path, version: str, *, recursive: bool = False) -> list[Object]:
    """Return the objects of a Tekton project's release, in upstream's order.

    Parameters
    ----------
    config
        Folder of the project's manifests.
    version
        What takes the placeholder's place, with its leading ``v``.
    recursive
        Whether the manifests of its subfolders are of the release too.

    Raises
    ------
    ManifestError
        When the folder holds no manifests, one can't be parsed, or a placeholder is left.
    """
    return [resolve(entry, version=version) for entry in read_objects(config, recursive=recursive)]


def pipelines_as_code(config: Path, version: str) -> list[Object]:
    """Return the objects of a release of Pipelines as Code for Kubernetes, in upstream's order.

    Parameters
    ----------
    config
        Folder of the project's manifests.
    version
        What takes the placeholder's place, with its leading ``v``.

    Raises
    ------
    ManifestError
        When the folder holds no manifests, or one can't be parsed.
    """
    objects = [
        resolve(entry, version=version, image=pac_image) for entry in read_objects(config, recursive=False)
    ]
    for entry in objects:
        if "rules" in entry:
            entry["rules"] = [rule for rule in entry["rules"] if rule["apiGroups"] != [_ROUTES]]
    return objects


def argocd(path: Path) -> list[Object]:
    """Return the objects of a release manifest of Argo CD, whose images are taken from the cluster.

    Raises
    ------
    ManifestError
        When it is not there or can't be parsed.
    """
    return [_without_pulls(entry) for entry in _objects(path)]


def _without_pulls(value: Any) -> Any:  # noqa: ANN401 - JSON in, JSON of the same shape out
    if isinstance(value, dict):
        return {
            key: "IfNotPresent" if key == _PULL_POLICY and item == "Always" else _without_pulls(item)
            for key, item in value.items()
        }
    return [_without_pulls(item) for item in value] if isinstance(value, list) else value


def syncagent_crds(folder: Path) -> list[Object]:
    """Return the agent's CustomResourceDefinitions.

    Parameters
    ----------
    folder
        Where the agent's module has them.

    Raises
    ------
    ManifestError
        When the folder holds anything but CustomResourceDefinitions, or nothing.
    """
    objects = read_objects(folder, recursive=True)
    for entry in objects:
        if entry["kind"] != "CustomResourceDefinition":
            raise ManifestError(
                f"{folder}: holds a {entry['kind']}, expected CRDs only; check the module's version",
            )
    return objects


def read_objects(folder: Path, *, recursive: bool) -> list[Object]:
    """Read the Kubernetes objects of the ``*.yaml`` files of a folder, in the order of `ko resolve`.

    Parameters
    ----------
    folder
        The folder.
    recursive
        Whether to read those of its subfolders too (`ko resolve -R`).

    Raises
    ------
    ManifestError
        When there is no such file, or one is not made of Kubernetes objects.
    """
    # Path compares part by part, which is filepath.Walk's lexical order.
    paths = sorted(folder.rglob("*.yaml") if recursive else folder.glob("*.yaml"))
    objects = [entry for path in paths for entry in _objects(path)]
    if not objects:
        raise ManifestError(f"{folder}: no manifests there; check the module's version and its folder")
    return objects


def _objects(path: Path) -> list[Object]:
    """Read the Kubernetes objects of a file; documents that hold only comments are left out."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ManifestError(f"{path}: {' '.join(str(error).split())}; fetch the module again") from error
    return _parsed(text, path)


def _parsed(text: str, path: Path) -> list[Object]:
    try:
        documents = list(yaml.load_all(text, Loader=_Loader))
    except yaml.YAMLError as error:
        raise ManifestError(f"{path}: {' '.join(str(error).split())}; fetch the module again") from error
    objects = [document for document in documents if document is not None]
    for document in objects:
        if not isinstance(document, dict) or not {"apiVersion", "kind", "metadata"} <= document.keys():
            raise ManifestError(f"{path}: a document is no Kubernetes object; check the module's version")
    return objects


def resolve(entry: Object, *, version: str, image: Callable[..., str] = ko_image) -> Object:
    """Return an object of a project's `config/` as a release carries it; the argument stays as it is.

    Parameters
    ----------
    entry
        The object.
    version
        What takes the placeholder's place.
    image
        Names the image of a command by its import path, with the version as `tag`.

    Raises
    ------
    ManifestError
        When the shell image's flag has no value.
    """
    resolved = _resolve(entry, version, image)
    assert isinstance(resolved, dict)  # noqa: S101 - a mapping's copy is a mapping; for the type checker
    return resolved


def _resolve(value: object, version: str, image: Callable[..., str]) -> object:
    if isinstance(value, dict):
        return {
            key: version
            if key in _VERSION_FIELDS and item == _PLACEHOLDER
            else _resolve(item, version, image)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return _with_shell_image([_resolve(item, version, image) for item in value])
    if isinstance(value, str) and value.startswith(_KO):
        return image(value.removeprefix(_KO), tag=version)
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


_MAKERS: Mapping[str, Callable[[Path, str, Path], list[Object]]] = {
    names.TEKTON_PIPELINES: lambda module, version, _: tekton(module / "config", version, recursive=True),
    names.TEKTON_TRIGGERS: lambda module, version, _: tekton(module / "config", version),
    names.TEKTON_TRIGGERS_INTERCEPTORS: lambda module, version, _: tekton(
        module / "config" / "interceptors", version
    ),
    names.TEKTON_CHAINS: lambda module, version, _: tekton(module / "config", version),
    names.TEKTON_RESULTS: lambda module, version, kubectl: tekton_results(
        module / "release", version, kubectl
    ),
    names.PIPELINES_AS_CODE: lambda module, version, _: pipelines_as_code(module / "config", version),
    names.ARGO_CD: lambda module, *_: argocd(module / "manifests" / "install.yaml"),
    names.ARGO_CD_HA: lambda module, *_: argocd(module / "manifests" / "ha" / "install.yaml"),
    names.API_SYNCAGENT_CRDS: lambda module, *_: syncagent_crds(module / "deploy" / "crd"),
}
