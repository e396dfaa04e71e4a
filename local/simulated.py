"""Simulated nodes: KWOK moves pods through their states, but nothing executes."""

from __future__ import annotations

import yaml

from local.cluster import Cluster, node_ready
from local.errors import LocalError
from local.processes import assert_running, start, wait_until
from local.toolchain.catalog import KWOK

_READY_SECONDS = 60.0


def start_simulated_node(cluster: Cluster) -> bool:
    """Register one node and start KWOK to play it; returns whether KWOK was started."""
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": cluster.name, "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "status": {
            "allocatable": {"cpu": "32", "memory": "256Gi", "pods": "500"},
            "capacity": {"cpu": "32", "memory": "256Gi", "pods": "500"},
        },
    }
    manager = "--field-manager=pipeline-service-local"
    cluster.kubectl("apply", "--server-side", manager, "--filename=-", stdin=yaml.safe_dump(node))
    program = str(cluster.toolchain.program(KWOK, "kwok"))
    command = (
        program,
        f"--kubeconfig={cluster.kubeconfig}",
        "--manage-all-nodes=true",
        # Status alone is renewed too seldom for the controller manager, which then takes the node for dead.
        "--node-lease-duration-seconds=40",
        "--server-address=",
    )
    daemon = cluster.daemon("kwok", command)
    started = start(daemon)
    if not wait_until(lambda: node_ready(cluster), seconds=_READY_SECONDS):
        assert_running(daemon)
        raise LocalError(
            f"{cluster.name}: the simulated node is not Ready after {_READY_SECONDS:.0f} s: see {daemon.log}"
        )
    return started
