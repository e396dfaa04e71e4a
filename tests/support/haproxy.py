"""A real HAProxy on loopback, real listeners behind it, and what sends events to it."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.gateway_config import Places, files
from components.haproxy import CONFIGURATION
from local.haproxy import haproxy
from local.layout import default_layout
from tests.support.ports import free_port
from tests.support.waiting import SECONDS, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from components.gateway_config import Routing

EVENTS = Path(__file__).parents[1] / "data" / "events"
"""Events as the providers' documentation has them; REPOSITORY stands for a repository's path."""

_LOOPBACK = "127.0.0.1"


@cache
def program() -> list[str]:
    """Return the command that runs HAProxy, of the packages that the embedded clusters' image is made of."""
    return haproxy(default_layout().packages)


def check(folder: Path, **variables: str) -> str:
    """Let HAProxy check the configuration in a folder; return all that it says but its version."""
    done = subprocess.run(
        [*program(), "-c", "-f", str(folder / CONFIGURATION)],
        capture_output=True,
        text=True,
        check=False,
        env=variables,
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith("[NOTICE]")]
    return "\n".join([*said, *([] if done.returncode == 0 else [f"ended with {done.returncode}"])])


@dataclass(kw_only=True)
class Delivered:
    """What a listener got."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(kw_only=True)
class FakeListener:
    """A listener that notes what it gets, and answers as Pipelines as Code does.

    Attributes
    ----------
    port
        Where it listens.
    delivered
        What it got, in order.
    delay
        Seconds until it answers.
    status
        What it answers; None: it breaks the connection off when it has read the event.
    """

    port: int = field(default_factory=free_port)
    delivered: list[Delivered] = field(default_factory=list)
    delay: float = 0.0
    status: int | None = 202

    def ids(self) -> list[str]:
        """List the numbers of the deliveries it got."""
        return [one.headers.get("x-github-delivery", "") for one in self.delivered]

    @contextmanager
    def running(self) -> Iterator[FakeListener]:
        """Run it."""
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self._body()
                headers = {name.lower(): value for name, value in self.headers.items()}
                listener.delivered.append(Delivered(path=self.path, headers=headers, body=body))
                time.sleep(listener.delay)
                if listener.status is None:
                    self.close_connection = True
                    return
                answer = b'{"status":202,"message":"accepted"}'
                self.send_response(listener.status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def _body(self) -> bytes:
                if (length := self.headers.get("content-length")) is not None:
                    return self.rfile.read(int(length))
                body = b""
                if "transfer-encoding" not in self.headers:
                    return body
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

        server = Server((_LOOPBACK, self.port), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


@dataclass(kw_only=True)
class Answered:
    """An answer to what was sent."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """Name of the gateway's own answer."""
        return str(json.loads(self.body)["error"])


@dataclass(kw_only=True)
class RunningGateway:
    """A gateway that runs.

    Attributes
    ----------
    port, metrics_port
        Where it takes events, and tells its metrics.
    process
        Its process.
    log_file
        What it says.
    """

    port: int
    metrics_port: int
    process: subprocess.Popen[bytes]
    log_file: Path

    def send(  # noqa: PLR0913 -- of a request
        self,
        path: str = "/",
        body: bytes = b"{}",
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "POST",
        chunked: bool = False,
        seconds: float = SECONDS,
        source: str = _LOOPBACK,
    ) -> Answered:
        """Send a request on a connection of its own."""
        return send(
            self.port, path, body, headers, method=method, chunked=chunked, seconds=seconds, source=source
        )

    def raw(self, request: bytes, seconds: float = SECONDS) -> bytes:
        """Send bytes as they are, and read until the gateway closes."""
        with socket.create_connection((_LOOPBACK, self.port), timeout=seconds) as connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def lines(self) -> list[dict[str, Any]]:
        """Read its log, as far as its lines are written to their ends."""
        whole, _, _ = self.log_file.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def logged(self, number: int) -> list[dict[str, Any]]:
        """Read its log, once it has so many lines at least."""
        until(lambda: len(self.lines()) >= number, "logged", self.log_file.read_text)
        return self.lines()

    def counter(self, name: str, **labels: str) -> float:
        """Read a counter of its metrics."""
        connection = http.client.HTTPConnection(_LOOPBACK, self.metrics_port, timeout=SECONDS)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        marked = ",".join(f'{key}="{value}"' for key, value in labels.items())
        wanted = f"{name}{{{marked}}} "
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(wanted))


def send(  # noqa: PLR0913 -- of a request
    port: int,
    path: str = "/",
    body: bytes = b"{}",
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "POST",
    chunked: bool = False,
    seconds: float = SECONDS,
    source: str = _LOOPBACK,
) -> Answered:
    """Send a request on a connection of its own."""
    connection = http.client.HTTPConnection(_LOOPBACK, port, timeout=seconds, source_address=(source, 0))
    try:
        pieces = (body[at : at + 4096] for at in range(0, len(body), 4096))
        # Who refuses a large body answers before it is all there.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(
                method, path, pieces if chunked else body, dict(headers or {}), encode_chunked=chunked
            )
        response = connection.getresponse()
        return Answered(
            status=response.status,
            headers={name.lower(): value for name, value in response.getheaders()},
            body=response.read(),
        )
    finally:
        connection.close()


def write(routing: Routing, folder: Path) -> Path:
    """Write a gateway's configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files(routing).items():
        (folder / name).write_text(text)
    return folder


def places(folder: Path, **more: Any) -> Places:  # noqa: ANN401 -- as Places has them
    """Say where a gateway for tests listens and reads."""
    return Places(
        events=f"{_LOOPBACK}:{free_port()}",
        metrics=f"{_LOOPBACK}:{free_port()}",
        maps=str(folder),
        **more,
    )


@contextmanager
def running(routing: Routing, **variables: str) -> Iterator[RunningGateway]:
    """Run a gateway until the end of the block."""
    folder = write(routing, Path(routing.places.maps))
    with started(folder, routing.places.events, routing.places.metrics, **variables) as gateway:
        yield gateway


@contextmanager
def started(folder: Path, events: str, metrics: str, **variables: str) -> Iterator[RunningGateway]:
    """Run the HAProxy whose configuration lies in a folder."""
    log = folder / "log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*program(), "-db", "-f", str(folder / CONFIGURATION)],
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**os.environ, **variables},
        )
    port, metrics_port = (int(one.rpartition(":")[2]) for one in (events, metrics))
    gateway = RunningGateway(port=port, metrics_port=metrics_port, process=process, log_file=log)

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return send(metrics_port, "/healthz", method="GET").status == http.HTTPStatus.OK
        except OSError:
            return False

    try:
        until(ready, "ready", log.read_text)
        yield gateway
        assert process.poll() in (None, 0), log.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)


@dataclass(frozen=True, kw_only=True)
class Event:
    """A recorded event."""

    name: str
    headers: Mapping[str, str]
    text: str

    def body(self, repository: str) -> bytes:
        """Write it for a repository."""
        return self.text.replace("REPOSITORY", repository).encode()

    @property
    def host(self) -> str:
        """The Git server that it comes from, as its name has it."""
        provider = self.name.partition("-")[0]
        return f"{'bitbucket-dc' if self.name.startswith('bitbucket-dc') else provider}.example.com"


@cache
def events() -> tuple[Event, ...]:
    """Read the recorded events."""
    made = []
    for path in sorted(EVENTS.glob("*.json")):
        content = json.loads(path.read_text())
        text = json.dumps(content["body"], ensure_ascii=False)
        made.append(Event(name=path.stem, headers=content["headers"], text=text))
    return tuple(made)


def github(identity: str = "1", **more: str) -> dict[str, str]:
    """Make the headers of an event of GitHub."""
    return {
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": identity,
        "Content-Type": "application/json",
        **more,
    }


def push(url: str, size: int = 0) -> bytes:
    """Make an event that names a repository at its very end, of a given size."""
    head, tail = b'{"ref":"refs/heads/main","filler":"', b'","repository":{"html_url":"%s"}}' % url.encode()
    return head + b"x" * max(0, size - len(head) - len(tail)) + tail
