"""The demonstration of events: a push to a tenant's repository becomes a pipeline on the tenant's cluster.

All is real but the Git provider, which is this machine's own (`local.git_provider`): it signs the push and
delivers it to the gateway, serves its API to Pipelines as Code, and gets the status of the run.
"""

from __future__ import annotations

import json
import secrets
import shlex
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import yaml

from local.commands import run
from local.demo import (
    SECONDS,
    TENANT,
    DemoTenant,
    Object,
    demo_tenant,
    follow,
    image_of_steps,
    kubectl,
    live_line,
    pipeline_run,
    print_logs,
    read_stack,
    say,
    succeeded,
    summary,
)
from local.errors import LocalError
from local.git_provider.provider import GitProvider
from local.git_provider.server import served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from rich.console import Console

    from local.git_provider.hooks import Hook
    from local.git_provider.repository import Repository
    from stacks.settings import EnvironmentSettings

NAME: Final = "demo-event"
"""Name of the tenant's Secret and Repository object."""

PROVIDER_NAMESPACE: Final = "pipeline-service-demo"
PROVIDER_SERVICE: Final = "git-provider"
PROVIDER_API: Final = f"http://{PROVIDER_SERVICE}.{PROVIDER_NAMESPACE}.svc"
"""The provider's API as pods reach it; the stack has to allow that: pipelinesAsCode.providerUrls."""

RUN_FILE: Final = ".tekton/push.yaml"
SHA_LABEL: Final = "pipelinesascode.tekton.dev/sha"
_POLL_SECONDS: Final = 1.0
_SYNC_SECONDS: Final = 60.0
_STATUS_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class EventTenant:
    """Where the demonstration takes place.

    Attributes
    ----------
    tenant
        The tenant, its user and its cluster.
    repository
        URL of its repository, as its entry has it.
    events_url
        Where its webhooks lead.
    """

    tenant: DemoTenant
    repository: str
    events_url: str

    @property
    def on_cluster(self) -> tuple[str, ...]:
        """`kubectl` as the operator in the tenant's namespace on its cluster."""
        return (*self.tenant.as_operator, f"--namespace={self.tenant.cluster_namespace}")


def event_tenant(
    settings: EnvironmentSettings, outputs: Mapping[str, Any], root: Path, name: str
) -> EventTenant:
    """Find out where the demonstration takes place.

    Parameters
    ----------
    settings
        The stack's settings.
    outputs
        The stack's output `tenants`.
    root
        The project's folder.
    name
        Name of the tenant.

    Raises
    ------
    LocalError
        The tenant, its repository, the gateway or Pipelines as Code is not there.
    """
    tenant = demo_tenant(settings, outputs, root, name)
    entry = settings.tenants[name]
    if not settings.pipelines_as_code.enabled:
        raise LocalError(
            "pipelinesAsCode.enabled: false, so no event becomes a run: set it, and run `make up`"
        )
    if not entry.repositories:
        raise LocalError(f"tenants.{name}.repositories: empty: name one, and run `make up`")
    if PROVIDER_API not in settings.pipelines_as_code.provider_urls:
        raise LocalError(
            f"pipelinesAsCode.providerUrls: has no {PROVIDER_API}, where the Git provider of this machine is"
            " reached: add it, and run `make up`"
        )
    events_url = outputs[name].get("eventsUrl")
    if not events_url:
        raise LocalError("gateway.clusters: there is no gateway: name a cluster, and run `make up`")
    return EventTenant(tenant=tenant, repository=entry.repositories[0], events_url=str(events_url))


def gateway_origin(settings: EnvironmentSettings, root: Path, events_url: str) -> dict[str, str]:
    """Say where the gateway is really connected to, since no DNS knows its name here.

    Parameters
    ----------
    settings
        The stack's settings.
    root
        The project's folder.
    events_url
        An address of the gateway's.

    Returns
    -------
    dict of str to str
        Its host and port, and the node of its first cluster with the same port.
    """
    name = settings.gateway.clusters[0]
    node = urlsplit(cluster_server(settings, root, name)).hostname
    url = urlsplit(events_url)
    return {url.netloc: f"http://{node}:{settings.gateway.node_port}"}


def cluster_server(settings: EnvironmentSettings, root: Path, name: str) -> str:
    """Return the URL of a cluster's API server, from its kubeconfig."""
    path = settings.compute_clusters[name].kubeconfig.path
    if path is None:
        raise LocalError(f"computeClusters.{name}.kubeconfig: no path; give it a path")
    kubeconfig = yaml.safe_load((root / path).read_text())
    return str(kubeconfig["clusters"][0]["cluster"]["server"])


def run_demo_event(  # noqa: PLR0913 -- where it takes place, and how long
    root: Path,
    stack: str,
    folder: Path,
    machine: str,
    console: Console,
    *,
    name: str = TENANT,
    seconds: float = SECONDS,
) -> int:
    """Push to a tenant's repository, and show what came of it.

    Parameters
    ----------
    root
        The project's folder.
    stack
        The stack that is deployed.
    folder
        Where the Git provider keeps its repositories.
    machine
        The machine's own address in the network of the embedded environment.
    console
        Where to write.
    name
        Name of the tenant.
    seconds
        How long the run may take.

    Returns
    -------
    int
        0 only if the run succeeded and the Git provider was told so.

    Raises
    ------
    LocalError
        Something is not there, or a command fails.
    SettingsError
        The stack's settings are wrong.
    """
    settings, outputs = read_stack(root, stack)
    place = event_tenant(settings, outputs, root, name)
    provider = GitProvider(folder)
    provider.sender.names.update(gateway_origin(settings, root, place.events_url))
    repository = provider.add_repository(place.repository)
    hook = provider.add_hook(repository, place.events_url, secrets.token_urlsafe(24))
    say(console, f"tenant {name}: user {place.tenant.user}, cluster {place.tenant.cluster}")
    with served(provider, machine) as api, reachable(root, place, api, console):
        connected = Connected(root=root, place=place, provider=provider, hook=hook, repository=repository)
        with connected.repository_object(console):
            return _push(connected, image_of_steps(settings), console, seconds)


@dataclass(frozen=True, kw_only=True)
class Connected:
    """A tenant's repository that is connected by a webhook; attributes as the names say."""

    root: Path
    place: EventTenant
    provider: GitProvider
    hook: Hook
    repository: Repository

    @contextmanager
    def repository_object(self, console: Console) -> Iterator[None]:
        """As the tenant's user, make Secret and Repository in kcp, until the end of the block."""
        tenant = self.place.tenant
        token = self.provider.add_token(self.repository)
        objects = connection(self.place.repository, token, self.hook.secret)
        what = f"making Secret and Repository {NAME} as {tenant.user}"
        try:
            kubectl(
                self.root,
                (*tenant.as_user, "apply", "--filename=-", "--output=json"),
                what=what,
                stdin=json.dumps(objects),
            )
            say(console, f"Repository {NAME} for {self.place.repository} made in kcp by {tenant.user}")
            get = (*self.place.on_cluster, "get", "--ignore-not-found", "--output=json")
            wait(
                lambda: (
                    len(
                        self._listed(
                            (*get, f"repository.pipelinesascode.tekton.dev/{NAME}", f"secret/{NAME}")
                        )
                    )
                    == len(objects["items"])
                ),
                f"Repository and Secret to be copied to {tenant.cluster}",
                console,
                _SYNC_SECONDS,
            )
            yield
        finally:
            run(
                [*tenant.as_user, "delete", "--filename=-", "--ignore-not-found"],
                what=f"deleting Secret and Repository {NAME} as {tenant.user}",
                stdin=json.dumps(objects),
                directory=self.root,
            )

    def runs(self, sha: str) -> list[Object]:
        """Return the runs on the tenant's cluster that a commit has started."""
        return self._listed(
            (*self.place.on_cluster, "get", "pipelineruns", f"--selector={SHA_LABEL}={sha}", "--output=json")
        )

    def delete_runs(self, sha: str) -> None:
        """Delete them; kcp doesn't know of them."""
        run(
            [*self.place.on_cluster, "delete", "pipelineruns", f"--selector={SHA_LABEL}={sha}"],
            what=f"deleting the run on {self.place.tenant.cluster}",
            directory=self.root,
        )

    def _listed(self, command: tuple[str, ...]) -> list[Object]:
        printed = run(command, what=f"looking on {self.place.tenant.cluster}", directory=self.root)
        return list(json.loads(printed).get("items", [])) if printed.strip() else []


def connection(repository: str, token: str, webhook_secret: str) -> Object:
    """Return what a tenant makes to connect a repository: a Secret, and a Repository that names it."""
    names = {"name": NAME, "labels": {"app.kubernetes.io/part-of": "pipeline-service-demo"}}
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": names,
                "type": "Opaque",
                "stringData": {"provider.token": token, "webhook.secret": webhook_secret},
            },
            {
                "apiVersion": "pipelinesascode.tekton.dev/v1alpha1",
                "kind": "Repository",
                "metadata": names,
                "spec": {
                    "url": repository,
                    "git_provider": {
                        "type": "github",
                        "url": PROVIDER_API,
                        "secret": {"name": NAME, "key": "provider.token"},
                        "webhook_secret": {"name": NAME, "key": "webhook.secret"},
                    },
                },
            },
        ],
    }


def pushed_file(image: str) -> str:
    """Return the text of the file in Git that says what runs upon a push to the branch `main`."""
    wanted = pipeline_run(image, place="$(hostname), at $REVISION")
    wanted["metadata"] = {
        "generateName": f"{NAME}-",
        "annotations": {
            "pipelinesascode.tekton.dev/on-event": "[push]",
            "pipelinesascode.tekton.dev/on-target-branch": "[main]",
        },
    }
    wanted["spec"]["pipelineSpec"]["tasks"][0]["taskSpec"]["steps"][0]["env"] = [
        {"name": "REVISION", "value": "{{ revision }}"}
    ]
    return yaml.safe_dump(wanted, sort_keys=False)


def provider_objects(api: str) -> list[Object]:
    """Return what leads pods of a cluster to the Git provider on this machine: a Service with its endpoint.

    Parameters
    ----------
    api
        The provider's address, as it is from here.
    """
    where = urlsplit(api)
    meta = {"namespace": PROVIDER_NAMESPACE, "name": PROVIDER_SERVICE}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PROVIDER_NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**meta, "labels": {"kubernetes.io/service-name": PROVIDER_SERVICE}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [where.hostname], "conditions": {"ready": True}}],
            "ports": [{"name": "http", "port": where.port, "protocol": "TCP"}],
        },
    ]


@contextmanager
def reachable(root: Path, place: EventTenant, api: str, console: Console) -> Iterator[None]:
    """As the operator, let pods of the tenant's cluster reach the Git provider until the end of the block."""
    objects = {"apiVersion": "v1", "kind": "List", "items": provider_objects(api)}
    cluster = place.tenant.cluster
    try:
        run(
            [*place.tenant.as_operator, "apply", "--filename=-"],
            what=f"leading pods of {cluster} to the Git provider",
            stdin=json.dumps(objects),
            directory=root,
        )
        say(console, f"Git provider at {api}, for pods of {cluster} {PROVIDER_API}")
        yield
    finally:
        run(
            [*place.tenant.as_operator, "delete", f"namespace/{PROVIDER_NAMESPACE}", "--ignore-not-found"],
            what=f"taking that away from {cluster}",
            directory=root,
        )


def wait(holds: Callable[[], bool], what: str, console: Console, seconds: float) -> None:
    """Wait until something holds.

    Raises
    ------
    LocalError
        It doesn't within that time.
    """
    begun = monotonic()
    with live_line(console) as show:
        while not holds():
            passed = monotonic() - begun
            if passed > seconds:
                raise LocalError(f"waited {seconds:.0f} s for {what} in vain")
            show(f"waiting for {what}", passed)
            sleep(_POLL_SECONDS)


def _push(connected: Connected, image: str, console: Console, seconds: float) -> int:
    """Push, follow the run, and see what the provider was told of it."""
    place, tenant = connected.place, connected.place.tenant
    commit, delivery = connected.provider.push(
        connected.hook, connected.repository, {RUN_FILE: pushed_file(image), "id": secrets.token_hex(8)}
    )
    traced = {name.lower(): value for name, value in delivery.answer_headers.items()}.get(
        "x-request-id", "none"
    )
    say(
        console,
        f"commit {commit.sha[:12]} pushed, event {delivery.guid} to {place.events_url}:"
        f" {delivery.code} {delivery.status}, request id {traced}",
    )
    if not delivery.delivered:
        say(console, f"the event was not taken: {delivery.answer.strip() or delivery.status}", style="red")
        return 1
    try:
        wait(lambda: bool(connected.runs(commit.sha)), "a run of that commit", console, _SYNC_SECONDS)
        [made] = connected.runs(commit.sha)
        name = str(made["metadata"]["name"])
        say(console, f"PipelineRun {name} made on {tenant.cluster}, namespace {tenant.cluster_namespace}")
        get = (*place.on_cluster, "get", "pipelinerun", name, "--output=json")
        final = follow(
            lambda: kubectl(connected.root, get, what=f"reading PipelineRun {name}"), console, seconds
        )
        console.print(summary(final))
        print_logs(connected.root, tenant, name, console)
        if succeeded(final) is None:
            say(
                console,
                f"timed out after {seconds:.0f} s; look at its pods:"
                f" {shlex.join((*place.on_cluster, 'describe', 'pods'))}",
                style="red",
            )
        return 0 if _reported(connected, commit.sha, console) and succeeded(final) else 1
    finally:
        connected.delete_runs(commit.sha)


def _reported(connected: Connected, sha: str, console: Console) -> bool:
    """Wait for the status of the commit, and tell whether it is `success`."""

    def states() -> list[str]:
        return [one.state for one in connected.provider.statuses if one.sha == sha]

    wait(
        lambda: states()[-1:] not in ([], ["pending"]),
        "the status at the Git provider",
        console,
        _STATUS_SECONDS,
    )
    say(console, f"the Git provider was told of {sha[:12]}: {', then '.join(states())}")
    for one in connected.provider.unknown:
        say(console, f"  asked for what it doesn't serve: {one.method} {one.path}", style="yellow")
    return states()[-1] == "success"
