"""What the gateway is made of, as a real API server takes it: all fields known, its pods `restricted`."""

from __future__ import annotations

import base64
import subprocess
from dataclasses import replace
from pathlib import Path
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
from stacks.gateway_sources import GatewaySources
from stacks.kubeconfigs import parse
from stacks.mutual_tls import read_bundle
from tests.support import recording
from tests.support.apiserver import control_plane, require_binaries
from tests.support.pulumi_project import ROOT, PulumiProject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stacks.loader import LoadedEnvironment
    from tests.support.apiserver import ControlPlane

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


# The gateway of one cluster and the events listener of another, wired as in stacks/environment.py.
PROGRAM = """
from components.events_listener import EventsListener, EventsListenerArgs
from components.gateway import Gateway, GatewayArgs
from stacks import mapping_gateway, targets
from tests.engine.test_gateway import loaded

environment = loaded(**values)
for component, args, make, cluster in (
    (Gateway, GatewayArgs, mapping_gateway.gateway, "east"),
    (EventsListener, EventsListenerArgs, mapping_gateway.events_listener, "west"),
):
    objects = make(environment, cluster)
    for one in objects.values():
        if one["kind"] == "Deployment":
            # There are no nodes, so it is available if it wants no pod.
            one["spec"]["replicas"] = 0
    component(cluster, args(cluster=targets.compute_cluster(cluster, environment), objects=objects))
"""


def loaded(tenants: dict[str, Any], secret: str, kubeconfig: str) -> LoadedEnvironment:
    """Load made-up settings, with a text that stands in every Secret."""
    settings = recording.environment(
        {"east": {}, "west": {"events": {"host": "west.example.com"}}},
        tenants,
        gateway={
            "clusters": ["east"],
            "host": "events.example.com",
            "mutualTls": {"secret": "eventsTls"},
            "tls": {"secret": "gatewayCertificate"},
        },
        pipelinesAsCode={
            "enabled": True,
            "githubApp": {"id": 12, "privateKey": {"secret": "key"}, "webhookSecret": {"secret": "hook"}},
        },
    )
    return replace(
        recording.loaded(settings),
        kubeconfigs={name: parse(kubeconfig, Path()) for name in settings.compute_clusters},
        gateway=GatewaySources(
            certificate=(secret, secret),
            mutual_tls=replace(recording.MUTUAL_TLS, authority=secret, gateway=secret, listener=secret),
        ),
        github_app=replace(recording.GITHUB_APP, webhook_secret=secret),
    )


class Deployed:
    """The two of them on one API server."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self.project = PulumiProject(folder)
        self.project.environment["PYTHONPATH"] = str(ROOT)
        self.project.write(PROGRAM)

    def up(self, tenants: dict[str, Any], secret: str) -> dict[str, int]:
        """Deploy; return how many resources the engine says were created, updated, replaced, deleted."""
        self.project.set_values({"tenants": tenants, "secret": secret, "kubeconfig": self.plane.kubeconfig()})
        self.project.up()
        return self.project.summary()

    def objects(self) -> dict[str, str]:
        """Return the uid of each ConfigMap, Secret and Deployment of theirs."""
        lists = [
            f"{api}/namespaces/{namespace}/{plural}"
            for namespace in (GATEWAY_NAMESPACE, EVENTS_NAMESPACE)
            for api, plural in (
                ("/api/v1", "configmaps"),
                ("/api/v1", "secrets"),
                ("/apis/apps/v1", "deployments"),
            )
        ]
        return {
            f"{path}/{one['metadata']['name']}": one["metadata"]["uid"]
            for path in lists
            for one in self.plane.get(path)["items"]
        }

    def routes(self) -> str:
        """Return the gateway's maps, as they are on the cluster."""
        data = self.plane.get(f"/api/v1/namespaces/{GATEWAY_NAMESPACE}/configmaps/gateway")["data"]
        return "\n".join(text for name, text in sorted(data.items()) if name.endswith(".map"))


def test_a_changed_map_and_a_rotated_secret_are_written_over_the_old_ones(tmp_path: Path) -> None:
    """Between a deletion and a creation there would be no map, and no pod could start."""
    require_binaries("pulumi")
    (tmp_path / "plane").mkdir()
    with control_plane(tmp_path / "plane") as plane:
        deployed = Deployed(plane, tmp_path / "project")
        app, more = "https://git.example.com/team/app", "https://git.example.com/team/more"
        created = deployed.up({"team": {"cluster": "east", "repositories": [app]}}, "one")
        assert created.keys() == {"create"}
        before = deployed.objects()
        assert "team/app" in deployed.routes()

        def same(updated: int) -> dict[str, int]:
            return {"same": created["create"] - updated, "update": updated}

        # A repository more, and a tenant on another cluster: the map, and the pods that carry its digest.
        assert deployed.up({"team": {"cluster": "east", "repositories": [app, more]}}, "one") == same(2)
        assert "team/more" in deployed.routes()
        on_east = deployed.routes()
        assert deployed.up({"team": {"cluster": "west", "repositories": [app, more]}}, "one") == same(2)
        assert deployed.routes() == on_east.replace("east", "west")
        # A gateway has three Secrets, an events listener one; and both have pods that carry their digest.
        assert deployed.up({"team": {"cluster": "west", "repositories": [app, more]}}, "two") == same(6)
        assert deployed.objects() == before
