"""What somebody else has installed already: left alone, unless it is to be adopted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from units.errors import MODIFIED, KubectlError, UnitError
from units.live import live_objects
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

_TAKE_OVER_TRIES: Final = 10
"""How often an object is read anew whose controller changed it meanwhile."""

_TOOLS: Final = ("kubectl", "helm")
"""How the names of field managers begin that are people's tools; others are controllers at work."""

_NAMED: Final = 3
_FIELDS: Final = "--show-managed-fields"


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
        str(identify(dict(item))): _managers(item)
        for item in live_objects(kubectl, telling, _FIELDS).values()
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


def take_over(kubectl: Kubectl, request: Request, manifests: Sequence[Manifest]) -> None:
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
    """
    for item in live_objects(kubectl, map(identify, manifests), _FIELDS).values():
        _take_over(kubectl, request, item)


def _take_over(kubectl: Kubectl, request: Request, item: Mapping[str, Any]) -> None:
    identity = identify(dict(item))
    version = f".{identity.api_version.rpartition('/')[2]}.{identity.group}" if identity.group else ""
    place = [f"--namespace={identity.namespace}"] if identity.namespace else []
    for tried in range(1, _TAKE_OVER_TRIES + 1):
        metadata = item["metadata"]
        fields = metadata.get("managedFields", [])
        kept = [one for one in fields if one["manager"] == request.field_manager or not _is_a_tools(one)]
        if kept == fields:
            return
        try:
            kubectl.run(
                "patch",
                f"{identity.kind}{version}",
                identity.name,
                *place,
                "--type=merge",
                # Of a definition this is larger than an argument may be.
                "--patch-file=/dev/stdin",
                stdin=json.dumps(
                    {"metadata": {"managedFields": kept, "resourceVersion": metadata["resourceVersion"]}}
                ),
                # The same bytes would be refused for ever: a workload that rolls out was changed meanwhile.
                patient=False,
            )
        except KubectlError as error:
            if MODIFIED not in error.stderr or tried == _TAKE_OVER_TRIES:
                raise
        else:
            return
        found = list(live_objects(kubectl, [identity], _FIELDS).values())
        if not found:
            return
        (item,) = found


def holders(kubectl: Kubectl, manifests: Sequence[Manifest], managers: Sequence[str]) -> list[str]:
    """Name the objects in which managers hold fields: kubectl doesn't, where it tells of a conflict.

    Parameters
    ----------
    kubectl
        The API server.
    manifests
        The objects.
    managers
        Names of field managers.
    """
    found = live_objects(kubectl, map(identify, manifests), _FIELDS).values()
    return sorted(str(identify(dict(item))) for item in found if _managers(item) & set(managers))


def _is_a_tools(entry: Mapping[str, Any]) -> bool:
    applied = entry["operation"] == "Apply" or entry["manager"].startswith(_TOOLS)
    return applied and not entry.get("subresource")


def _is_ours(item: Mapping[str, Any], request: Request) -> bool:
    managers = _managers(item)
    tracked = (item["metadata"].get("annotations") or {}).get(_TRACKING, "")
    return request.field_manager in managers or (
        _ARGO_CD in managers and tracked.startswith(_OUR_APPLICATION)
    )


def _managers(item: Mapping[str, Any]) -> set[str]:
    """List who has set fields of an object, its controllers' status aside."""
    return {one["manager"] for one in item["metadata"].get("managedFields", []) if not one.get("subresource")}
