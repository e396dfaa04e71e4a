"""Webhooks and their deliveries: sent for real, and kept with what came back, newest first."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import urllib3

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

ANSWER_SECONDS: Final = 10.0
"""How long GitHub waits for an answer before it calls a delivery failed."""

_SUCCESS: Final = range(200, 300)


class Kind(StrEnum):
    """Whose way of doing things a hook follows."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One attempt to deliver an event.

    Attributes
    ----------
    number
        The attempt's number.
    guid
        The event's id, which all its attempts share.
    at
        When it was sent.
    redelivery
        Whether somebody asked for it.
    event
        Name of the event.
    headers, body
        What was sent.
    code
        The answer's status code; 502 or 504 where there was none.
    status
        The outcome in GitHub's words.
    answer, answer_headers
        What came back.
    seconds
        How long it took.
    """

    number: int
    guid: str
    at: datetime
    redelivery: bool
    event: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    code: int = 0
    status: str = ""
    answer: str = ""
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def delivered(self) -> bool:
        """Whether it was answered with success."""
        return self.code in _SUCCESS

    @property
    def answered(self) -> bool:
        """Whether anybody answered at all."""
        return bool(self.answer_headers)


@dataclass(kw_only=True)
class Hook:
    """A webhook: a repository's, or an App's.

    Attributes
    ----------
    number
        Its number.
    kind
        Whose hook it is.
    url
        Where events go.
    secret
        What signs them.
    repository
        Full name of the repository; none for an App's.
    deliveries
        All attempts, newest first.
    """

    number: int
    kind: Kind
    url: str
    secret: str = field(repr=False)
    repository: str | None = None
    deliveries: list[Delivery] = field(default_factory=list)


class Sender:
    """Sends deliveries.

    `names` takes the place of DNS for receivers whose names nobody else knows: host and port as a hook's URL
    has them, and the origin (``http://ADDRESS:PORT``) that really is connected to.

    Parameters
    ----------
    clock
        Tells the provider's time.
    seconds
        How long an answer may take.
    """

    def __init__(self, clock: Callable[[], datetime], seconds: float = ANSWER_SECONDS) -> None:
        self.names: dict[str, str] = {}
        self._clock = clock
        self._seconds = seconds
        self._lock = threading.Lock()
        self._number = 1000
        self._running: list[threading.Thread] = []

    def send(self, hook: Hook, event: str, headers: Mapping[str, str], body: bytes) -> Delivery:
        """Send an event for the first time; its id is what `headers` say.

        Parameters
        ----------
        hook
            The hook it goes by.
        event
            Name of the event.
        headers, body
            What is sent.

        Returns
        -------
        Delivery
            What came of it, as the hook keeps it.
        """
        guid = headers.get("X-GitHub-Delivery") or headers["X-Gitlab-Event-UUID"]
        return self._attempt(hook, guid, event, headers, body, redelivery=False)

    def resend(self, hook: Hook, delivery: Delivery) -> Delivery:
        """Send an event again, and wait for what comes of it."""
        return self._attempt(
            hook, delivery.guid, delivery.event, delivery.headers, delivery.body, redelivery=True
        )

    def resend_later(self, hook: Hook, delivery: Delivery) -> None:
        """Send an event again, in the background, as GitHub does."""
        thread = threading.Thread(target=self.resend, args=(hook, delivery), daemon=True)
        self._running.append(thread)
        thread.start()

    def finish(self) -> None:
        """Wait for what goes on in the background."""
        for thread in self._running:
            thread.join()

    def _attempt(  # noqa: PLR0913 - what an attempt consists of
        self, hook: Hook, guid: str, event: str, headers: Mapping[str, str], body: bytes, *, redelivery: bool
    ) -> Delivery:
        at, begun = self._clock(), time.monotonic()
        sent = Delivery(
            number=0, guid=guid, at=at, redelivery=redelivery, event=event, headers=headers, body=body
        )
        done = replace(self._post(hook.url, sent), seconds=time.monotonic() - begun)
        with self._lock:
            self._number += 1
            done = replace(done, number=self._number)
            hook.deliveries.insert(0, done)
        return done

    def _post(self, url: str, sent: Delivery) -> Delivery:
        timeout = urllib3.Timeout(connect=self._seconds, read=self._seconds)
        parts = urlsplit(url)
        origin = self.names.get(parts.netloc, url)
        headers = {**sent.headers, "Host": parts.netloc}
        try:
            with urllib3.connection_from_url(origin, timeout=timeout, retries=False) as pool:
                answer = pool.urlopen(
                    "POST", parts.path or "/", body=sent.body, headers=headers, redirect=False
                )
        except (urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.NewConnectionError):
            return replace(sent, code=502, status="failed to connect")
        except urllib3.exceptions.TimeoutError:
            return replace(sent, code=504, status="timed out")
        except urllib3.exceptions.SSLError as error:
            return replace(sent, code=502, status=f"failed to connect: {error}")
        except urllib3.exceptions.HTTPError as error:
            return replace(sent, code=502, status=f"no answer: {error}")
        return replace(
            sent,
            code=answer.status,
            status="OK" if answer.status in _SUCCESS else f"Invalid HTTP Response: {answer.status}",
            answer=answer.data.decode(errors="replace"),
            answer_headers=dict(answer.headers),
        )


def new_guid() -> str:
    """Return a new id of an event."""
    return str(uuid.uuid4())
