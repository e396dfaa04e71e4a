"""The part of GitHub's REST API that Pipelines as Code asks for a push, and that redelivery asks."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from local.git_provider.answers import (
    Answer,
    Question,
    RefusedError,
    Routes,
    linked,
    numbered_page,
    refused,
    size_of_page,
)
from local.git_provider.payloads import USER, github_repository
from local.git_provider.provider import App, Status
from local.git_provider.repository import BRANCH

if TYPE_CHECKING:
    from re import Match

    from local.git_provider.hooks import Delivery, Hook
    from local.git_provider.repository import Repository

_USUAL: Final = 30
_LONGEST_TOKEN: Final = timedelta(minutes=10)
_STATES: Final = ("error", "failure", "pending", "success")
Object = dict[str, Any]


ROUTES: Final = Routes("/api/v3")


def _repository(question: Question, match: Match[str]) -> Repository:
    """Return the repository that is meant, if the token is one for it."""
    token = question.credential
    if token not in question.provider.tokens:
        raise RefusedError(401, "Bad credentials")
    name = f"{match['owner']}/{match['repo']}"
    found = question.provider.repositories.get(name)
    if found is None or name not in question.provider.tokens[token]:
        raise RefusedError(404, "Not Found")
    return found


def _app(question: Question) -> App:
    """Return the App, if the request carries a token that it has signed and that holds now."""
    app, now = question.provider.app, question.provider.clock()
    bad = RefusedError(401, "A JSON web token could not be decoded")
    parts = question.credential.split(".")
    if app is None or len(parts) != len(("header", "claims", "signature")):
        raise bad
    header, claims, signature = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts)
    try:
        app.key.verify(signature, ".".join(parts[:2]).encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise bad from None
    if json.loads(header).get("alg") != "RS256" or str(json.loads(claims)["iss"]) != str(app.number):
        raise bad
    issued, expires = (datetime.fromtimestamp(json.loads(claims)[key], now.tzinfo) for key in ("iat", "exp"))
    if issued > now:
        raise RefusedError(401, "'Issued at' claim ('iat') must be an Integer representing a past time")
    if expires <= now or expires > now + _LONGEST_TOKEN:
        raise RefusedError(401, "'Expiration time' claim ('exp') is too far in the future or has passed")
    return app


@ROUTES.add("GET", "/rate_limit")
def _rate_limit(question: Question, _: Match[str]) -> Answer:
    if question.credential not in question.provider.tokens:
        return refused(401, "Bad credentials")
    reset = int((question.provider.clock() + timedelta(hours=1)).timestamp())
    core = {"limit": 5000, "used": 1, "remaining": 4999, "reset": reset}
    return Answer(code=200, body={"resources": {"core": core}, "rate": core})


@ROUTES.add("GET", "/repos/{owner}/{repo}")
def _get_repository(question: Question, match: Match[str]) -> Answer:
    return Answer(code=200, body=github_repository(_repository(question, match)))


@ROUTES.add("GET", "/repos/{owner}/{repo}/branches/{branch*}")
def _branch(question: Question, match: Match[str]) -> Answer:
    repository = _repository(question, match)
    sha = repository.resolve(f"refs/heads/{match['branch']}")
    if sha is None:
        return refused(404, "Branch not found")
    return Answer(code=200, body={"name": match["branch"], "commit": {"sha": sha}})


@ROUTES.add("GET", "/repos/{owner}/{repo}/git/commits/{sha}")
def _git_commit(question: Question, match: Match[str]) -> Answer:
    repository = _repository(question, match)
    commit = repository.read_commit(_object(repository, match["sha"], "commit"))
    who = {"name": "Alice", "email": "alice@example.com", "date": commit.at}
    return Answer(
        code=200,
        body={
            "sha": commit.sha,
            "html_url": f"{repository.html_url}/commit/{commit.sha}",
            "message": commit.message,
            "author": who,
            "committer": who,
            "tree": {"sha": commit.tree},
            "parents": [{"sha": parent} for parent in commit.parents],
        },
    )


@ROUTES.add("GET", "/repos/{owner}/{repo}/commits/{sha}")
def _commit(question: Question, match: Match[str]) -> Answer:
    repository = _repository(question, match)
    commit = repository.read_commit(_object(repository, match["sha"], "commit"))
    files = [{"filename": path, "status": word} for path, word in commit.changes.items()]
    body = {
        "sha": commit.sha,
        "commit": {"message": commit.message},
        "author": {"login": USER},
        "files": files,
    }
    return Answer(code=200, body=body)


@ROUTES.add("GET", "/repos/{owner}/{repo}/commits/{sha}/pulls")
def _pulls_of_commit(question: Question, match: Match[str]) -> Answer:
    repository = _repository(question, match)
    _object(repository, match["sha"], "commit")
    return Answer(code=200, body=[])  # there are no pull requests here


@ROUTES.add("GET", "/repos/{owner}/{repo}/git/trees/{name*}")
def _tree(question: Question, match: Match[str]) -> Answer:
    repository = _repository(question, match)
    sha = _object(repository, match["name"], "commit", "tree")
    entries = [
        {"path": entry.path, "mode": entry.mode, "type": entry.kind, "sha": entry.sha}
        for entry in repository.tree(sha, recursive=question.query.get("recursive", "") not in ("", "0"))
    ]
    return Answer(code=200, body={"sha": sha, "tree": entries, "truncated": False})


@ROUTES.add("GET", "/repos/{owner}/{repo}/git/blobs/{sha}")
def _blob(question: Question, match: Match[str]) -> Answer:
    repository = _repository(question, match)
    sha = _object(repository, match["sha"], "blob")
    content = repository.blob(sha).encode()
    encoded = base64.b64encode(content).decode()
    return Answer(code=200, body={"sha": sha, "size": len(content), "encoding": "base64", "content": encoded})


@ROUTES.add("GET", "/repos/{owner}/{repo}/contents/{path*}")
def _contents(question: Question, match: Match[str]) -> Answer:
    repository = _repository(question, match)
    commit = _object(repository, question.query.get("ref", BRANCH), "commit")
    for entry in repository.tree(commit, recursive=True):
        if entry.path == match["path"] and entry.kind == "blob":
            body = {
                "type": "file",
                "path": entry.path,
                "name": entry.path.rpartition("/")[2],
                "sha": entry.sha,
            }
            return Answer(code=200, body=body)
    return refused(404, "Not Found")


@ROUTES.add("GET", "/repos/{owner}/{repo}/collaborators/{user}")
def _collaborator(question: Question, match: Match[str]) -> Answer:
    _repository(question, match)
    return Answer(code=204) if match["user"] == USER else refused(404, "Not Found")


@ROUTES.add("GET", "/repos/{owner}/{repo}/collaborators/{user}/permission")
def _permission(question: Question, match: Match[str]) -> Answer:
    _repository(question, match)
    permission = "admin" if match["user"] == USER else "none"
    return Answer(code=200, body={"permission": permission, "user": {"login": match["user"]}})


@ROUTES.add("POST", "/repos/{owner}/{repo}/statuses/{sha}")
def _create_status(question: Question, match: Match[str]) -> Answer:
    repository = _repository(question, match)
    sha = _object(repository, match["sha"], "commit")
    given = question.body
    if given.get("state") not in _STATES:
        return refused(422, "Validation Failed: state")
    status = Status(
        repository=repository.full_name,
        sha=sha,
        state=str(given["state"]),
        context=str(given.get("context") or "default"),
        description=str(given.get("description") or ""),
        target_url=str(given.get("target_url") or ""),
    )
    question.provider.statuses.append(status)
    body = {"id": len(question.provider.statuses), "state": status.state, "context": status.context}
    return Answer(code=201, body=body)


@ROUTES.add("GET", "/repos/{owner}/{repo}/commits/{sha}/check-runs")
def _check_runs(question: Question, match: Match[str]) -> Answer:
    repository = _repository(question, match)
    sha = _object(repository, match["sha"], "commit")
    runs = [
        run
        for run in question.provider.check_runs
        if run["head_sha"] == sha and run["repository"] == repository.full_name
    ]
    return Answer(code=200, body={"total_count": len(runs), "check_runs": runs})


@ROUTES.add("POST", "/repos/{owner}/{repo}/check-runs")
def _create_check_run(question: Question, match: Match[str]) -> Answer:
    repository = _repository(question, match)
    _object(repository, str(question.body.get("head_sha")), "commit")
    number = 1 + len(question.provider.check_runs)
    run = {**question.body, "id": number, "repository": repository.full_name}
    question.provider.check_runs.append(run)
    return Answer(code=201, body=run)


@ROUTES.add("PATCH", "/repos/{owner}/{repo}/check-runs/{number}")
def _update_check_run(question: Question, match: Match[str]) -> Answer:
    repository = _repository(question, match)
    for run in question.provider.check_runs:
        if str(run["id"]) == match["number"] and run["repository"] == repository.full_name:
            run.update(question.body)
            return Answer(code=200, body=run)
    return refused(404, "Not Found")


@ROUTES.add("POST", "/app/installations/{number}/access_tokens")
def _access_token(question: Question, match: Match[str]) -> Answer:
    names = _app(question).installations.get(int(match["number"]))
    if names is None:
        return refused(404, "Not Found")
    provider = question.provider
    chosen = [provider.repositories[name] for name in sorted(names)]
    if wanted := question.body.get("repository_ids"):
        chosen = [one for one in chosen if one.number in wanted]
    expires = provider.clock() + timedelta(hours=1)
    body = {"token": provider.add_token(*chosen), "expires_at": _time(expires)}
    return Answer(code=201, body=body)


@ROUTES.add("GET", "/repos/{owner}/{repo}/hooks")
def _hooks(question: Question, match: Match[str]) -> Answer:
    repository = _repository(question, match)
    hooks = [
        {
            "id": hook.number,
            "name": "web",
            "active": True,
            "events": ["push"],
            "config": {"url": hook.url, "content_type": "json", "secret": "********", "insecure_ssl": "0"},
        }
        for hook in question.provider.hooks
        if hook.repository == repository.full_name
    ]
    return numbered_page(question, hooks, _USUAL)


@ROUTES.add("GET", "/repos/{owner}/{repo}/hooks/{hook}/deliveries")
def _deliveries(question: Question, match: Match[str]) -> Answer:
    return _page_of_deliveries(question, _hook(question, match))


@ROUTES.add("POST", "/repos/{owner}/{repo}/hooks/{hook}/deliveries/{delivery}/attempts")
def _attempt(question: Question, match: Match[str]) -> Answer:
    return _redeliver(question, _hook(question, match), match)


@ROUTES.add("GET", "/app/hook/deliveries")
def _app_deliveries(question: Question, _: Match[str]) -> Answer:
    return _page_of_deliveries(question, _app(question).hook)


@ROUTES.add("POST", "/app/hook/deliveries/{delivery}/attempts")
def _app_attempt(question: Question, match: Match[str]) -> Answer:
    return _redeliver(question, _app(question).hook, match)


def _hook(question: Question, match: Match[str]) -> Hook:
    repository = _repository(question, match)
    for hook in question.provider.hooks:
        if str(hook.number) == match["hook"] and hook.repository == repository.full_name:
            return hook
    raise RefusedError(404, "Not Found")


def _page_of_deliveries(question: Question, hook: Hook) -> Answer:
    """Answer with a page of deliveries, newest first; the cursor is the last number of the page before."""
    size, cursor = size_of_page(question.query, _USUAL), question.query.get("cursor")
    listed = [one for one in hook.deliveries if cursor is None or one.number < int(cursor)]
    page = listed[:size]
    more = {"Link": linked(question, cursor=str(page[-1].number))} if len(listed) > size else {}
    return Answer(code=200, body=[_delivery(one) for one in page], headers=more)


def _delivery(one: Delivery) -> Object:
    return {
        "id": one.number,
        "guid": one.guid,
        "delivered_at": _time(one.at),
        "redelivery": one.redelivery,
        "duration": round(one.seconds, 2),
        "status": one.status,
        "status_code": one.code,
        "event": one.event,
        "action": None,
        "installation_id": None,
        "repository_id": json.loads(one.body)["repository"]["id"],
    }


def _redeliver(question: Question, hook: Hook, match: Match[str]) -> Answer:
    for one in hook.deliveries:
        if str(one.number) == match["delivery"]:
            question.provider.sender.resend_later(hook, one)
            return Answer(code=202, body={})
    return refused(404, "Not Found")


def _object(repository: Repository, name: str, *kinds: str) -> str:
    """Return the id of an object of one of these kinds, which must be there."""
    sha = repository.resolve(name)
    if sha is None or repository.kind(sha) not in kinds:
        raise RefusedError(404, "Not Found")
    return sha


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
