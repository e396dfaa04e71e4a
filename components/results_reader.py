"""Serve tenants' users the TaskRuns and logs of their runs: HTTP before `components.results_lookup`.

It runs in pods of each compute cluster, before the API server of Tekton Results, with Python's standard
library alone; both modules are mounted as they stand here (components/results_manifests.py).
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.results_lookup import (
    NOT_FOUND,
    Reader,
    Refusal,
    Route,
    Server,
    bearer,
    route,
    shown,
    trusting,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping, Sequence

HEALTH_PATH: Final = "/healthz"
_SECONDS: Final = 30
_MOST_REQUESTS: Final = 64
"""At once: each takes a thread."""


class Handler(BaseHTTPRequestHandler):
    """Answers a request."""

    protocol_version = "HTTP/1.1"
    timeout = _SECONDS
    reader: Reader

    def do_GET(self) -> None:
        """Answer it."""
        begun = time.monotonic()
        self.close_connection = True
        path = self.path.partition("?")[0]
        if path == HEALTH_PATH:
            self._text(http.client.OK, "ok")
            return
        wanted = route(path)
        try:
            status = self._answer(wanted)
        except Refusal as refusal:
            status = refusal.status
            self._text(status, str(refusal))
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            status = 499  # who asked has gone
        told = f"{wanted.workspace} {wanted.namespace} {wanted.run} {wanted.what or 'run'}" if wanted else "-"
        sys.stdout.write(f"{status} {told} {1000 * (time.monotonic() - begun):.0f} ms\n")
        sys.stdout.flush()

    def _answer(self, wanted: Route | None) -> int:
        token = bearer(self.headers.get("Authorization"))
        if wanted is None:
            raise Refusal(*NOT_FOUND)
        self.reader.check(wanted, token)
        if wanted.what == "logs":
            return self._stream(self.reader.logs(wanted))
        if wanted.what == "taskruns":
            items = [shown(one, wanted.namespace) for _, one in self.reader.task_runs(wanted)]
            self._json({"apiVersion": "tekton.dev/v1", "kind": "TaskRunList", "items": items})
        else:
            self._json(shown(self.reader.run(wanted)[1], wanted.namespace))
        return http.client.OK

    def _stream(self, pieces: Iterator[bytes]) -> int:
        # What refuses does so before the first piece. Where a later one fails, the answer breaks off without
        # its end, which a client sees.
        first = next(pieces, b"")
        self._head(http.client.OK, "text/plain; charset=utf-8", {"Transfer-Encoding": "chunked"})
        try:
            for piece in itertools.chain([first], pieces):
                if piece:
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        except Refusal as refusal:
            return refusal.status
        self.wfile.write(b"0\r\n\r\n")
        return http.client.OK

    def _json(self, content: Mapping[str, Any]) -> None:
        self._whole(http.client.OK, "application/json", json.dumps(content).encode() + b"\n")

    def _text(self, status: int, text: str) -> None:
        self._whole(status, "text/plain; charset=utf-8", f"{text}\n".encode())

    def _whole(self, status: int, kind: str, content: bytes) -> None:
        self._head(status, kind, {"Content-Length": str(len(content))})
        self.wfile.write(content)

    def _head(self, status: int, kind: str, more: Mapping[str, str]) -> None:
        self.send_response_only(status)
        headers = {"Content-Type": kind, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        if status == http.client.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        for key, value in {**headers, **more, "Connection": "close"}.items():
            self.send_header(key, value)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 -- the base class's name
        """Say nothing of what is no request: it may hold anything."""


class Front(ThreadingHTTPServer):
    """Takes requests, so many at once.

    Parameters
    ----------
    port
        Where, on all addresses; 0: the system chooses.
    reader
        What reads.
    context
        Its certificate.
    most
        How many at once; a further one is closed.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, port: int, reader: Reader, context: ssl.SSLContext, *, most: int = _MOST_REQUESTS
    ) -> None:
        super().__init__(("", port), type("_Handler", (Handler,), {"reader": reader}))
        self._room = threading.BoundedSemaphore(most)
        # Not in the thread that accepts: who never begins would hold up all others.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 -- the base class's
        """Start a thread for it, where there is room."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 -- as above
        """Answer it, and make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:  # noqa: ANN401, ARG002
        """Say what kind of error it was: its text may hold what was asked with."""
        kind = sys.exc_info()[0]
        sys.stderr.write(f"a request failed: {'error' if kind is None else kind.__name__}\n")


def main(arguments: Sequence[str]) -> int:
    """Serve until the pod ends.

    Parameters
    ----------
    arguments
        The command line's.

    Returns
    -------
    int
        Exit status.
    """
    parser = argparse.ArgumentParser(description="Show tenants' users their TaskRuns and logs.")
    parser.add_argument("--results", required=True, help="address of the API server of Tekton Results")
    parser.add_argument("--files", type=Path, required=True, help="folder with certificates and kcp's URL")
    parser.add_argument("--account", type=Path, required=True, help="folder of this pod's service account")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(arguments)
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    files: Path = options.files
    reader = Reader(
        kcp=Server((files / "kcp-url").read_text().strip(), trusting(files / "kcp-ca.crt")),
        cluster=Server(
            f"https://{f'[{host}]' if ':' in host else host}:{port}", trusting(options.account / "ca.crt")
        ),
        results=Server(options.results, trusting(files / "results-ca.crt")),
        account=options.account / "token",
    )
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.minimum_version = ssl.TLSVersion.TLSv1_2
    own.load_cert_chain(files / "tls.crt", files / "tls.key")
    Front(options.port, reader, own).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
