"""Change a release's objects into those that are installed: pure functions, nothing read or written."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, Final

from releases import argocd, pipelines_as_code, results
from releases.adaptation import UNADAPTED, Adaptation
from releases.catalog import (
    ARGO_CD,
    ARGO_CD_HA,
    PIPELINES_AS_CODE,
    TEKTON_CHAINS,
    TEKTON_PIPELINES,
    TEKTON_RESULTS,
)
from releases.errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from releases.adaptation import DeploymentRules

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
    PIPELINES_AS_CODE: pipelines_as_code.CONFIG,
    ARGO_CD: argocd.CONFIG,
    ARGO_CD_HA: argocd.CONFIG,
}
"""By release and ConfigMap: what is set in its data whatever the settings are, and whatever they say."""

SIGNING_SECRET: Final = "signing-secrets"  # noqa: S105 -- the name of a Secret
"""Secret with the key that Tekton Chains signs with, in its own namespace."""

_LEFT_OUT: Final[Mapping[str, frozenset[tuple[str, str]]]] = {
    # Published empty, for somebody to fill; the key is delivered for itself, and no later version of the
    # release may empty it.
    TEKTON_CHAINS: frozenset({("Secret", SIGNING_SECRET)}),
}
"""By release: kind and name of the objects that are not installed."""


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
    for deployment, rules in adaptation.deployments.items():
        _set_deployment(_find(name, objects, "Deployment", deployment), rules)
    left_out = _LEFT_OUT.get(name, frozenset())
    for kind, one in sorted(left_out):
        _find(name, objects, kind, one)
    kept = [one for one in objects if (str(one.get("kind")), _name(one)) not in left_out]
    objects = [*kept, *(copy.deepcopy(dict(one)) for one in adaptation.objects)]
    if name in (ARGO_CD, ARGO_CD_HA):
        objects = argocd.finish(name, objects, assigned_users=adaptation.assigned_users)
    if name == PIPELINES_AS_CODE:
        objects = pipelines_as_code.finish(name, objects)
    if name == TEKTON_RESULTS:
        objects = results.finish(name, objects)
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


def _name(manifest: Mapping[str, Any]) -> str:
    return str(manifest.get("metadata", {}).get("name", ""))


def _find(release: str, objects: list[Manifest], kind: str, name: str) -> Manifest:
    for manifest in objects:
        if manifest.get("kind") == kind and _name(manifest) == name:
            return manifest
    raise ReleaseError(f"{release} has no {kind} {name}", "use a manifest of a version the catalog supports")


def _set_config_maps(
    release: str, objects: list[Manifest], config_maps: Mapping[str, Mapping[str, str]]
) -> None:
    for name, data in config_maps.items():
        manifest = _find(release, objects, "ConfigMap", name)
        manifest["data"] = {**(manifest.get("data") or {}), **data}


def _set_deployment(manifest: Manifest, rules: DeploymentRules) -> None:
    if rules.replicas is not None:
        manifest["spec"]["replicas"] = rules.replicas
    template = manifest["spec"]["template"]
    container = template["spec"]["containers"][0]
    if rules.arguments:
        container["args"] = [*(container.get("args") or []), *rules.arguments]
    if rules.resources:
        there = container.get("resources") or {}
        container["resources"] = {
            **there,
            **{part: {**(there.get(part) or {}), **amounts} for part, amounts in rules.resources.items()},
        }
    if rules.environment:
        there = [one for one in container.get("env") or [] if one["name"] not in rules.environment]
        given = [{"name": key, "value": value} for key, value in rules.environment.items()]
        container["env"] = [*there, *given]
    for volume in rules.volumes:
        source = {key: value for key, value in volume.items() if key != "mountPath"}
        template["spec"]["volumes"] = [*(template["spec"].get("volumes") or []), source]
        mount = {"name": volume["name"], "mountPath": volume["mountPath"]}
        container["volumeMounts"] = [*(container.get("volumeMounts") or []), mount]
    if rules.volume_group is not None:
        template["spec"].setdefault("securityContext", {})["fsGroup"] = rules.volume_group
    if rules.recreate:
        manifest["spec"]["strategy"] = {"type": "Recreate"}
    if rules.annotations:
        metadata = template.setdefault("metadata", {})
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **rules.annotations}
