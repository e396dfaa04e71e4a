"""The gateway on a cluster: its namespace, its pods, and what leads to it, as plain manifests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from components.access import Subject, role, role_binding, rule
from components.exposure import Exposure
from components.gateway_config import SECRET_VARIABLE, Places, Routing, buffer_size, files
from components.haproxy_pods import (
    SKIP_AWAIT,
    HaproxyPods,
    Workload,
    memory_limit,
    objects,
    route,
    secret,
    service,
)
from components.names import GATEWAY_NAMESPACE, labels
from components.pipelines_as_code_network import to_listener
from components.tenant_network import DNS, EVERYWHERE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi

    from components.kubernetes_object import Manifest

GATEWAY: Final = "gateway"
TLS_SECRET: Final = "gateway-tls"  # noqa: S105 -- the name of a Secret
MUTUAL_TLS_SECRET: Final = "gateway-mutual-tls"  # noqa: S105 -- the name of a Secret
WEBHOOK_SECRET: Final = "github-webhook"  # noqa: S105 -- the name of a Secret
PORT: Final = 8080
"""Where its pods take events."""

_WEBHOOK_KEY: Final = "secret"


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The gateway's certificate: either of the two.

    Attributes
    ----------
    pem
        The certificate with its chain, and its key, as PEM in base64; empty where no Secret is made.
    issuer
        ClusterIssuer of cert-manager that makes it.
    """

    pem: tuple[pulumi.Input[str], pulumi.Input[str]] | None = field(default=None, repr=False)
    issuer: str | None = None


@dataclass(frozen=True, kw_only=True)
class Front:
    """How a gateway is reached.

    Attributes
    ----------
    host
        Its name for Git providers.
    exposure
        The kind of object that leads to it.
    node_port
        Port on every node, with `nodePort`; None: as the cluster likes.
    ingress_class
        IngressClass, with `ingress`; None: the cluster's default.
    parent
        Namespace and name of the Gateway (Gateway API), with `httpRoute`.
    certificate
        Its certificate; None: without TLS, or with that of what stands in front of it.
    """

    host: str
    exposure: Exposure
    node_port: int | None = None
    ingress_class: str | None = None
    parent: tuple[str, str] | None = None
    certificate: Certificate | None = None


@dataclass(frozen=True, kw_only=True)
class GatewaySecrets:
    """What a gateway is given in secret, in base64; empty where no Secret is made.

    Attributes
    ----------
    mutual_tls
        By file: what it needs to reach listeners on other clusters; None: it reaches none.
    webhook_secret
        The GitHub App's webhook secret, in base64 twice, since HAProxy takes keys so; None: signatures are
        left to Pipelines as Code.
    """

    mutual_tls: Mapping[str, pulumi.Input[str]] | None = field(default=None, repr=False)
    webhook_secret: pulumi.Input[str] | None = field(default=None, repr=False)


def gateway_objects(
    routing: Routing,
    front: Front,
    pods: HaproxyPods,
    secrets: GatewaySecrets,
    *,
    listener_namespace: str,
) -> dict[str, Manifest]:
    """Make the gateway on a cluster; its namespace comes first.

    Parameters
    ----------
    routing
        What it does.
    front
        How it is reached.
    pods
        How its pods are made.
    secrets
        What it is given in secret.
    listener_namespace
        Namespace of Pipelines as Code on its own cluster.
    """
    workload = _workload(routing, secrets, listener_namespace)
    port = 443 if front.certificate is not None and not front.exposure.ends_tls else 80
    leading = {
        "service": service(workload, front.exposure, port, front.node_port, keeps_sources=True),
        **_front(workload, front),
    }
    return objects(workload, pods, secrets=_secrets(workload, front, secrets), leading=leading)


def _workload(routing: Routing, secrets: GatewaySecrets, listener_namespace: str) -> Workload:
    mounted: dict[str, tuple[str, Mapping[str, str]]] = {}
    if routing.tls:
        folder, _, file = Places.certificate.rpartition("/")
        # HAProxy looks for the key of a certificate in the file of its name with .key behind it.
        mounted[folder] = (TLS_SECRET, {"tls.crt": file, "tls.key": f"{file}.key"})
    if secrets.mutual_tls is not None:
        mounted[Places.mutual_tls] = (MUTUAL_TLS_SECRET, {name: name for name in secrets.mutual_tls})
    return Workload(
        name=GATEWAY,
        namespace=GATEWAY_NAMESPACE,
        prefix=GATEWAY,
        port=PORT,
        memory=memory_limit(buffer_size(routing.body_limit)),
        egress=_egress(routing, listener_namespace),
        files=files(routing),
        secrets=mounted,
        variables={SECRET_VARIABLE: (WEBHOOK_SECRET, _WEBHOOK_KEY)} if routing.signed else {},
    )


def _secrets(workload: Workload, front: Front, secrets: GatewaySecrets) -> dict[str, Manifest]:
    made = {}
    certificate = front.certificate
    if certificate is not None and certificate.pem is not None:
        texts = dict(zip(("tls.crt", "tls.key"), certificate.pem, strict=True))
        made["tls"] = secret(TLS_SECRET, workload, texts, kind="kubernetes.io/tls")
    if secrets.mutual_tls is not None:
        made["mutual-tls"] = secret(MUTUAL_TLS_SECRET, workload, secrets.mutual_tls)
    if secrets.webhook_secret is not None:
        made["webhook"] = secret(WEBHOOK_SECRET, workload, {_WEBHOOK_KEY: secrets.webhook_secret})
    return made


def _egress(routing: Routing, listener_namespace: str) -> list[dict[str, Any]]:
    ports = sorted({one.port for one in routing.listeners.values() if one.remote})
    rules = [DNS, to_listener(listener_namespace)]
    if ports:
        # Other clusters' listeners: by their ports, as their names may come to mean other addresses.
        rules.append(
            {
                "to": [{"ipBlock": {"cidr": network}} for network in EVERYWHERE],
                "ports": [{"port": port, "protocol": "TCP"} for port in ports],
            }
        )
    return rules


def _front(workload: Workload, front: Front) -> dict[str, Manifest]:
    made: dict[str, Manifest] = {}
    certificate = front.certificate
    if certificate is not None and certificate.issuer is not None:
        made["certificate"] = {
            "apiVersion": "cert-manager.io/v1",
            "kind": "Certificate",
            "metadata": workload.metadata(),
            "spec": {
                "secretName": TLS_SECRET,
                "dnsNames": [front.host],
                "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
                "issuerRef": {
                    "group": "cert-manager.io",
                    "kind": "ClusterIssuer",
                    "name": certificate.issuer,
                },
            },
        }
    makers = {
        Exposure.INGRESS: _ingress,
        Exposure.HTTP_ROUTE: _http_route,
        Exposure.ROUTE: _route,
    }
    if front.exposure in makers:
        made |= makers[front.exposure](workload, front)
    return made


def _ingress(workload: Workload, front: Front) -> dict[str, Manifest]:
    backend = {"service": {"name": workload.name, "port": {"name": "events"}}}
    tls = {} if front.certificate is None else {"tls": [{"hosts": [front.host], "secretName": TLS_SECRET}]}
    named = {} if front.ingress_class is None else {"ingressClassName": front.ingress_class}
    return {
        "ingress": {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": workload.metadata(
                annotations={
                    **SKIP_AWAIT,
                    # The gateway has limits of its own.
                    "nginx.ingress.kubernetes.io/proxy-body-size": "0",
                    "nginx.ingress.kubernetes.io/proxy-request-buffering": "off",
                }
            ),
            "spec": {
                **named,
                **tls,
                "rules": [
                    {
                        "host": front.host,
                        "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
                    }
                ],
            },
        }
    }


def _http_route(workload: Workload, front: Front) -> dict[str, Manifest]:
    assert front.parent is not None  # noqa: S101 -- the settings see to it
    parent = {"namespace": front.parent[0], "name": front.parent[1]}
    return {
        "http-route": {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": workload.metadata(),
            "spec": {
                "parentRefs": [parent],
                "hostnames": [front.host],
                "rules": [{"backendRefs": [{"name": workload.name, "port": 80}]}],
            },
        }
    }


def _route(workload: Workload, front: Front) -> dict[str, Manifest]:
    tls: dict[str, Any] = {"termination": "edge", "insecureEdgeTerminationPolicy": "None"}
    made: dict[str, Manifest] = {}
    if front.certificate is not None:
        tls["externalCertificate"] = {"name": TLS_SECRET}
        # The router reads the Secret itself (OpenShift 4.19), and so needs the right to.
        name = f"{workload.name}-router"
        router = [Subject(kind="ServiceAccount", name="router", namespace="openshift-ingress")]
        reads = [rule("", ("secrets",), ("get", "list", "watch"), (TLS_SECRET,))]
        made["router"] = role(name, workload.namespace, reads, labels(GATEWAY))
        made["router-reads"] = role_binding(
            name, workload.namespace, name, router, labels(GATEWAY), kind="Role"
        )
    made["route"] = route(workload, front.host, tls)
    return made
