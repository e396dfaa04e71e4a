"""What Tekton's resolvers may reach: a NetworkPolicy as a plain manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from components.names import labels
from components.tenant_network import DNS, outside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.kubernetes_object import Manifest

RESOLVERS_NAMESPACE: Final = "tekton-pipelines-resolvers"

_EVERYWHERE: Final = ("0.0.0.0/0", "::/0")
_TLS_PORTS: Final = (443, 6443)


def resolvers_policy(blocked: Sequence[str], namespace: str = RESOLVERS_NAMESPACE) -> Manifest:
    """Make the policy for the pods of Tekton's remote resolvers, which fetch what tenants tell them to.

    They need DNS, the API server, and Git hosts and registries wherever these are. They get no further than
    that to a cloud's metadata service, which hands out the node's credentials to whoever asks. Tenants' pods
    take nothing from them: tenants' own policies let in each tenant's own pods alone.

    Parameters
    ----------
    blocked
        Further networks that they never reach.
    namespace
        Where their pods are; by default where Tekton's release has them.
    """
    rules: list[dict[str, Any]] = [DNS, *outside(_EVERYWHERE, blocked)]
    if not blocked:
        # Some networks (Cilium) count neither pods nor the API server to any address block. By its ports the
        # API server is reached there too; metadata services answer on port 80.
        rules.append({"ports": [{"port": port, "protocol": "TCP"} for port in _TLS_PORTS]})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "resolvers", "namespace": namespace, "labels": labels("tekton")},
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/component": "resolvers"}},
            "policyTypes": ["Egress"],
            "egress": rules,
        },
    }
