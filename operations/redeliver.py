"""Having events sent again that a Git provider couldn't deliver: each at most once, by its id."""

from __future__ import annotations

import fcntl
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Final

from operations.deliveries import Event, Outcome, read_attempts
from operations.errors import OperationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from operations.provider_hooks import Hook

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
_BATCH: Final = 10
"""So many are sent between two looks at what was delivered meanwhile."""

_POLL_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 1.0
"""GitHub asks for a second between requests that change something."""


class Also(StrEnum):
    """What else is sent again, where somebody says so."""

    REFUSED = "refused"
    UNSURE = "unsure"


class Result(StrEnum):
    """What was done about an event, and what came of it."""

    WOULD_SEND = "would be sent again"
    DELIVERED = "delivered"
    FAILED = "sent again, failed again"
    PENDING = "sent again, no answer yet"
    NOT_SENT = "not sent again"
    UNSENDABLE = "could not be sent again"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One event of the report.

    Attributes
    ----------
    hook
        Name of the hook.
    event
        The event, with what is known of it at the end.
    result
        What was done about it.
    why
        Why that; empty where it needs no word.
    """

    hook: str
    event: Event
    result: Result
    why: str = ""

    @property
    def remains(self) -> bool:
        """Whether somebody has to send something yet; what was refused needs its cause mended first."""
        if self.result is Result.NOT_SENT:
            return bool(self.why) and self.event.outcome is not Outcome.REFUSED
        return self.result is not Result.DELIVERED


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What somebody wants of a run.

    Attributes
    ----------
    since
        From when on failures count: a time, or a length of time before the provider's own present.
    also
        What else is sent again.
    dry_run
        Whether nothing is sent.
    wait
        Seconds to wait for what comes of it.
    sleep
        How to wait.
    """

    since: timedelta | datetime
    also: frozenset[Also] = frozenset()
    dry_run: bool = False
    wait: float = 60.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def takes(self, event: Event) -> bool:
        """Tell whether an event is to be sent again; without an id, nobody could tell that it was."""
        wanted = {Outcome.LOST, *(Outcome(one.value) for one in self.also)}
        return bool(event.guid) and event.outcome in wanted


def read_since(text: str) -> timedelta | datetime:
    """Read a length of time, such as ``90m``, ``2h`` or ``3d``, or a time in ISO 8601.

    Raises
    ------
    OperationError
        It is neither.
    """
    if match := re.fullmatch(r"([1-9]\d*)([mhd])", text):
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise OperationError(
            f"--since {text}: neither a length of time nor a time; write 90m, 2h, 3d or 2026-01-31T12:00:00Z"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let no other run on this machine send anything for the same stack meanwhile.

    Between the look at what was delivered and the sending, two runs would both send an event, and no provider
    tells one from the other. The lock ends with the process, however that ends.

    Parameters
    ----------
    folder
        The stack's folder for what runs leave behind.

    Raises
    ------
    OperationError
        There is such a run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "redeliver.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OperationError(
                f"another run for stack {folder.name} is at work on this machine, and the two might send an"
                " event twice; nothing was sent; wait until it ends, and run this again"
            ) from None
        yield


class Redelivery:
    """One run for one hook.

    Parameters
    ----------
    hook
        The hook.
    wish
        What is wanted.
    """

    def __init__(self, hook: Hook, wish: Wish) -> None:
        self._hook = hook
        self._wish = wish
        self._start: datetime | None = None
        self._asked: dict[str, Event] = {}
        self._problems: dict[str, str] = {}

    def run(self) -> list[Row]:
        """Have failed events sent again.

        Each event is looked at anew shortly before it is sent, so that it isn't sent where somebody else has
        done so meanwhile. One that can't be sent doesn't keep the others.

        Returns
        -------
        list of Row
            Every event that had failed and not got through, oldest first.

        Raises
        ------
        OperationError
            The provider can't be asked what was delivered.
        """
        found = [one for one in self._read() if one.outcome is not Outcome.DELIVERED]
        if self._wish.dry_run:
            return [self._planned(event) for event in found]
        wanted = [event for event in found if self._wish.takes(event)]
        for number in range(0, len(wanted), _BATCH):
            current = _by_guid(self._read()) if number else _by_guid(wanted)
            for event in wanted[number : number + _BATCH]:
                self._send(current.get(event.guid))
        latest = self._await()
        return [self._row(event, latest.get(event.guid)) for event in found]

    def _read(self) -> list[Event]:
        """Read what failed, from one and the same time on as long as this run takes."""
        pages = self._hook.pages()
        # The first answer tells the provider's time, by which its list is dated.
        first = next(pages, [])
        if self._start is None:
            since = self._wish.since
            self._start = since if isinstance(since, datetime) else self._hook.api.now - since
        return read_attempts(chain([first], pages), self._start)

    def _send(self, event: Event | None) -> None:
        if event is None or not self._wish.takes(event):
            return
        if self._asked:
            self._wish.sleep(_PAUSE_SECONDS)
        # Before, since who isn't heard may have done it.
        self._asked[event.guid] = event
        try:
            self._hook.send(event.last)
        except OperationError as error:
            self._problems[event.guid] = str(error)

    def _await(self) -> dict[str, Event]:
        """Wait until each event that was sent again has one attempt more, or time is over."""
        waited = 0.0
        while True:
            latest = _by_guid(self._read())
            pending = [
                guid
                for guid, before in self._asked.items()
                if guid not in self._problems and latest.get(guid, before).last == before.last
            ]
            if not pending or waited >= self._wish.wait:
                return latest
            self._wish.sleep(_POLL_SECONDS)
            waited += _POLL_SECONDS

    def _planned(self, event: Event) -> Row:
        takes = self._wish.takes(event)
        result = Result.WOULD_SEND if takes else Result.NOT_SENT
        return Row(hook=self._hook.name, event=event, result=result, why="" if takes else event.why)

    def _row(self, event: Event, latest: Event | None) -> Row:
        """Say what came of an event."""
        now, asked = latest or event, self._asked.get(event.guid)
        result, why = Result.NOT_SENT, event.why
        if now.outcome is Outcome.DELIVERED:
            result, why = Result.DELIVERED, ""
        elif asked is not None and now.last != asked.last:
            result, why = Result.FAILED, now.why
        elif problem := self._problems.get(event.guid):
            result, why = Result.UNSENDABLE, problem
        elif asked is not None:
            result, why = Result.PENDING, f"none within {self._wish.wait:.0f} s; look again later"
        return Row(hook=self._hook.name, event=now, result=result, why=why)


def _by_guid(events: Sequence[Event]) -> dict[str, Event]:
    return {one.guid: one for one in events if one.guid}


def redeliver(hooks: Sequence[Hook], wish: Wish) -> list[Row]:
    """Have the failed events of hooks sent again, one hook after the other.

    Raises
    ------
    OperationError
        A provider can't be asked what was delivered.
    """
    return [row for hook in hooks for row in Redelivery(hook, wish).run()]
