"""Asking a Git provider's REST API: pages, rate limits, and credentials that go nowhere else."""

from __future__ import annotations

import base64
import ipaddress
import json
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

import urllib3
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from operations.errors import OperationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_SECONDS: Final = 30.0
_TRIES: Final = 3
_PAUSE_SECONDS: Final = 60.0
"""How long to wait where a limit was reached and the provider doesn't say how long."""

_LEEWAY: Final = timedelta(seconds=60)
_LIFETIME: Final = timedelta(minutes=8)


class Credential(Protocol):
    """What proves who asks."""

    def token(self, now: datetime) -> str:
        """Return the token for a request; `now` is the provider's time."""


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token that somebody made at the provider."""

    value: str = field(repr=False)

    def token(self, now: datetime) -> str:
        """Return it."""
        del now
        return self.value


@dataclass(frozen=True, kw_only=True)
class AppKey:
    """The key of a GitHub App, which signs a short-lived token for each request (RFC 7519, RS256).

    Attributes
    ----------
    app
        The App's number.
    key
        Its key.
    """

    app: int
    key: rsa.RSAPrivateKey = field(repr=False)

    @classmethod
    def read(cls, app: int, pem: str, name: str) -> AppKey:
        """Read a key.

        Parameters
        ----------
        app
            The App's number.
        pem
            Its key, as GitHub hands it out.
        name
            What the key is called in an error, which never shows the key.

        Raises
        ------
        OperationError
            It is no RSA key in PEM.
        """
        try:
            key = serialization.load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise OperationError(f"{name}: not an RSA key in PEM; use the file that GitHub gave for the App")
        return cls(app=app, key=key)

    def token(self, now: datetime) -> str:
        """Sign a token, dated back a little, since no two clocks agree."""
        claims = {
            "iat": int((now - _LEEWAY).timestamp()),
            "exp": int((now + _LIFETIME).timestamp()),
            "iss": str(self.app),
        }
        signed = ".".join(
            _encoded(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims)
        )
        signature = self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encoded(signature)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the API answered with success: the JSON in it, and the address of the next page, if any."""

    content: Any
    following: str | None


@dataclass(kw_only=True)
class ProviderApi:
    """One provider's API.

    Attributes
    ----------
    base
        Its address.
    credential
        Proves who asks; sent to that address alone.
    patience
        Seconds to wait at most, all in all, where the provider limits how often it may be asked.
    clock, sleep
        The time, and waiting.
    """

    base: str
    credential: Credential
    patience: float = 300.0
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep
    skew: timedelta = field(default=timedelta(), init=False)

    def __post_init__(self) -> None:
        """Refuse an address over which a credential would be readable."""
        parts = urlsplit(self.base)
        if parts.scheme != "https" and not (parts.scheme == "http" and _private(parts.hostname)):
            raise OperationError(
                f"{self.base}: a token must not go there unencrypted; give an https address (http is for"
                " private IP addresses alone)"
            )
        self.base = self.base.rstrip("/")
        self._pool = _pool(parts.scheme, parts.hostname or "")

    @property
    def now(self) -> datetime:
        """The provider's time, as its last answer told it."""
        return self.clock() + self.skew

    def pages(self, path: str) -> Iterator[Any]:
        """Get a list page by page; the next one is asked for only when it is wanted.

        Parameters
        ----------
        path
            Path below the base, with its parameters.
        """
        url: str | None = f"{self.base}{path}"
        while url is not None:
            reply = self._ask("GET", url)
            yield reply.content
            url = reply.following

    def post(self, path: str) -> Any:  # noqa: ANN401 -- JSON
        """Ask for something to be done, once: who can't be heard may have done it.

        Raises
        ------
        OperationError
            The provider refuses it, or isn't heard.
        """
        return self._ask("POST", f"{self.base}{path}").content

    def _ask(self, method: str, url: str) -> Reply:
        """Ask, and once more each time after a limit, after a fault in reading, and after a wrong clock."""
        if not url.startswith(f"{self.base}/"):
            raise OperationError(
                f"{urlsplit(self.base).netloc} links to {urlsplit(url).netloc}: not followed"
            )
        tries, clock_known = 0, False
        while True:
            tries += 1
            answer = self._send(method, url)
            if answer is None or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                if method == "GET" and tries < _TRIES:
                    self.sleep(float(tries))
                    continue
                what = "no answer" if answer is None else f"it answers {answer.status}"
                raise OperationError(f"{self.base}: {what}; try again later")
            if (pause := self._pause(answer)) is not None:
                self._wait(pause)
                continue
            if answer.status == HTTPStatus.UNAUTHORIZED and not clock_known:
                # A signed token holds by the provider's clock, which this answer has told.
                clock_known = True
                continue
            return self._reply(answer, method, url)

    def _send(self, method: str, url: str) -> urllib3.BaseHTTPResponse | None:
        headers = {
            "Authorization": f"Bearer {self.credential.token(self.now)}",
            "Accept": "application/json",
            "User-Agent": "pipeline-service",
        }
        try:
            answer = self._pool.request(
                method, url, headers=headers, timeout=_SECONDS, redirect=False, retries=False
            )
        except urllib3.exceptions.HTTPError:
            return None
        if dated := _date(answer.headers.get("Date")):
            self.skew = dated - self.clock()
        return answer

    def _pause(self, answer: urllib3.BaseHTTPResponse) -> float | None:
        """Return how long to wait, in seconds, where the answer says that a limit was reached."""
        headers = answer.headers
        spent = (
            headers.get("X-RateLimit-Remaining") == "0"
            or "Retry-After" in headers
            # GitHub's limit on what comes too fast may have no header that tells of it.
            or b"rate limit" in answer.data.lower()
        )
        if answer.status != HTTPStatus.TOO_MANY_REQUESTS and not (
            answer.status == HTTPStatus.FORBIDDEN and spent
        ):
            return None
        if (after := headers.get("Retry-After", "")).isdigit():
            return float(after)
        reset = headers.get("X-RateLimit-Reset") or headers.get("RateLimit-Reset") or ""
        if reset.isdigit():
            return max(1.0, int(reset) - self.now.timestamp() + 1)
        return _PAUSE_SECONDS

    def _wait(self, pause: float) -> None:
        if pause > self.patience:
            raise OperationError(
                f"{self.base}: the limit of requests is reached for {pause:.0f} s more; run this again then"
            )
        self.patience -= pause
        self.sleep(pause)

    def _reply(self, answer: urllib3.BaseHTTPResponse, method: str, url: str) -> Reply:
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            raise OperationError(f"{method} {urlsplit(url).path}: {_refusal(answer.status)}")
        try:
            content = json.loads(answer.data or b"null")
        except ValueError:
            raise OperationError(f"{self.base}: not an API, it answers no JSON; check --api-url") from None
        return Reply(content=content, following=_next(answer.headers))


def _refusal(status: int) -> str:
    reasons: Mapping[int, str] = {
        401: "the credential is refused; make a new one, or check the App's number and key",
        403: "the credential may not do that; it needs to read and write webhooks",
        404: "not there, or the credential may not see it; it needs to read and write webhooks",
    }
    return reasons.get(status, f"the provider answers {status}")


def _next(headers: Mapping[str, str]) -> str | None:
    """Return the address of the next page from the header ``Link`` (RFC 8288)."""
    for part in headers.get("Link", "").split(","):
        address, _, relation = part.partition(";")
        if 'rel="next"' in relation:
            return address.strip().removeprefix("<").removesuffix(">")
    return None


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return None


def _private(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "").is_private
    except ValueError:
        return host == "localhost"


def _pool(scheme: str, host: str) -> urllib3.PoolManager:
    """Return connections that go by the proxy of the environment, where one is set for this host."""
    proxy = urllib.request.getproxies().get(scheme)
    if proxy is None or urllib.request.proxy_bypass(host):
        return urllib3.PoolManager()
    return urllib3.ProxyManager(proxy)
