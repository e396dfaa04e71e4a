"""From settings to gateways and events listeners.

Parameters mean what `stacks.mapping` says of them.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pulumi

from components.events_listener_manifests import (
    AUTHORITY_FILE,
    CERTIFICATE_FILE,
    EventsFront,
    listener_objects,
)
from components.exposure import EventsExposure
from components.gateway_config import Listener, Routing, TenantRoute
from components.gateway_manifests import Certificate, Front, GatewaySecrets, gateway_objects
from components.haproxy_pods import HaproxyPods
from components.names import digest
from components.pipelines_as_code_network import local_listener
from releases.catalog import HAPROXY_IMAGE
from stacks import mapping, mapping_images, mapping_pipelines_as_code
from stacks.vocabulary import ClusterState, amount, repository_identity

if TYPE_CHECKING:
    from components.kubernetes_object import Manifest
    from stacks.loader import LoadedEnvironment
    from stacks.settings import EnvironmentSettings


def url(settings: EnvironmentSettings) -> str | None:
    """Name the address by which Git providers reach the gateway; None without one."""
    gateway = settings.gateway
    if not gateway.clusters:
        return None
    tls = gateway.tls is not None or gateway.exposure.ends_tls
    port = "" if gateway.node_port is None else f":{gateway.node_port}"
    return f"{'https' if tls else 'http'}://{gateway.host}{port}"


def _listens(settings: EnvironmentSettings, cluster: str) -> bool:
    """Tell whether a cluster has an events listener, for gateways on other clusters."""
    elsewhere = set(settings.gateway.clusters) - {cluster}
    return bool(elsewhere) and settings.compute_clusters[cluster].events is not None


def events_url(settings: EnvironmentSettings, cluster: str) -> str | None:
    """Name the address of a cluster's events listener; None without one."""
    events = settings.compute_clusters[cluster].events
    return f"https://{events.host}:{events.port}" if events and _listens(settings, cluster) else None


def gateway(environment: LoadedEnvironment, cluster: str) -> dict[str, Manifest]:
    """Make the gateway on a cluster; nothing where none is wanted."""
    if cluster not in environment.settings.gateway.clusters:
        return {}
    return gateway_objects(
        _routing(environment, cluster),
        _front(environment),
        _gateway_pods(environment, cluster),
        _secrets(environment),
        listener_namespace=mapping_pipelines_as_code.namespace(environment.settings, cluster),
    )


def events_listener(environment: LoadedEnvironment, cluster: str) -> dict[str, Manifest]:
    """Make the events listener of a cluster; nothing where none is wanted."""
    if not _listens(environment.settings, cluster):
        return {}
    return listener_objects(
        _events_front(environment, cluster),
        _listener_pods(environment, cluster),
        _certificates(environment),
        listener_namespace=mapping_pipelines_as_code.namespace(environment.settings, cluster),
    )


def _routing(environment: LoadedEnvironment, cluster: str) -> Routing:
    settings = environment.settings
    gateway = settings.gateway
    listeners = {}
    for name, entry in sorted(settings.compute_clusters.items()):
        # That this program can't reach it doesn't keep events from it; one that is gone gets none.
        if entry.state is ClusterState.GONE:
            continue
        if name == cluster:
            listeners[name] = local_listener(mapping_pipelines_as_code.namespace(environment.settings, name))
        elif entry.events is not None:
            route = entry.events.exposure is EventsExposure.ROUTE
            listeners[name] = Listener(
                host=entry.events.host, port=entry.events.port, remote=True, route=route
            )
    return Routing(
        listeners=listeners,
        tenants={
            name: TenantRoute(
                cluster=tenant.cluster,
                repositories=tuple(sorted(map(repository_identity, tenant.repositories))),
                suspended=tenant.inactive,
            )
            for name, tenant in sorted(settings.tenants.items())
        },
        body_limit=int(amount(gateway.body_limit)),
        # In an order that doesn't depend on the file's.
        allowed_sources=tuple(sorted(set(gateway.allowed_sources))),
        trusted_proxies=tuple(sorted(set(gateway.trusted_proxies))),
        events_per_source=gateway.rate_limits.per_source,
        events_per_repository=gateway.rate_limits.per_repository,
        tls=gateway.tls is not None and not gateway.exposure.ends_tls,
        signed=_webhook_secret(environment) is not None,
        unsigned_gitea=settings.pipelines_as_code.accept_unsigned_gitea,
    )


def _front(environment: LoadedEnvironment) -> Front:
    settings = environment.settings.gateway
    parent = settings.parent_gateway
    certificate = None
    if settings.tls is not None:
        held = environment.gateway.certificate or ("", "")
        pem = None if settings.tls.secret is None else (_secret(held[0]), _secret(held[1]))
        certificate = Certificate(pem=pem, issuer=settings.tls.issuer)
    return Front(
        host=str(settings.host),
        exposure=settings.exposure,
        node_port=settings.node_port,
        ingress_class=settings.ingress_class,
        parent=None if parent is None else (parent.namespace, parent.name),
        certificate=certificate,
    )


def _events_front(environment: LoadedEnvironment, cluster: str) -> EventsFront:
    events = environment.settings.compute_clusters[cluster].events
    assert events is not None  # noqa: S101 -- `_listens` sees to it
    return EventsFront(
        host=events.host, port=events.port, exposure=events.exposure, node_port=events.node_port
    )


def _gateway_pods(environment: LoadedEnvironment, cluster: str) -> HaproxyPods:
    sources, gateway = environment.gateway, environment.settings.gateway
    held = [] if gateway.exposure.ends_tls else [*(sources.certificate or ())]
    if sources.mutual_tls is not None:
        held += [sources.mutual_tls.authority, sources.mutual_tls.gateway]
    if (webhook := _webhook_secret(environment)) and environment.github_app is not None:
        # People choose it: beside the App's key, nobody finds it out by its digest.
        held += [environment.github_app.private_key, webhook]
    return _pods(environment, cluster, held)


def _listener_pods(environment: LoadedEnvironment, cluster: str) -> HaproxyPods:
    bundle = environment.gateway.mutual_tls
    return _pods(environment, cluster, [] if bundle is None else [bundle.authority, bundle.listener])


def _pods(environment: LoadedEnvironment, cluster: str, held: list[str]) -> HaproxyPods:
    """Say how pods are made that read these secrets."""
    return HaproxyPods(
        image=environment.images.rules.image(HAPROXY_IMAGE),
        replicas=environment.settings.gateway.replicas,
        user=mapping.pod_user(environment, cluster),
        secret_digest=digest("".join(held)) if held else None,
        pull_secret=mapping_images.pull_secret(environment),
    )


def _secrets(environment: LoadedEnvironment) -> GatewaySecrets:
    bundle, webhook = environment.gateway.mutual_tls, _webhook_secret(environment)
    mutual_tls = None
    if environment.settings.gateway.mutual_tls is not None:
        mutual_tls = {
            "ca.pem": _secret(bundle.authority if bundle else ""),
            "gateway.pem": _secret(bundle.gateway if bundle else ""),
        }
    return GatewaySecrets(
        mutual_tls=mutual_tls, webhook_secret=None if webhook is None else _secret(_encoded(webhook))
    )


def _webhook_secret(environment: LoadedEnvironment) -> str | None:
    """Find the GitHub App's webhook secret; None without an App, empty where it isn't known."""
    settings = environment.settings.pipelines_as_code
    if not settings.enabled or settings.github_app is None:
        return None
    return "" if environment.github_app is None else environment.github_app.webhook_secret


def _certificates(environment: LoadedEnvironment) -> dict[str, pulumi.Input[str]]:
    bundle = environment.gateway.mutual_tls
    return {
        AUTHORITY_FILE: _secret(bundle.authority if bundle else ""),
        CERTIFICATE_FILE: _secret(bundle.listener if bundle else ""),
    }


def _secret(text: str) -> pulumi.Input[str]:
    """Make the content of a Secret's key: base64, and secret; empty where it isn't known."""
    return pulumi.Output.secret(_encoded(text)) if text else ""


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
