"""The HTTP server that answers for a Git provider."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from wsgiref.handlers import format_date_time

from local.git_provider import github_api, gitlab_api
from local.git_provider.answers import Answer, Question, RefusedError, parameters, refused
from local.git_provider.provider import Asked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.git_provider.provider import GitProvider

_POLL_SECONDS: Final = 0.05
"""How often the server looks whether it should end."""

_ROUTES: Final = (*github_api.ROUTES, *gitlab_api.ROUTES)


@contextmanager
def served(provider: GitProvider, address: str = "127.0.0.1") -> Iterator[str]:
    """Answer for a provider until the end of the block.

    Parameters
    ----------
    provider
        Who is answered for.
    address
        Where to listen: for pods of an embedded cluster, the machine's own end of its network.

    Yields
    ------
    str
        The provider's address, without a path: an enterprise server's, as Pipelines as Code wants it.
    """

    class Handler(_Handler):
        answers_for = provider

    server = ThreadingHTTPServer((address, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        provider.api = f"http://{address}:{server.server_port}"
        yield provider.api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        provider.sender.finish()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answers_for: GitProvider

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, *_: object) -> None:
        """Say nothing: what was asked for is in `GitProvider.asked`."""

    def _serve(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer, known = self._answer(content)
        self.answers_for.asked.append(
            Asked(method=self.command, path=self.path, code=answer.code, known=known)
        )
        body = b"" if answer.body is None else json.dumps(answer.body).encode()
        # Not by send_response, whose date is the machine's.
        self.send_response_only(HTTPStatus(answer.code))
        self.send_header("Date", format_date_time(self.answers_for.clock().timestamp()))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.code != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, content: bytes) -> tuple[Answer, bool]:
        """Return the answer, and whether this path is served at all."""
        parts = urlsplit(self.path)
        for route in _ROUTES:
            match = route.path.fullmatch(parts.path)
            if match is None or route.method != self.command:
                continue
            if over := self._over_limit():
                return over, True
            try:
                question = Question(
                    provider=self.answers_for,
                    url=f"{self.answers_for.api}{parts.path}",
                    query=parameters(parts.query),
                    headers={name.lower(): value for name, value in self.headers.items()},
                    body=json.loads(content or b"{}"),
                )
                return route.answer(question, match), True
            except RefusedError as refusal:
                return refusal.answer, True
            except ValueError:
                return refused(HTTPStatus.BAD_REQUEST, "Problems parsing the request"), True
        return refused(HTTPStatus.NOT_FOUND, "Not Found"), False

    def _over_limit(self) -> Answer | None:
        limit = self.answers_for.limit
        if limit is None or self.answers_for.clock() >= limit.reset:
            return None
        if limit.left > 0:
            limit.left -= 1
            return None
        reset = str(int(limit.reset.timestamp()))
        told = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset} if limit.told else {}
        body = {"message": "You have exceeded a rate limit"}
        return Answer(code=HTTPStatus.FORBIDDEN, body=body, headers=told)
