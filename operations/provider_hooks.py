"""The webhooks of Git providers as redelivery needs them: what was delivered, and sending it again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from operations.deliveries import Attempt
from operations.errors import OperationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from operations.provider_api import ProviderApi

_PER_PAGE: Final = 100
Object = dict[str, Any]


class Provider(StrEnum):
    """A kind of Git provider."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"
    BITBUCKET_CLOUD = "bitbucket-cloud"
    BITBUCKET_DATACENTER = "bitbucket-datacenter"


PUBLIC: Final[Mapping[str, tuple[Provider, str]]] = {
    "github.com": (Provider.GITHUB, "https://api.github.com"),
    "gitlab.com": (Provider.GITLAB, "https://gitlab.com/api/v4"),
    "gitea.com": (Provider.GITEA, ""),
    "codeberg.org": (Provider.GITEA, ""),
    "bitbucket.org": (Provider.BITBUCKET_CLOUD, ""),
}
"""Providers that are known by their host, and their APIs."""

_OWN: Final[Mapping[Provider, str]] = {Provider.GITHUB: "/api/v3", Provider.GITLAB: "/api/v4"}
"""Where the API of a provider's own server is."""


@dataclass(frozen=True, kw_only=True)
class Hook:
    """A webhook.

    Attributes
    ----------
    name
        What it is called in reports.
    api
        The API that is asked.
    path
        Path of its deliveries.
    resend
        Path, below that of a delivery, by which it is sent again.
    read
        Reads a delivery.
    """

    name: str
    api: ProviderApi
    path: str
    resend: str
    read: Callable[[Object], Attempt]

    def pages(self) -> Iterator[list[Attempt]]:
        """List attempts to deliver, newest first, page by page."""
        for page in self.api.pages(f"{self.path}?per_page={_PER_PAGE}"):
            yield [self.read(one) for one in page]

    def send(self, attempt: Attempt) -> None:
        """Have an attempt's event sent again; what came of it is listed sooner or later."""
        self.api.post(f"{self.path}/{attempt.number}/{self.resend}")


def app_hook(api: ProviderApi, app: int) -> Hook:
    """Return the hook of a GitHub App, whose key is the API's credential."""
    return _github_hook(api, f"App {app}", "/app/hook")


def _github_hook(api: ProviderApi, name: str, path: str) -> Hook:
    return Hook(name=name, api=api, path=f"{path}/deliveries", resend="attempts", read=_of_github)


def _gitlab_hook(api: ProviderApi, name: str, path: str) -> Hook:
    # GitLab lists seven days of them, and sends five a minute again.
    return Hook(name=name, api=api, path=f"{path}/events", resend="resend", read=_of_gitlab)


def host_of(repository: str) -> str:
    """Return the host of a repository's URL."""
    return urlsplit(repository).hostname or ""


def provider_of(repository: str, given: Provider | None, api_url: str | None) -> tuple[Provider, str]:
    """Find out which kind of provider a repository is at, and the address of its API.

    Parameters
    ----------
    repository
        The repository's URL.
    given, api_url
        What the command line says of a host that isn't known; none for what follows from it.

    Raises
    ------
    OperationError
        The host is not known, or its provider has no API for this.
    """
    host = host_of(repository)
    known, public = PUBLIC.get(host, (None, ""))
    provider = known or given
    if provider is None:
        raise OperationError(f"{repository}: it doesn't say what {host} is; give --provider")
    if provider not in _OWN:
        raise OperationError(
            f"{repository}: {provider} has no API that sends a delivery again; do that on the webhook's page"
            " there, or push once more"
        )
    return provider, public if known else api_url or f"https://{host}{_OWN[provider]}"


def repository_hooks(api: ProviderApi, provider: Provider, repository: str, gateway: str) -> list[Hook]:
    """Find the webhooks of a repository that send events to the gateway.

    Parameters
    ----------
    api
        The provider's API.
    provider
        Which kind it is: github or gitlab.
    repository
        The repository's URL.
    gateway
        The gateway's URL.

    Raises
    ------
    OperationError
        The API refuses to tell, or there is none.
    """
    github = provider is Provider.GITHUB
    hook = _github_hook if github else _gitlab_hook
    path = urlsplit(repository).path.strip("/").removesuffix(".git")
    base = f"/repos/{path}/hooks" if github else f"/projects/{quote(path, safe='')}/hooks"
    found = []
    for page in api.pages(f"{base}?per_page={_PER_PAGE}"):
        for one in page:
            url = one["config"].get("url", "") if github else one["url"]
            if f"{url}/".startswith(f"{gateway.rstrip('/')}/"):
                found.append(hook(api, f"{path} hook {one['id']}", f"{base}/{one['id']}"))
    if not found:
        raise OperationError(f"{repository}: no webhook there leads to {gateway}; make one (docs/gateway.md)")
    return found


def _of_github(one: Object) -> Attempt:
    return Attempt(
        number=int(one["id"]),
        guid=str(one["guid"]),
        event=str(one["event"]),
        at=datetime.fromisoformat(one["delivered_at"]),
        first=not one["redelivery"],
        code=int(one["status_code"]) or None,
        status=str(one["status"]),
    )


def _of_gitlab(one: Object) -> Attempt:
    sent = {name.lower(): str(value) for name, value in (one.get("request_headers") or {}).items()}
    answered = {name.lower(): str(value) for name, value in (one.get("response_headers") or {}).items()}
    status = str(one.get("response_status") or "")
    return Attempt(
        number=int(one["id"]),
        # All attempts share it since 17.4, which is also the first version that sends one again when asked.
        guid=sent.get("idempotency-key", ""),
        event=sent.get("x-gitlab-event", ""),
        at=parsedate_to_datetime(answered["date"]) if "date" in answered else None,
        first=None,
        code=int(status) if status.isdigit() else None,
        status=status if status.isdigit() else f"{status}: {one.get('response_body') or ''}",
    )
