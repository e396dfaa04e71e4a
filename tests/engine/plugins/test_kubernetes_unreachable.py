"""API servers that cannot be talked to, and providers that change."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.on_demand import STAND_INS
from tests.support.ports import free_port
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engine.plugins.conftest import KubernetesProject

pytestmark = STAND_INS

TWO_CLUSTERS = """
other = k8s.Provider("other", kubeconfig=values["other"], cluster_identifier="other",
    **values.get("other_flags", {}))
for name, provider in {"here": cluster, "there": other}.items():
    k8s.core.v1.ConfigMap(name, metadata={"name": name, "namespace": values["namespace"],
        "labels": values.get("labels", {})}, opts=pulumi.ResourceOptions(provider=provider))
"""


@contextlib.contextmanager
def dead_server(kind: str) -> Iterator[str]:
    """Yield the URL of a server that refuses connections, or takes them and never answers."""
    if kind == "refuses":
        yield f"https://127.0.0.1:{free_port()}"
        return
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        yield f"https://127.0.0.1:{silent.getsockname()[1]}"


def moved(kubeconfig: str, server: str) -> str:
    """Return a kubeconfig with another server."""
    document = json.loads(kubeconfig)
    document["clusters"][0]["cluster"]["server"] = server
    return json.dumps(document)


@pytest.mark.parametrize("kind", ["refuses", "swallows"])
def test_unreachable_cluster_is_left_as_it_is_while_the_others_go_on(
    kube: KubernetesProject, kind: str
) -> None:
    kube.write(TWO_CLUSTERS, other=kube.kubeconfig)
    kube.project.up()
    before = kube.project.state("there")
    with dead_server(kind) as server:
        dead = moved(kube.kubeconfig, server)
        started = time.monotonic()
        kube.set(other=dead, other_flags={"skip_update_unreachable": True}, labels={"a": "1"})
        output = kube.project.up()
        assert time.monotonic() - started < 120
        assert "skipUpdateUnreachable" in output
        assert kube.plane.get(kube.path("configmaps", "here"))["metadata"]["labels"] == {"a": "1"}
        assert kube.project.state("there")["outputs"] == before["outputs"]
        kube.project.run("refresh", "--yes", "--skip-preview")
        assert kube.project.state("there")["outputs"] == before["outputs"]
    kube.set(other=kube.kubeconfig, labels={"a": "1"})
    kube.project.up()
    assert kube.plane.get(kube.path("configmaps", "there"))["metadata"]["labels"] == {"a": "1"}


def test_unreachable_cluster_fails_clearly_where_nothing_else_is_said(kube: KubernetesProject) -> None:
    kube.write(TWO_CLUSTERS, other=kube.kubeconfig)
    kube.project.up()
    with dead_server("refuses") as server:
        kube.set(other=moved(kube.kubeconfig, server), labels={"a": "1"})
        assert kube.project.changes()["there"] == "update"  # a preview does without the API server
        error = kube.project.up("--continue-on-error", fails=True)
    assert "configured Kubernetes cluster is unreachable" in error
    assert server in error
    assert kube.plane.get(kube.path("configmaps", "here"))["metadata"]["labels"] == {"a": "1"}


def test_lost_cluster_can_be_dropped_from_the_state(kube: KubernetesProject) -> None:
    kube.write(TWO_CLUSTERS, other=kube.kubeconfig)
    kube.project.up()
    with dead_server("refuses") as server:
        flags = {"delete_unreachable": True, "skip_update_unreachable": True}
        kube.set(other=moved(kube.kubeconfig, server), other_flags=flags)
        kube.project.up()  # stores the flag
        kube.project.destroy()
    assert kube.project.names() == set()
    assert kube.plane.exists(kube.path("configmaps", "there"))


def test_api_server_that_is_just_starting_is_waited_for(kube: KubernetesProject) -> None:
    port = free_port()
    target = kube.plane.server.removeprefix("https://").split(":")
    kube.write(TWO_CLUSTERS, other=moved(kube.kubeconfig, f"https://127.0.0.1:{port}"))
    process = kube.project.start("up", "--yes", "--skip-preview")
    until(lambda: kube.plane.exists(kube.path("configmaps", "here")), "created where there is a server")
    time.sleep(3)
    with forwarder(port, (target[0], int(target[1]))):
        output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    assert kube.plane.exists(kube.path("configmaps", "there"))


@contextlib.contextmanager
def forwarder(port: int, target: tuple[str, int]) -> Iterator[None]:
    """Forward connections to a port on loopback, as a server does that has just come up."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def accept(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = listener.accept()[0]
                upstream = socket.create_connection(target)
                for pair in ((client, upstream), (upstream, client)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", port)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield


PINNED = """
k8s.core.v1.ConfigMap("config", metadata={"name": "config", "namespace": values["namespace"]}, opts=options)
"""


def test_changed_server_url_replaces_nothing_while_the_cluster_identifier_stays(
    kube: KubernetesProject,
) -> None:
    kube.write(PINNED)
    kube.project.up()
    kube.kubeconfig = moved(kube.kubeconfig, kube.plane.server.replace("127.0.0.1", "localhost"))
    kube.set()
    assert kube.project.changes() == {"cluster": "update"}


def test_changed_cluster_identifier_replaces_all_that_the_provider_manages(kube: KubernetesProject) -> None:
    kube.write(PINNED)
    kube.project.up()
    kube.set(identifier="another")
    assert set(kube.project.changes()) == {"cluster", "config"}
    assert "replace" in kube.project.changes()["config"]


def test_credential_that_is_not_accepted_is_named(kube: KubernetesProject) -> None:
    document = json.loads(kube.kubeconfig)
    document["users"][0]["user"] = {"token": "not-a-token-at-all"}
    kube.kubeconfig = json.dumps(document)
    kube.write(PINNED)
    error = kube.project.up(fails=True)
    assert "does not accept the kubeconfig's credential" in error
    assert "not-a-token-at-all" not in error


def test_missing_right_is_told_as_the_api_server_tells_it(kube: KubernetesProject) -> None:
    kube.kubeconfig = kube.plane.kubeconfig("eve", ["nobody"])
    kube.write(PINNED)
    assert kube.project.changes()["config"] == "create"  # a preview needs no rights
    error = kube.project.up(fails=True)
    assert 'User "eve" cannot create resource "configmaps"' in error
