"""The Git provider of the embedded environment does what real ones do, and refuses what it doesn't know."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3

from local.git_provider.hooks import Kind
from local.git_provider.provider import GitProvider
from local.git_provider.repository import ZERO
from local.git_provider.server import served
from tests.support.receiver import receiver

URL = "https://git.example.com/demo/app"
RUN = ".tekton/push.yaml"


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[GitProvider]:
    made = GitProvider(tmp_path / "git")
    with served(made):
        yield made


def ask(
    provider: GitProvider, method: str, path: str, token: str = "", body: object = None
) -> tuple[int, Any]:
    answer = urllib3.request(
        method,
        f"{provider.api}{path}",
        headers={"Authorization": f"Bearer {token}"},
        body=None if body is None else json.dumps(body),
        retries=False,
    )
    return answer.status, json.loads(answer.data) if answer.data else None


def test_what_was_committed_is_found_by_way_of_commit_tree_and_blob(provider: GitProvider) -> None:
    repository = provider.add_repository(URL)
    token = provider.add_token(repository)
    first = repository.commit({RUN: "kind: PipelineRun\n", "README.md": "read\n"}, "First\n\nWith a body")
    second = repository.commit({"README.md": "read more\n"}, "Second")
    api = "/api/v3/repos/demo/app"

    assert (first.parents, second.parents) == ((), (first.sha,))
    assert dict(first.changes) == {RUN: "added", "README.md": "added"}
    assert dict(second.changes) == {"README.md": "modified"}
    status, commit = ask(provider, "GET", f"{api}/git/commits/{first.sha}", token)
    assert (status, commit["message"], commit["sha"]) == (200, "First\n\nWith a body", first.sha)
    _, root = ask(provider, "GET", f"{api}/git/trees/{second.sha}", token)
    [folder] = [entry for entry in root["tree"] if entry["path"] == ".tekton"]
    assert folder["type"] == "tree"
    _, tree = ask(provider, "GET", f"{api}/git/trees/{folder['sha']}?recursive=1", token)
    [file] = tree["tree"]
    _, blob = ask(provider, "GET", f"{api}/git/blobs/{file['sha']}", token)
    content = b"kind: PipelineRun\n"
    assert base64.b64decode(blob["content"]) == content
    # Git's own rule for the id of a file: nothing here was made up.
    assert file["sha"] == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324
    assert provider.unknown == []


def test_a_token_opens_its_own_repositories_alone(provider: GitProvider) -> None:
    mine, other = provider.add_repository(URL), provider.add_repository("https://git.example.com/other/app")
    token = provider.add_token(mine)
    assert ask(provider, "GET", "/api/v3/repos/demo/app", token)[0] == 200
    assert ask(provider, "GET", f"/api/v3/repos/{other.full_name}", token)[0] == 404
    assert ask(provider, "GET", "/api/v3/repos/demo/app", "wrong")[0] == 401
    assert provider.unknown == []


def test_what_it_does_not_serve_is_refused_and_noted(provider: GitProvider) -> None:
    token = provider.add_token(provider.add_repository(URL))
    assert ask(provider, "GET", "/api/v3/repos/demo/app/milestones", token)[0] == 404
    assert ask(provider, "DELETE", "/api/v3/repos/demo/app", token)[0] == 404
    assert [(one.method, one.path) for one in provider.unknown] == [
        ("GET", "/api/v3/repos/demo/app/milestones"),
        ("DELETE", "/api/v3/repos/demo/app"),
    ]


def test_a_status_is_kept_for_a_commit_that_exists(provider: GitProvider) -> None:
    repository = provider.add_repository(URL)
    token, commit = provider.add_token(repository), repository.commit({"a": "b"}, "m")
    path = "/api/v3/repos/demo/app/statuses/"
    assert ask(provider, "POST", path + commit.sha, token, {"state": "success", "context": "ci"})[0] == 201
    assert ask(provider, "POST", path + commit.sha, token, {"state": "splendid"})[0] == 422
    assert ask(provider, "POST", path + "1" * 40, token, {"state": "success"})[0] == 404
    assert [(one.sha, one.state, one.context) for one in provider.statuses] == [(commit.sha, "success", "ci")]


@pytest.mark.parametrize("kind", list(Kind))
def test_a_push_is_announced_as_the_provider_signs_it(provider: GitProvider, kind: Kind) -> None:
    repository = provider.add_repository(URL)
    with receiver() as events:
        hook = provider.add_hook(repository, f"{events.url}/tenants/demo", "s3cret", kind)
        commit, delivery = provider.push(hook, repository, {RUN: "x"})
    [event] = events.received
    assert (event.path, delivery.code, delivery.delivered) == ("/tenants/demo", 202, True)
    payload = json.loads(event.body)
    assert (payload["after"], payload["before"]) == (commit.sha, ZERO)
    signed = hmac.new(b"s3cret", event.body, "sha256").hexdigest()
    proof = {
        Kind.GITHUB: ("X-Hub-Signature-256", f"sha256={signed}"),
        Kind.GITLAB: ("X-Gitlab-Token", "s3cret"),
        Kind.GITEA: ("X-Gitea-Signature", signed),
    }
    name, value = proof[kind]
    assert event.headers[name] == value
    where = payload["project"]["web_url"] if kind is Kind.GITLAB else payload["repository"]["html_url"]
    assert where == URL


def test_a_redelivery_is_the_same_event_again_and_is_listed_first(provider: GitProvider) -> None:
    repository = provider.add_repository(URL)
    token = provider.add_token(repository)
    with receiver(503, 202) as events:
        hook = provider.add_hook(repository, events.url, "s")
        _, lost = provider.push(hook, repository, {"a": "b"})
        path = f"/api/v3/repos/demo/app/hooks/{hook.number}/deliveries"
        assert ask(provider, "POST", f"{path}/{lost.number}/attempts", token)[0] == 202
        provider.sender.finish()
    first, second = events.received
    assert first.body == second.body
    assert first.headers["X-GitHub-Delivery"] == second.headers["X-GitHub-Delivery"] == lost.guid
    _, listed = ask(provider, "GET", path, token)
    assert [(one["guid"], one["status_code"], one["status"], one["redelivery"]) for one in listed] == [
        (lost.guid, 202, "OK", True),
        (lost.guid, 503, "Invalid HTTP Response: 503", False),
    ]


def test_who_cannot_be_reached_and_who_does_not_answer_are_told_apart(tmp_path: Path) -> None:
    provider = GitProvider(tmp_path / "git", seconds=0.3)
    repository = provider.add_repository(URL)
    with receiver() as events:
        address = events.url
    _, refused = provider.push(provider.add_hook(repository, address, "s"), repository, {"a": "1"})
    with silent() as address:
        _, silence = provider.push(provider.add_hook(repository, address, "s"), repository, {"a": "2"})
    assert (refused.code, refused.status) == (502, "failed to connect")
    assert (silence.code, silence.status) == (504, "timed out")


@contextmanager
def silent() -> Iterator[str]:
    """Serve somebody who takes a request and never answers."""
    done = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            done.wait(10)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        done.set()
        server.shutdown()
        server.server_close()
        thread.join()


def test_deliveries_come_in_pages_by_cursor(provider: GitProvider) -> None:
    repository = provider.add_repository(URL)
    token = provider.add_token(repository)
    with receiver() as events:
        hook = provider.add_hook(repository, events.url, "s")
        sent = [provider.push(hook, repository, {"a": str(n)})[1].number for n in range(5)]
    url = f"{provider.api}/api/v3/repos/demo/app/hooks/{hook.number}/deliveries?per_page=2"
    seen: list[int] = []
    pages = 0
    while url:
        answer = urllib3.request("GET", url, headers={"Authorization": f"Bearer {token}"})
        seen += [one["id"] for one in json.loads(answer.data)]
        pages += 1
        url = answer.headers.get("Link", "").partition(">")[0].removeprefix("<")
    assert (seen, pages) == (sent[::-1], 3)
