"""From the settings of Pipelines as Code to what is changed in its release, and what stands beside it.

Every key was read in v0.37.0 (config/302-pac-configmap.yaml, pkg/params/settings). They are written whatever
they say, so that the defaults of docs/pipelines-as-code.md hold whichever version is installed.

Parameters mean what `stacks.mapping` says of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pulumi

from components.openshift_pipelines import TEKTON_NAMESPACE
from components.pipelines_as_code import AppCredentials, PacSetup, RepositoryRules
from components.pipelines_as_code_network import network_policies
from components.tenant_manifests import TenantRepositories
from releases.adaptation import Adaptation, DeploymentRules
from releases.pipelines_as_code import CONFIG, CONTROLLER, NAMESPACE, SETTINGS, WATCHER, WEBHOOK
from stacks.vocabulary import Distribution, repository_identity

if TYPE_CHECKING:
    from stacks.loader import LoadedEnvironment
    from stacks.part_settings import PodSizeSettings
    from stacks.pipelines_as_code_settings import ConsoleSettings, PipelinesAsCodeSettings
    from stacks.settings import EnvironmentSettings

_PINNED_API: Final = "PAC_GIT_PROVIDER_TOKEN_APIURL"
"""Variable that decides where the App's credentials are sent. Without it a header of the event does, and
before its signature is looked at (pkg/provider/github/parse_payload.go)."""

_WEBHOOK_RESOURCES: Final = {
    "requests": {"cpu": "10m", "memory": "64Mi"},
    "limits": {"memory": "256Mi"},
}


def adaptation(settings: PipelinesAsCodeSettings) -> Adaptation:
    """Say what the settings change of its release."""
    return Adaptation(
        config_maps={SETTINGS: config(settings)},
        deployments={
            CONTROLLER: DeploymentRules(
                # Left alone by default, so that somebody's own scaling holds.
                replicas=settings.listener.replicas if settings.listener.replicas > 1 else None,
                resources=_resources(settings.listener),
                environment=_environment(settings),
            ),
            WATCHER: DeploymentRules(
                resources=_resources(settings.watcher), environment=_environment(settings)
            ),
            WEBHOOK: DeploymentRules(resources=_WEBHOOK_RESOURCES),
        },
        objects=tuple(network_policies(blocked_networks(settings))),
    )


def config(settings: PipelinesAsCodeSettings) -> dict[str, str]:
    """Make what is set in its ConfigMap."""
    return {
        "application-name": settings.application_name,
        "secret-auto-create": _flag(settings.git_credentials),
        "hub-url": settings.remote_tasks.hub_url,
        "hub-catalog-type": "artifacthub",
        "remote-tasks": _flag(settings.remote_tasks.enabled),
        "error-log-snippet": _flag(settings.error_reports.log_snippet),
        "error-detection-from-container-logs": _flag(settings.error_reports.annotations),
        "error-detection-max-number-of-lines": str(settings.error_reports.lines),
        "enable-cancel-in-progress-on-pull-requests": _flag(settings.cancel_in_progress.pull_requests),
        "enable-cancel-in-progress-on-push": _flag(settings.cancel_in_progress.pushes),
        "bitbucket-cloud-additional-source-ip": ",".join(sorted(set(settings.bitbucket_sources))),
        "default-max-keep-runs": str(settings.kept_runs.runs),
        "max-keep-run-upper-limit": str(settings.kept_runs.limit),
        "remember-ok-to-test": _flag(settings.remember_ok_to_test),
        "skip-push-event-for-pr-commits": _flag(settings.skip_pushes_of_pull_requests),
        **_console(settings.console),
    }


def on_openshift(settings: PipelinesAsCodeSettings) -> PacSetup | None:
    """Say the same where OpenShift's operator brings it; None where it is not wanted."""
    if not settings.enabled:
        return None
    return PacSetup(
        # The operator knows nothing of what its release is changed to everywhere else.
        settings={**config(settings), **CONFIG[SETTINGS]},
        environment=_environment(settings),
        replicas=settings.listener.replicas,
        resources={CONTROLLER: _resources(settings.listener), WATCHER: _resources(settings.watcher)},
        blocked_networks=blocked_networks(settings),
    )


def blocked_networks(settings: PipelinesAsCodeSettings) -> list[str]:
    """List the networks that it never reaches, beside clouds' metadata services."""
    return sorted(set(settings.blocked_networks))


def credentials(environment: LoadedEnvironment) -> AppCredentials | None:
    """Give the credentials of the GitHub App, as secrets of the engine; None without an App."""
    app = environment.github_app
    if app is None:
        return None
    return AppCredentials(
        app_id=app.app_id,
        private_key=pulumi.Output.secret(app.private_key),
        webhook_secret=pulumi.Output.secret(app.webhook_secret),
    )


def namespace(settings: EnvironmentSettings, cluster: str) -> str:
    """Name the namespace in which it stands on a cluster."""
    openshift = settings.compute_clusters[cluster].distribution is Distribution.OPENSHIFT
    return TEKTON_NAMESPACE if openshift else NAMESPACE


def repository_rules(settings: EnvironmentSettings, cluster: str) -> RepositoryRules | None:
    """Say what Repository objects on a cluster are held to; None where there are none."""
    ours = settings.pipelines_as_code
    if not ours.enabled:
        return None
    return RepositoryRules(
        namespace=namespace(settings, cluster),
        provider_urls=tuple(sorted(set(ours.provider_urls))),
        concurrency_limit=ours.concurrency_limit,
        unsigned_gitea=ours.accept_unsigned_gitea,
    )


def tenant_repositories(settings: EnvironmentSettings, tenant: str) -> TenantRepositories | None:
    """Say which repositories a tenant may name; None where there are no Repository objects."""
    entry = settings.tenants[tenant]
    rules = repository_rules(settings, entry.cluster)
    if rules is None:
        return None
    distribution = settings.compute_clusters[entry.cluster].distribution
    return TenantRepositories(
        # In an order that doesn't depend on the file's.
        identities=tuple(sorted({repository_identity(url) for url in entry.repositories})),
        rules=rules,
        bound=distribution is not Distribution.OPENSHIFT,
    )


def _console(console: ConsoleSettings | None) -> dict[str, str]:
    """Say where reports link to; what has no page of its own leads to the one next above it.

    Pipelines as Code makes a link of each, and of one that isn't set it makes up a host (pkg/consoleui).
    """
    name = url = run_url = task_log_url = namespace_url = ""
    if console is not None:
        name, url = console.name, console.url
        run_url = console.run_url or url
        task_log_url = console.task_log_url or run_url
        namespace_url = console.namespace_url or url
    return {
        "custom-console-name": name,
        "custom-console-url": url,
        "custom-console-url-pr-details": run_url,
        "custom-console-url-pr-tasklog": task_log_url,
        "custom-console-url-namespace": namespace_url,
    }


def _environment(settings: PipelinesAsCodeSettings) -> dict[str, str]:
    return {} if settings.github_app is None else {_PINNED_API: settings.github_app.api_url}


def _resources(settings: PodSizeSettings) -> dict[str, dict[str, str]]:
    return {
        "requests": {"cpu": settings.cpu_request, "memory": settings.memory_request},
        "limits": {"memory": settings.memory_limit},
    }


def _flag(value: bool) -> str:  # noqa: FBT001 -- what is written is what is given
    return "true" if value else "false"
