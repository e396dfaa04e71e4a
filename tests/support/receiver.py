"""A receiver of webhooks on loopback, which answers as it is told and keeps what it got."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_POLL_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Event:
    """A request that came."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(kw_only=True)
class Receiver:
    """A running receiver.

    Attributes
    ----------
    url
        Its address.
    answers
        Status codes of its next answers; the last one goes on for ever.
    received
        What came.
    """

    url: str = ""
    answers: list[int]
    received: list[Event] = field(default_factory=list)

    def guids(self) -> list[str]:
        """Return the ids of the events that came, in their order."""
        return [one.headers["X-GitHub-Delivery"] for one in self.received]


@contextmanager
def receiver(*answers: int, on_event: Callable[[Event], None] | None = None) -> Iterator[Receiver]:
    """Serve a receiver until the end of the block.

    Parameters
    ----------
    *answers
        Status codes of its answers, the last one for ever; 202 unless told otherwise.
    on_event
        Called with each event before it is answered.
    """
    made = Receiver(answers=list(answers) or [202])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            event = Event(path=self.path, headers=dict(self.headers.items()), body=body)
            made.received.append(event)
            if on_event is not None:
                on_event(event)
            code = made.answers.pop(0) if len(made.answers) > 1 else made.answers[0]
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing on the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
