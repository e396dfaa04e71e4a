"""The part of GitLab's REST API that redelivery asks: hooks of a project, and their events."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from local.git_provider.answers import Answer, Question, RefusedError, Routes, numbered_page
from local.git_provider.hooks import Kind

if TYPE_CHECKING:
    from re import Match

    from local.git_provider.hooks import Delivery, Hook

ROUTES: Final = Routes("/api/v4")
RESENDS: Final = 5
"""How often a hook's events may be sent again in a minute."""

_USUAL: Final = 20


def _hooks(question: Question, match: Match[str]) -> list[Hook]:
    """Return the hooks of the project that is meant, if the token is one for it."""
    provider, token = question.provider, question.credential
    if token not in provider.tokens:
        raise RefusedError(401, "401 Unauthorized")
    wanted = unquote(match["project"])
    for name in provider.tokens[token]:
        if wanted in (name, str(provider.repositories[name].number)):
            return [one for one in provider.hooks if one.repository == name and one.kind is Kind.GITLAB]
    raise RefusedError(404, "404 Project Not Found")


def _hook(question: Question, match: Match[str]) -> Hook:
    for hook in _hooks(question, match):
        if str(hook.number) == match["hook"]:
            return hook
    raise RefusedError(404, "404 Not found")


@ROUTES.add("GET", "/projects/{project}/hooks")
def _list(question: Question, match: Match[str]) -> Answer:
    listed = [{"id": hook.number, "url": hook.url, "push_events": True} for hook in _hooks(question, match)]
    return numbered_page(question, listed, _USUAL)


@ROUTES.add("GET", "/projects/{project}/hooks/{hook}/events")
def _events(question: Question, match: Match[str]) -> Answer:
    listed = [_event(one) for one in _hook(question, match).deliveries]
    return numbered_page(question, listed, _USUAL)


@ROUTES.add("POST", "/projects/{project}/hooks/{hook}/events/{event}/resend")
def _resend(question: Question, match: Match[str]) -> Answer:
    hook, provider = _hook(question, match), question.provider
    minute = provider.clock() - timedelta(minutes=1)
    if sum(one.redelivery and one.at > minute for one in hook.deliveries) >= RESENDS:
        body = {"message": {"error": "This endpoint has been requested too many times. Try again later."}}
        return Answer(code=429, body=body)
    for one in hook.deliveries:
        if str(one.number) == match["event"]:
            done = provider.sender.resend(hook, one)
            return Answer(
                code=201, body={"response_status": done.code if done.answered else "internal error"}
            )
    raise RefusedError(404, "404 Not found")


def _event(one: Delivery) -> dict[str, Any]:
    # Nothing says when it was sent but the receiver's answer, if there was one with a date.
    return {
        "id": one.number,
        "url": "",
        "trigger": "push_hooks",
        "request_headers": {**one.headers, "X-Gitlab-Token": "[REDACTED]"},
        "request_data": json.loads(one.body),
        "response_headers": dict(one.answer_headers),
        "response_body": one.answer if one.answered else one.status,
        "execution_duration": one.seconds,
        "response_status": str(one.code) if one.answered else "internal error",
    }
