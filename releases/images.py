"""The images that manifests name: find them, send them to mirrors, pin them. Nothing is read or written.

Beside containers, an image is named where a controller is told what to put into the pods that it makes: in a
flag (Tekton's `-entrypoint-image`, Triggers' `-el-image`), a variable, or a ConfigMap.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from releases.errors import ImageError
from releases.image_names import ImageName, ImageNameError, mirrored, parse

if TYPE_CHECKING:
    from collections.abc import Iterable

Manifest = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Change:
    """What becomes of an image's name: of a container's own, and of one that a controller is told of."""

    own: Callable[[str], str]
    told: Callable[[str], str]


_POD_SPECS: Final[Mapping[str, tuple[str, ...]]] = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"),
        ("spec", "template", "spec"),
    ),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
"""By kind: where its pods are described."""


_CONTAINERS: Final = ("containers", "initContainers", "ephemeralContainers", "steps", "sidecars")
_FLAG: Final = re.compile(r"(?P<flag>--?(?:[a-z0-9]+-)*image(?:-win)?)(?:=(?P<value>.+))?")
_VARIABLE: Final = re.compile(r"(?:^|_)IMAGE(?:_|$)")
_KEY: Final = re.compile(r"(?:^|[-_.])image$")
_WITH_REGISTRY: Final = re.compile(r"(?:localhost|[^/]*[.:][^/]*)/.+")


@dataclass(frozen=True, kw_only=True)
class ImageRules:
    """How the images of manifests are changed; all empty: not at all.

    Attributes
    ----------
    mirrors
        What replaces the beginning of an image's name, by that beginning.
    digests
        Digest (`sha256:…`) of each image that is pinned, by its own name with its tag.
    pull_secret
        Name of the Secret with which images are pulled, in each namespace; None: they are public.
    """

    mirrors: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    pull_secret: str | None = None

    def image(self, text: str) -> str:
        """Name an image as it is to be pulled; one that nothing is said of stays as it is written.

        Parameters
        ----------
        text
            The name as the manifest has it.

        Raises
        ------
        ImageError
            It is no image's name, the lock has another digest than the manifest, or a mirror has no name
            for it.
        """
        try:
            name = parse(text)
        except ImageNameError as error:
            raise ImageError(f"a manifest names an image, and {error}", "correct the manifest") from None
        pinned = self._pinned(name)
        there = mirrored(pinned, self.mirrors)
        if there is None:
            return text if pinned == name else str(pinned)
        return str(there)

    def _pinned(self, name: ImageName) -> ImageName:
        digest = self.digests.get(name.tagged)
        if digest is None or name.digest == digest:
            return name
        if name.digest is not None:
            raise ImageError(
                f"{name.tagged} is {name.digest} in the release, and {digest} in the file of digests",
                "find out why they differ; then take its line out of imageRepository.digests' file",
            )
        return replace(name, digest=digest)


@dataclass(frozen=True, kw_only=True)
class NamedImages:
    """The images that manifests name, each once, as they are written.

    Attributes
    ----------
    own
        Those that their own containers run.
    told
        Those that a controller is told of, for pods that it makes, or adds to.
    """

    own: tuple[str, ...]
    told: tuple[str, ...]

    @property
    def all(self) -> list[str]:
        """Both, in the order of their names."""
        return sorted({*self.own, *self.told})


def named_images(manifests: Iterable[Mapping[str, Any]]) -> list[str]:
    """List the images that manifests name, each once, as they are written.

    Parameters
    ----------
    manifests
        The objects.
    """
    return images_by_place(manifests).all


def images_by_place(manifests: Iterable[Mapping[str, Any]]) -> NamedImages:
    """List the images that manifests name, apart by where they stand.

    Parameters
    ----------
    manifests
        The objects.
    """
    own: list[str] = []
    told: list[str] = []

    def noting(found: list[str]) -> Callable[[str], str]:
        def note(text: str) -> str:
            found.append(text)
            return text

        return note

    change = _Change(own=noting(own), told=noting(told))
    for manifest in manifests:
        _changed(manifest, change)
    return NamedImages(own=tuple(sorted(set(own))), told=tuple(sorted(set(told))))


def apply_rules(manifests: Iterable[Mapping[str, Any]], rules: ImageRules) -> list[Manifest]:
    """Change the images that manifests name, and let their pods pull them.

    Parameters
    ----------
    manifests
        The objects; they are left as they are.
    rules
        How.

    Raises
    ------
    ImageError
        An image can't be named as the rules say.
    """
    change = _Change(own=rules.image, told=rules.image)
    changed = [_changed(manifest, change) for manifest in manifests]
    return changed if rules.pull_secret is None else _with_pull_secret(changed, rules.pull_secret)


def pod_namespaces(manifests: Iterable[Mapping[str, Any]]) -> list[str]:
    """List the namespaces in which manifests run pods.

    Parameters
    ----------
    manifests
        The objects.
    """
    return sorted({_namespace(manifest) for manifest in manifests if manifest.get("kind") in _POD_SPECS})


def _namespace(manifest: Mapping[str, Any]) -> str:
    return str(manifest.get("metadata", {}).get("namespace", "default"))


def _with_pull_secret(manifests: list[Manifest], secret: str) -> list[Manifest]:
    """Let every pod use a Secret: by its ServiceAccount where that is among the objects, else by itself."""
    accounts = {
        (_namespace(manifest), manifest["metadata"]["name"])
        for manifest in manifests
        if manifest.get("kind") == "ServiceAccount"
    }

    def with_secret(spec: Mapping[str, Any]) -> Manifest:
        given = [entry for entry in spec.get("imagePullSecrets") or [] if entry.get("name") != secret]
        return {**spec, "imagePullSecrets": [*given, {"name": secret}]}

    def own(manifest: Manifest) -> Manifest:
        kind = str(manifest.get("kind"))
        if kind == "ServiceAccount":
            return with_secret(manifest)
        if kind not in _POD_SPECS:
            return manifest

        def pod(spec: Mapping[str, Any]) -> Manifest:
            account = (_namespace(manifest), spec.get("serviceAccountName", "default"))
            return dict(spec) if account in accounts else with_secret(spec)

        return _at(manifest, _POD_SPECS[kind], pod)

    return [own(manifest) for manifest in manifests]


def _changed(manifest: Mapping[str, Any], change: _Change) -> Manifest:
    kind = str(manifest.get("kind"))
    if kind in _POD_SPECS:
        return _at(manifest, _POD_SPECS[kind], lambda spec: _pod(spec, change))
    if kind == "Task":
        return _at(manifest, ("spec",), lambda spec: _pod(spec, change))
    if kind == "StepAction":
        return _at(manifest, ("spec",), lambda spec: _container(spec, change))
    if kind == "ConfigMap":
        return _at(manifest, ("data",), lambda data: _settings(data, change))
    return dict(manifest)


def _at(
    value: Mapping[str, Any], path: tuple[str, ...], change: Callable[[Mapping[str, Any]], Manifest]
) -> Manifest:
    """Change what stands at a path, where something stands there; all else stays what it is."""
    if not path:
        return change(value)
    below = value.get(path[0])
    if not isinstance(below, Mapping):
        return dict(value)
    return {**value, path[0]: _at(below, path[1:], change)}


def _pod(spec: Mapping[str, Any], change: _Change) -> Manifest:
    changed = {
        key: [_container(container, change) for container in spec[key]]
        for key in _CONTAINERS
        if isinstance(spec.get(key), list)
    }
    if isinstance(template := spec.get("stepTemplate"), Mapping):
        changed["stepTemplate"] = _container(template, change)  # type: ignore[assignment]
    if isinstance(volumes := spec.get("volumes"), list):
        changed["volumes"] = [_volume(volume, change) for volume in volumes]
    return {**spec, **changed}


def _volume(volume: Mapping[str, Any], change: _Change) -> Manifest:
    def reference(source: Mapping[str, Any]) -> Manifest:
        return (
            {**source, "reference": change.own(source["reference"])}
            if "reference" in source
            else dict(source)
        )

    return _at(volume, ("image",), reference)


def _container(container: Mapping[str, Any], change: _Change) -> Manifest:
    changed: Manifest = dict(container)
    # A parameter's place stands where a Task leaves the image to whoever runs it.
    if isinstance(image := container.get("image"), str) and image and "$(" not in image:
        changed["image"] = change.own(image)
    for key in ("command", "args"):
        if isinstance(words := container.get(key), list):
            changed[key] = _flags(words, change)
    if isinstance(variables := container.get("env"), list):
        changed["env"] = [_variable(variable, change) for variable in variables]
    return changed


def _flags(words: list[Any], change: _Change) -> list[Any]:
    changed = list(words)
    for index, word in enumerate(words):
        match = _FLAG.fullmatch(word) if isinstance(word, str) else None
        if match is None:
            continue
        if match["value"] is not None:
            if _names_registry(match["value"]):
                changed[index] = f"{match['flag']}={change.told(match['value'])}"
        elif index + 1 < len(words) and _names_registry(words[index + 1]):
            changed[index + 1] = change.told(words[index + 1])
    return changed


def _variable(variable: Mapping[str, Any], change: _Change) -> Manifest:
    value = variable.get("value")
    if _VARIABLE.search(str(variable.get("name"))) and _names_registry(value):
        return {**variable, "value": change.told(str(value))}
    return dict(variable)


def _settings(data: Mapping[str, Any], change: _Change) -> Manifest:
    return {
        key: change.told(value) if _KEY.search(key) and _names_registry(value) else value
        for key, value in data.items()
    }


def _names_registry(value: object) -> bool:
    """Tell an image from another word: where others can stand, too, it must name its registry."""
    if not isinstance(value, str) or not _WITH_REGISTRY.fullmatch(value):
        return False
    try:
        parse(value)
    except ImageNameError:
        return False
    return True
