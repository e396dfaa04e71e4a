"""A cluster's network obeys NetworkPolicies, and goes on to when what enforces them has died."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from releases.catalog import PYTHON_IMAGE
from tests.support.live import daemon_process, kubectl, local

CLUSTER = "local-a"
NAMESPACES = ("probe-a", "probe-b")
OWN_PODS_ONLY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "own-pods-only", "namespace": "probe-a"},
    "spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]},
}
ASK = """\
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=3)
except urllib.error.URLError as error:
    sys.exit(f"refused: {error}")
print("answered")
"""


def _pod(name: str, namespace: str, *command: str) -> dict[str, object]:
    container = {
        "name": "main",
        "image": PYTHON_IMAGE,
        "command": ["python3", *command],
        "securityContext": {
            "runAsUser": 65532,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    if name == "server":
        container["readinessProbe"] = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _apply(*objects: Mapping[str, object]) -> None:
    manifest = {"apiVersion": "v1", "kind": "List", "items": objects}
    kubectl(CLUSTER, "apply", "--filename=-", stdin=json.dumps(manifest))


@pytest.fixture(scope="module", autouse=True)
def _pods() -> Iterator[None]:
    """A server behind a Service in one namespace, and a client in each; nothing is forbidden yet."""
    try:
        for namespace in NAMESPACES:
            _apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
            account = ("serviceaccount/default", f"--namespace={namespace}")
            kubectl(CLUSTER, "wait", "--for=create", *account, "--timeout=60s")
            _apply(_pod("client", namespace, "-c", "import time; time.sleep(3600)"))
        _apply(
            _pod("server", "probe-a", "-m", "http.server", "8080", "--directory=/usr/share"),
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "server", "namespace": "probe-a"},
                "spec": {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]},
            },
        )
        for namespace in NAMESPACES:
            kubectl(
                CLUSTER,
                "wait",
                "pods",
                "--all",
                f"--namespace={namespace}",
                "--for=condition=Ready",
                "--timeout=180s",
            )
        yield
    finally:
        kubectl(CLUSTER, "delete", "namespace", *NAMESPACES, "--ignore-not-found")


def _answered(namespace: str, url: str) -> bool:
    """Return whether the client in a namespace gets an answer; an error that is neither shows itself."""
    client = ("exec", "client", f"--namespace={namespace}", "--", "python3", "-c", ASK, url)
    done = kubectl(CLUSTER, *client, check=False)
    assert done.out == "answered\n" or "refused: " in done.err, done
    return done.out == "answered\n"


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
    return True


def _urls() -> tuple[str, str]:
    """Return the server's address by its Service's name and by its pod's address."""
    path = "--output=jsonpath={.status.podIP}"
    address = kubectl(CLUSTER, "get", "pod", "server", "--namespace=probe-a", path).out
    return "http://server.probe-a.svc.cluster.local/", f"http://{address}:8080/"


def test_without_a_policy_every_pod_reaches_every_other() -> None:
    by_name, by_address = _urls()
    assert _within(60, lambda: _answered("probe-a", by_name))  # a Service knows its pods a moment later
    assert _within(60, lambda: _answered("probe-b", by_name))
    assert _answered("probe-a", by_address)
    assert _answered("probe-b", by_address)


def test_a_policy_keeps_another_namespaces_pods_out_and_lets_its_own_in() -> None:
    by_name, by_address = _urls()
    _apply(OWN_PODS_ONLY)
    assert _within(60, lambda: not _answered("probe-b", by_address))
    assert not _answered("probe-b", by_name)
    assert _within(60, lambda: _answered("probe-a", by_name))
    assert _answered("probe-a", by_address)


def test_the_policy_stays_in_force_while_the_firewall_is_dead_and_after_its_repair() -> None:
    by_name, by_address = _urls()
    os.kill(daemon_process(f"{CLUSTER}/kube-router"), signal.SIGKILL)
    assert not _answered("probe-b", by_address)
    assert local("status", check=False).status == 1
    local("up")
    local("status")
    assert not _answered("probe-b", by_address)
    assert _within(60, lambda: _answered("probe-a", by_name))


def test_the_firewalls_credential_is_no_administrators() -> None:
    def may(verb: str, resource: str) -> str:
        arguments = ("auth", "can-i", verb, resource, "--as=kube-router", "--all-namespaces")
        return kubectl(CLUSTER, *arguments, check=False).out.strip()

    assert may("watch", "networkpolicies.networking.k8s.io") == "yes"
    assert [may("list", "secrets"), may("create", "pods"), may("update", "nodes")] == ["no"] * 3


def test_pythons_standard_library_works_as_an_unprivileged_user_on_a_read_only_root() -> None:
    authorities = "len(ssl.create_default_context().get_ca_certs())"
    program = f"import json, os, ssl, urllib.request; print(os.getuid(), {authorities})"
    command = ("exec", "client", "--namespace=probe-a", "--", "python3", "-c", program)
    user, trusted = kubectl(CLUSTER, *command).out.split()
    assert user == "65532"
    assert int(trusted) > 50
    assert "Read-only" in kubectl(CLUSTER, *command[:-1], "open('/x', 'w')", check=False).err
