"""The settings of Pipelines as Code, which makes runs of what lies in Git repositories."""

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from stacks.part_settings import PodSizeSettings, Replicas
from stacks.problems import refuse
from stacks.provider_words import ConsoleUrl, DisplayName, ProviderUrl
from stacks.sections import SecretSource, Section
from stacks.vocabulary import Cidr, Flag

RunCount = Annotated[int, Field(strict=True, ge=1, le=1_000)]

GITHUB_API: Final = "https://api.github.com"
"""The API of github.com."""


class GitHubAppSettings(Section):
    """A GitHub App, by which GitHub's repositories need no credential of their own."""

    id: Annotated[int, Field(strict=True, ge=1)] = Field(
        title="App ID", description="Number of the App, as its page at GitHub shows it."
    )
    private_key: SecretSource = Field(
        title="Private key", description="The App's private key (RSA, PEM), as GitHub hands it out."
    )
    webhook_secret: SecretSource = Field(
        title="Webhook secret", description="Secret with which GitHub signs the App's events."
    )
    api_url: ProviderUrl = Field(
        default=GITHUB_API,
        title="API",
        description="The only API that the App's credentials are sent to; https://HOST/api/v3 of an"
        " Enterprise server.",
    )


class KeptRunsSettings(Section):
    """How many finished PipelineRuns stay on a cluster, of each pipeline of each repository."""

    runs: RunCount = Field(
        default=10,
        title="Runs",
        description="How many are kept, the newest, where the pipeline in Git says nothing.",
    )
    limit: RunCount = Field(
        default=50,
        title="Limit",
        description="How many a pipeline in Git may have kept, by its annotation max-keep-runs.",
    )

    @model_validator(mode="after")
    def _within_the_limit(self) -> Self:
        if self.runs > self.limit:
            refuse(f"runs {self.runs} is more than limit {self.limit}", "raise limit, or lower runs")
        return self


class RemoteTasksSettings(Section):
    """Tasks that a pipeline in Git names and that are put into its run."""

    enabled: Flag = Field(
        default=True,
        title="Enabled",
        description="Whether tasks are put in: from the repository itself, from URLs and from the hub.",
    )
    hub_url: ProviderUrl = Field(
        default="https://artifacthub.io",
        title="Hub",
        description="Artifact Hub from which tasks come that are given by their name alone.",
    )


class ErrorReportsSettings(Section):
    """What of a failed run's logs is shown at the Git provider, where others may read it."""

    log_snippet: Flag = Field(
        default=False,
        title="Log snippet",
        description="Whether the last lines of the failed task's log are shown.",
    )
    annotations: Flag = Field(
        default=False,
        title="Annotations",
        description="Whether errors found in logs become notes in the code; with the GitHub App alone.",
    )
    lines: Annotated[int, Field(strict=True, ge=1, le=1_000)] = Field(
        default=50, title="Lines", description="Lines (number) of a log in which errors are looked for."
    )


class ConsoleSettings(Section):
    """A web console that reports at the Git provider link to."""

    name: DisplayName = Field(title="Name", description="What it is called.")
    url: ConsoleUrl = Field(title="URL", description="Its address.")
    run_url: ConsoleUrl | None = Field(
        default=None,
        title="Run's URL",
        description="Page of a run; {{ namespace }} and {{ pr }} are its namespace and name; none: url.",
    )
    task_log_url: ConsoleUrl | None = Field(
        default=None,
        title="Task log's URL",
        description=(
            "Page of a task's log; beside those, {{ task }}, {{ pod }} and {{ firstFailedStep }}; none: that"
            " of its run."
        ),
    )
    namespace_url: ConsoleUrl | None = Field(
        default=None, title="Namespace's URL", description="Page of a namespace: {{ namespace }}; none: url."
    )


class CancelInProgressSettings(Section):
    """Whether a new event ends the runs of the one before; a pipeline in Git may say otherwise."""

    pull_requests: Flag = Field(
        default=False,
        title="Pull requests",
        description="Whether runs of a pull request are cancelled when it is updated.",
    )
    pushes: Flag = Field(
        default=False,
        title="Pushes",
        description="Whether runs of a branch are cancelled when it is pushed to again.",
    )


class ListenerSettings(PodSizeSettings):
    """The pods that take events."""

    replicas: Replicas = Field(
        default=1, title="Replicas", description="Pods on each cluster; all of them work."
    )


class WatcherSettings(PodSizeSettings):
    """The pod that reports how runs go."""


class PipelinesAsCodeSettings(Section):
    """Pipelines as Code on the clusters."""

    enabled: Flag = Field(
        default=False,
        title="Enabled",
        description="Whether each cluster gets it, and tenants can connect their repositories.",
    )
    application_name: DisplayName = Field(
        default="Pipeline Service",
        title="Application's name",
        description="What it is called in reports at the Git provider.",
    )
    github_app: GitHubAppSettings | None = Field(
        default=None,
        title="GitHub App",
        description="An App for all tenants; none: each repository needs a webhook and a token.",
    )
    provider_urls: tuple[ProviderUrl, ...] = Field(
        default=(),
        title="Providers' URLs",
        description=(
            "APIs of Git providers on other hosts than their repositories; of others, a Repository may name"
            " none but its own host's."
        ),
    )
    kept_runs: KeptRunsSettings = Field(
        default=KeptRunsSettings(),
        title="Kept runs",
        description="How many finished PipelineRuns stay on a cluster.",
    )
    concurrency_limit: RunCount | None = Field(
        default=None,
        title="Concurrency limit",
        description=(
            "Most runs at a time that a Repository may ask for by its concurrency_limit, which each then has"
            " to state; none: the tenant's to say."
        ),
    )
    remote_tasks: RemoteTasksSettings = Field(
        default=RemoteTasksSettings(),
        title="Remote tasks",
        description="Tasks that a pipeline in Git names and that are put into its run.",
    )
    git_credentials: Flag = Field(
        default=True,
        title="Git credentials",
        description="Whether each run gets a Secret with which it can clone its repository.",
    )
    error_reports: ErrorReportsSettings = Field(
        default=ErrorReportsSettings(),
        title="Error reports",
        description="What of a failed run's logs is shown at the Git provider.",
    )
    cancel_in_progress: CancelInProgressSettings = Field(
        default=CancelInProgressSettings(),
        title="Cancel in progress",
        description="Whether a new event ends the runs of the one before.",
    )
    skip_pushes_of_pull_requests: Flag = Field(
        default=True,
        title="Skip pushes of pull requests",
        description="Whether a push makes no run where a pull request has the same commit.",
    )
    remember_ok_to_test: Flag = Field(
        default=False,
        title="Remember ok-to-test",
        description="Whether a stranger's pull request, once allowed, runs again on each push unasked.",
    )
    accept_unsigned_gitea: Flag = Field(
        default=False,
        title="Accept unsigned Gitea",
        description=(
            "Whether events of Gitea and Forgejo are taken, whose signatures nobody checks: whoever reaches"
            " the gateway can then make runs of what lies there."
        ),
    )
    bitbucket_sources: tuple[Cidr, ...] = Field(
        default=(),
        title="Bitbucket's sources",
        description="Networks (CIDR) beside Atlassian's own from which Bitbucket Cloud's events are taken.",
    )
    console: ConsoleSettings | None = Field(
        default=None, title="Console", description="A web console that reports link to."
    )
    blocked_networks: tuple[Cidr, ...] = Field(
        default=(),
        title="Blocked networks",
        description=(
            "Networks (CIDR) that it never reaches, beside clouds' metadata services; never with the address"
            " of the cluster's API server or of a Git provider in one."
        ),
    )
    listener: ListenerSettings = Field(
        default=ListenerSettings(), title="Listener", description="The pods that take events."
    )
    watcher: WatcherSettings = Field(
        default=WatcherSettings(), title="Watcher", description="The pod that reports how runs go."
    )
