"""The record of what a unit has applied: a ConfigMap on the same API server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from units.errors import UnitError
from units.manifest import Identity

if TYPE_CHECKING:
    from units.kubectl import Kubectl
    from units.request import Request


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What a unit has applied, or is about to.

    Attributes
    ----------
    objects
        The objects.
    applied
        Digest of the manifest that was applied; None until an application has come to its end.
    """

    objects: frozenset[Identity]
    applied: str | None


def inventory_name(unit: str) -> str:
    """Name the ConfigMap of a unit.

    Parameters
    ----------
    unit
        Name of the unit.
    """
    return f"unit-{unit}"


def read_inventory(kubectl: Kubectl, request: Request) -> Inventory | None:
    """Read what was recorded.

    Parameters
    ----------
    kubectl
        The API server.
    request
        The unit.

    Returns
    -------
    Inventory or None
        None where nothing was recorded.

    Raises
    ------
    UnitError
        The record can't be read.
    """
    name = inventory_name(request.name)
    place = Identity(api_version="v1", kind="ConfigMap", namespace=request.namespace, name=name)
    [found] = kubectl.api.each(kubectl.api.find, [place])
    if found is None:
        return None
    try:
        data = found["data"]
        entries = json.loads(data["objects"])
        objects = frozenset(
            Identity(api_version=api_version, kind=kind, namespace=namespace, name=name)
            for api_version, kind, namespace, name in entries
        )
        applied = data.get("sha256") if data.get("state") == "applied" else None
    except (KeyError, TypeError, ValueError):
        raise UnitError(
            f"the inventory ConfigMap {request.namespace}/{name} was changed by somebody and can't be read; "
            "restore it from a backup, or delete it to have it made anew (nothing will be pruned then)"
        ) from None
    return Inventory(objects=objects, applied=applied)


def write_inventory(kubectl: Kubectl, request: Request, objects: frozenset[Identity], state: str) -> None:
    """Record what is applied, or is about to be.

    Parameters
    ----------
    kubectl
        The API server.
    request
        The unit.
    objects
        The objects.
    state
        `applying`, or `applied`.
    """
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": inventory_name(request.name),
            "namespace": request.namespace,
            "labels": {
                "app.kubernetes.io/part-of": "pipeline-service",
                "app.kubernetes.io/component": "unit",
                "app.kubernetes.io/managed-by": request.field_manager,
            },
        },
        "data": {
            "objects": json.dumps(
                [[one.api_version, one.kind, one.namespace, one.name] for one in sorted(objects)]
            ),
            **({"version": request.version} if request.version else {}),
            "sha256": request.sha256,
            "incarnation": str(request.incarnation),
            "state": state,
        },
    }
    # The record is this program's alone: whoever edited it loses.
    kubectl.api.each(lambda record: kubectl.api.apply(record, request.field_manager), [manifest])
