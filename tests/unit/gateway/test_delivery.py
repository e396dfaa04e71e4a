"""Faults behind the gateway: an event is delivered once, or its sender is told otherwise; never twice."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from components.events_listener_manifests import ListenerPlaces, configuration
from components.gateway_config import OF_ONE_CLUSTER, Listener, Routing, TenantRoute
from components.haproxy import CONFIGURATION, RESOLVING
from operations.gateway_certificates import make_bundle
from stacks.mutual_tls import read_bundle
from tests.support.haproxy import (
    FakeListener,
    RunningGateway,
    check,
    github,
    places,
    push,
    running,
    send,
    started,
    write,
)
from tests.support.ports import free_port
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REFUSED = (502, 503)
"""By TLS 1.3, a certificate is refused when the first of the event may have been sent."""

A, B = "git.example.com/team-a/app", "git.example.com/team-b/app"


@pytest.fixture
def a() -> FakeListener:
    return FakeListener()


@pytest.fixture
def b() -> Iterator[FakeListener]:
    with FakeListener().running() as one:
        yield one


@pytest.fixture
def routing(a: FakeListener, b: FakeListener, tmp_path: Path) -> Routing:
    return Routing(
        listeners={
            "a": Listener(host="127.0.0.1", port=a.port),
            "b": Listener(host="127.0.0.1", port=b.port),
        },
        tenants={
            "team-a": TenantRoute(cluster="a", repositories=(A,)),
            "team-b": TenantRoute(cluster="b", repositories=(B,)),
        },
        body_limit=256 * 1024,
        events_per_source=1_000_000,
        events_per_repository=1_000_000,
        places=places(tmp_path / "gateway"),
    )


def of_a(identity: str = "1") -> tuple[bytes, dict[str, str]]:
    return push(f"https://{A}", 20_000), github(identity)


def test_a_dead_cluster_answers_503_and_the_other_goes_on(
    routing: Routing, a: FakeListener, b: FakeListener
) -> None:
    body, headers = of_a()
    with running(routing) as gateway:
        answer = gateway.send("/", body, headers)
        assert (answer.status, answer.error) == (503, "cluster-unavailable")
        assert gateway.send("/", push(f"https://{B}"), github("2")).status == 202
        (line,) = [one for one in gateway.logged(2) if one["tenant"] == "team-a"]
        # It was tried again, since nothing had been sent.
        assert line["retries"] == "3"
        assert b.ids() == ["2"]
        with a.running():
            assert gateway.send("/", body, headers).status == 202
    assert a.ids() == ["1"]


def test_a_cluster_that_comes_back_while_it_is_tried_gets_the_event_once(
    routing: Routing, a: FakeListener
) -> None:
    body, headers = of_a()
    with running(routing) as gateway, ThreadPoolExecutor(1) as pool:
        sent = pool.submit(gateway.send, "/", body, headers)
        until(
            lambda: gateway.counter("haproxy_backend_retry_warnings_total", proxy="cluster_a") >= 1,
            "tried again",
        )
        with a.running():
            assert sent.result().status == 202
    assert a.ids() == ["1"]


def test_what_a_cluster_may_have_got_is_not_sent_again(routing: Routing, a: FakeListener) -> None:
    body, headers = of_a()
    a.status = None
    with a.running(), running(routing) as gateway:
        answer = gateway.send("/", body, headers)
        assert (answer.status, answer.error) == (502, "broken-answer")
    assert a.ids() == ["1"]


def test_an_answer_of_the_cluster_is_passed_on_and_the_event_not_tried_elsewhere(
    routing: Routing, a: FakeListener, b: FakeListener
) -> None:
    body, headers = of_a()
    a.status = 500
    with a.running(), running(routing) as gateway:
        answer = gateway.send("/", body, headers)
    assert (answer.status, json.loads(answer.body)["message"]) == (500, "accepted")
    assert (a.ids(), b.ids()) == (["1"], [])


def test_a_slow_cluster_is_waited_for_half_a_minute_and_holds_up_no_other(
    routing: Routing, a: FakeListener, b: FakeListener
) -> None:
    a.delay = 30.0
    most, events = OF_ONE_CLUSTER, OF_ONE_CLUSTER + 16
    with a.running(), running(routing) as gateway, ThreadPoolExecutor(events) as pool:
        # From several addresses, since one may not have so many at once.
        slow = [
            pool.submit(
                gateway.send, "/", *of_a(str(number)), seconds=120, source=f"127.0.0.{2 + number % 4}"
            )
            for number in range(events)
        ]
        until(lambda: len(a.ids()) >= most - 4, "delivered")
        begun = time.monotonic()
        assert gateway.send("/", push(f"https://{B}"), github("fast")).status == 202
        assert time.monotonic() - begun < 10
        answers = [one.result() for one in slow]
    # Half of what the gateway takes at once may wait for one cluster; the others are told to come again.
    taken = [one for one in answers if one.status == 202]
    refused = [one for one in answers if one.status == 503]
    assert len(taken) == len(a.ids()) == len(set(a.ids()))
    # HAProxy's threads count at the same time: a few may be refused that still had room.
    assert most - 4 <= len(taken) <= most
    assert {one.error for one in refused} == {"cluster-busy"}
    assert len(taken) + len(refused) == events
    assert b.ids() == ["fast"]


def test_a_cluster_that_takes_no_connection_costs_seconds_and_no_event_of_another(
    routing: Routing, b: FakeListener
) -> None:
    with socket.socket() as deaf, ExitStack() as stack:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        # Its queue is full: what connects to it now hears nothing.
        for _ in range(3):
            connection = stack.enter_context(socket.socket())
            connection.setblocking(False)  # noqa: FBT003 -- the library's way
            connection.connect_ex(deaf.getsockname())
        listeners = {**routing.listeners, "a": Listener(host="127.0.0.1", port=deaf.getsockname()[1])}
        with running(replace(routing, listeners=listeners)) as gateway, ThreadPoolExecutor(1) as pool:
            sent = pool.submit(gateway.send, "/", *of_a())
            assert gateway.send("/", push(f"https://{B}"), github("2")).status == 202
            answer = sent.result()
            assert (answer.status, answer.error) == (503, "cluster-unavailable")
            [line] = [one for one in gateway.logged(2) if one["tenant"] == "team-a"]
            # Before GitHub loses patience.
            assert line["milliseconds"] < 10_000
    assert b.ids() == ["2"]


def test_a_new_configuration_takes_over_under_load_and_every_event_arrives_once(
    routing: Routing, a: FakeListener, b: FakeListener, tmp_path: Path
) -> None:
    """As a rolling update does it: the new pod is ready, then the old one gets no more and is told to end."""
    moved = replace(
        routing,
        tenants={**routing.tenants, "team-a": TenantRoute(cluster="b", repositories=(A,))},
        places=places(tmp_path / "second"),
    )
    # An event is on its way for a moment, so that some are when the old one is told to end.
    a.delay = 0.2
    stop, answers, numbers = threading.Event(), {}, iter(range(1_000_000))
    with ExitStack() as stack:
        stack.enter_context(a.running())
        old = stack.enter_context(running(routing))
        ports, choosing = [old.port], threading.Lock()
        by_the_old: set[str] = set()

        def load() -> None:
            while not stop.is_set():
                with choosing:
                    identity, port = str(next(numbers)), ports[-1]
                    if port == old.port:
                        by_the_old.add(identity)
                answers[identity] = send(port, "/", *of_a(identity)).status

        pool = stack.enter_context(ThreadPoolExecutor(8))
        loads = [pool.submit(load) for _ in range(8)]
        try:
            until(lambda: len(a.ids()) > 20, "delivered")
            new = stack.enter_context(running(moved))
            with choosing:
                ports.append(new.port)
            until(lambda: by_the_old <= set(a.ids()), "delivered")
            old.process.send_signal(signal.SIGUSR1)
            assert old.process.wait(60) == 0
            until(lambda: len(b.ids()) > 20, "delivered")
        finally:
            stop.set()
        for one in loads:
            one.result()
    assert set(answers.values()) == {202}
    assert sorted([*a.ids(), *b.ids()]) == sorted(answers)
    assert set(a.ids()) == by_the_old


def test_who_is_told_to_end_finishes_what_it_has(routing: Routing, a: FakeListener) -> None:
    a.delay = 2.0
    with a.running(), running(routing) as gateway, ThreadPoolExecutor(1) as pool:
        sent = pool.submit(gateway.send, "/", *of_a())
        until(lambda: a.ids() == ["1"], "delivered")
        gateway.process.send_signal(signal.SIGUSR1)
        assert sent.result().status == 202
        assert gateway.process.wait(60) == 0
    assert a.ids() == ["1"]


def test_more_at_once_than_fits_wait_and_none_is_lost(routing: Routing, a: FakeListener) -> None:
    a.delay = 0.2
    with a.running(), running(routing) as gateway, ThreadPoolExecutor(60) as pool:
        numbers = [str(number) for number in range(300)]
        answers = list(pool.map(lambda number: gateway.send("/", *of_a(number)).status, numbers))
    assert set(answers) == {202}
    assert sorted(a.ids()) == sorted(numbers)


@pytest.fixture
def mutual_tls(tmp_path: Path) -> Path:
    folder = tmp_path / "certificates"
    folder.mkdir()
    bundle = read_bundle(make_bundle(["events.route.example.com"]), ["events.route.example.com"])
    for name, text in (
        ("ca.pem", bundle.authority),
        ("gateway.pem", bundle.gateway),
        ("listener.pem", bundle.listener),
    ):
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def behind_tls(a: FakeListener, mutual_tls: Path, tmp_path: Path) -> Iterator[RunningGateway]:
    """An events listener of another cluster, before its Pipelines as Code."""
    folder = tmp_path / "listener"
    folder.mkdir()
    own = ListenerPlaces(
        events=f"127.0.0.1:{free_port()}", metrics=f"127.0.0.1:{free_port()}", secrets=str(mutual_tls)
    )
    (folder / CONFIGURATION).write_text(configuration(Listener(host="127.0.0.1", port=a.port), own))
    assert check(folder) == ""
    with a.running(), started(folder, own.events, own.metrics) as one:
        yield one


def to_other_cluster(routing: Routing, port: int, certificates: Path, folder: Path) -> Routing:
    remote = Listener(host="127.0.0.1", port=port, remote=True)
    return replace(
        routing,
        listeners={**routing.listeners, "a": remote},
        places=places(folder, mutual_tls=str(certificates)),
    )


def test_an_event_for_another_cluster_goes_by_its_events_listener(
    routing: Routing, a: FakeListener, behind_tls: RunningGateway, mutual_tls: Path, tmp_path: Path
) -> None:
    body, headers = of_a()
    with running(to_other_cluster(routing, behind_tls.port, mutual_tls, tmp_path / "out")) as gateway:
        answer = gateway.send("/", body, headers)
        assert answer.status == 202
        assert gateway.send("/tenants/team-a/incoming?x=1", b"{}", {}).status == 202
        events = gateway.logged(2)
    assert [one.path for one in a.delivered] == ["/", "/incoming?x=1"]
    assert a.delivered[0].body == body
    # One event, under one number, in the gateway's log, in the listener's and at Pipelines as Code.
    assert events[0]["requestId"] == behind_tls.logged(2)[0]["gatewayRequestId"]
    assert a.delivered[0].headers["x-request-id"] == events[0]["requestId"]
    assert answer.headers["x-request-id"] == events[0]["requestId"]


def test_who_has_no_certificate_of_the_gateway_reaches_no_events_listener(
    a: FakeListener, behind_tls: RunningGateway, mutual_tls: Path, routing: Routing, tmp_path: Path
) -> None:
    body, headers = of_a()
    plain = behind_tls.raw(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert b"202" not in plain
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    other = read_bundle(make_bundle())
    # Each end is refused by the other: a gateway of another authority, …
    (foreign / "ca.pem").write_text((mutual_tls / "ca.pem").read_text())
    (foreign / "gateway.pem").write_text(other.gateway)
    with running(to_other_cluster(routing, behind_tls.port, foreign, tmp_path / "foreign-out")) as gateway:
        assert gateway.send("/", body, headers).status in REFUSED
    # … a listener's certificate in place of a gateway's, …
    (foreign / "gateway.pem").write_text((mutual_tls / "listener.pem").read_text())
    with running(to_other_cluster(routing, behind_tls.port, foreign, tmp_path / "server-out")) as gateway:
        assert gateway.send("/", body, headers).status in REFUSED
    # … and a listener of another authority.
    (foreign / "ca.pem").write_text(other.authority)
    (foreign / "gateway.pem").write_text((mutual_tls / "gateway.pem").read_text())
    with running(to_other_cluster(routing, behind_tls.port, foreign, tmp_path / "false-out")) as gateway:
        assert gateway.send("/", body, headers).status == 503
    assert a.delivered == []


def test_a_route_is_found_by_its_name_which_the_certificate_must_have(
    routing: Routing, a: FakeListener, behind_tls: RunningGateway, mutual_tls: Path, tmp_path: Path
) -> None:
    body, headers = of_a()
    for name, status in (("events.route.example.com", 202), ("other.route.example.com", 503)):
        folder = tmp_path / name
        changed = to_other_cluster(routing, behind_tls.port, mutual_tls, folder)
        # As for a Route, but for the address, which no DNS has here.
        remote = Listener(host=name, port=behind_tls.port, remote=True, route=True)
        changed = replace(changed, listeners={**changed.listeners, "a": remote})
        written = write(changed, folder) / CONFIGURATION
        text = written.read_text()
        assert f"server listener {name}:{behind_tls.port} {RESOLVING} " in text
        written.write_text(
            text.replace(f"{name}:{behind_tls.port} {RESOLVING}", f"127.0.0.1:{behind_tls.port}")
        )
        with started(folder, changed.places.events, changed.places.metrics) as gateway:
            assert gateway.send("/", body, headers).status == status
    assert a.ids() == ["1"]
