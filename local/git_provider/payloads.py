"""Bodies and headers of push events as the providers document them, made from a repository's commit."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from local.git_provider.repository import BRANCH, ZERO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.git_provider.repository import Commit, Repository

USER: Final = "alice"
_EMAIL: Final = "alice@example.com"
Object = dict[str, Any]


def signature(secret: str, body: bytes) -> str:
    """Return the HMAC-SHA256 of a body, in hexadecimal."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def github_repository(repository: Repository) -> Object:
    """Return a repository as GitHub describes it, in events and by its API."""
    return {
        "id": repository.number,
        "name": repository.name,
        "full_name": repository.full_name,
        "private": False,
        "owner": {"login": repository.owner, "name": repository.owner, "id": 1, "type": "Organization"},
        "html_url": repository.html_url,
        "clone_url": f"{repository.html_url}.git",
        "default_branch": BRANCH,
        "master_branch": BRANCH,
    }


def github_push(
    repository: Repository, commit: Commit, *, branch: str, installation: int | None = None
) -> Object:
    """Return the body of GitHub's event ``push``.

    Parameters
    ----------
    repository, commit, branch
        What was pushed to, and what.
    installation
        Number of the App's installation, where the event is an App's.
    """
    head = {
        "id": commit.sha,
        "tree_id": commit.tree,
        "distinct": True,
        "message": commit.message,
        "timestamp": commit.at,
        "url": f"{repository.html_url}/commit/{commit.sha}",
        "author": {"name": "Alice", "email": _EMAIL, "username": USER},
        "committer": {"name": "Alice", "email": _EMAIL, "username": USER},
        **_changes(commit),
    }
    payload = {
        "ref": f"refs/heads/{branch}",
        "before": commit.parents[0] if commit.parents else ZERO,
        "after": commit.sha,
        "created": not commit.parents,
        "deleted": False,
        "forced": False,
        "compare": f"{repository.html_url}/commit/{commit.sha}",
        "commits": [head],
        "head_commit": head,
        "repository": github_repository(repository),
        "pusher": {"name": USER, "email": _EMAIL},
        "sender": {"login": USER, "id": 2, "type": "User"},
    }
    if installation is not None:
        payload["installation"] = {"id": installation}
    return payload


def gitlab_push(repository: Repository, commit: Commit, *, branch: str) -> Object:
    """Return the body of GitLab's ``Push Hook``."""
    project = {
        "id": repository.number,
        "name": repository.name,
        "web_url": repository.html_url,
        "git_http_url": f"{repository.html_url}.git",
        "namespace": repository.owner,
        "path_with_namespace": repository.full_name,
        "default_branch": BRANCH,
    }
    return {
        "object_kind": "push",
        "event_name": "push",
        "before": commit.parents[0] if commit.parents else ZERO,
        "after": commit.sha,
        "ref": f"refs/heads/{branch}",
        "checkout_sha": commit.sha,
        "user_id": 2,
        "user_name": "Alice",
        "user_username": USER,
        "user_email": _EMAIL,
        "project_id": repository.number,
        "project": project,
        "repository": {
            "name": repository.name,
            "url": f"{repository.html_url}.git",
            "homepage": repository.html_url,
            "git_http_url": f"{repository.html_url}.git",
        },
        "commits": [
            {
                "id": commit.sha,
                "message": commit.message,
                "title": commit.message.partition("\n")[0],
                "timestamp": commit.at,
                "url": f"{repository.html_url}/-/commit/{commit.sha}",
                "author": {"name": "Alice", "email": _EMAIL},
                **_changes(commit),
            }
        ],
        "total_commits_count": 1,
    }


def gitea_push(repository: Repository, commit: Commit, *, branch: str) -> Object:
    """Return the body of Gitea's and Forgejo's event ``push``."""
    user = {"id": 2, "login": USER, "username": USER, "email": _EMAIL}
    head = {
        "id": commit.sha,
        "message": commit.message,
        "url": f"{repository.html_url}/commit/{commit.sha}",
        "author": {"name": "Alice", "email": _EMAIL, "username": USER},
        "committer": {"name": "Alice", "email": _EMAIL, "username": USER},
        "timestamp": commit.at,
        **_changes(commit),
    }
    return {
        "ref": f"refs/heads/{branch}",
        "before": commit.parents[0] if commit.parents else ZERO,
        "after": commit.sha,
        "compare_url": f"{repository.html_url}/commit/{commit.sha}",
        "commits": [head],
        "total_commits": 1,
        "head_commit": head,
        "repository": {
            "id": repository.number,
            "owner": {"id": 1, "login": repository.owner, "username": repository.owner},
            "name": repository.name,
            "full_name": repository.full_name,
            "html_url": repository.html_url,
            "clone_url": f"{repository.html_url}.git",
            "default_branch": BRANCH,
        },
        "pusher": user,
        "sender": user,
    }


def github_headers(event: str, delivery: str, *, secret: str, body: bytes) -> dict[str, str]:
    """Return the headers of a delivery of GitHub's.

    Parameters
    ----------
    event
        Name of the event.
    delivery
        The delivery's GUID.
    secret
        The hook's secret.
    body
        The body that is signed.
    """
    return {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/0000000",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": f"sha256={signature(secret, body)}",
    }


def gitlab_headers(event: str, delivery: str, *, secret: str, instance: str) -> dict[str, str]:
    """Return the headers of a delivery of GitLab's, which has a token in the place of a signature."""
    parts = urlsplit(instance)
    return {
        "Content-Type": "application/json",
        "User-Agent": "GitLab/17.4.0",
        "Idempotency-Key": delivery,
        "X-Gitlab-Event": event,
        "X-Gitlab-Event-UUID": delivery,
        "X-Gitlab-Instance": f"{parts.scheme}://{parts.netloc}",
        "X-Gitlab-Token": secret,
    }


def gitea_headers(event: str, delivery: str, *, secret: str, body: bytes) -> dict[str, str]:
    """Return the headers of a delivery of Gitea's, which sends GitHub's names beside its own."""
    signed = signature(secret, body)
    return {
        "Content-Type": "application/json",
        "X-Gitea-Delivery": delivery,
        "X-Gitea-Event": event,
        "X-Gitea-Event-Type": event,
        "X-Gitea-Signature": signed,
        "X-Gogs-Delivery": delivery,
        "X-Gogs-Event": event,
        "X-Gogs-Signature": signed,
        "X-GitHub-Delivery": delivery,
        "X-GitHub-Event": event,
        "X-Hub-Signature-256": f"sha256={signed}",
    }


def _changes(commit: Commit) -> Mapping[str, list[str]]:
    return {
        what: sorted(path for path, word in commit.changes.items() if word == what)
        for what in ("added", "modified", "removed")
    }
