"""What the settings of the gateway ask of clusters, of tenants, and of each other."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from components.exposure import EventsExposure, Exposure
from components.gateway_config import Listener, Routing, TenantRoute, files
from stacks import partial
from stacks.partial import active_clusters
from stacks.problems import Problem, key_path, nearest, shown
from stacks.vocabulary import ClusterState, Distribution, repository_identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stacks.partial import Entry

_CONFIG_BYTES: Final = 1_000_000
"""What the gateway's files may have: they lie in a ConfigMap, of 1 MiB in all."""

_PROXIED: Final = tuple(one for one in Exposure if one.ends_tls)


def check(sections: Entry) -> Iterator[Problem]:
    """Find what is wrong with the gateway beyond a single entry.

    Parameters
    ----------
    sections
        The settings as they stand in the stack file.
    """
    gateway = partial.section(sections, "gateway")
    if not partial.texts(gateway, "clusters"):
        return
    yield from _clusters(sections, gateway)
    yield from _front(gateway)
    yield from _elsewhere(sections, gateway)
    yield from _size(sections, gateway)


def _clusters(sections: Entry, gateway: Entry) -> Iterator[Problem]:
    clusters = partial.entries(sections, "computeClusters")
    if gateway.get("host") is None:
        yield Problem(
            key=key_path(["gateway", "host"]),
            value="",
            why="a gateway runs on clusters, and Git providers need a name under which they reach it",
            mend="add host: events.example.com, with your own DNS name",
        )
    seen: set[str] = set()
    plain = defaultdict(list)
    for place, name in partial.texts(gateway, "clusters").items():
        if name not in clusters:
            yield Problem(
                key=key_path(["gateway", "clusters", place]),
                value=shown(name),
                why="there is no such compute cluster",
                mend=nearest(name, clusters, what="compute clusters"),
            )
        elif name in seen:
            yield Problem(
                key=key_path(["gateway", "clusters", place]),
                value=shown(name),
                why="the cluster stands there twice",
                mend="name it once",
            )
        elif partial.text(clusters[name], "state") == ClusterState.GONE:
            yield Problem(
                key=key_path(["gateway", "clusters", place]),
                value=shown(name),
                why="the cluster's state is gone: nothing is made on it",
                mend=f"name another: {active_clusters(clusters, like=clusters[name])}",
            )
        else:
            seen.add(name)
            plain[partial.text(clusters[name], "distribution", Distribution.KUBERNETES)].append(name)
    if gateway.get("exposure") == Exposure.ROUTE and (names := plain[Distribution.KUBERNETES]):
        yield Problem(
            key=key_path(["gateway", "exposure"]),
            value=shown(str(Exposure.ROUTE)),
            why=f"only OpenShift has routes, and {', '.join(names)} is of distribution kubernetes",
            mend="use service, ingress or httpRoute",
        )


def _front(gateway: Entry) -> Iterator[Problem]:
    exposure = partial.text(gateway, "exposure", Exposure.SERVICE)
    if exposure in _PROXIED and not partial.texts(gateway, "trustedProxies"):
        yield Problem(
            key=key_path(["gateway", "trustedProxies"]),
            value="",
            why=f"with exposure: {exposure}, every event comes from the proxy before the gateway: one source"
            " for rateLimits and allowedSources",
            mend="name the networks of the proxy's pods or nodes: trustedProxies: [10.128.0.0/14]",
        )
    if exposure == Exposure.HTTP_ROUTE and gateway.get("parentGateway") is None:
        yield Problem(
            key=key_path(["gateway", "parentGateway"]),
            value="",
            why="an HTTPRoute belongs to a Gateway, and none is named",
            mend="add parentGateway: {namespace: …, name: …}",
        )
    tls = partial.section(gateway, "tls")
    if exposure == Exposure.HTTP_ROUTE and tls:
        yield Problem(
            key=key_path(["gateway", "tls"]),
            value="",
            why="with exposure: httpRoute, the Gateway that is named ends TLS, by its own certificate",
            mend="take it out",
        )
    if exposure not in _PROXIED and tls.get("issuer") is not None:
        yield Problem(
            key=key_path(["gateway", "tls", "issuer"]),
            value=shown(str(tls["issuer"])),
            why="the gateway's pods read it when they start, and cert-manager makes a new one meanwhile",
            mend="use exposure: ingress or route, which follow it, or tls: {secret: KEY}",
        )


def _elsewhere(sections: Entry, gateway: Entry) -> Iterator[Problem]:
    """Check what takes events to clusters without a gateway of their own."""
    on = set(partial.texts(gateway, "clusters").values())
    clusters = partial.entries(sections, "computeClusters")
    reached = {name for name, cluster in clusters.items() if partial.section(cluster, "events")}
    for name, tenant in sorted(partial.entries(sections, "tenants").items()):
        cluster = partial.text(tenant, "cluster")
        if cluster not in clusters or cluster in reached or not partial.texts(tenant, "repositories"):
            continue
        if away := sorted(on & clusters.keys() - {cluster}):
            yield Problem(
                key=key_path(["computeClusters", cluster, "events"]),
                value="",
                why=f'tenant "{name}" on it has repositories, and the gateway on {", ".join(away)} could not'
                " reach it with their events",
                mend="add events: {host: …}, by which gateways on other clusters reach it",
            )
    for name in sorted(reached):
        events = partial.section(clusters[name], "events")
        openshift = partial.text(clusters[name], "distribution") == Distribution.OPENSHIFT
        if events.get("exposure") == EventsExposure.ROUTE and not openshift:
            yield Problem(
                key=key_path(["computeClusters", name, "events", "exposure"]),
                value=shown(str(EventsExposure.ROUTE)),
                why="only OpenShift has routes, and this cluster is of distribution kubernetes",
                mend="use service or nodePort",
            )
    listening = sorted(name for name in reached if on - {name})
    if listening and gateway.get("mutualTls") is None:
        yield Problem(
            key=key_path(["gateway", "mutualTls"]),
            value="",
            why=f"gateways reach {', '.join(listening)} from other clusters, by certificates of both ends",
            mend="add mutualTls: {secret: eventsTls}, and make them:"
            " .venv/bin/python -m operations gateway certificates --stack STACK"
            " | pulumi config set --secret eventsTls",
        )


def _size(sections: Entry, gateway: Entry) -> Iterator[Problem]:
    clusters, tenants = partial.entries(sections, "computeClusters"), partial.entries(sections, "tenants")
    routing = Routing(
        # As of other clusters, whose listeners need the longest lines.
        listeners={
            name: Listener(
                host=partial.text(partial.section(cluster, "events"), "host") or "", port=443, remote=True
            )
            for name, cluster in clusters.items()
        },
        tenants={
            name: TenantRoute(
                cluster=partial.text(tenant, "cluster") or "",
                repositories=tuple(map(repository_identity, partial.texts(tenant, "repositories").values())),
            )
            for name, tenant in tenants.items()
        },
        body_limit=0,
        allowed_sources=tuple(partial.texts(gateway, "allowedSources").values()),
        trusted_proxies=tuple(partial.texts(gateway, "trustedProxies").values()),
        events_per_source=0,
        events_per_repository=0,
    )
    size = sum(len(text.encode()) for text in files(routing).values())
    if size > _CONFIG_BYTES:
        repositories = sum(len(tenant.repositories) for tenant in routing.tenants.values())
        yield Problem(
            key=key_path(["tenants", "*", "repositories"]),
            value="",
            why=f"with the {repositories} repositories of all {len(tenants)} tenants the gateway's files need"
            f" {size} bytes, and its ConfigMap holds {_CONFIG_BYTES}",
            mend="split the environment into two stacks, or let tenants use their own path at the gateway",
        )
