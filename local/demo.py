"""The demonstration: a tenant's user runs a pipeline from kcp, and it runs on the tenant's compute cluster.

All that a tenant can do is done with the tenant's own credential, in the tenant's own workspace. Only the
logs need the operator's credential on the compute cluster, since kcp serves none.
"""

from __future__ import annotations

import json
import shlex
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from components.names import SYNCER_NAMESPACE, tenant_namespace
from local.commands import run
from local.errors import LocalError
from local.images import BUSYBOX_IMAGE
from releases.images import ImageRules
from stacks.loader import read_stack_file
from stacks.problems import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from rich.console import Console

    from stacks.settings import EnvironmentSettings
    from stacks.tenant_settings import TenantSettings

TENANT = "demo"
"""The tenant, where no other is named."""
SECONDS = 300.0
"""How long the run may take: the images are there, so this is a hundred times what it needs."""

_POLL_SECONDS = 1.0
_RESULT = "greeting"
_RUN_LABEL = "tekton.dev/pipelineRun"

Object = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class DemoTenant:
    """Where the demonstration takes place.

    Attributes
    ----------
    user
        The user whose credential is used.
    kubeconfig
        That user's kubeconfig, relative to the project's folder.
    url
        URL of the tenant's workspace.
    workspace
        Path of the tenant's workspace.
    namespace
        The namespace in it.
    cluster
        Name of the compute cluster.
    cluster_kubeconfig
        The operator's kubeconfig of that cluster, relative to the project's folder.
    """

    user: str
    kubeconfig: str
    url: str
    workspace: str
    namespace: str
    cluster: str
    cluster_kubeconfig: str

    @property
    def cluster_namespace(self) -> str:
        """The namespace on the compute cluster in which the tenant's runs execute."""
        return tenant_namespace(self.workspace, self.namespace)

    @property
    def as_user(self) -> tuple[str, ...]:
        """`kubectl` as the tenant's user in the tenant's workspace."""
        return (
            "kubectl",
            f"--kubeconfig={self.kubeconfig}",
            f"--server={self.url}",
            f"--namespace={self.namespace}",
        )

    @property
    def as_operator(self) -> tuple[str, ...]:
        """`kubectl` as the operator on the compute cluster."""
        return ("kubectl", f"--kubeconfig={self.cluster_kubeconfig}")


def run_demo(
    root: Path, stack: str, console: Console, *, name: str = TENANT, seconds: float = SECONDS
) -> int:
    """Run a two-task pipeline as a user of a tenant, and show what came of it.

    Parameters
    ----------
    root
        The project's folder.
    stack
        The stack that is deployed.
    console
        Where to write; a live line where it is a terminal, plain lines elsewhere.
    name
        Name of the tenant.
    seconds
        How long the run may take.

    Returns
    -------
    int
        0 only if the run succeeded.

    Raises
    ------
    LocalError
        When the tenant is not there, or a command fails.
    SettingsError
        When the stack's settings are wrong.
    """
    settings, outputs = read_stack(root, stack)
    tenant = demo_tenant(settings, outputs, root, name)
    image = image_of_steps(settings)
    say(
        console,
        f"tenant {name}: user {tenant.user}, workspace {tenant.workspace}, cluster {tenant.cluster}",
    )
    created = kubectl(
        root,
        (*tenant.as_user, "create", "--filename=-", "--output=json"),
        what=f"creating a PipelineRun as {tenant.user}",
        stdin=json.dumps(pipeline_run(image)),
    )
    made = str(created["metadata"]["name"])
    say(console, f"PipelineRun {made} created in kcp")
    get = (*tenant.as_user, "get", "pipelinerun", made, "--output=json")
    reading = f"reading PipelineRun {made} as {tenant.user}"
    final = follow(lambda: kubectl(root, get, what=reading), console, seconds)
    console.print(summary(final))
    print_logs(root, tenant, made, console)
    state = succeeded(final)
    if state is None:
        say(
            console,
            f"timed out after {seconds:.0f} s: {where_to_look(tenant, made, final)}",
            style="red",
        )
    say(
        console,
        f"The run stays. To delete it: {shlex.join((*tenant.as_user, 'delete', 'pipelinerun', made))}",
    )
    return 0 if state else 1


def read_stack(root: Path, stack: str) -> tuple[EnvironmentSettings, Mapping[str, Any]]:
    """Read the settings of a stack, and its output `tenants`."""
    outputs = json.loads(
        run(
            ["pulumi", "stack", "output", "tenants", "--json", "--stack", stack],
            what="reading the stack's output `tenants` (run `make up` first)",
            directory=root,
        ),
    )
    return read_stack_file(root / f"Pulumi.{stack}.yaml"), outputs


def image_of_steps(settings: EnvironmentSettings) -> str:
    """Name the image of the demonstrations' steps."""
    # What a tenant names is left as it is, so whoever has a mirror names that.
    return ImageRules(mirrors=settings.image_repository.mirrors).image(BUSYBOX_IMAGE)


def demo_tenant(
    settings: EnvironmentSettings, outputs: Mapping[str, Any], root: Path, name: str
) -> DemoTenant:
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
        When the tenant is not deployed, no user of it has a credential here, or its cluster's kubeconfig is
        no file.
    """
    entry = settings.tenants.get(name)
    if entry is None:
        known = nearest(name, settings.tenants, what="tenants")
        raise LocalError(f"the stack's settings have no tenant `{name}`: name another, or add it ({known})")
    output = outputs.get(name)
    if output is None:
        raise LocalError(f"the stack's output `tenants` has no tenant `{name}` yet: run `make up`")
    path = settings.compute_clusters[entry.cluster].kubeconfig.path
    if path is None:
        raise LocalError(
            f"computeClusters.{entry.cluster}.kubeconfig: no path, so the logs can't be read; give it a path",
        )
    user, kubeconfig = _credential(name, entry, root)
    return DemoTenant(
        user=user,
        kubeconfig=kubeconfig,
        url=str(output["url"]),
        workspace=str(output["workspace"]),
        namespace=entry.namespaces[0],
        cluster=entry.cluster,
        cluster_kubeconfig=path,
    )


def _credential(name: str, tenant: TenantSettings, root: Path) -> tuple[str, str]:
    """Return the first user who may create runs and has a credential here, and that credential's path."""
    users = (*tenant.access.developers.users, *tenant.access.admins.users)
    for user in users:
        path = f".local/users/{user}.kubeconfig"
        if (root / path).is_file():
            return user, path
    named = ", ".join(users) or "none is named"
    raise LocalError(
        f"tenants.{name}.access: no developer or admin ({named}) has a credential in .local/users: "
        "name a user, and run `make up`",
    )


def pipeline_run(image: str = BUSYBOX_IMAGE, place: str = "$(hostname)") -> Object:
    """Return the PipelineRun: the second task prints what the first one handed over as a result.

    The tasks are embedded, so that nothing else needs to have been synced before it.

    Parameters
    ----------
    image
        The image of its steps; it has a shell.
    place
        Where the greeting is from, as the shell reads it between double quotes.
    """
    produce = {
        "results": [{"name": _RESULT, "type": "string"}],
        "steps": [
            {
                "name": "write",
                "image": image,
                "script": (
                    "#!/bin/sh\nset -eu\n"
                    f'text="Hello from {place}"\n'
                    f'printf %s "$text" > "$(results.{_RESULT}.path)"\n'
                    'echo "wrote: $text"\n'
                ),
            },
        ],
    }
    consume = {
        "params": [{"name": "text", "type": "string"}],
        "steps": [
            {
                "name": "read",
                "image": image,
                "env": [{"name": "TEXT", "value": "$(params.text)"}],
                "script": '#!/bin/sh\nset -eu\necho "received: $TEXT"\n',
            },
        ],
    }
    return {
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {
            "generateName": "demo-",
            "labels": {"app.kubernetes.io/part-of": "pipeline-service-demo"},
        },
        "spec": {
            "timeouts": {"pipeline": "5m0s"},
            "pipelineSpec": {
                "tasks": [
                    {"name": "produce", "taskSpec": produce},
                    {
                        "name": "consume",
                        "params": [{"name": "text", "value": f"$(tasks.produce.results.{_RESULT})"}],
                        "taskSpec": consume,
                    },
                ],
            },
        },
    }


def condition(run_: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the condition `Succeeded` of a run; empty as long as it has none."""
    for entry in run_.get("status", {}).get("conditions", []):
        if entry.get("type") == "Succeeded":
            found: Mapping[str, Any] = entry
            return found
    return {}


def succeeded(run_: Mapping[str, Any]) -> bool | None:
    """Tell whether a run succeeded; None as long as that is open."""
    return {"True": True, "False": False}.get(str(condition(run_).get("status")))


def progress(run_: Mapping[str, Any]) -> str:
    """Return one line on how far a run is."""
    entry = condition(run_)
    if not entry:
        return "waiting for the compute cluster to take it up"
    return f"{entry.get('reason', 'Unknown')}: {entry.get('message', '')}".removesuffix(": ")


def summary(run_: Mapping[str, Any]) -> Table:
    """Return a run's status as kcp holds it, as a table."""
    status = run_.get("status", {})
    rows = [("PipelineRun", run_["metadata"]["name"])]
    for entry in status.get("conditions", []):
        text = f"{entry.get('status')}  {entry.get('reason', '')}: {entry.get('message', '')}"
        rows.append((entry.get("type"), text))
    rows.append(("started", status.get("startTime", "not yet")))
    rows.append(("completed", status.get("completionTime", "not yet")))
    rows += [
        (f"task {child.get('pipelineTaskName')}", f"{child.get('kind')} {child.get('name')}")
        for child in status.get("childReferences", [])
    ]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for label, value in rows:
        table.add_row(Text(str(label)), Text(str(value)))  # Text: brackets in a message are no markup
    return table


def where_to_look(tenant: DemoTenant, name: str, run_: Mapping[str, Any]) -> str:
    """Return what to look at next when a run does not finish."""
    if not condition(run_):
        command = (*tenant.as_operator, f"--namespace={SYNCER_NAMESPACE}", "get", "pods")
        return (
            f"no status came back from {tenant.cluster}; see whether the syncer runs: {shlex.join(command)}"
        )
    command = (
        *tenant.as_operator,
        f"--namespace={tenant.cluster_namespace}",
        "describe",
        "pods",
        f"--selector={_RUN_LABEL}={name}",
    )
    return f"the run has started but not finished; look at its pods: {shlex.join(command)}"


def follow(read: Callable[[], Object], console: Console, seconds: float) -> Object:
    """Show how far a run is until it is finished or the time is over.

    Parameters
    ----------
    read
        Reads the run.
    console
        Where to write.
    seconds
        How long that may take.

    Returns
    -------
    dict
        The run as last seen.
    """
    started = monotonic()
    with live_line(console) as show:
        while True:
            seen = read()
            passed = monotonic() - started
            show(progress(seen), passed)
            if succeeded(seen) is not None or passed > seconds:
                return seen
            sleep(_POLL_SECONDS)


@contextmanager
def live_line(console: Console) -> Iterator[Callable[[str, float], None]]:
    """Give a function that shows (text, seconds): in place on a terminal, else a line per new text."""
    if console.is_terminal:
        with console.status("") as status:
            yield lambda text, passed: status.update(Text(f"{text}  ({passed:.0f} s)"))
        return
    last = ""

    def show(text: str, passed: float) -> None:
        nonlocal last
        if text != last:
            say(console, f"{passed:5.0f} s  {text}")
            last = text

    yield show


def print_logs(root: Path, tenant: DemoTenant, name: str, console: Console) -> None:
    """Print what the steps of a run wrote, pod by pod."""
    on_cluster = (*tenant.as_operator, f"--namespace={tenant.cluster_namespace}")
    say(
        console,
        f"logs, with the operator's credential on {tenant.cluster}, namespace {tenant.cluster_namespace}:",
    )
    pods = kubectl(
        root,
        (*on_cluster, "get", "pods", f"--selector={_RUN_LABEL}={name}", "--output=json"),
        what=f"listing the run's pods on {tenant.cluster}",
    )["items"]
    if not pods:
        say(console, "  none: the run has no pod")
    for pod in sorted(pods, key=lambda item: str(item["metadata"]["creationTimestamp"])):
        pod_name = str(pod["metadata"]["name"])
        for step in started_steps(pod):
            lines = run(
                [*on_cluster, "logs", pod_name, f"--container={step}"],
                what=f"reading the logs of {pod_name}",
                directory=root,
            )
            for line in lines.splitlines():
                say(console, f"  {pod_name} {step} | {line}")


def started_steps(pod: Mapping[str, Any]) -> list[str]:
    """Return the names of a pod's step containers that have logs, in the order in which they run."""
    started = {
        status["name"]
        for status in pod.get("status", {}).get("containerStatuses", [])
        if "waiting" not in status.get("state", {"waiting": {}})
    }
    names = [str(container["name"]) for container in pod["spec"]["containers"]]
    return [name for name in names if name.startswith("step-") and name in started]


def kubectl(root: Path, command: tuple[str, ...], *, what: str, stdin: str | None = None) -> Object:
    """Run kubectl in the project's folder, and return the object that it prints as JSON."""
    answer: Object = json.loads(run(command, what=what, stdin=stdin, directory=root))
    return answer


def say(console: Console, text: str, *, style: str | None = None) -> None:
    """Print a line as it is: a path is no emoji (`root:key`), and a command to copy must not be broken."""
    console.print(text, style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)
