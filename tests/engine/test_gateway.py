"""What the gateway is made of, as a real API server takes it: all fields known, its pods `restricted`."""

from __future__ import annotations

import base64
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from components.events_listener_manifests import EventsFront, listener_objects
from components.exposure import EventsExposure, Exposure
from components.gateway_config import Listener, Routing, TenantRoute
from components.gateway_manifests import Certificate, Front, GatewaySecrets, gateway_objects
from components.haproxy_pods import HaproxyPods
from components.names import EVENTS_NAMESPACE, GATEWAY_NAMESPACE
from operations.gateway_certificates import make_bundle
from stacks.mutual_tls import read_bundle
from tests.support.apiserver import control_plane, require_binaries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLACE = "pipelines-as-code"
PODS = HaproxyPods(image="docker.io/library/haproxy:2.6", replicas=2, user=65532, pull_secret="e30=")
ROUTING = Routing(
    listeners={
        "a": Listener(host="10.0.0.1", port=8080),
        "b": Listener(host="b.example.com", port=443, remote=True),
    },
    tenants={"team": TenantRoute(cluster="a", repositories=("git.example.com/team/app",))},
    body_limit=2 * 1024 * 1024,
    events_per_source=100,
    events_per_repository=100,
    tls=True,
    signed=True,
)
SECRETS = GatewaySecrets(mutual_tls={"ca.pem": "eA==", "gateway.pem": "eA=="}, webhook_secret="eA==")


def _pem() -> tuple[str, str]:
    """Make a certificate and its key, in base64."""
    end = "-----END CERTIFICATE-----\n"
    certificate, key = read_bundle(make_bundle()).listener.split(end)
    made, private = (base64.b64encode(text.encode()).decode() for text in (certificate + end, key))
    return made, private


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    require_binaries("kubectl")
    folder = tmp_path_factory.mktemp("cluster")
    with control_plane(folder) as server:
        (folder / "kubeconfig").write_text(server.kubeconfig())
        yield ["kubectl", f"--kubeconfig={folder / 'kubeconfig'}"]


def apply(kubectl: list[str], objects: dict[str, Any], folder: Path) -> str:
    """Apply as strictly as kubectl can; return what it warns of."""
    folder.mkdir(exist_ok=True)
    file = folder / "objects.yaml"
    file.write_text(yaml.safe_dump_all(objects.values()))
    command = [
        *kubectl,
        "apply",
        "--server-side",
        "--force-conflicts",
        "--validate=strict",
        f"--filename={file}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    "exposure", [Exposure.SERVICE, Exposure.NODE_PORT, Exposure.CLUSTER_IP, Exposure.INGRESS]
)
def test_a_gateway_is_taken_without_a_warning(exposure: Exposure, kubectl: list[str], tmp_path: Path) -> None:
    front = Front(
        host="events.example.com",
        exposure=exposure,
        node_port=30080 if exposure is Exposure.NODE_PORT else None,
        certificate=Certificate(pem=_pem()),
    )
    objects = gateway_objects(ROUTING, front, PODS, SECRETS, listener_namespace=PLACE)
    assert apply(kubectl, objects, tmp_path / "first") == ""
    # Its pods, too, are of the level that the namespace enforces.
    pod = objects["gateway-deployment"]["spec"]["template"]
    meta = {"name": f"pod-{exposure.lower()}", "namespace": GATEWAY_NAMESPACE}
    one = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod["spec"]}
    assert apply(kubectl, {"pod": one}, tmp_path / "pod") == ""


@pytest.mark.parametrize("exposure", [EventsExposure.SERVICE, EventsExposure.NODE_PORT])
def test_an_events_listener_is_taken_without_a_warning(
    exposure: EventsExposure, kubectl: list[str], tmp_path: Path
) -> None:
    node_port = 30443 if exposure is EventsExposure.NODE_PORT else None
    front = EventsFront(host="b.example.com", port=443, exposure=exposure, node_port=node_port)
    certificates = {"ca.pem": "eA==", "listener.pem": "eA=="}
    objects = listener_objects(front, PODS, certificates, listener_namespace=PLACE)
    assert apply(kubectl, objects, tmp_path / "first") == ""
    pod = objects["events-deployment"]["spec"]["template"]
    meta = {"name": f"pod-{exposure.lower()}", "namespace": EVENTS_NAMESPACE}
    one = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod["spec"]}
    assert apply(kubectl, {"pod": one}, tmp_path / "pod") == ""
