"""Pipelines as Code in its cluster's network: where its listener is, who reaches it, and whom it reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from components.gateway_config import Listener
from components.names import TENANT, labels
from components.tenant_network import anywhere
from releases.pipelines_as_code import CONTROLLER, NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.kubernetes_object import Manifest

PORT: Final = 8080
"""Of its Service, which has the name of the controller."""

POD_PORT: Final = 8082
"""Of its pods, where policies see it."""

_PARTS: Final = {"app.kubernetes.io/part-of": "pipelines-as-code"}
_PODS: Final = {"app.kubernetes.io/name": "controller", **_PARTS}
"""Labels of all its pods, and of its listener's."""


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


def network_policies(blocked: Sequence[str], namespace: str = NAMESPACE) -> list[Manifest]:
    """Make the policies of its pods: whom they reach, and who reaches the listener.

    The listener and the watcher speak to the API that a Repository names, with the cluster's own addresses
    within reach, and the listener fetches what a pipeline in Git names; so neither gets to a cloud's metadata
    service. Events come by the gateway: no tenant's pod reaches the listener past it.

    Parameters
    ----------
    blocked
        Further networks that they never reach.
    namespace
        Namespace of Pipelines as Code.
    """
    return [
        _policy(
            "pipelines-as-code",
            namespace,
            {
                "podSelector": {
                    "matchExpressions": [
                        {
                            "key": "app.kubernetes.io/name",
                            "operator": "In",
                            "values": ["controller", "watcher"],
                        }
                    ],
                    "matchLabels": _PARTS,
                },
                "policyTypes": ["Egress"],
                "egress": anywhere(blocked),
            },
        ),
        _policy(
            "pipelines-as-code-listener",
            namespace,
            {
                "podSelector": {"matchLabels": _PODS},
                "policyTypes": ["Ingress"],
                "ingress": [
                    {
                        "from": [
                            {
                                "namespaceSelector": {
                                    "matchExpressions": [{"key": TENANT, "operator": "DoesNotExist"}]
                                }
                            }
                        ]
                    }
                ],
            },
        ),
    ]


def _policy(name: str, namespace: str, spec: dict[str, Any]) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace, "labels": labels("pipelines-as-code")},
        "spec": spec,
    }
