"""Change a release's objects into those that are installed: pure functions, nothing read or written."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, Final

from releases.catalog import TEKTON_PIPELINES
from releases.errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

RUN_SERVICE_ACCOUNT: Final = "pipeline"
"""ServiceAccount of tenants' namespaces on a cluster, under which runs execute when they name none."""

Manifest = dict[str, Any]

_TEKTON_DEFAULTS: Final[Mapping[str, str]] = {
    # A namespace's own "default" account is shared with whatever else runs there, and must never be synced.
    "default-service-account": RUN_SERVICE_ACCOUNT,
}

_TEKTON_FEATURES: Final[Mapping[str, str]] = {
    # Tenants' namespaces enforce Pod Security; without this Tekton's own containers would lack a security
    # context.
    "set-security-context": "true",
}


def transform(name: str, manifests: Iterable[Mapping[str, Any]]) -> list[Manifest]:
    """Change a release's objects into those that are installed.

    Parameters
    ----------
    name
        Name of the release.
    manifests
        Its objects as published; they are left as they are.

    Returns
    -------
    list of dict
        The objects, in an order that depends on nothing but their names.

    Raises
    ------
    ReleaseError
        An object that must be changed is not there: the release is not what this function knows.
    """
    objects = [copy.deepcopy(dict(manifest)) for manifest in manifests]
    for change in _CHANGES.get(name, ()):
        change(name, objects)
    return sorted(objects, key=_order)


def serialize(manifests: Iterable[Mapping[str, Any]]) -> str:
    """Write objects as YAML documents of one line of JSON each, which are read many times faster.

    Parameters
    ----------
    manifests
        The objects.
    """
    return "".join(
        "---\n" + json.dumps(manifest, sort_keys=True, separators=(",", ":")) + "\n" for manifest in manifests
    )


def _order(manifest: Mapping[str, Any]) -> tuple[str, str, str, str]:
    metadata = manifest.get("metadata", {})
    return (
        str(manifest.get("apiVersion", "")),
        str(manifest.get("kind", "")),
        str(metadata.get("namespace", "")),
        str(metadata.get("name", "")),
    )


def _set_tekton_configuration(name: str, objects: list[Manifest]) -> None:
    for config_map, data in (("config-defaults", _TEKTON_DEFAULTS), ("feature-flags", _TEKTON_FEATURES)):
        for manifest in objects:
            if manifest.get("kind") == "ConfigMap" and manifest.get("metadata", {}).get("name") == config_map:
                manifest["data"] = {**(manifest.get("data") or {}), **data}
                break
        else:
            raise ReleaseError(
                f"{name} has no ConfigMap {config_map}", "use a manifest of a version the catalog supports"
            )


_CHANGES: Final[Mapping[str, tuple[Callable[[str, list[Manifest]], None], ...]]] = {
    TEKTON_PIPELINES: (_set_tekton_configuration,),
}
