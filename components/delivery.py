"""How what runs on a compute cluster gets there: by this program, or by the cluster's Argo CD.

Why it is done this way, and what was tried: docs/adr/0010-delivery.md.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from components.names import (
    EVENTS_NAMESPACE,
    GATEWAY_NAMESPACE,
    OPERATOR_NAMESPACE,
    RESULTS_NAMESPACE,
    RETENTION_NAMESPACE,
    SYNCER_NAMESPACE,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

ARGO_MANAGER: Final = "argocd-controller"
"""Field manager of what Argo CD applies on the server's side (its default)."""

ARGO_PREFIX: Final = "argocd.argoproj.io/"
"""Beginning of the labels and annotations that are Argo CD's."""

SYNC_WAVE: Final = f"{ARGO_PREFIX}sync-wave"
SYNC_OPTIONS: Final = f"{ARGO_PREFIX}sync-options"

_BOOTSTRAP_NAMESPACES: Final = (
    OPERATOR_NAMESPACE,
    SYNCER_NAMESPACE,
    RETENTION_NAMESPACE,
    GATEWAY_NAMESPACE,
    EVENTS_NAMESPACE,
    RESULTS_NAMESPACE,
)
"""They hold Secrets or records of this program, which has to put them there."""


class Delivery(StrEnum):
    """Who applies what runs on a compute cluster."""

    DIRECT = "direct"
    HANDOVER = "handover"
    GITOPS = "gitops"


def is_bootstrap(manifest: Mapping[str, Any]) -> bool:
    """Tell whether an object is always this program's: Secrets, and the namespaces it needs for itself.

    Parameters
    ----------
    manifest
        An object on a compute cluster.
    """
    kind = manifest["kind"]
    if kind == "Namespace":
        return manifest["metadata"]["name"] in _BOOTSTRAP_NAMESPACES
    return bool(kind == "Secret")


def ignore_differences() -> list[dict[str, Any]]:
    """List, for an Application of Argo CD, what controllers fill in of the objects that are rendered.

    They all stand in the releases with an empty value, or none, and are written while they run. With them,
    the Application's sync options must include `ServerSideApply=true` and `RespectIgnoreDifferences=true`.
    """
    return [
        # Knative's webhook (Tekton's) writes its certificate and narrows the rules it is called by.
        *(
            {
                "group": "admissionregistration.k8s.io",
                "kind": kind,
                "jqPathExpressions": [
                    ".webhooks[]?.clientConfig.caBundle",
                    ".webhooks[]?.rules",
                    ".webhooks[]?.namespaceSelector",
                ],
            }
            for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
        ),
        {
            "group": "apiextensions.k8s.io",
            "kind": "CustomResourceDefinition",
            "jqPathExpressions": [".spec.conversion.webhook.clientConfig.caBundle"],
        },
        # The controller manager sums up what the parts of such a role allow.
        {
            "group": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "jqPathExpressions": ["select(.aggregationRule != null) | .rules"],
        },
    ]
