"""The Git providers that the gateway knows: by which headers, and where their events name a repository.

Written from the providers' documentation of webhooks, and from what Pipelines as Code v0.37.0 reads
(`pkg/provider/*/detect.go` and `parse_payload.go`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A Git provider.

    Attributes
    ----------
    name
        Its name, in logs.
    family
        Providers that send each other's headers, as Gitea sends GitHub's: an event is of one family.
    event
        Header with the kind of event, which makes an event this provider's: the one that Pipelines as Code
        goes by. Empty, it doesn't count there either.
    deliveries
        Headers with the number of the delivery, under which the provider lists it.
    repositories
        Where, in the JSON of its events, the URL of the repository stands (JSONPath as HAProxy has it): the
        first that is there counts.
    suffix
        What that URL has behind the repository's.
    form
        Whether it can send the JSON as the field `payload` of a form.
    without_repository
        Kinds of events that belong to no repository: taken, and not passed on.
    """

    name: str
    family: str
    event: str
    deliveries: tuple[str, ...]
    repositories: tuple[str, ...]
    suffix: str = ""
    form: bool = False
    without_repository: tuple[str, ...] = ()


PROVIDERS: Final = (
    Provider(
        # And Forgejo, which sends the same headers beside its own.
        name="gitea",
        family="github",
        event="X-Gitea-Event-Type",
        deliveries=("X-Gitea-Delivery",),
        repositories=("$.repository.html_url",),
        form=True,
    ),
    Provider(
        name="github",
        family="github",
        event="X-GitHub-Event",
        deliveries=("X-GitHub-Delivery",),
        repositories=("$.repository.html_url",),
        form=True,
        # What GitHub tells an App, and no repository.
        without_repository=(
            "github_app_authorization",
            "installation",
            "installation_repositories",
            "installation_target",
            "marketplace_purchase",
            "ping",
        ),
    ),
    Provider(
        name="gitlab",
        family="gitlab",
        event="X-Gitlab-Event",
        deliveries=("X-Gitlab-Event-UUID", "X-Gitlab-Webhook-UUID"),
        repositories=("$.project.web_url", "$.repository.homepage"),
    ),
    Provider(
        # Cloud numbers a delivery by X-Request-UUID, Data Center by X-Request-Id.
        name="bitbucket",
        family="bitbucket",
        event="X-Event-Key",
        deliveries=("X-Request-UUID", "X-Request-Id"),
        repositories=(
            "$.repository.links.html.href",
            "$.repository.links.self[0].href",
            "$.pullRequest.toRef.repository.links.self[0].href",
        ),
        suffix="/browse",
    ),
)
"""One table of them; the first whose header is there counts, so who imitates another stands before it."""

FAMILIES: Final = tuple(dict.fromkeys(provider.family for provider in PROVIDERS))
