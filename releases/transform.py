"""Change a release's objects into those that are installed: pure functions, nothing read or written."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, Final

from releases import argocd
from releases.adaptation import UNADAPTED, Adaptation
from releases.catalog import ARGO_CD, ARGO_CD_HA, TEKTON_PIPELINES
from releases.errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RUN_SERVICE_ACCOUNT: Final = "pipeline"
"""ServiceAccount of tenants' namespaces on a cluster, under which runs execute when they name none."""

Manifest = dict[str, Any]

_EVERYWHERE: Final[Mapping[str, Mapping[str, Mapping[str, str]]]] = {
    TEKTON_PIPELINES: {
        "config-defaults": {
            # A namespace's own "default" account is shared with whatever else runs there, and must never be
            # synced.
            "default-service-account": RUN_SERVICE_ACCOUNT,
        },
        "feature-flags": {
            # Tenants' namespaces enforce Pod Security; without this Tekton's own containers would lack a
            # security context.
            "set-security-context": "true",
        },
    },
    ARGO_CD: argocd.CONFIG,
    ARGO_CD_HA: argocd.CONFIG,
}
"""By release and ConfigMap: what is set in its data whatever the settings are, and whatever they say."""


def transform(
    name: str, manifests: Iterable[Mapping[str, Any]], adaptation: Adaptation = UNADAPTED
) -> list[Manifest]:
    """Change a release's objects into those that are installed.

    Parameters
    ----------
    name
        Name of the release.
    manifests
        Its objects as published; they are left as they are.
    adaptation
        What the settings change of it.

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
    for data in (adaptation.config_maps, _EVERYWHERE.get(name, {})):
        _set_config_maps(name, objects, data)
    if name in (ARGO_CD, ARGO_CD_HA):
        objects = argocd.finish(name, objects, assigned_users=adaptation.assigned_users)
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


def _set_config_maps(
    name: str, objects: list[Manifest], config_maps: Mapping[str, Mapping[str, str]]
) -> None:
    for config_map, data in config_maps.items():
        for manifest in objects:
            if manifest.get("kind") == "ConfigMap" and manifest.get("metadata", {}).get("name") == config_map:
                manifest["data"] = {**(manifest.get("data") or {}), **data}
                break
        else:
            raise ReleaseError(
                f"{name} has no ConfigMap {config_map}", "use a manifest of a version the catalog supports"
            )
