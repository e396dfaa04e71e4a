"""Simulated nodes: KWOK moves pods through their states, but nothing executes.

One pod's work is needed all the same: without a syncer no tenant ever gets the API that it binds. So each
cluster's syncer runs as a process here, as its Deployment says.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from components.names import SYNCER_NAMESPACE
from local.cluster import Cluster, node_ready
from local.errors import LocalError
from local.pki import kubeconfig
from local.processes import assert_running, current, start, stop_named, wait_until
from local.toolchain.catalog import API_SYNCAGENT, KWOK
from releases.files import write_atomic

SYNCER = "syncer"
"""Name of the syncer among a cluster's daemons."""

_READY_SECONDS = 60.0
_POLL_SECONDS = 2.0
_TOKEN_HOURS = 24 * 365


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
    cluster.apply([node])
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


@contextlib.contextmanager
def syncers_run(clusters: Sequence[Cluster]) -> Iterator[None]:
    """Keep each cluster's syncer running as its Deployment says, from the moment that it is deployed.

    The processes outlive this: they are daemons of the environment.

    Raises
    ------
    LocalError
        A syncer that was deployed does not run at the end.
    """
    ended = threading.Event()
    failures: dict[str, LocalError] = {}

    def attend() -> None:
        while True:
            last = ended.is_set()
            for cluster in clusters:
                try:
                    start_syncer(cluster)
                    failures.pop(cluster.name, None)
                except LocalError as error:  # its parts come one by one; what counts is how it ends
                    failures[cluster.name] = error
            if last:
                return
            ended.wait(_POLL_SECONDS)

    thread = threading.Thread(target=attend, name="syncers")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if failures:
        raise LocalError("\n".join(str(error) for error in failures.values()))


def start_syncer(cluster: Cluster) -> None:
    """Start a cluster's syncer as its Deployment says; without a Deployment, none runs."""
    namespace = f"--namespace={SYNCER_NAMESPACE}"
    listed = cluster.kubectl("get", "deployments", namespace, "--output=json")
    deployments = json.loads(listed)["items"]
    if not deployments:
        # Its account went too, and with it the token that a process from before would hold.
        stop_named(cluster.owner, f"{cluster.name}/{SYNCER}")
        return
    (deployment,) = deployments
    pod = deployment["spec"]["template"]["spec"]
    arguments = dict(argument.partition("=")[::2] for argument in pod["containers"][0]["args"])
    (volume,) = pod["volumes"]
    name = volume["secret"]["secretName"]
    secret = json.loads(cluster.kubectl("get", "secret", name, namespace, "--output=json"))
    encoded = secret["data"][PurePosixPath(arguments["--kcp-kubeconfig"]).name]
    kcp = cluster.folder / "syncer-kcp.kubeconfig"
    write_atomic(kcp, base64.b64decode(encoded).decode(), mode=0o600)
    own = cluster.folder / "syncer.kubeconfig"
    arguments |= {
        "--kcp-kubeconfig": str(kcp),
        "--kubeconfig": str(own),
        # All clusters share one loopback, and nobody asks for these figures.
        "--metrics-address": "0",
    }
    flags = (f"{flag}={value}" if value else flag for flag, value in arguments.items())
    program = str(cluster.toolchain.program(API_SYNCAGENT, "api-syncagent"))
    daemon = cluster.daemon(SYNCER, (program, *flags), inputs=(kcp,))
    if current(daemon) is not None:
        return
    account = pod["serviceAccountName"]
    token = cluster.kubectl("create", "token", account, namespace, f"--duration={_TOKEN_HOURS}h").strip()
    authority = cluster.authority().pair.certificate.read_bytes()
    content = kubeconfig(
        server=cluster.server, authority=authority, user=account, credential={"token": token}
    )
    write_atomic(own, content, mode=0o600)
    start(daemon)
