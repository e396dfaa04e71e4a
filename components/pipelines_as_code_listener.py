"""The listener of Pipelines as Code on a cluster: where it is, and who may reach it."""

from __future__ import annotations

from typing import Any, Final

from components.gateway_config import Listener
from releases.pipelines_as_code import CONTROLLER

PORT: Final = 8080
"""Of its Service, which has the name of the controller."""

POD_PORT: Final = 8082
"""Of its pods, where policies see it."""

_PODS: Final = {"app.kubernetes.io/name": "controller", "app.kubernetes.io/part-of": "pipelines-as-code"}


def local_listener(namespace: str) -> Listener:
    """Tell where the listener is for pods of its own cluster.

    Parameters
    ----------
    namespace
        Namespace of Pipelines as Code.
    """
    # In full: HAProxy looks names up without a domain to search.
    return Listener(host=f"{CONTROLLER}.{namespace}.svc.cluster.local", port=PORT)


def to_listener(namespace: str) -> dict[str, Any]:
    """Make the rule of egress that leads to the listener.

    Parameters
    ----------
    namespace
        Namespace of Pipelines as Code.
    """
    return {
        "to": [
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "podSelector": {"matchLabels": _PODS},
            }
        ],
        # Some networks hold policies against the Service's port, some against the pods'.
        "ports": [{"port": port, "protocol": "TCP"} for port in (PORT, POD_PORT)],
    }
