"""How requests are tried again, and how long the proxy lives; what it asks is tried on real API servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from units.api import Api, _refusal
from units.errors import KubectlError, RefusedError, passes_by_itself

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[3]
BOUND_SECONDS = 30


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kubectl that starts the real one, as wrappers do, and neither of them ends by itself."""
    script = tmp_path / "kubectl"
    pid = tmp_path / "pid"
    script.write_text(f"#!/bin/sh\nsleep 1000 &\necho $! > {pid}\necho Starting to serve\nwait\n")
    script.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return pid


@pytest.fixture
def api(kubectl: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    assert kubectl
    monkeypatch.setattr("units.api._PAUSE_SECONDS", 0)
    made = Api([])
    yield made
    made.close()


def is_gone(process: int) -> bool:
    """Tell whether a process has ended; one that nobody waits for counts, too."""
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_gone(process: int) -> None:
    deadline = time.monotonic() + BOUND_SECONDS
    while not is_gone(process):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_only_what_failed_is_tried_again_and_the_answers_keep_their_order(api: Api) -> None:
    tried: list[int] = []

    def ask(number: int) -> int:
        tried.append(number)
        if number == 1 and tried.count(1) < 3:
            raise KubectlError('Error from server (InternalError): failed calling webhook "x"')
        return 10 * number

    assert api.each(ask, range(4)) == [0, 10, 20, 30]
    assert sorted(tried) == [0, 1, 1, 1, 2, 3]


def test_what_does_not_pass_by_itself_is_told_at_once_with_everything_else_that_failed(api: Api) -> None:
    tried: list[str] = []

    def ask(name: str) -> None:
        tried.append(name)
        if name != "fine":
            raise KubectlError(f"ConfigMap {name}: Error from server (Invalid): it is {name}")

    with pytest.raises(RefusedError, match=r"it is bad; ConfigMap worse: .* it is worse") as raised:
        api.each(ask, ["bad", "fine", "worse"])
    assert [item for item, _ in raised.value.errors] == ["bad", "worse"]
    assert sorted(tried) == ["bad", "fine", "worse"]


def test_of_many_refused_objects_the_first_are_told_and_how_many_more_there_are(api: Api) -> None:
    def ask(number: int) -> None:
        raise KubectlError(f"ConfigMap c{number}: the webhook doesn't answer")

    with pytest.raises(RefusedError, match=r"c0: .*; ConfigMap c4: the webhook doesn't answer; and 3 more$"):
        api.each(ask, range(8), patient=False)


def test_an_impatient_request_is_tried_once(api: Api) -> None:
    tried: list[str] = []

    def ask(name: str) -> None:
        tried.append(name)
        raise KubectlError("etcdserver: leader changed")

    with pytest.raises(RefusedError):
        api.each(ask, ["one"], patient=False)
    assert tried == ["one"]


def test_the_proxy_and_whatever_it_started_end_with_it_and_nobody_else_reaches_its_socket(
    kubectl: Path,
) -> None:
    api = Api([])
    process = int(kubectl.read_text())
    folder = Path(api._folder.name)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not is_gone(process)
    api.close()
    wait_until_gone(process)
    assert not folder.exists()


def test_a_proxy_that_does_not_end_when_told_is_killed(
    kubectl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else a unit that has done its work would fail on a machine that is slow just then.
    monkeypatch.setattr("units.api._STOP_SECONDS", 0.1)
    monkeypatch.setattr("units.api._UNTIL_WE_END", 'kubectl "$@" & exec >&- 2>&-; wait')
    api = Api([])
    process = int(kubectl.read_text())
    api.close()
    wait_until_gone(process)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_runner_that_is_killed_leaves_no_proxy(kubectl: Path, sent: signal.Signals) -> None:
    program = (
        "import time; from units.api import Api; api = Api([]); print('up', flush=True); time.sleep(1000)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == b"up\n"
        process = int(kubectl.read_text())
        assert not is_gone(process)
        runner.send_signal(sent)
        runner.wait(BOUND_SECONDS)
    wait_until_gone(process)


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (
            409,
            b'{"kind": "Status", "reason": "Conflict", "message": "it changed"}',
            "Error from server (Conflict): it changed",
        ),
        (400, b'{"kind": "Status", "message": "no such field"}', "Error from server: no such field"),
        (403, b"", "Error from server (Forbidden): unknown"),
        (404, b"404 page not found", "(NotFound): the server could not find the requested resource"),
        (429, b"Too many requests, please try again later.", "Error from server (TooManyRequests): Too many"),
        (500, b"dial tcp 10.0.0.1:443: connect: connection refused", "Unable to connect to the server: dial"),
        (503, b"not yet", "Error from server (ServiceUnavailable): not yet"),
        (599, b"<html>", "Error from server (599): <html>"),
    ],
)
def test_a_refusal_is_told_in_kubectls_words(status: int, text: bytes, said: str) -> None:
    assert said in _refusal(status, text)


@pytest.mark.parametrize(
    ("status", "text", "passes"),
    [(429, b"Too many", True), (503, b"", True), (404, b"404 page not found", True), (401, b"no", False)],
)
def test_a_server_that_is_busy_or_starting_is_asked_again(status: int, text: bytes, *, passes: bool) -> None:
    assert passes_by_itself(_refusal(status, text), 1) is passes
