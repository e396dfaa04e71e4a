"""What the pods of a tenant may reach, and who may reach them: a NetworkPolicy as a plain manifest."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.kubernetes_object import Manifest

WORKSPACE_DIGEST: Final = "pipeline-service/workspace-digest"
"""Label of a tenant's namespaces: two stacks may each have a tenant of one name on the same cluster."""

METADATA: Final = (
    # All that is link-local. There credentials lie at .169.254 (most clouds), .170.2 and .170.23 (AWS, for
    # containers), .0.23 (Tencent), .42.42 (Scaleway) and, on GKE without Dataplane V2, at .169.252, to which
    # the node turns a packet for .169.254 before it asks the policies.
    ipaddress.ip_network("169.254.0.0/16"),
    ipaddress.ip_network("fe80::/10"),
    ipaddress.ip_network("100.100.100.200/32"),  # Alibaba
    ipaddress.ip_network("168.63.129.16/32"),  # Azure's WireServer, which hands out settings of the node
    ipaddress.ip_network("fd00:ec2::23/128"),  # AWS, for containers
    ipaddress.ip_network("fd00:ec2::254/128"),  # AWS
    ipaddress.ip_network("fd20:ce::254/128"),  # Google
    ipaddress.ip_network("fd00:c1::a9fe:a9fe/128"),  # Oracle
    ipaddress.ip_network("fd00:42::42/128"),  # Scaleway
)
"""Where clouds hand out credentials of the node, or of a workload, to whoever asks."""

EVERYWHERE: Final = ("0.0.0.0/0", "::/0")
_TLS_PORTS: Final = (443, 6443)
_DNS_NAMESPACES: Final = ("kube-system", "openshift-dns")
_DNS_ADDRESSES: Final = ("169.254.0.0/16", "168.63.129.16/32")
"""Resolvers that are in no namespace: caches on the node (169.254.20.10, on Azure 169.254.10.10), Google's
Cloud DNS (port 53 of 169.254.169.254), and Azure's."""

_DNS_PORTS: Final = (53, 5353)
"""5353 is the port of OpenShift's DNS pods, to which its Service leads port 53."""

DNS: Final[dict[str, Any]] = {
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
        *({"ipBlock": {"cidr": address}} for address in _DNS_ADDRESSES),
    ],
    "ports": [{"port": port, "protocol": protocol} for port in _DNS_PORTS for protocol in ("UDP", "TCP")],
}
"""A rule of egress: the cluster's DNS."""


@dataclass(frozen=True, kw_only=True)
class TenantNetwork:
    """What the pods of a tenant may reach beside each other and DNS.

    Attributes
    ----------
    egress
        Networks, of which `is_metadata` holds for none; None for everything. What is in `METADATA` is left
        out in any case.
    """

    egress: tuple[str, ...] | None = None


def is_metadata(network: str) -> bool:
    """Tell whether all of a network is what no tenant may reach.

    Parameters
    ----------
    network
        The network, as `192.0.2.0/24`.
    """
    whole = ipaddress.ip_network(network)
    return any(
        one.version == whole.version and whole.network_address in one and whole.prefixlen >= one.prefixlen
        for one in METADATA
    )


def network_policy(
    namespace: str, own: Mapping[str, str], network: TenantNetwork, labels: Mapping[str, str]
) -> Manifest:
    """Make the policy for all pods of a tenant's namespace.

    Parameters
    ----------
    namespace
        Name of the namespace on the cluster.
    own
        Labels that all namespaces of the tenant on the cluster have, and no others.
    network
        What its pods may reach.
    labels
        Labels of the policy.
    """
    us = {"namespaceSelector": {"matchLabels": dict(own)}}
    networks = EVERYWHERE if network.egress is None else network.egress
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "tenant", "namespace": namespace, "labels": dict(labels)},
        "spec": {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [us]}],
            # A rule of its own for the tenant's pods: some networks don't count pods to any address block.
            "egress": [{"to": [us]}, DNS, *outside(networks)],
        },
    }


def outside(networks: Sequence[str], left_out: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Make the rules of egress to networks.

    Parameters
    ----------
    networks
        The networks.
    left_out
        Networks that are not reached, even where they lie in those, beside what is in `METADATA`.

    Returns
    -------
    list of dict
        One rule, or none without any network: a rule without any would be one for everything.
    """
    return [{"to": [_block(network, left_out) for network in networks]}] if networks else []


def anywhere(blocked: Sequence[str]) -> list[dict[str, Any]]:
    """Make the rules of egress of what fetches from wherever tenants tell it to.

    It needs DNS, the API server, and Git hosts and registries wherever these are. It does not get to the
    metadata service of a cloud, which hands out the node's credentials to whoever asks.

    Parameters
    ----------
    blocked
        Further networks that are never reached.
    """
    rules = [DNS, *outside(EVERYWHERE, blocked)]
    if not blocked:
        # Some networks (Cilium) count neither pods nor the API server to any address block. By its ports the
        # API server is reached there too; metadata services answer on port 80.
        rules.append({"ports": [{"port": port, "protocol": "TCP"} for port in _TLS_PORTS]})
    return rules


def _block(network: str, left_out: Sequence[str]) -> dict[str, Any]:
    whole = ipaddress.ip_network(network)
    closed = (*METADATA, *map(ipaddress.ip_network, left_out))
    inside = [str(one) for one in closed if one.version == whole.version and one.network_address in whole]
    return {"ipBlock": {"cidr": network, **({"except": inside} if inside else {})}}
