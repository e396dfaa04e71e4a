"""What became of events that a Git provider delivered, and which of them may be sent again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

_SUCCESS: Final = range(200, 300)
_NOT_PASSED_ON: Final = (408, 429, 503)
"""By these the gateway says that it gave the event to nobody: read too slowly, too many, no listener."""

_FINAL: Final = range(300, 500)
_NEVER_ARRIVED: Final = re.compile(
    r"failed to connect|could(n't| not) (connect|resolve)|certificate", re.IGNORECASE
)


class Outcome(StrEnum):
    """What became of an event, over all attempts to deliver it."""

    DELIVERED = "delivered"
    LOST = "lost"
    UNSURE = "unsure"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt to deliver an event.

    Attributes
    ----------
    number
        The attempt's number, which grows.
    guid
        The event's id, which all its attempts share; empty where the provider gave none.
    event
        Name of the event.
    at
        When, by the provider's clock; none where it doesn't say.
    first
        Whether it is the event's first one; none where the provider doesn't say.
    code
        The answer's status code; none where there was no answer.
    status
        The outcome in the provider's words.
    """

    number: int
    guid: str
    event: str
    at: datetime | None
    first: bool | None
    code: int | None
    status: str

    @property
    def outcome(self) -> Outcome:
        """What became of the event by this attempt alone."""
        if self.code in _SUCCESS:
            return Outcome.DELIVERED
        if self.code in _NOT_PASSED_ON or _NEVER_ARRIVED.search(self.status):
            return Outcome.LOST
        if self.code in _FINAL:
            return Outcome.REFUSED
        # The receiver may have taken it and been too slow, or the way back broke.
        return Outcome.UNSURE

    @property
    def answer(self) -> str:
        """The answer, for people."""
        code = "" if self.code is None or str(self.code) in self.status else str(self.code)
        return f"{code} {self.status}".strip()


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event with all attempts to deliver it that are known.

    Attributes
    ----------
    guid
        Its id.
    attempts
        The attempts, newest first; at least one.
    whole
        Whether they are all: how the first attempts of an event ended that are no longer listed nobody knows.
    """

    guid: str
    attempts: tuple[Attempt, ...]
    whole: bool

    @property
    def last(self) -> Attempt:
        """The newest attempt."""
        return self.attempts[0]

    @property
    def outcome(self) -> Outcome:
        """What became of it; one doubtful attempt makes it doubtful, whatever came of later ones."""
        outcomes = {one.outcome for one in self.attempts}
        if Outcome.DELIVERED in outcomes:
            return Outcome.DELIVERED
        if Outcome.UNSURE in outcomes or not self.whole or not self.guid:
            return Outcome.UNSURE
        return self.last.outcome

    @property
    def why(self) -> str:
        """Why it is not sent again as a matter of course; empty where it is."""
        if self.outcome is Outcome.REFUSED:
            return "it was refused: once the cause is mended, --also refused sends it again"
        if self.outcome is not Outcome.UNSURE:
            return ""
        if not self.guid:
            return "the provider names no id by which its attempts could be told"
        if not self.whole:
            return "its first attempt is no longer listed, and may have succeeded"
        return "it may have been taken all the same"


def read_attempts(pages: Iterable[Sequence[Attempt]], start: datetime) -> list[Event]:
    """Read attempts as far back as is needed to judge every event that failed since a time.

    Reading goes on beyond that time while a failed event's first attempt was not seen: it may have succeeded.

    Parameters
    ----------
    pages
        The provider's list, newest first, page by page; no page is asked for that isn't needed.
    start
        The time from which on failures count.

    Returns
    -------
    list of Event
        What failed since then, oldest first; what got through by another attempt is among it.
    """
    seen: list[Attempt] = []
    failed: set[str] = set()
    beyond = False
    ended = True
    for page in pages:
        for one in page:
            beyond = beyond or (one.at is not None and one.at < start)
            seen.append(one)
            if not beyond and one.outcome is not Outcome.DELIVERED:
                failed.add(one.guid)
        if beyond and not _open(seen, failed):
            ended = False
            break
    unknown = _open(seen, failed) if ended else set()
    found = [
        # A provider that doesn't tell first attempts from others lists all that it would send again.
        Event(guid=guid, attempts=attempts, whole=guid not in unknown or _untold(attempts))
        for guid, attempts in _grouped(seen)
        if guid in failed
    ]
    return sorted(found, key=lambda one: one.last.number)


def _open(seen: Sequence[Attempt], failed: set[str]) -> set[str]:
    """Return the failed events of which neither the first attempt nor a success was seen."""
    closed = {one.guid for one in seen if one.first or one.outcome is Outcome.DELIVERED}
    return failed - closed


def _untold(attempts: Sequence[Attempt]) -> bool:
    return all(one.first is None for one in attempts)


def _grouped(seen: Iterable[Attempt]) -> Iterator[tuple[str, tuple[Attempt, ...]]]:
    """Group attempts by event, newest first; each attempt without an id is an event of its own."""
    ordered = sorted(seen, key=lambda one: (one.guid, -one.number))
    for guid, attempts in groupby(ordered, key=lambda one: one.guid):
        if guid:
            yield guid, tuple(attempts)
        else:
            yield from ((guid, (one,)) for one in attempts)
