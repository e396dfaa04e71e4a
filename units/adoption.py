"""What somebody else has installed already: left alone, unless it is to be adopted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from units.errors import UnitError
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
"""Field manager of the Argo CD that applies this program's manifests where the delivery is gitops."""

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
    ours = {request.field_manager, _ARGO_CD}
    foreign = {
        str(identify(dict(item))): managers
        for item in live_objects(kubectl, telling, _FIELDS).values()
        if not (managers := _managers(item)) & ours
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
        metadata = item["metadata"]
        fields = metadata.get("managedFields", [])
        kept = [one for one in fields if one["manager"] == request.field_manager or not _is_a_tools(one)]
        if kept == fields:
            continue
        identity = identify(dict(item))
        version = f".{identity.api_version.rpartition('/')[2]}.{identity.group}" if identity.group else ""
        place = [f"--namespace={identity.namespace}"] if identity.namespace else []
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
        )


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


def _managers(item: Mapping[str, Any]) -> set[str]:
    """List who has set fields of an object, its controllers' status aside."""
    return {one["manager"] for one in item["metadata"].get("managedFields", []) if not one.get("subresource")}
