"""What takes events from gateways on other clusters, and hands them to its own cluster's Pipelines as Code.

It takes nothing but what a gateway of the environment sends: both ends show a certificate (mutual TLS).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from components import gateway_answers as answers
from components.exposure import EventsExposure
from components.haproxy import (
    CONFIGURATION,
    CONNECTIONS,
    METRICS_PORT,
    NUMBERED,
    RESOLVERS,
    defaults,
    global_section,
    metrics,
    returned,
    server_address,
)
from components.haproxy_pods import Workload, objects, route, secret, service
from components.names import EVENTS_NAMESPACE
from components.pipelines_as_code_network import local_listener, to_listener
from components.tenant_network import DNS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi

    from components.gateway_config import Listener
    from components.haproxy_pods import HaproxyPods
    from components.kubernetes_object import Manifest

EVENTS_LISTENER: Final = "events-listener"
SECRET: Final = "events-listener-tls"  # noqa: S105 -- the name of a Secret
PORT: Final = 8443
"""Where its pods take events."""

AUTHORITY_FILE: Final = "ca.pem"
CERTIFICATE_FILE: Final = "listener.pem"

_SECRETS: Final = "/etc/haproxy-tls"
_BUFFER: Final = 64 * 1024
"""Bytes: it reads headers alone."""

_MEMORY: Final = "128Mi"
"""Beyond which a pod is killed."""


@dataclass(frozen=True, kw_only=True)
class EventsFront:
    """How an events listener is reached.

    Attributes
    ----------
    host
        Name or address by which gateways reach it.
    port
        Port by which they do.
    exposure
        The kind of object that leads to it.
    node_port
        Port on every node, with `nodePort`.
    """

    host: str
    port: int
    exposure: EventsExposure
    node_port: int | None = None


@dataclass(frozen=True, kw_only=True)
class ListenerPlaces:
    """Where it listens and reads; tests put it elsewhere.

    Attributes
    ----------
    events
        Where it takes events: address and port.
    metrics
        Where it tells its health and metrics.
    secrets
        Folder of its certificate and of its authority.
    """

    events: str = f":{PORT}"
    metrics: str = f":{METRICS_PORT}"
    secrets: str = _SECRETS


_LOG: Final[Mapping[str, str]] = {"gatewayRequestId": "%[var(txn.request),json(utf8s)]"}


def configuration(listener: Listener, places: ListenerPlaces | None = None) -> str:
    """Write its haproxy.cfg.

    Parameters
    ----------
    listener
        Where Pipelines as Code listens.
    places
        Where it listens and reads itself.
    """
    places = places or ListenerPlaces()
    authority, certificate = f"{places.secrets}/{AUTHORITY_FILE}", f"{places.secrets}/{CERTIFICATE_FILE}"
    events = [
        "frontend events",
        f"    bind {places.events} ssl crt {certificate} ca-file {authority} verify required alpn http/1.1",
        f"    maxconn {CONNECTIONS}",
        f"    {NUMBERED}",
        # Under the number that the gateway gave it, it stands in both logs.
        "    http-request set-var(txn.request) req.fhdr(X-Request-ID)",
        f"    http-request {returned(answers.METHOD)} if !METH_POST",
        f"    http-request {returned(answers.UNKNOWN_PATH)} if !{{ path / /incoming }}",
        "    default_backend pipelines_as_code",
        "",
        "backend pipelines_as_code",
        f"    server listener {server_address(listener.host, listener.port)}",
    ]
    sections = [
        global_section(buffer=_BUFFER),
        defaults(_LOG),
        RESOLVERS,
        metrics(places.metrics),
        "\n".join(events),
    ]
    return "\n\n".join(sections) + "\n"


def listener_objects(
    front: EventsFront,
    pods: HaproxyPods,
    certificates: Mapping[str, pulumi.Input[str]],
    *,
    listener_namespace: str,
) -> dict[str, Manifest]:
    """Make the events listener of a cluster; its namespace comes first.

    Parameters
    ----------
    front
        How it is reached.
    pods
        How its pods are made.
    certificates
        Its certificate with key, and the authority of gateways' certificates, by file, in base64; empty
        where no Secret is made.
    listener_namespace
        Namespace of Pipelines as Code.
    """
    workload = Workload(
        name=EVENTS_LISTENER,
        namespace=EVENTS_NAMESPACE,
        prefix="events",
        port=PORT,
        memory=_MEMORY,
        egress=[DNS, to_listener(listener_namespace)],
        files={CONFIGURATION: configuration(local_listener(listener_namespace))},
        secrets={_SECRETS: (SECRET, {name: name for name in certificates})},
    )
    leading = {"service": service(workload, front.exposure, front.port, front.node_port)}
    if front.exposure is EventsExposure.ROUTE:
        # The certificates of both ends are looked at by both ends alone.
        leading["route"] = route(workload, front.host, {"termination": "passthrough"})
    secrets = {"certificates": secret(SECRET, workload, certificates)}
    return objects(workload, pods, secrets=secrets, leading=leading)
