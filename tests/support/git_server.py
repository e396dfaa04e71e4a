"""A Git server over HTTP(S) for tests: bare repositories in a folder, served by ``git http-backend``."""

from __future__ import annotations

import base64
import hmac
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from local.pki import KeyPair

BRANCH = "main"
_IDENTITY = {
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@example.test",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@example.test",
    # What the machine's owner has configured must not decide how a test ends.
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
}


@dataclass(frozen=True, kw_only=True)
class GitServer:
    """A running server.

    Parameters
    ----------
    folder
        Folder of its bare repositories.
    url
        Its URL, without a slash at the end.
    requests
        Method and path of each request so far, for a test to see who asked for what.
    """

    folder: Path
    url: str
    requests: list[str]

    def repository(self, name: str, files: Mapping[str, str] | None = None) -> str:
        """Make an empty repository, or one with a first commit of ``files``, and return its URL."""
        git("init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(self.path(name)))
        if files:
            self.commit(name, files)
        return f"{self.url}/{name}.git"

    def path(self, name: str) -> Path:
        """Return the folder of a bare repository: another URL of it, for git on this machine."""
        return self.folder / f"{name}.git"

    def commit(self, name: str, files: Mapping[str, str | None], *, message: str = "change") -> str:
        """Write files, delete those that are None, commit that to the branch, and return the commit's id."""
        checkout = self.folder / f"{name}.checkout"
        if checkout.is_dir():
            git("pull", "--quiet", "--ff-only", directory=checkout)
        else:
            git("clone", "--quiet", str(self.path(name)), str(checkout))
            git("symbolic-ref", "HEAD", f"refs/heads/{BRANCH}", directory=checkout)
        for path, text in files.items():
            file = checkout / path
            if text is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        git("add", "--all", directory=checkout)
        git("commit", "--quiet", "--message", message, directory=checkout)
        git("push", "--quiet", "origin", BRANCH, directory=checkout)
        return self.head(name)

    def head(self, name: str) -> str:
        """Return the id of the branch's last commit."""
        return git("rev-parse", f"refs/heads/{BRANCH}", directory=self.path(name)).strip()


def git(*arguments: str, directory: Path | None = None) -> str:
    """Run git as nobody in particular and return what it prints; its own words are in the error."""
    environment = {**os.environ, **_IDENTITY}
    done = subprocess.run(
        ["git", *arguments], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done.stdout


@contextmanager
def git_server(
    folder: Path,
    *,
    address: str = "127.0.0.1",
    credential: tuple[str, str] | None = None,
    identity: KeyPair | None = None,
) -> Iterator[GitServer]:
    """Serve the bare repositories of a folder, for reading and for pushing, until the end of the block.

    Parameters
    ----------
    folder
        Where they are; it is made.
    address
        Where to listen: for pods of an embedded cluster, the machine's own end of its network.
    credential
        Name and password that every request must carry; by default none is asked for.
    identity
        The server's certificate, for that address, and its key: HTTPS; by default, HTTP.
    """
    folder.mkdir(parents=True, exist_ok=True)
    requests: list[str] = []

    class Handler(_Backend):
        root = folder
        wanted = credential
        seen = requests

    server = ThreadingHTTPServer((address, 0), Handler)
    server.daemon_threads = True
    scheme = "http"
    if identity is not None:
        scheme = "https"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certificate, identity.key)
        # The handshake is the handler's: who never finishes it keeps nobody else waiting.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield GitServer(folder=folder, url=f"{scheme}://{address}:{server.server_port}", requests=requests)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Backend(BaseHTTPRequestHandler):
    """Hands a request to ``git http-backend`` as CGI (RFC 3875) wants it."""

    protocol_version = "HTTP/1.1"
    root: Path
    wanted: tuple[str, str] | None
    seen: list[str]

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Say nothing on the test's output."""

    def _answer(self) -> None:
        body = self._body()
        self.seen.append(f"{self.command} {self.path}")
        if not self._known():
            self._reply(HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
            return
        url = urlsplit(self.path)
        environment = {
            **os.environ,
            **_IDENTITY,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": unquote(url.path),
            "QUERY_STRING": url.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": self.client_address[0],
            "REMOTE_USER": "test",  # without a user, git refuses pushes
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        status = fields.pop("Status", "200 OK") if fields else "500 no answer"
        self._reply(HTTPStatus(int(status.split()[0])), fields, content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _known(self) -> bool:
        if self.wanted is None:
            return True
        expected = "Basic " + base64.b64encode(":".join(self.wanted).encode()).decode()
        return hmac.compare_digest(self.headers.get("Authorization", ""), expected)

    def _reply(self, status: HTTPStatus, fields: Mapping[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
