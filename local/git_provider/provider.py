"""What a Git provider knows: repositories, hooks, an App, and the statuses that it was given."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from local.errors import LocalError
from local.git_provider import payloads
from local.git_provider.hooks import ANSWER_SECONDS, Delivery, Hook, Kind, Sender, new_guid
from local.git_provider.repository import BRANCH, Commit, Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

_FIRST: Final = 100
Object = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Status:
    """What somebody said of a commit."""

    repository: str
    sha: str
    state: str
    context: str
    description: str
    target_url: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request to the API, how it was answered, and whether there is anybody to answer it."""

    method: str
    path: str
    code: int
    known: bool


@dataclass(kw_only=True)
class App:
    """A GitHub App.

    Attributes
    ----------
    number
        Its number.
    key
        Verifies the tokens that it signs.
    hook
        Its hook.
    installations
        Full names of the repositories of each installation.
    """

    number: int
    key: RSAPublicKey = field(repr=False)
    hook: Hook
    installations: dict[int, set[str]] = field(default_factory=dict)


@dataclass(kw_only=True)
class RateLimit:
    """How many requests to the API are answered before a pause.

    Attributes
    ----------
    left
        How many are still answered.
    reset
        When all are answered again.
    told
        Whether refusals say when that is.
    """

    left: int
    reset: datetime
    told: bool = True


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class GitProvider:
    """A Git provider, without the server that answers for it (`local.git_provider.server`).

    Parameters
    ----------
    folder
        Where its repositories lie.
    clock
        Tells its time, which needn't be the machine's.
    seconds
        How long an answer to a delivery may take.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], datetime] = now,
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._folder = folder
        self.clock = clock
        self.sender = Sender(clock, seconds)
        self.repositories: dict[str, Repository] = {}
        self.hooks: list[Hook] = []
        self.app: App | None = None
        self.tokens: dict[str, set[str]] = {}
        self.statuses: list[Status] = []
        self.check_runs: list[Object] = []
        self.asked: list[Asked] = []
        self.limit: RateLimit | None = None
        self.api = ""  # set by the server that answers for it

    @property
    def unknown(self) -> list[Asked]:
        """Requests for what this provider doesn't serve."""
        return [one for one in self.asked if not one.known]

    def add_repository(self, html_url: str) -> Repository:
        """Make an empty repository with this address for people, such as ``https://git.example.com/demo/app``."""
        owner, name = html_url.rstrip("/").removesuffix(".git").split("/")[-2:]
        number = _FIRST + len(self.repositories)
        made = Repository(self._folder / owner / f"{name}.git", number, owner, name, html_url)
        self.repositories[made.full_name] = made
        return made

    def add_token(self, *repositories: Repository) -> str:
        """Make a token for repositories."""
        token = secrets.token_urlsafe(24)
        self.tokens[token] = {one.full_name for one in repositories}
        return token

    def add_hook(self, repository: Repository, url: str, secret: str, kind: Kind = Kind.GITHUB) -> Hook:
        """Make a hook of one repository."""
        hook = Hook(
            number=_FIRST + len(self.hooks),
            kind=kind,
            url=url,
            secret=secret,
            repository=repository.full_name,
        )
        self.hooks.append(hook)
        return hook

    def add_app(self, number: int, key: RSAPublicKey, url: str, secret: str) -> App:
        """Register the one GitHub App of this provider, with its hook."""
        self.app = App(number=number, key=key, hook=Hook(number=1, kind=Kind.GITHUB, url=url, secret=secret))
        return self.app

    def push(
        self,
        hook: Hook,
        repository: Repository,
        files: Mapping[str, str],
        *,
        branch: str = BRANCH,
        secret: str | None = None,
    ) -> tuple[Commit, Delivery]:
        """Commit files and deliver the event of that push.

        Parameters
        ----------
        hook
            The hook by which the event goes.
        repository
            What is pushed to.
        files
            The text of each file that changes, by path.
        branch
            The branch.
        secret
            What signs the event: another than the hook's makes it a forgery.
        """
        commit = repository.commit(files, "Change of the pipeline", branch=branch)
        return commit, self.announce(hook, repository, commit, branch=branch, secret=secret)

    def announce(
        self,
        hook: Hook,
        repository: Repository,
        commit: Commit,
        *,
        branch: str = BRANCH,
        secret: str | None = None,
    ) -> Delivery:
        """Deliver the event of a push that has happened; parameters as those of `push`."""
        signing, guid = hook.secret if secret is None else secret, new_guid()
        match hook.kind:
            case Kind.GITHUB:
                installation = self._installation(hook, repository)
                event = "push"
                body = _body(
                    payloads.github_push(repository, commit, branch=branch, installation=installation)
                )
                headers = payloads.github_headers(event, guid, secret=signing, body=body)
            case Kind.GITLAB:
                event = "Push Hook"
                body = _body(payloads.gitlab_push(repository, commit, branch=branch))
                headers = payloads.gitlab_headers(event, guid, secret=signing, instance=repository.html_url)
            case Kind.GITEA:
                event = "push"
                body = _body(payloads.gitea_push(repository, commit, branch=branch))
                headers = payloads.gitea_headers(event, guid, secret=signing, body=body)
        return self.sender.send(hook, event, headers, body)

    def _installation(self, hook: Hook, repository: Repository) -> int | None:
        """Return the number of the App's installation; None for a hook of a repository."""
        if self.app is None or hook is not self.app.hook:
            return None
        for number, names in self.app.installations.items():
            if repository.full_name in names:
                return number
        raise LocalError(f"the App is not installed in {repository.full_name}: add it to an installation")


def _body(payload: Object) -> bytes:
    return json.dumps(payload, separators=(",", ":")).encode()
