"""What Tekton's resolvers may reach: a NetworkPolicy as a plain manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from components.names import labels
from components.tenant_network import anywhere

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.kubernetes_object import Manifest

RESOLVERS_NAMESPACE: Final = "tekton-pipelines-resolvers"


def resolvers_policy(blocked: Sequence[str], namespace: str = RESOLVERS_NAMESPACE) -> Manifest:
    """Make the policy for the pods of Tekton's remote resolvers, which fetch what tenants tell them to.

    Tenants' pods take nothing from them: tenants' own policies let in each tenant's own pods alone.

    Parameters
    ----------
    blocked
        Further networks that they never reach.
    namespace
        Where their pods are; by default where Tekton's release has them.
    """
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "resolvers", "namespace": namespace, "labels": labels("tekton")},
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/component": "resolvers"}},
            "policyTypes": ["Egress"],
            "egress": anywhere(blocked),
        },
    }
