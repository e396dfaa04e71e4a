"""What the pods of a tenant may reach, and who may reach them: a NetworkPolicy as a plain manifest."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.kubernetes_object import Manifest

METADATA: Final = (ipaddress.ip_network("169.254.169.254/32"), ipaddress.ip_network("fd00:ec2::254/128"))
"""Where clouds hand out credentials of the node to whoever asks."""

_EVERYWHERE: Final = ("0.0.0.0/0", "::/0")
_DNS_NAMESPACES: Final = ("kube-system", "openshift-dns")
_DNS_CACHE: Final = "169.254.20.10/32"
"""Address of Kubernetes' DNS cache on each node, which is in no namespace."""

_DNS_PORTS: Final = (53, 5353)
"""5353 is the port of OpenShift's DNS pods, to which its Service leads port 53."""


@dataclass(frozen=True, kw_only=True)
class TenantNetwork:
    """What the pods of a tenant may reach beside each other and DNS.

    Attributes
    ----------
    egress
        Networks; None for everything. The metadata service of a cloud is left out in any case.
    """

    egress: tuple[str, ...] | None = None


def network_policy(
    namespace: str, tenant: str, network: TenantNetwork, labels: Mapping[str, str]
) -> Manifest:
    """Make the policy for all pods of a tenant's namespace.

    Parameters
    ----------
    namespace
        Name of the namespace on the cluster.
    tenant
        Name of the tenant.
    network
        What its pods may reach.
    labels
        Labels of the policy.
    """
    own = {"namespaceSelector": {"matchLabels": {"pipeline-service/tenant": tenant}}}
    dns = {
        "to": [
            {
                "namespaceSelector": {
                    "matchExpressions": [
                        {
                            "key": "kubernetes.io/metadata.name",
                            "operator": "In",
                            "values": list(_DNS_NAMESPACES),
                        }
                    ]
                }
            },
            {"ipBlock": {"cidr": _DNS_CACHE}},
        ],
        "ports": [{"port": port, "protocol": protocol} for port in _DNS_PORTS for protocol in ("UDP", "TCP")],
    }
    networks = _EVERYWHERE if network.egress is None else network.egress
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "tenant", "namespace": namespace, "labels": dict(labels)},
        "spec": {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [own]}],
            # A rule of its own for the tenant's pods: some networks don't count pods to any address block.
            "egress": [{"to": [own]}, dns, *_outside(networks)],
        },
    }


def _outside(networks: Sequence[str]) -> list[dict[str, Any]]:
    return [{"to": [_block(network) for network in networks]}] if networks else []


def _block(network: str) -> dict[str, Any]:
    whole = ipaddress.ip_network(network)
    inside = [str(one) for one in METADATA if one.version == whole.version and one.network_address in whole]
    return {"ipBlock": {"cidr": network, **({"except": inside} if inside else {})}}
