"""What the pods of `check network` do, on this machine's loopback."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from operations import network_probe

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = "127.0.0.1"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {
        "_TRY_SECONDS": 0.5,
        "_PAUSE_SECONDS": 0.01,
        "_OWN_SECONDS": 0.3,
        "_DNS_SECONDS": 0.1,
        "LEAST_SECONDS": 0.1,
        "MOST_SECONDS": 0.5,
    }.items():
        monkeypatch.setattr(network_probe, name, seconds)


@pytest.fixture
def closed() -> int:
    """A port at which nobody listens."""
    with closing(socket.create_server((HERE, 0))) as taken:
        port: int = taken.getsockname()[1]
    return port


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server that says `word`, as it runs in a pod."""
    with closing(socket.create_server((HERE, 0))) as taken:
        number: int = taken.getsockname()[1]
    source = Path(network_probe.__file__).read_text()
    program = f"{source.replace('PORT = 8080', f'PORT = {number}')}"
    with subprocess.Popen([sys.executable, "-c", program, "serve", "word"]) as process:
        try:
            target = {"address": HERE, "port": number, "word": "word"}
            assert _until_answered(target)
            yield number
        finally:
            process.kill()


def _until_answered(target: dict[str, Any]) -> bool:
    return any(network_probe.answered_within(target, 1.0)[0] == "answered" for _ in range(20))


def target(kind: str, port: int, word: str = "word") -> dict[str, Any]:
    return {"kind": kind, "address": HERE, "port": port, "word": word}


def test_who_answers_and_who_refuses_is_told_apart(port: int, closed: int) -> None:
    targets = [
        target("own", port),
        target("other", closed),
        target("metadata", port, ""),
        target("metadata", closed, ""),
        {"kind": "dns", "address": "localhost"},
    ]
    answered, refused = ("answered", ""), ("blocked", "ECONNREFUSED")
    assert network_probe.probe(targets) == [answered, refused, answered, refused, answered]


def test_a_name_that_dns_does_not_know_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    result, detail = network_probe.resolved("kubernetes.default.svc")
    assert result == "blocked"
    assert "not known" in detail


def test_a_server_that_says_another_word_is_no_answer(port: int) -> None:
    assert network_probe.attempt(HERE, port, "Word") == ("strange", "connected to something else")


def test_what_takes_connections_and_says_nothing_is_no_answer() -> None:
    with closing(socket.create_server((HERE, 0))) as silent:
        found = network_probe.attempt(HERE, silent.getsockname()[1], "word")
    assert found == ("strange", "connected, then timed out")


def test_an_own_server_that_is_gone_in_the_end_did_not_answer(
    port: int, closed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = target("own", port)
    attempt = network_probe.attempt
    asked = []

    def goes_away(address: str, number: int, word: str) -> tuple[str, str]:
        asked.append(number)
        return attempt(address, number if len(asked) == 1 else closed, word)

    monkeypatch.setattr(network_probe, "attempt", goes_away)
    assert network_probe.probe([given]) == [("blocked", "ECONNREFUSED")]


def test_a_network_that_shuts_a_moment_later_is_blocked_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = iter([("answered", "")] * 3)
    monkeypatch.setattr(network_probe, "attempt", lambda *_: next(results, ("blocked", "timed out")))
    result, detail = network_probe.settled(target("other", 1))
    assert result == "blocked"
    assert detail.startswith("timed out, but not in the first")


def test_a_network_that_opens_a_moment_later_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    results = iter([("blocked", "timed out")] * 3)
    monkeypatch.setattr(network_probe, "attempt", lambda *_: next(results, ("answered", "")))
    assert network_probe.settled(target("other", 1)) == ("answered", "")


def test_a_client_leaves_its_results_in_the_file_that_it_is_given(port: int, tmp_path: Path) -> None:
    message = tmp_path / "message"
    network_probe.main(["probe", json.dumps([target("own", port)]), str(message)])
    assert json.loads(message.read_text()) == [["answered", ""]]


def test_a_server_outlives_those_who_hang_up_early(port: int) -> None:
    threads = [
        threading.Thread(target=lambda: socket.create_connection((HERE, port)).close()) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert network_probe.attempt(HERE, port, "word") == ("answered", "")
