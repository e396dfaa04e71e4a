"""What the routes of the APIs are made of: a request as they see it, and what they answer."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import parse_qs, urlencode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from re import Match, Pattern

    from local.git_provider.provider import GitProvider

MOST_PER_PAGE: Final = 100


@dataclass(frozen=True, kw_only=True)
class Question:
    """A request.

    Attributes
    ----------
    provider
        Who is asked.
    url
        Address of the path that is asked for, for links to further pages.
    query
        Its parameters, the last value of each.
    headers
        Its headers, names in lower case.
    body
        Its JSON body; empty where it has none.
    """

    provider: GitProvider
    url: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def credential(self) -> str:
        """The token that the request carries, whichever way."""
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        if kind.lower() in ("bearer", "token"):
            return token
        return self.headers.get("private-token", "")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer: its status code, its JSON body (None for no body), and headers besides the usual."""

    code: int
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)


Responder: TypeAlias = "Callable[[Question, Match[str]], Answer]"


@dataclass(frozen=True, kw_only=True)
class Route:
    """Who answers what."""

    method: str
    path: Pattern[str]
    answer: Responder


class Routes(list[Route]):
    """What an API serves.

    Parameters
    ----------
    base
        What all its paths start with.
    """

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base

    def add(self, method: str, path: str) -> Callable[[Responder], Responder]:
        """Decorate who answers a path; `{name}` in it is one part, `{name*}` all the rest."""
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)
        pattern = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", pattern)

        def added(answer: Responder) -> Responder:
            self.append(Route(method=method, path=re.compile(self._base + pattern), answer=answer))
            return answer

        return added


class RefusedError(Exception):
    """Carries a refusal out of a check.

    Parameters
    ----------
    code, message
        The refusal.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.answer = refused(code, message)


def refused(code: int, message: str) -> Answer:
    """Refuse with a reason, as both APIs do."""
    return Answer(code=code, body={"message": message})


def size_of_page(query: Mapping[str, str], usual: int) -> int:
    """Return how many a page may have."""
    return max(1, min(MOST_PER_PAGE, int(query.get("per_page", usual))))


def parameters(query: str) -> dict[str, str]:
    """Read the parameters of an address, the last value of each."""
    return {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}


def linked(question: Question, **changes: str) -> str:
    """Return the header ``Link`` for the next page."""
    return f'<{question.url}?{urlencode({**question.query, **changes})}>; rel="next"'


def numbered_page(question: Question, items: Sequence[object], usual: int) -> Answer:
    """Answer with one page of a list that is asked for by number."""
    size, page = size_of_page(question.query, usual), int(question.query.get("page", "1"))
    more = len(items) > size * page
    headers = {"Link": linked(question, page=str(page + 1))} if more else {}
    return Answer(code=200, body=list(items[size * (page - 1) : size * page]), headers=headers)
