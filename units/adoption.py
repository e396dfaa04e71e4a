"""What somebody else has installed already: left alone, unless it is to be adopted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from units.errors import UnitError
from units.live import change_metadata, live_objects
from units.manifest import CRD, identify

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from units.kubectl import Kubectl
    from units.manifest import Manifest
    from units.request import Request

_INSTALLATION: Final = (CRD, "Deployment", "StatefulSet", "DaemonSet")
"""Kinds by which an installation is known; namespaces and roles may well have been prepared."""

_ARGO_CD: Final = "argocd-controller"
"""Field manager of every Argo CD, also of one that somebody else runs."""

_TRACKING: Final = "argocd.argoproj.io/tracking-id"
_OUR_APPLICATION: Final = "pipeline-service:"
"""How an Argo CD marks what our Application delivers, where the delivery is gitops."""

_LAST_APPLIED: Final = "f:kubectl.kubernetes.io/last-applied-configuration"
"""What `kubectl apply` writes of itself, as a field's owner is told."""

_TOOLS: Final = ("kubectl", "helm")
"""How the names of field managers begin that are people's tools; others are controllers at work."""

_NAMED: Final = 3


def refuse_foreign(kubectl: Kubectl, request: Request, manifests: Iterable[Manifest]) -> None:
    """Refuse to apply a release where somebody else has installed it; nothing was touched yet.

    Without this, a release of the same version would be taken over in silence, and go with its cluster's
    entry.

    Parameters
    ----------
    kubectl
        The API server.
    request
        The unit, of which nothing is recorded.
    manifests
        Its objects.

    Raises
    ------
    UnitError
        It is there, and nothing of it is this program's.
    """
    telling = [identity for one in manifests if (identity := identify(one)).kind in _INSTALLATION]
    if not telling:
        return
    foreign = {
        str(identify(item)): _managers(item)
        for item in live_objects(kubectl, telling).values()
        if not _is_ours(item, request)
    }
    if foreign:
        names = sorted(foreign)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        by = ", ".join(sorted(set().union(*foreign.values()))) or "somebody"
        raise UnitError(
            f"{request.title}: installed already by {by}: {', '.join(names[:_NAMED])}{more}; remove it, or"
            f" have it taken over: add {request.name} to the list adopt of the cluster's entry"
        )


def take_over(kubectl: Kubectl, request: Request, manifests: Sequence[Manifest]) -> list[Manifest]:
    """Take objects out of the hands of those who applied them before.

    A field that two have applied stays until both drop it: what a later version drops would stay for ever.
    And what a tool has set otherwise, such as `kubectl create`, would conflict with the next version that
    changes it.

    Parameters
    ----------
    kubectl
        The API server.
    request
        The unit, which has been applied.
    manifests
        Its objects.

    Returns
    -------
    list of dict
        Those that are to be applied once more: fields that `kubectl apply` has set are the unit's now, and
        leave where its manifest doesn't have them.
    """
    live = live_objects(kubectl, map(identify, manifests))
    again = {key for key, item in live.items() if any(map(_is_client_side, _owners(item)))}
    change_metadata(kubectl, request.field_manager, live.values(), lambda item: _in_our_hands(item, request))
    return [manifest for manifest in manifests if identify(manifest).key in again]


def _in_our_hands(item: Manifest, request: Request) -> Manifest:
    owners = _owners(item)
    kept = [one for one in owners if one["manager"] == request.field_manager or not _is_a_tools(one)]
    moved = [one for one in owners if _is_client_side(one)]
    for number, one in enumerate(kept):
        if moved and one["manager"] == request.field_manager and one["operation"] == "Apply":
            fields = one["fieldsV1"]
            for entry in moved:
                fields = _together(fields, entry["fieldsV1"])
            kept[number] = {**one, "fieldsV1": fields}
    return {} if kept == owners else {"managedFields": kept}


def _together(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _together(one.get(key, {}), other.get(key, {})) for key in one.keys() | other.keys()}


def _is_client_side(entry: Mapping[str, Any]) -> bool:
    """Tell whether it is what `kubectl apply` held: whoever set its annotation has applied all its fields."""
    annotations = entry.get("fieldsV1", {}).get("f:metadata", {}).get("f:annotations", {})
    return entry["operation"] == "Update" and _LAST_APPLIED in annotations


def _is_a_tools(entry: Mapping[str, Any]) -> bool:
    applied = entry["operation"] == "Apply" or entry["manager"].startswith(_TOOLS)
    return applied and not entry.get("subresource")


def _is_ours(item: Manifest, request: Request) -> bool:
    managers = _managers(item)
    tracked = (item["metadata"].get("annotations") or {}).get(_TRACKING, "")
    return request.field_manager in managers or (
        _ARGO_CD in managers and tracked.startswith(_OUR_APPLICATION)
    )


def _managers(item: Manifest) -> set[str]:
    """List who has set fields of an object, its controllers' status aside."""
    return {one["manager"] for one in _owners(item) if not one.get("subresource")}


def _owners(item: Manifest) -> list[dict[str, Any]]:
    return list(item["metadata"].get("managedFields") or [])
