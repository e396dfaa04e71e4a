"""What the gateway answers where an event isn't passed on: one table for configuration, tests and docs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer of the gateway's own.

    Attributes
    ----------
    name
        Its name: in its JSON, in the log, and (with `answer_` before it) of its counter.
    status
        Status of HTTP.
    reason
        Why, and what mends it: plain text without quotation marks.
    headers
        Further headers.
    """

    name: str
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()


SOURCE = Answer(
    name="source-not-allowed",
    status=403,
    reason="events are not taken from this address: see gateway.allowedSources",
)
SOURCE_RATE = Answer(
    name="too-many-from-source",
    status=429,
    reason="too many events from this address",
    headers=(("Retry-After", "60"),),
)
SOURCE_BUSY = Answer(
    name="too-many-at-once",
    status=429,
    reason="too many events from this address at once",
    headers=(("Retry-After", "30"),),
)
HEADERS_TOO_LARGE = Answer(
    name="headers-too-large", status=431, reason="the headers are larger than 16 KiB in all"
)
UNKNOWN_PATH = Answer(
    name="unknown-path",
    status=404,
    reason="events go to / or /tenants/NAME, incoming webhooks to /tenants/NAME/incoming",
)
METHOD = Answer(
    name="method-not-allowed", status=405, reason="events come by POST", headers=(("Allow", "POST"),)
)
NO_PROVIDER = Answer(
    name="no-provider",
    status=400,
    reason="no header tells the provider: X-GitHub-Event, X-Gitlab-Event, X-Gitea-Event or X-Event-Key",
)
SEVERAL_PROVIDERS = Answer(
    name="several-providers", status=400, reason="the headers that tell the provider contradict each other"
)
UNSIGNED = Answer(
    name="unsigned-gitea",
    status=403,
    reason="nobody checks signatures of Gitea's and Forgejo's events: they are taken only where the"
    " settings say pipelinesAsCode.acceptUnsignedGitea",
)
UNKNOWN_TENANT = Answer(name="unknown-tenant", status=404, reason="there is no such tenant")
CONTENT_TYPE = Answer(
    name="unsupported-content-type",
    status=415,
    reason="let the webhook send application/json",
)
LENGTH = Answer(
    name="length-required",
    status=411,
    reason="on a tenant's path an event tells its length by Content-Length, and does not come in chunks",
)
TOO_LARGE = Answer(
    name="body-too-large",
    status=413,
    reason="the event is larger than this address takes; the path /tenants/NAME takes 25 MB",
)
SIGNATURE = Answer(
    name="wrong-signature",
    status=401,
    reason="X-Hub-Signature-256 is missing, or not made with the GitHub App's webhook secret",
)
NO_REPOSITORY = Answer(
    name="no-repository",
    status=400,
    reason="the body is broken JSON, or names no repository",
)
IGNORED = Answer(
    name="ignored", status=200, reason="this kind of event belongs to no repository; it is not passed on"
)
UNKNOWN_REPOSITORY = Answer(
    name="unknown-repository", status=404, reason="no tenant has this repository: see tenants.*.repositories"
)
REPOSITORY_RATE = Answer(
    name="too-many-of-repository",
    status=429,
    reason="too many events of this repository or tenant from this address",
    headers=(("Retry-After", "60"),),
)
SUSPENDED = Answer(name="tenant-suspended", status=403, reason="the tenant is suspended, or is leaving")
UNREACHED = Answer(
    name="cluster-unreached",
    status=503,
    reason="the tenant's cluster is lost, or takes no events from gateways on other clusters",
)
BUSY = Answer(
    name="cluster-busy",
    status=503,
    reason="the tenant's cluster is slow to take events; this one was not sent to it",
    headers=(("Retry-After", "30"),),
)

ANSWERS: Final = (
    SOURCE,
    SOURCE_RATE,
    SOURCE_BUSY,
    HEADERS_TOO_LARGE,
    UNKNOWN_PATH,
    METHOD,
    NO_PROVIDER,
    SEVERAL_PROVIDERS,
    UNSIGNED,
    UNKNOWN_TENANT,
    CONTENT_TYPE,
    LENGTH,
    TOO_LARGE,
    SIGNATURE,
    NO_REPOSITORY,
    IGNORED,
    UNKNOWN_REPOSITORY,
    REPOSITORY_RATE,
    SUSPENDED,
    UNREACHED,
    BUSY,
)
"""All that the gateway decides on."""

ERRORS: Final = (
    Answer(name="bad-request", status=400, reason="this is no valid HTTP request"),
    Answer(name="too-slow", status=408, reason="the request did not come in time"),
    Answer(name="internal-error", status=500, reason="the gateway failed"),
    Answer(name="broken-answer", status=502, reason="the tenant's cluster broke off; it may have the event"),
    Answer(
        name="cluster-unavailable",
        status=503,
        reason="the tenant's cluster can not be reached; the event was not delivered",
    ),
    Answer(
        name="no-answer",
        status=504,
        reason="the tenant's cluster did not answer in time; it may have the event",
    ),
)
"""What HAProxy finds by itself; one for each of its statuses."""
