"""Security contexts of the service's own pods: Pod Security's level restricted, and a read-only image."""

from __future__ import annotations

from typing import Any


def pod_security(user: int | None, *, reads_secrets: bool = False) -> dict[str, Any]:
    """Make the security context of a pod.

    Parameters
    ----------
    user
        As whom it runs; None: as whom the cluster says, as OpenShift does.
    reads_secrets
        Whether it has volumes whose files only their group may read.
    """
    own = {} if user is None else {"runAsUser": user, "runAsGroup": user}
    files = {} if user is None or not reads_secrets else {"fsGroup": user}
    return {"runAsNonRoot": True, **own, **files, "seccompProfile": {"type": "RuntimeDefault"}}


def container_security() -> dict[str, Any]:
    """Make the security context of a container."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
