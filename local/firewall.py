"""The firewall of a compute cluster: kube-router enforces NetworkPolicies, which no CNI plugin in use does.

Of kube-router only this part runs. It writes packet rules and IP sets of the cluster's network namespace, and
both go away with it.
"""

from __future__ import annotations

from typing import Any

from local.cluster import Cluster
from local.commands import run
from local.errors import LocalError
from local.pki import Identity
from local.processes import assert_running, current, start, wait_until
from local.toolchain.catalog import KUBE_ROUTER

_USER = "kube-router"
_CHAIN = "KUBE-ROUTER-FORWARD"
"""Chain of all packets between pods; kube-router makes it before it says anything else."""
_READY_SECONDS = 60.0


def access() -> list[dict[str, Any]]:
    """Return what kube-router's certificate may do, as Kubernetes objects.

    It waits for all its informers, also those that the firewall alone makes no use of (v2.1.0, `Run` in
    `pkg/cmd/kube-router.go`), and reads its own node. What its published role has beyond this belongs to the
    parts that don't run.
    """
    metadata = {"name": "pipeline-service-local:kube-router"}
    group = "rbac.authorization.k8s.io"
    watch = ["list", "watch"]
    return [
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRole",
            "metadata": metadata,
            "rules": [
                {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
                {
                    "apiGroups": [""],
                    "resources": ["endpoints", "namespaces", "nodes", "pods", "services"],
                    "verbs": watch,
                },
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": watch},
                {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": watch},
            ],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": metadata["name"]},
            "subjects": [{"apiGroup": group, "kind": "User", "name": _USER}],
        },
    ]


def start_firewall(cluster: Cluster) -> bool:
    """Start kube-router's firewall where it doesn't run; wait until its rules are in place.

    Parameters
    ----------
    cluster
        A cluster whose node is registered, for kube-router reads the node's addresses once.

    Returns
    -------
    bool
        Whether it was started.
    """
    cluster.apply(access())
    credential = cluster.component_kubeconfig("kube-router", Identity(common_name=_USER))
    command = (
        str(cluster.toolchain.program(KUBE_ROUTER, "kube-router")),
        f"--kubeconfig={credential}",
        f"--hostname-override={cluster.name}",
        f"--service-cluster-ip-range={cluster.service_range}",
        "--run-firewall=true",
        "--run-router=false",
        "--run-service-proxy=false",
        "--run-loadbalancer=false",
        "--health-port=0",
    )
    daemon = cluster.daemon("kube-router", command, inputs=(credential,))
    started = start(daemon)

    def in_place() -> bool:
        return current(daemon) is not None and _chain_exists(cluster)

    if not wait_until(in_place, seconds=_READY_SECONDS):
        assert_running(daemon)
        raise LocalError(
            f"{cluster.name}: no NetworkPolicy is enforced after {_READY_SECONDS:.0f} s: see {daemon.log}"
        )
    return started


def _chain_exists(cluster: Cluster) -> bool:
    command = ("iptables", "--wait", "--list-rules", _CHAIN)
    try:
        run(cluster.host.enter(*command) if cluster.host else command, what=f"{cluster.name}: packet rules")
    except LocalError:
        return False
    return True
