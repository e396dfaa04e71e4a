"""The gateway's configuration: haproxy.cfg and its maps as text, for HAProxy 2.6 and later.

One rule decides after the other, until one has an answer (`txn.answer`); where none has, the event goes to
the one cluster that serves its tenant. Why it is done this way: docs/adr/0012-gateway.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations, product
from typing import TYPE_CHECKING, Final

from components import gateway_answers as answers
from components.gateway_providers import FAMILIES, PROVIDERS
from components.haproxy import (
    CONFIGURATION,
    CONNECTIONS,
    FOLDER,
    HEADER_LIMIT,
    METRICS_PORT,
    NUMBERED,
    RESOLVERS,
    defaults,
    global_section,
    metrics,
    returned,
    server_address,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from components.gateway_answers import Answer

REPOSITORIES: Final = "repositories.map"
TENANTS: Final = "tenants.map"

TENANT_BODY_LIMIT: Final = 25 * 1000 * 1000
"""Bytes that an event on a tenant's own path may have: GitHub's own limit."""

LISTENER_NAME: Final = "events-listener.pipeline-service"
"""Name in the certificate of every listener, by whatever address it is reached."""

SECRET_VARIABLE: Final = "GITHUB_WEBHOOK_SECRET"  # noqa: S105 -- the name of a variable
"""Environment variable with the GitHub App's webhook secret, in base64."""

OF_ONE_CLUSTER: Final = CONNECTIONS // 2
"""Events that one cluster may have at once: a slow one must not hold all that the gateway can take."""

OF_ONE_SOURCE: Final = 112
"""Events at once from one source: less than one cluster may have, so that none holds up a cluster either."""

_CONNECTED: Final = 192
"""Connections of one source, those that say nothing among them; more are closed without an answer."""

_SOURCE: Final = "src,ipmask(32,64)"
"""What counts as one source: an address, of IPv6 the network that the smallest site has."""

_READING: Final = 10
"""Seconds for reading an event's body."""

_HEADROOM: Final = 64 * 1024
"""Bytes of a buffer beside the body: headers, and what HAProxy adds."""

_A_LINE: Final = 50
"""Networks in a line of the configuration."""

_IDENTITY: Final = (
    "'var(txn.url),lower"
    ',regsub("^https://",""),regsub("/+$",""),regsub("[.]git$",""),regsub("^([^/:]*):0*443(/|$)","\\\\1\\\\2")'
    "'"
)
"""As `stacks.vocabulary.repository_identity` reduces a URL to what tells a repository from others."""

_TENANT_PATH: Final = "^/tenants/[a-z]([a-z0-9-]*[a-z0-9])?(/incoming)?$"


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Where the listener of a compute cluster is reached.

    Attributes
    ----------
    host
        Address, or DNS name.
    port
        Port.
    remote
        Whether it is on another cluster, and so behind mutual TLS.
    route
        Whether it is behind a Route of OpenShift, which finds it by the name of the TLS handshake.
    """

    host: str
    port: int
    remote: bool = False
    route: bool = False


@dataclass(frozen=True, kw_only=True)
class TenantRoute:
    """Where a tenant's events go.

    Attributes
    ----------
    cluster
        Name of its cluster.
    repositories
        Its repositories, each reduced to what tells it from others.
    suspended
        Whether its events are refused.
    """

    cluster: str
    repositories: tuple[str, ...] = ()
    suspended: bool = False


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a gateway listens and reads; tests put it elsewhere.

    Attributes
    ----------
    events
        Where it takes events: address and port.
    metrics
        Where it tells its health and metrics.
    maps
        Folder of the maps.
    certificate
        File of its certificate with key.
    mutual_tls
        Folder of what it needs to reach other clusters.
    """

    events: str = ":8080"
    metrics: str = f":{METRICS_PORT}"
    maps: str = FOLDER
    certificate: str = "/etc/haproxy-tls/tls.pem"
    mutual_tls: str = "/etc/haproxy-mutual-tls"


@dataclass(frozen=True, kw_only=True)
class Routing:
    """What a gateway does.

    Attributes
    ----------
    listeners
        By cluster: where its listener is. One without is not reached.
    tenants
        By tenant: where its events go.
    body_limit
        Bytes that an event may have whose repository is looked up.
    allowed_sources
        Networks from which events are taken; none: from all.
    trusted_proxies
        Networks of what stands in front of it, whose X-Forwarded-For tells where an event is from.
    events_per_source
        How many a minute one address may send.
    events_per_repository
        How many a minute of one repository, or of one tenant on its own path, one address may send.
    tls
        Whether the gateway itself ends TLS.
    signed
        Whether it knows the GitHub App's webhook secret, and refuses what isn't signed with it.
    unsigned_gitea
        Whether events of Gitea and Forgejo are taken, whose signatures nobody checks.
    """

    listeners: Mapping[str, Listener]
    tenants: Mapping[str, TenantRoute]
    body_limit: int
    allowed_sources: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    events_per_source: int
    events_per_repository: int
    tls: bool = False
    signed: bool = False
    unsigned_gitea: bool = False
    places: Places = field(default_factory=Places)


def buffer_size(body_limit: int) -> int:
    """Tell how large HAProxy's buffers are: an event whose repository is looked up has to fit in one.

    Parameters
    ----------
    body_limit
        Bytes that the body may have.
    """
    return body_limit + _HEADROOM


def files(routing: Routing) -> dict[str, str]:
    """Write the files of a gateway's configuration.

    Parameters
    ----------
    routing
        What it does.

    Returns
    -------
    dict of str to str
        Their texts, by name.
    """
    return {
        CONFIGURATION: configuration(routing),
        REPOSITORIES: _map(
            (repository, name) for name, one in routing.tenants.items() for repository in one.repositories
        ),
        TENANTS: _map((name, _backend(one, routing)) for name, one in routing.tenants.items()),
    }


def _map(lines: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{key} {value}\n" for key, value in sorted(lines))


def _backend(tenant: TenantRoute, routing: Routing) -> str:
    if tenant.suspended:
        return _answer(answers.SUSPENDED)
    return f"cluster_{tenant.cluster}" if tenant.cluster in routing.listeners else _answer(answers.UNREACHED)


def _answer(answer: Answer) -> str:
    return f"answer_{answer.name}"


def configuration(routing: Routing) -> str:
    """Write haproxy.cfg.

    Parameters
    ----------
    routing
        What the gateway does.
    """
    secret = (f"set-var proc.webhook_secret env({SECRET_VARIABLE})",) if routing.signed else ()
    sections = [
        global_section(buffer=buffer_size(routing.body_limit), more=secret),
        defaults(_LOG),
        RESOLVERS,
        metrics(routing.places.metrics),
        _TABLES,
        _frontend(routing),
        *(_cluster(name, one, routing) for name, one in sorted(routing.listeners.items())),
        *(f"backend {_answer(one)}\n    http-request {returned(one)}" for one in answers.ANSWERS),
    ]
    return "\n\n".join(sections) + "\n"


_LOG: Final[Mapping[str, str]] = {
    "provider": "%[var(txn.provider)]",
    "event": "%[var(txn.event),json(utf8s)]",
    "delivery": "%[var(txn.delivery),json(utf8s)]",
    "tenant": "%[var(txn.tenant),json(utf8s)]",
    "repository": "%[var(txn.repository),json(utf8s)]",
}
"""What a line of the log says beside what every HAProxy of ours tells."""

_TABLES: Final = """\
backend rate_sources
    stick-table type ipv6 size 50k expire 2m store http_req_rate(1m),conn_cur

backend connections
    stick-table type ipv6 size 50k expire 2m store conn_cur

backend rate_repositories
    stick-table type string len 256 size 20k expire 2m store gpc0_rate(1m)"""


def _frontend(routing: Routing) -> str:
    tls = f" ssl crt {routing.places.certificate} alpn http/1.1" if routing.tls else ""
    head = [
        "frontend events",
        f"    bind {routing.places.events}{tls}",
        # Room is left for probes and metrics, which the limit of the process counts, too.
        f"    maxconn {CONNECTIONS}",
    ]
    return "\n".join([*head, *(f"    {line}" for line in _rules(routing))])


def _refuse(answer: Answer, condition: str) -> str:
    return f"http-request set-var(txn.answer) str({answer.name}) if !answered {condition}"


def _rules(routing: Routing) -> Iterator[str]:
    yield from _connections(routing)
    # -- who and where: nothing is read but the headers
    yield NUMBERED
    yield "acl answered var(txn.answer) -m found"
    yield "http-request set-var(txn.path) path"
    yield "acl at_root path /"
    yield f"acl at_tenant path_reg {_TENANT_PATH}"
    yield "acl at_incoming path_end /incoming"
    yield from _sources(routing)
    yield "http-request set-var(txn.headers) req.hdrs,length"
    yield _refuse(answers.HEADERS_TOO_LARGE, f"{{ var(txn.headers) -m int gt {HEADER_LIMIT} }}")
    yield _refuse(answers.UNKNOWN_PATH, "!at_root !at_tenant")
    yield _refuse(answers.METHOD, "!METH_POST")
    yield from _provider()
    if not routing.unsigned_gitea:
        # Admission can't see to it: the header alone makes it Gitea's, whatever the Repository's type.
        yield _refuse(answers.UNSIGNED, "is_gitea")
    yield from _forwarded()
    # -- a tenant's own path
    yield "http-request set-var(txn.tenant) path,field(3,/) if at_tenant"
    # In chunks, it would have no limit, since not all of it is waited for; and Pipelines as Code has none.
    yield _refuse(answers.LENGTH, "at_tenant { req.fhdr_cnt(Transfer-Encoding) gt 0 }")
    yield _refuse(answers.TOO_LARGE, f"at_tenant {{ req.body_size gt {TENANT_BODY_LIMIT} }}")
    yield from _repository(routing)
    # -- the tenant's cluster
    yield f"http-request set-var(txn.backend) var(txn.tenant),map_str({routing.places.maps}/{TENANTS})"
    yield _refuse(answers.UNKNOWN_TENANT, "!{ var(txn.backend) -m found }")
    # By source, since not all that comes is signed with what we know: nobody uses up what is another's.
    yield f"http-request set-var(txn.counted) {_SOURCE},concat(' ',txn.tenant,),concat(' ',txn.repository,)"
    yield "http-request track-sc1 var(txn.counted) table rate_repositories if !answered"
    yield _refuse(answers.REPOSITORY_RATE, f"{{ sc1_gpc0_rate ge {routing.events_per_repository} }}")
    yield "http-request sc-inc-gpc0(1) if !answered"
    # Passed on once it is there, or as much of it as fits: a cluster doesn't wait for who is slow.
    yield f"http-request wait-for-body time {_READING}s if at_tenant !answered"
    # What Pipelines as Code takes.
    yield "http-request set-path /incoming if at_incoming"
    yield "http-request set-uri / if !at_incoming"
    yield "use_backend answer_%[var(txn.answer)] if answered"
    yield "use_backend %[var(txn.backend)]"


def _connections(routing: Routing) -> Iterator[str]:
    """Keep who says nothing, or says it slowly, from holding all connections; a proxy has many senders'."""
    yield from _networks("from_proxy", routing.trusted_proxies)
    unless = " if !from_proxy" if routing.trusted_proxies else ""
    yield f"tcp-request connection track-sc2 {_SOURCE} table connections{unless}"
    yield f"tcp-request connection reject if {{ sc2_conn_cur gt {_CONNECTED} }}"


def _sources(routing: Routing) -> Iterator[str]:
    if routing.trusted_proxies:
        yield "http-request set-src req.hdr_ip(X-Forwarded-For,-1) if from_proxy"
    if routing.allowed_sources:
        yield from _networks("allowed_source", routing.allowed_sources)
        yield _refuse(answers.SOURCE, "!allowed_source")
    yield f"http-request track-sc0 {_SOURCE} table rate_sources"
    yield _refuse(answers.SOURCE_RATE, f"{{ sc0_http_req_rate gt {routing.events_per_source} }}")
    yield _refuse(answers.SOURCE_BUSY, f"{{ sc0_conn_cur gt {OF_ONE_SOURCE} }}")


def _networks(acl: str, networks: tuple[str, ...]) -> Iterator[str]:
    # HAProxy reads 64 words of a line; lines of one name are one condition.
    for at in range(0, len(networks), _A_LINE):
        yield f"acl {acl} src {' '.join(networks[at : at + _A_LINE])}"


def _provider() -> Iterator[str]:
    """Recognise the provider by its headers."""
    for provider in PROVIDERS:
        for acl in (f"is_{provider.name}", f"family_{provider.family}"):
            yield f"acl {acl} req.fhdr({provider.event}) -m len ge 1"
        yield f"acl doubled req.fhdr_cnt({provider.event}) gt 1"
    unless = "!{ var(txn.provider) -m found }"
    for provider in PROVIDERS:
        ours = f"if {unless} is_{provider.name}"
        yield f"http-request set-var(txn.event) req.fhdr({provider.event}) {ours}"
        for header in reversed(provider.deliveries):
            sent = f"{{ req.fhdr_cnt({header}) gt 0 }}"
            yield f"http-request set-var(txn.delivery) req.fhdr({header}) {ours} {sent}"
        yield f"http-request set-var(txn.provider) str({provider.name}) {ours}"
    yield _refuse(answers.SEVERAL_PROVIDERS, "doubled")
    for one, other in combinations(FAMILIES, 2):
        yield _refuse(answers.SEVERAL_PROVIDERS, f"family_{one} family_{other}")
    # What is no event, but Pipelines as Code's own way to start a run, has no provider.
    yield _refuse(answers.NO_PROVIDER, "!at_incoming !{ var(txn.provider) -m found }")


def _forwarded() -> Iterator[str]:
    """Tell the listener who sent an event, as we know it: what the sender says of it doesn't count."""
    for header in ("Forwarded", "X-Real-IP", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Server"):
        yield f"http-request del-header {header}"
    # Pipelines as Code would send the App's credentials to the host that it names, before it looks at the
    # signature; it finds GitHub Enterprise by the settings (docs/adr/0011-pipelines-as-code.md).
    yield "http-request del-header X-GitHub-Enterprise-Host"
    yield "http-request set-header X-Forwarded-For %[src]"
    yield "http-request set-header X-Forwarded-Proto https"
    # Only now: Bitbucket Data Center numbers its deliveries by the header of the same name.
    yield "http-request set-header X-Request-ID %[unique-id]"


def _repository(routing: Routing) -> Iterator[str]:
    """Find the tenant by the repository that the body names, once the body is there as a whole."""
    yield "acl json req.fhdr(Content-Type),field(1,;),lower -m str application/json"
    yield "acl form req.fhdr(Content-Type),field(1,;),lower -m str application/x-www-form-urlencoded"
    yield f"acl sends_forms var(txn.provider) -m str {' '.join(one.name for one in PROVIDERS if one.form)}"
    yield _refuse(answers.CONTENT_TYPE, "!at_incoming !json !form")
    yield _refuse(answers.CONTENT_TYPE, "!at_incoming form !sends_forms")
    yield _refuse(answers.TOO_LARGE, f"at_root {{ req.body_size gt {routing.body_limit} }}")
    yield f"http-request wait-for-body time {_READING}s if at_root !answered"
    # In chunks, it has no length beforehand.
    yield _refuse(answers.TOO_LARGE, f"at_root {{ req.body_len gt {routing.body_limit} }}")
    if routing.signed:
        yield "acl is_signed_provider var(txn.provider) -m str github"
        yield (
            "http-request set-var(txn.signature) req.body,hmac(sha256,proc.webhook_secret),hex,lower"
            " if at_root !answered is_signed_provider"
        )
        yield _refuse(
            answers.SIGNATURE,
            "at_root is_signed_provider"
            " !{ req.fhdr(X-Hub-Signature-256),regsub(^sha256=,),secure_memcmp(txn.signature) }",
        )
    for family in FAMILIES:
        members = [provider for provider in PROVIDERS if provider.family == family]
        sent = f"at_root !answered {{ var(txn.provider) -m str {' '.join(one.name for one in members)} }}"
        contents = {"json": "req.body"}
        if members[0].form:
            contents["form"] = "req.body_param(payload),url_dec(1)"
        # The last that is set counts.
        for path, (kind, content) in product(reversed(members[0].repositories), contents.items()):
            yield f"http-request set-var(txn.url) '{content},json_query({path})' if {kind} {sent}"
    for provider in PROVIDERS:
        if provider.without_repository:
            kinds = " ".join(provider.without_repository)
            yield _refuse(
                answers.IGNORED,
                f"at_root !{{ var(txn.url) -m found }} {{ var(txn.provider) -m str {provider.name} }}"
                f" {{ var(txn.event) -m str {kinds} }}",
            )
    yield _refuse(answers.NO_REPOSITORY, "at_root !{ var(txn.url) -m found }")
    for provider in PROVIDERS:
        if provider.suffix:
            yield (
                f"http-request set-var(txn.url) var(txn.url),regsub({provider.suffix}$,)"
                f" if at_root {{ var(txn.provider) -m str {provider.name} }}"
            )
    yield f"http-request set-var(txn.repository) {_IDENTITY} if at_root !answered"
    yield (
        f"http-request set-var(txn.tenant) var(txn.repository),map_str({routing.places.maps}/{REPOSITORIES})"
        " if at_root !answered"
    )
    yield _refuse(answers.UNKNOWN_REPOSITORY, "at_root !{ var(txn.tenant) -m found }")


def _cluster(name: str, listener: Listener, routing: Routing) -> str:
    server = f"server listener {server_address(listener.host, listener.port)}"
    if listener.remote:
        folder = routing.places.mutual_tls
        # With a name in the handshake, it is also the one that the certificate must have.
        sni = listener.host if listener.route else LISTENER_NAME
        server += (
            f" ssl verify required ca-file {folder}/ca.pem crt {folder}/gateway.pem"
            f" sni str({sni}) verifyhost {LISTENER_NAME}"
        )
    busy = f"http-request {returned(answers.BUSY)} if {{ be_conn gt {OF_ONE_CLUSTER} }}"
    return "\n    ".join([f"backend cluster_{name}", busy, server])
