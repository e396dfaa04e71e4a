"""The gateway as it runs: each event goes to the one cluster that serves its repository."""

from __future__ import annotations

import json
import random
import urllib.parse
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from components.gateway_config import Listener, Routing, TenantRoute
from operations.gateway_certificates import make_bundle
from stacks.mutual_tls import read_bundle
from stacks.vocabulary import repository_identity
from tests.support.haproxy import (
    Event,
    FakeListener,
    RunningGateway,
    check,
    events,
    github,
    places,
    push,
    running,
    write,
)
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT = 2 * 1024 * 1024
TENANTS = 100
REPOSITORIES = 10
"""Of each tenant."""

HOSTS = sorted({event.host for event in events()})


def repository(tenant: int, number: int) -> str:
    """Name the path of a repository, which looks like others."""
    return f"team-{tenant}/app-{number}"


@pytest.fixture(scope="module")
def listeners() -> Iterator[dict[str, FakeListener]]:
    a, b, c = FakeListener(), FakeListener(), FakeListener()
    with a.running(), b.running(), c.running():
        yield {"a": a, "b": b, "c": c}


@pytest.fixture(scope="module")
def routing(listeners: dict[str, FakeListener], tmp_path_factory: pytest.TempPathFactory) -> Routing:
    clusters = sorted(listeners)
    hosts = [HOSTS[number % len(HOSTS)] for number in range(REPOSITORIES)]
    return Routing(
        listeners={name: Listener(host="127.0.0.1", port=one.port) for name, one in listeners.items()},
        tenants={
            f"team-{tenant}": TenantRoute(
                cluster=clusters[tenant % len(clusters)],
                repositories=tuple(
                    repository_identity(f"https://{host}/{repository(tenant, number)}")
                    for number, host in enumerate(hosts)
                ),
                suspended=tenant == TENANTS - 1,
            )
            for tenant in range(TENANTS)
        },
        body_limit=LIMIT,
        events_per_source=1_000_000,
        events_per_repository=1_000_000,
        unsigned_gitea=True,
        places=places(tmp_path_factory.mktemp("gateway")),
    )


@pytest.fixture(scope="module")
def gateway(routing: Routing) -> Iterator[RunningGateway]:
    with running(routing) as one:
        yield one


@pytest.fixture
def by() -> random.Random:
    return random.Random(random.getrandbits(64))  # noqa: S311 -- no secret is made of it


def reached(listeners: dict[str, FakeListener], token: str) -> list[str]:
    """Tell which clusters got an event, once for each time."""
    return [
        name
        for name, one in listeners.items()
        for event in one.delivered
        if event.headers.get("x-token") == token
    ]


def test_there_are_events_of_every_provider() -> None:
    assert len(events()) >= 12
    assert {event.name.partition("-")[0] for event in events()} == {
        "github",
        "gitlab",
        "gitea",
        "forgejo",
        "bitbucket",
    }


@pytest.mark.parametrize("event", events(), ids=lambda event: event.name)
@pytest.mark.parametrize("size", [0, 1_000_000, LIMIT])
def test_an_event_goes_to_the_cluster_of_its_repository_and_to_no_other(
    event: Event,
    size: int,
    gateway: RunningGateway,
    listeners: dict[str, FakeListener],
    by: random.Random,
) -> None:
    tenant = by.randrange(TENANTS - 1)
    number = by.choice([one for one in range(REPOSITORIES) if HOSTS[one % len(HOSTS)] == event.host])
    body = event.body(repository(tenant, number))
    if size:
        filler = b'{"filler":"'
        body = filler + b"x" * (size - len(body) - len(filler) - 1) + b'",' + body[1:]
        assert len(body) == size
    token = f"{event.name}-{size}-{by.random()}"
    answer = gateway.send("/", body, {**event.headers, "X-Token": token})
    assert answer.status == 202, answer.body
    cluster = "abc"[tenant % 3]
    assert reached(listeners, token) == [cluster]
    (delivered,) = [one for one in listeners[cluster].delivered if one.headers.get("x-token") == token]
    assert delivered.body == body
    assert delivered.path == "/"


@pytest.mark.parametrize("event", events(), ids=lambda event: event.name)
def test_an_event_just_over_the_limit_is_refused(
    event: Event, gateway: RunningGateway, listeners: dict[str, FakeListener]
) -> None:
    body = event.body(repository(1, 1))
    body = b'{"filler":"' + b"x" * (LIMIT - len(body)) + b'",' + body[1:]
    answer = gateway.send("/", body, {**event.headers, "X-Token": "over"})
    assert (answer.status, answer.error) == (413, "body-too-large")
    assert reached(listeners, "over") == []


@pytest.mark.parametrize(("size", "status"), [(1000, 202), (LIMIT, 202), (LIMIT + 1, 413), (5 * LIMIT, 413)])
def test_what_comes_in_chunks_has_the_same_limit(size: int, status: int, gateway: RunningGateway) -> None:
    body = push(f"https://{HOSTS[0]}/team-1/app-0", size)
    assert len(body) == size
    assert gateway.send("/", body, github(), chunked=True).status == status


def test_a_form_is_routed_by_its_payload(gateway: RunningGateway, listeners: dict[str, FakeListener]) -> None:
    (event,) = [one for one in events() if one.name == "github-push"]
    number = HOSTS.index(event.host)
    payload = urllib.parse.urlencode({"payload": event.body(repository(4, number)).decode()})
    headers = {**event.headers, "Content-Type": "application/x-www-form-urlencoded", "X-Token": "form"}
    assert gateway.send("/", payload.encode(), headers).status == 202
    assert reached(listeners, "form") == ["b"]


@pytest.mark.parametrize(
    "url",
    [
        "https://{host}/team-1/app-0",
        "https://{host}/team-1/app-0/",
        "https://{host}/team-1/app-0.git",
        "https://{host}/team-1/app-0.git/",
        "https://{host}:443/team-1/app-0",
        "HTTPS://{host}/Team-1/App-0.GIT",
    ],
)
def test_a_repository_is_known_however_its_url_is_written(url: str, gateway: RunningGateway) -> None:
    assert gateway.send("/", push(url.format(host=HOSTS[0])), github()).status == 202


@pytest.mark.parametrize(
    "url",
    [
        "https://{host}/team-1/app-01",
        "https://{host}/team-1",
        "https://{host}/team-1/app-0/browse",
        "https://{host}/team-1/app-0.git.git",
        "https://{host}:8443/team-1/app-0",
        "https://evil.example.com/{host}/team-1/app-0",
        "http://{host}/team-1/app-0",
    ],
)
def test_a_url_that_only_resembles_is_unknown(url: str, gateway: RunningGateway) -> None:
    answer = gateway.send("/", push(url.format(host=HOSTS[0])), github())
    assert (answer.status, answer.error) == (404, "unknown-repository")


def test_what_stands_in_a_text_or_deeper_down_is_no_repository(gateway: RunningGateway) -> None:
    inner = json.dumps({"repository": {"html_url": f"https://{HOSTS[0]}/team-1/app-0"}})
    body = f'{{"comment": {json.dumps(inner)}, "head": {inner}}}'
    answer = gateway.send("/", body.encode(), github())
    assert (answer.status, answer.error) == (400, "no-repository")


@pytest.mark.parametrize("kind", ["event", "incoming"])
def test_a_tenants_own_path_leads_to_its_cluster_without_a_look_at_the_body(
    kind: str,
    gateway: RunningGateway,
    listeners: dict[str, FakeListener],
) -> None:
    incoming = kind == "incoming"
    token = f"path-{kind}"
    headers = {"X-Token": token} if incoming else {**github(), "X-Token": token}
    path = "/tenants/team-2" + ("/incoming?repository=app&secret=hidden" if incoming else "?other=1")
    assert gateway.send(path, b"no json", headers).status == 202
    assert reached(listeners, token) == ["c"]
    path = listeners["c"].delivered[-1].path
    assert path == ("/incoming?repository=app&secret=hidden" if incoming else "/")
    assert "hidden" not in gateway.log_file.read_text()


@pytest.mark.parametrize(("size", "status"), [(25_000_000, 202), (25_000_001, 413)])
def test_a_tenants_own_path_takes_as_much_as_github_sends(
    size: int, status: int, gateway: RunningGateway
) -> None:
    assert gateway.send("/tenants/team-2", b"x" * size, github()).status == status


@pytest.mark.parametrize("size", [1000, 40_000_000])
def test_a_tenants_own_path_takes_nothing_in_chunks_which_have_no_limit(
    size: int, gateway: RunningGateway, listeners: dict[str, FakeListener]
) -> None:
    """Of 40 MB all arrived, and Pipelines as Code would have read them into memory."""
    answer = gateway.send("/tenants/team-2", b"x" * size, github("chunks"), chunked=True)
    assert (answer.status, answer.error) == (411, "length-required")
    assert "chunks" not in listeners["c"].ids()
    # Without a body at all there is no length to tell.
    assert gateway.raw(b"POST /tenants/team-2/incoming?x=1 HTTP/1.1\r\nHost: x\r\n\r\n").startswith(
        b"HTTP/1.1 202 "
    )


def test_a_suspended_tenants_events_are_refused_with_the_reason(gateway: RunningGateway) -> None:
    for path in ("/", f"/tenants/team-{TENANTS - 1}"):
        body = push(f"https://{HOSTS[0]}/team-{TENANTS - 1}/app-0")
        answer = gateway.send(path, body, github())
        assert (answer.status, answer.error) == (403, "tenant-suspended")


def test_no_event_says_where_the_apps_credentials_are_sent(
    gateway: RunningGateway, listeners: dict[str, FakeListener]
) -> None:
    body = push(f"https://{HOSTS[0]}/team-0/app-0")
    for path in ("/", "/tenants/team-0"):
        marked = {"X-Token": f"enterprise{path}", "X-GitHub-Enterprise-Host": "evil.example.com"}
        assert gateway.send(path, body, github("e", **marked)).status == 202
        (delivered,) = [
            one for one in listeners["a"].delivered if one.headers.get("x-token") == f"enterprise{path}"
        ]
        assert "x-github-enterprise-host" not in delivered.headers


def test_the_log_traces_an_event_and_tells_nothing_of_its_content(
    gateway: RunningGateway, listeners: dict[str, FakeListener]
) -> None:
    headers = github(
        'a"\\b', **{"X-Token": "traced", "X-Request-ID": "theirs", "X-Forwarded-For": "192.0.2.9"}
    )
    answer = gateway.send("/?token=hidden", push(f"https://{HOSTS[0]}/team-0/app-0", 300), headers)
    (delivered,) = [one for one in listeners["a"].delivered if one.headers.get("x-token") == "traced"]
    identity = answer.headers["x-request-id"]
    assert delivered.headers["x-request-id"] == identity != "theirs"
    assert delivered.headers["x-forwarded-for"] == "127.0.0.1"
    assert delivered.path == "/"

    def found() -> list[dict[str, object]]:
        return [line for line in gateway.lines() if line["requestId"] == identity]

    until(found, "logged")
    (line,) = found()
    expected = {
        "source": "127.0.0.1",
        "method": "POST",
        "path": "/",
        "provider": "github",
        "event": "push",
        "delivery": 'a"\\b',
        "tenant": "team-0",
        "repository": f"{HOSTS[0]}/team-0/app-0",
        "backend": "cluster_a",
        "status": 202,
    }
    assert {key: line[key] for key in expected} == expected
    text = gateway.log_file.read_text()
    assert "hidden" not in text
    assert "refs/heads/main" not in text


def test_a_refused_event_is_counted_by_its_reason(gateway: RunningGateway) -> None:
    name, labels = "haproxy_backend_http_requests_total", {"proxy": "answer_unknown-repository"}
    before = gateway.counter(name, **labels)
    gateway.send("/", push("https://git.example.com/nobody/knows"), github())
    assert gateway.counter(name, **labels) == before + 1


def test_haproxy_accepts_what_is_written_for_every_choice(routing: Routing, tmp_path: Path) -> None:
    bundle = read_bundle(make_bundle())
    (tmp_path / "ca.pem").write_text(bundle.authority)
    (tmp_path / "gateway.pem").write_text(bundle.gateway)
    (tmp_path / "tls.pem").write_text(bundle.listener)
    networks = tuple(f"10.{number // 250}.{number % 250}.0/24" for number in range(500))
    for number, changed in enumerate(
        (
            replace(routing, signed=True, unsigned_gitea=False),
            replace(routing, tls=True),
            replace(routing, body_limit=25 * 1024 * 1024),
            replace(routing, allowed_sources=("192.0.2.0/24", "2001:db8::/32")),
            replace(routing, allowed_sources=networks, trusted_proxies=networks),
            replace(routing, listeners={"x": Listener(host="events.example.com", port=443)}, tenants={}),
            replace(routing, listeners={"x": Listener(host="2001:db8::1", port=443)}, tenants={}),
            replace(routing, listeners={"x": Listener(host="192.0.2.1", port=443, remote=True)}),
            replace(
                routing, listeners={"x": Listener(host="x.example.com", port=443, remote=True, route=True)}
            ),
            replace(routing, listeners={}, tenants={}),
        )
    ):
        place = tmp_path / str(number)
        own = replace(
            changed.places, maps=str(place), mutual_tls=str(tmp_path), certificate=str(tmp_path / "tls.pem")
        )
        write(replace(changed, places=own), place)
        assert check(place, GITHUB_WEBHOOK_SECRET="c2VjcmV0") == ""
