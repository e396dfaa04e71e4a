"""Security contexts of the service's own pods: Pod Security's level restricted, and a read-only image."""

from __future__ import annotations

from typing import Any


def pod_security(user: int | None, *, fs_group: bool = False) -> dict[str, Any]:
    """Make the security context of a pod.

    Parameters
    ----------
    user
        As whom it runs; None: as whom the cluster says, as OpenShift does.
    fs_group
        Whether its volumes' files belong to its group, since nobody else may read them.
    """
    runs_as: dict[str, int] = {}
    if user is not None:
        runs_as = {"runAsUser": user, "runAsGroup": user, **({"fsGroup": user} if fs_group else {})}
    return {"runAsNonRoot": True, **runs_as, "seccompProfile": {"type": "RuntimeDefault"}}


def container_security() -> dict[str, Any]:
    """Make the security context of a container."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
