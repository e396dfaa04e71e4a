"""What the gateway refuses, and with what: each a clear answer as JSON, and it stays up."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import pytest

from components.gateway_answers import ANSWERS, ERRORS
from components.gateway_config import Listener, Routing, TenantRoute
from components.haproxy import CONNECTIONS
from tests.support.haproxy import (
    FakeListener,
    RunningGateway,
    github,
    places,
    push,
    running,
    send,
)
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KNOWN = "git.example.com/team/app"
URL = f"https://{KNOWN}"
SECRET = "it's a secret"
LIMIT = 64 * 1024


@pytest.fixture(scope="module")
def listener() -> Iterator[FakeListener]:
    with FakeListener().running() as one:
        yield one


@pytest.fixture(scope="module")
def routing(listener: FakeListener, tmp_path_factory: pytest.TempPathFactory) -> Routing:
    return Routing(
        listeners={"a": Listener(host="127.0.0.1", port=listener.port)},
        tenants={
            "team": TenantRoute(cluster="a", repositories=(KNOWN,)),
            "lost": TenantRoute(cluster="gone", repositories=("git.example.com/lost/app",)),
        },
        body_limit=LIMIT,
        events_per_source=1_000_000,
        events_per_repository=1_000_000,
        places=places(tmp_path_factory.mktemp("gateway")),
    )


@pytest.fixture(scope="module")
def gateway(routing: Routing, listener: FakeListener) -> Iterator[RunningGateway]:
    with running(routing) as one:
        yield one
        # Whatever was asked of it: it is still the same process, and takes events.
        assert one.process.poll() is None
        before = len(listener.delivered)
        assert one.send("/", push(URL), github()).status == 202
        assert len(listener.delivered) == before + 1


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "error"),
    [
        ("GET", "/", github(), b"", 405, "method-not-allowed"),
        ("PUT", "/", github(), push(URL), 405, "method-not-allowed"),
        ("OPTIONS", "/tenants/team", github(), b"", 405, "method-not-allowed"),
        ("POST", "/other", github(), push(URL), 404, "unknown-path"),
        ("POST", "//", github(), push(URL), 404, "unknown-path"),
        ("POST", "/incoming", github(), push(URL), 404, "unknown-path"),
        ("POST", "/tenants/team/../other", github(), push(URL), 404, "unknown-path"),
        ("POST", "/tenants/team/%2e%2e/live", github(), push(URL), 404, "unknown-path"),
        ("POST", "/tenants/team//incoming", github(), push(URL), 404, "unknown-path"),
        ("POST", "/tenants/team;x=1", github(), push(URL), 404, "unknown-path"),
        ("POST", "/tenants/TEAM", github(), push(URL), 404, "unknown-path"),
        ("POST", "/tenants/", github(), push(URL), 404, "unknown-path"),
        ("POST", "/live", github(), push(URL), 404, "unknown-path"),
        ("POST", "/metrics", github(), push(URL), 404, "unknown-path"),
        ("POST", "/tenants/nobody", github(), push(URL), 404, "unknown-tenant"),
        ("POST", "/tenants/nobody/incoming", JSON, b"{}", 404, "unknown-tenant"),
        ("POST", "/tenants/lost", github(), push(URL), 503, "cluster-unreached"),
        ("POST", "/", JSON, push(URL), 400, "no-provider"),
        ("POST", "/tenants/team", JSON, push(URL), 400, "no-provider"),
        ("POST", "/", {"X-GitHub-Event": "", **JSON}, push(URL), 400, "no-provider"),
        ("POST", "/", github(**{"X-Gitlab-Event": "Push Hook"}), push(URL), 400, "several-providers"),
        ("POST", "/", github(**{"X-Event-Key": "repo:push"}), push(URL), 400, "several-providers"),
        ("POST", "/", github(**{"Content-Type": "text/plain"}), push(URL), 415, "unsupported-content-type"),
        ("POST", "/", {"X-GitHub-Event": "push"}, push(URL), 415, "unsupported-content-type"),
        (
            "POST",
            "/",
            {"X-Gitlab-Event": "Push Hook", "Content-Type": "application/x-www-form-urlencoded"},
            b"payload={}",
            415,
            "unsupported-content-type",
        ),
        ("POST", "/", github(), b"", 400, "no-repository"),
        ("POST", "/", github(), b"{", 400, "no-repository"),
        ("POST", "/", github(), b"\xff\xfe\x00", 400, "no-repository"),
        ("POST", "/", github(), b'{"repository": "text"}', 400, "no-repository"),
        ("POST", "/", github(), b'{"repository": {"html_url": 7}}', 404, "unknown-repository"),
        ("POST", "/", github(), b'{"repository": {"html_url": null}}', 400, "no-repository"),
        ("POST", "/", github(), b'{"repository": {"html_url": ""}}', 404, "unknown-repository"),
        ("POST", "/", github(), b"[" * 5000, 400, "no-repository"),
        # No provider writes slashes so, and HAProxy's reader of JSON doesn't know it.
        ("POST", "/", github(), push(URL.replace("/", r"\/")), 400, "no-repository"),
        ("POST", "/", github(), push("https://git.example.com/nobody/app"), 404, "unknown-repository"),
        ("POST", "/", github(), push(URL, LIMIT + 1), 413, "body-too-large"),
        ("POST", "/", github(**{"X-Large": "x" * 17_000}), push(URL), 431, "headers-too-large"),
        ("POST", "/", github(**{"X-GitHub-Event": "ping"}), b'{"zen": "x"}', 200, "ignored"),
        ("POST", "/", github(**{"X-GitHub-Event": "installation"}), b"{}", 200, "ignored"),
    ],
)
def test_it_is_refused_with_a_reason(  # noqa: PLR0913, PLR0917 -- a request and its answer
    gateway: RunningGateway,
    listener: FakeListener,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    status: int,
    error: str,
) -> None:
    before = len(listener.delivered)
    answer = gateway.send(path, body, headers, method=method)
    assert (answer.status, answer.error) == (status, error)
    assert answer.headers["content-type"] == "application/json"
    told = json.loads(answer.body)
    assert told["requestId"] == answer.headers["x-request-id"]
    assert told["reason"] in {one.reason for one in ANSWERS}
    assert len(listener.delivered) == before


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnot hexadecimal\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n",
        b"POST / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /\x00tenants HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(200)) + b"\r\n",
    ],
    ids=["two lengths", "bad chunk", "bad header", "bad version", "http/2", "tls", "nul", "many headers"],
)
def test_what_is_no_http_or_contradicts_itself_is_a_bad_request(
    request_bytes: bytes, gateway: RunningGateway, listener: FakeListener
) -> None:
    before = len(listener.delivered)
    answer = gateway.raw(request_bytes)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), answer
    assert len(listener.delivered) == before


def test_an_event_of_two_kinds_at_once_is_refused(gateway: RunningGateway) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nX-GitHub-Event: push\r\nX-GitHub-Event: ping\r\n"
    answer = gateway.raw(head + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
    assert json.loads(answer.rpartition(b"\r\n\r\n")[2])["error"] == "several-providers"


@pytest.mark.parametrize("path", ["/", "/tenants/team"])
def test_who_sends_headers_or_a_body_too_slowly_is_shut_out(path: str, gateway: RunningGateway) -> None:
    def slowly(first: bytes, then: bytes) -> tuple[float, bytes]:
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as connection:
            connection.sendall(first)
            connection.settimeout(0.5)
            while time.monotonic() - begun < 30:
                try:
                    answer = connection.recv(65536)
                    return time.monotonic() - begun, answer
                except TimeoutError:
                    connection.sendall(then)
        raise AssertionError("still open after 30 s")

    seconds, answer = slowly(f"POST {path} HTTP/1.1\r\nHost: x\r\n".encode(), b"X: y\r\n")
    assert seconds < 15
    assert b" 408 " in answer.splitlines()[0]
    head = "".join(f"{name}: {value}\r\n" for name, value in github().items())
    seconds, answer = slowly(
        f"POST {path} HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 999\r\n\r\n".encode(), b"x"
    )
    assert 8 < seconds < 20
    assert b" 408 " in answer.splitlines()[0]
    assert json.loads(answer.rpartition(b"\r\n\r\n")[2])["error"] == "too-slow"


@pytest.mark.parametrize("path", [None, "/", "/tenants/team"])
def test_who_holds_connections_open_leaves_room_for_others(
    path: str | None, routing: Routing, tmp_path: Path
) -> None:
    """With all connections held, by nothing or by a body that came slowly, nobody else got an answer."""
    head = "".join(f"{name}: {value}\r\n" for name, value in github().items())
    first = "" if path is None else f"POST {path} HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 9999\r\n\r\nx"
    with running(replace(routing, places=places(tmp_path))) as gateway, ExitStack() as stack:
        held = [
            stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port)))
            for _ in range(CONNECTIONS + 20)
        ]
        for connection in held:
            # What is beyond the limit is closed at once.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(first.encode())
        begun = time.monotonic()
        for one in ("/", "/tenants/team"):
            assert gateway.send(one, push(URL), github(), source="127.0.0.2").status == 202
        # Before the first of the others is given up.
        assert time.monotonic() - begun < 4
        if path is not None:
            until(
                lambda: any("too-many-at-once" in str(line["backend"]) for line in gateway.lines()), "refused"
            )


def test_a_network_of_ipv6_is_one_source(routing: Routing, tmp_path: Path) -> None:
    narrow = replace(routing, events_per_source=2, trusted_proxies=("127.0.0.0/8",), places=places(tmp_path))
    with running(narrow) as gateway:
        senders = ("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1")
        answers = [
            gateway.send("/", push(URL), github(**{"X-Forwarded-For": sender})).status for sender in senders
        ]
    assert answers == [202, 202, 429, 202]


def test_no_content_costs_much_more_than_its_length(routing: Routing, tmp_path: Path) -> None:
    """A search for escaped slashes took a second for each event of 2 MiB, and of 25 MiB it ended HAProxy."""
    wide = replace(routing, body_limit=25 * 1024 * 1024, places=places(tmp_path))
    with running(wide) as gateway:
        process = psutil.Process(gateway.process.pid)
        for header in ("X-GitHub-Event", "X-Gitlab-Event", "X-Event-Key"):
            for content in (r"\/", "x", "[", '{"repository":', r'{"a":"\\"},'):
                body = (content * (wide.body_limit // len(content))).encode()
                before = process.cpu_times()
                answer = gateway.send("/", body, {header: "push", **JSON})
                assert (answer.status, answer.error) == (400, "no-repository")
                after = process.cpu_times()
                assert after.user + after.system - before.user - before.system < 2, (header, content)


def test_its_own_answers_have_names_of_their_own() -> None:
    names = [one.name for one in (*ANSWERS, *ERRORS)]
    assert len(names) == len(set(names))


def signature(body: bytes, key: str = SECRET) -> dict[str, str]:
    made = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={made}"}


def test_with_the_apps_secret_only_what_github_signed_gets_through(
    routing: Routing, listener: FakeListener, tmp_path: Path
) -> None:
    signed = replace(routing, signed=True, places=places(tmp_path))
    # In the pod, the variable comes from a Secret; its value is base64.
    with running(signed, GITHUB_WEBHOOK_SECRET=base64.b64encode(SECRET.encode()).decode()) as gateway:
        body = push(URL, LIMIT)
        assert gateway.send("/", body, github(**signature(body))).status == 202
        before = len(listener.delivered)
        forged = [
            {},
            signature(body, "another"),
            signature(body + b" "),
            {"X-Hub-Signature-256": "sha256="},
            {"X-Hub-Signature-256": signature(body)["X-Hub-Signature-256"][:-1]},
            {"X-Hub-Signature": "sha1=" + "0" * 40},
        ]
        for headers in forged:
            answer = gateway.send("/", body, github(**headers))
            assert (answer.status, answer.error) == (401, "wrong-signature")
        # What Pipelines as Code takes for GitHub's, whatever else is said.
        for header, kind in (
            ("X-Gitea-Event", "push"),
            ("X-Forgejo-Event", "push"),
            ("X-Forgejo-Event-Type", "push"),
            ("X-Gitea-Event-Type", ""),
        ):
            answer = gateway.send("/", body, github(**{header: kind}))
            assert (answer.status, answer.error) == (401, "wrong-signature")
        assert len(listener.delivered) == before
        # Webhooks of single repositories have secrets of their own, which Pipelines as Code looks at.
        assert gateway.send("/tenants/team", body, github()).status == 202
        text = gateway.log_file.read_text()
        assert SECRET not in text
        assert base64.b64encode(SECRET.encode()).decode() not in text
    for file in tmp_path.iterdir():
        assert SECRET not in file.read_text()


def test_events_of_gitea_are_taken_only_where_the_settings_take_the_risk(
    gateway: RunningGateway, routing: Routing, listener: FakeListener, tmp_path: Path
) -> None:
    """The header alone makes it Gitea's for Pipelines as Code, which then checks no signature."""
    gitea = github(**{"X-Gitea-Event-Type": "push"})
    before = len(listener.delivered)
    for path in ("/", "/tenants/team"):
        answer = gateway.send(path, push(URL), gitea)
        assert (answer.status, answer.error) == (403, "unsigned-gitea")
    assert len(listener.delivered) == before
    with running(replace(routing, unsigned_gitea=True, places=places(tmp_path))) as taking:
        for path in ("/", "/tenants/team"):
            assert taking.send(path, push(URL), gitea).status == 202


def test_only_allowed_sources_are_heard_and_a_proxy_is_believed_only_where_it_is_trusted(
    routing: Routing, tmp_path: Path
) -> None:
    # As many as make several lines of the configuration.
    others = tuple(f"198.51.100.{number}/32" for number in range(200))
    closed = replace(routing, allowed_sources=(*others, "192.0.2.0/24"))
    forwarded = github(**{"X-Forwarded-For": "203.0.113.7, 192.0.2.9"})
    with running(replace(closed, places=places(tmp_path / "closed"))) as gateway:
        answer = gateway.send("/", push(URL), forwarded)
        assert (answer.status, answer.error) == (403, "source-not-allowed")
    trusting = replace(closed, trusted_proxies=("127.0.0.0/8",), places=places(tmp_path / "trusting"))
    with running(trusting) as gateway:
        assert gateway.send("/", push(URL), forwarded).status == 202
        assert gateway.logged(1)[0]["source"] == "192.0.2.9"
        # What somebody put before the proxy's own entry is nothing but a claim.
        claimed = github(**{"X-Forwarded-For": "192.0.2.9, 203.0.113.7"})
        assert gateway.send("/", push(URL), claimed).status == 403
        assert gateway.send("/", push(URL), github()).status == 403


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        ({"events_per_source": 5}, "too-many-from-source"),
        ({"events_per_repository": 5}, "too-many-of-repository"),
    ],
)
def test_too_many_events_are_refused_until_there_are_fewer(
    limits: dict[str, int], error: str, routing: Routing, tmp_path: Path
) -> None:
    narrow = replace(routing, places=places(tmp_path), **limits)  # type: ignore[arg-type]
    with running(narrow) as gateway:
        answers = [gateway.send("/", push(URL), github()) for _ in range(7)]
        assert [one.status for one in answers] == [202] * 5 + [429] * 2
        assert answers[-1].error == error
        assert answers[-1].headers["retry-after"] == "60"
        # Nor by the tenant's own path, which is counted by itself.
        other = gateway.send("/tenants/team", push(URL), github()).status
        assert other == (429 if "events_per_source" in limits else 202)
        # Who sends too many, signed or not, keeps nobody else's from being taken.
        assert gateway.send("/", push(URL), github(), source="127.0.0.2").status == 202
        assert send(gateway.metrics_port, "/healthz", method="GET").status == 200
