"""HTTP to one API server."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import urllib3

from local.plugins.install import PLUGIN_VERSIONS
from local.plugins.protocol.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.plugins.kubernetes.kubeconfig import Connection

CONNECT_SECONDS: Final = 5.0
"""An API server that does not take a connection within this time is unreachable."""
READ_SECONDS: Final = 60.0
"""Longer than the 30 s that an admission webhook may take."""
MAX_CONNECTIONS: Final = 32


class ApiError(ProviderError):
    """The API server refused a request.

    Attributes
    ----------
    status : int
        HTTP status.
    reason : str
        Kubernetes' reason, for example ``AlreadyExists``; empty where it gave none.
    causes : list of dict
        Details, as in ``Status.details.causes``.
    """

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.reason = ""
        self.causes: list[dict[str, Any]] = []
        message = body.decode(errors="replace").strip()[:500] or f"HTTP status {status}"
        try:
            document = json.loads(body)
        except ValueError:
            pass  # a proxy's or a starting server's answer in plain text: it is the message
        else:
            if isinstance(document, dict) and document.get("kind") == "Status":
                self.reason = str(document.get("reason") or "")
                self.causes = list((document.get("details") or {}).get("causes") or [])
                message = str(document.get("message") or message)
        super().__init__(message)

    @property
    def not_found(self) -> bool:
        """Whether the object, or its kind, does not exist."""
        return self.status == 404  # noqa: PLR2004 (HTTP)

    @property
    def forbidden(self) -> bool:
        """Whether the user has no right to it."""
        return self.status == 403  # noqa: PLR2004 (HTTP)


class UnreachableError(ProviderError):
    """The API server cannot be talked to.

    Parameters
    ----------
    reason : str
        Why.
    starting : bool
        Whether it may answer soon, so that a second try makes sense.
    sent : bool
        Whether it may have taken the request nevertheless.
    """

    def __init__(self, reason: str, *, starting: bool = True, sent: bool = False) -> None:
        super().__init__(reason)
        self.starting = starting
        self.sent = sent


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request to an API server.

    Attributes
    ----------
    method : str
        HTTP method.
    path : str
        Below the server's URL, starting with a slash.
    query : Mapping[str, str]
        Query parameters.
    body : object
        Sent as JSON; None for none.
    content_type : str
        Of the body.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: object = None
    content_type: str = "application/json"


class Client:
    """Sends requests to one API server; used by many threads at once.

    Parameters
    ----------
    connection : Connection
        Where and as whom.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._pool: urllib3.PoolManager | None = None

    @property
    def server(self) -> str:
        """The server's URL."""
        return self._connection.server

    @property
    def is_kcp_workspace(self) -> bool:
        """Whether the server is a kcp workspace, which answers 403 as long as it does not exist."""
        return "/clusters/" in self._connection.server

    def send(self, request: Request) -> dict[str, Any]:
        """Send a request and return the answer.

        Parameters
        ----------
        request : Request
            What to ask.

        Returns
        -------
        dict
            The JSON answer.

        Raises
        ------
        ApiError
            Where the server refuses.
        UnreachableError
            Where there is no answer.
        """
        url = self._connection.server + request.path
        if request.query:
            url += "?" + urlencode(request.query)
        headers = {
            "Accept": "application/json",
            "User-Agent": f"pulumi-resource-kubernetes-stand-in/{PLUGIN_VERSIONS['kubernetes']}",
            **self._authorization(),
        }
        body = None
        if request.body is not None:
            headers["Content-Type"] = request.content_type
            body = json.dumps(request.body).encode()
        try:
            response = self._manager().request(request.method, url, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise _unreachable(self._connection.server, error) from error
        if response.status == 401:  # noqa: PLR2004 (HTTP)
            raise UnreachableError(
                f"{self._connection.server} does not accept the kubeconfig's credential (401)", starting=False
            )
        if response.status >= 400:  # noqa: PLR2004 (HTTP)
            raise ApiError(response.status, response.data)
        try:
            document = json.loads(response.data)
        except ValueError as error:
            raise ProviderError(
                f"{self._connection.server}{request.path} did not answer with JSON"
            ) from error
        if not isinstance(document, dict):
            raise ProviderError(f"{self._connection.server}{request.path} did not answer with an object")
        return document

    def _authorization(self) -> dict[str, str]:
        token = self._connection.token
        if self._connection.token_file:
            try:
                token = Path(self._connection.token_file).read_text().strip()
            except OSError as error:
                raise ProviderError(f"the kubeconfig's tokenFile cannot be read: {error}") from error
        if token:
            return {"Authorization": f"Bearer {token}"}
        if self._connection.basic:
            return dict(urllib3.make_headers(basic_auth=":".join(self._connection.basic)))
        return {}

    def _manager(self) -> urllib3.PoolManager:
        with self._lock:
            if self._pool is None:
                options: dict[str, Any] = {
                    "maxsize": MAX_CONNECTIONS,
                    "retries": False,
                    "timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
                }
                if self._connection.tls is not None:
                    options["ssl_context"] = self._connection.tls
                if self._connection.server_name:
                    options["server_hostname"] = self._connection.server_name
                    options["assert_hostname"] = self._connection.server_name
                proxy = self._connection.proxy
                self._pool = (
                    urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
                )
            return self._pool


def _unreachable(server: str, error: urllib3.exceptions.HTTPError) -> UnreachableError:
    if isinstance(error, urllib3.exceptions.SSLError):
        return UnreachableError(f"TLS with {server} failed: {error}", starting=False)
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError) and not isinstance(
        error, urllib3.exceptions.NewConnectionError
    ):
        return UnreachableError(f"{server} did not take a connection within {CONNECT_SECONDS:.0f} s")
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return UnreachableError(f"{server}: {str(error).rpartition(': ')[2]}")
    return UnreachableError(f"{server}: {error}", sent=True)
