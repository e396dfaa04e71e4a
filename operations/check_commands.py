"""Command line of the checks: what they look at is live, and they leave nothing behind."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from components.image_repository import ImagePolicy
from components.names import tenant_namespace
from operations import network
from operations.api_servers import ApiServers
from operations.errors import OperationError
from operations.network_pods import Place, PodArgs
from operations.projects import find_project, stack_files
from operations.pulumi_cli import PulumiCli
from operations.stack_file import StackFile
from operations.tables import Listing, console, show_listing
from releases.catalog import PYTHON_IMAGE
from releases.transform import RUN_SERVICE_ACCOUNT
from stacks.image_sources import read_images
from stacks.mapping import NOBODY
from stacks.mapping_images import allowed_images
from stacks.problems import Problem, SettingsError, key_path, nearest
from stacks.vocabulary import ClusterState, Distribution

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from operations.network import ClusterReport
    from stacks.settings import EnvironmentSettings

app = typer.Typer(no_args_is_help=True, help="Check a deployed environment, by trying it.")

_OPEN: Final = 3
_ABSENT: Final = (ClusterState.UNREACHABLE, ClusterState.GONE)
_FEWEST: Final = 2


@app.callback()
def main() -> None:
    """Check a deployed environment, by trying it."""


@app.command("network")
def network_command(  # noqa: PLR0913 -- one parameter for each option
    *,
    stack: Annotated[str, typer.Option(help="The stack to look at.")],
    project: Annotated[Path, typer.Option(help="Folder of Pulumi.yaml, or one below it.")] = Path(),
    cluster: Annotated[
        list[str] | None, typer.Option(help="A cluster; may be repeated; default: every one in reach.")
    ] = None,
    tenant: Annotated[
        list[str] | None,
        typer.Option(help="A tenant; may be repeated; default: the first two of each cluster."),
    ] = None,
    namespaces: Annotated[
        bool,
        typer.Option("--namespaces", help="Use two namespaces made for this, with a tenant's NetworkPolicy."),
    ] = False,
    image: Annotated[
        str | None, typer.Option(help="Image of the pods, with python3; default: the one of retention.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long pods may take to start.", min=1)] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Try whether pods of one tenant reach pods of another, DNS, and the metadata services of clouds.

    Ends with 3 where tenants are not isolated, with 1 where that could not be told.
    """
    try:
        path = stack_files(find_project(project), [stack], every=False)[0]
        settings = StackFile.read(path).settings
        run = network.new_run()
        chosen = _chosen(settings, cluster or (), tenant or (), run, made_up=namespaces)
        servers = ApiServers(project=path.parent, stack=stack.rpartition("/")[2], settings=settings)
        args = _pods(servers, run, image, made_up=namespaces)
        _check_allowed(settings, chosen, args.image)
        reports = [
            _check(servers, name, places, args, made_up=namespaces, seconds=seconds)
            for name, places in chosen.items()
        ]
    except (OperationError, SettingsError) as error:
        _say(f"check network: {error}", stderr=True)
        raise typer.Exit(1) from error
    if as_json:
        clusters = [report.model_dump(mode="json", by_alias=True) for report in reports]
        typer.echo(json.dumps({"stack": stack, "clusters": clusters}, indent=2))
    else:
        for report in reports:
            _show(report)
    verdicts = {report.verdict for report in reports}
    if network.Verdict.OPEN in verdicts:
        raise typer.Exit(_OPEN)
    # A cluster with nobody to tell apart is no fault of one that has been checked.
    sure = network.Verdict.ISOLATED in verdicts and not any(
        report.problem for report in reports if report.verdict is not None
    )
    if not sure:
        raise typer.Exit(1)


def _pods(servers: ApiServers, run: str, image: str | None, *, made_up: bool) -> PodArgs:
    """Say what pods have: by default the image that is on every cluster already, from its mirror."""
    wanted = servers.settings.image_repository
    values = {}
    if wanted.pull_secret is None or not made_up:
        # It hangs on the tenants' accounts: its value is needed for made-up tenants alone.
        wanted = wanted.model_copy(update={"pull_secret": None})
    else:
        key = wanted.pull_secret.secret
        values[key] = PulumiCli(root=servers.project, stack=servers.stack).secret(key)
    images, problems = read_images(wanted, servers.project, values)
    if problems:
        raise SettingsError(problems)
    held = images.pull_secret
    pulls = None if held is None else base64.b64encode(held.encode()).decode()
    return PodArgs(run=run, image=image or images.rules.image(PYTHON_IMAGE), pulls=pulls)


def _check_allowed(settings: EnvironmentSettings, clusters: Iterable[str], image: str) -> None:
    """Make sure that no policy refuses the pods: then nothing would be known in the end."""
    refusing = [
        name for name in clusters if not ImagePolicy(allowed=allowed_images(settings, name)).allows(image)
    ]
    if refusing:
        problem = Problem(
            key=key_path(["imageRepository", "allowedRegistries"]),
            value=", ".join(settings.image_repository.allowed_registries),
            why=f"tenants' namespaces on {', '.join(refusing)} refuse {image}, which the check's pods have",
            mend="name an image of theirs with python3 by --image, or add this one's repository to the list",
        )
        raise SettingsError([problem])


def _chosen(
    settings: EnvironmentSettings,
    clusters: Sequence[str],
    tenants: Sequence[str],
    run: str,
    *,
    made_up: bool,
) -> dict[str, list[Place]]:
    """Say whose pods are tried on each cluster; a cluster with fewer than two tenants has fewer places."""
    if made_up and tenants:
        raise OperationError("give either --tenant or --namespaces")
    for name in clusters:
        _check_cluster(settings, name)
    for name in tenants:
        _check_tenant(settings, name)
    of_tenants = {settings.tenants[name].cluster for name in tenants}
    if len(of_tenants) > 1 or (clusters and of_tenants - set(clusters)):
        where = ", ".join(f"{name} on {settings.tenants[name].cluster}" for name in tenants)
        raise OperationError(f"--tenant: name tenants of one cluster, and no other cluster ({where})")
    if tenants and not _FEWEST <= len(set(tenants)) <= network.MOST_TENANTS:
        raise OperationError(
            f"--tenant: {len(set(tenants))} given; name {_FEWEST} to {network.MOST_TENANTS} of one cluster"
        )
    chosen = (
        of_tenants
        or set(clusters)
        or {name for name, one in settings.compute_clusters.items() if one.state not in _ABSENT}
    )
    for name in of_tenants:
        _check_cluster(settings, name)
    if not chosen:
        raise OperationError("no cluster is in reach, so there is nothing to check")
    if made_up:
        return {name: network.made_up_places(run) for name in sorted(chosen)}
    return {name: _places(settings, name, tenants) for name in sorted(chosen)}


def _check_cluster(settings: EnvironmentSettings, name: str) -> None:
    found = settings.compute_clusters.get(name)
    if found is None:
        raise OperationError(
            f'there is no cluster "{name}"; {nearest(name, list(settings.compute_clusters), what="clusters")}'
        )
    if found.state in _ABSENT:
        raise OperationError(f"cluster {name} is {found.state}, as its entry says: it can't be checked")


def _check_tenant(settings: EnvironmentSettings, name: str) -> None:
    found = settings.tenants.get(name)
    if found is None:
        raise OperationError(
            f'there is no tenant "{name}"; {nearest(name, list(settings.tenants), what="tenants")}'
        )
    if found.stopped:
        raise OperationError(f"tenant {name} is stopped: no pod starts there; name another")


def _places(settings: EnvironmentSettings, cluster: str, tenants: Sequence[str]) -> list[Place]:
    here = sorted(
        name for name, one in settings.tenants.items() if one.cluster == cluster and not one.stopped
    )
    return [
        Place(
            tenant=name,
            namespace=tenant_namespace(settings.tenant_path(name), min(settings.tenants[name].namespaces)),
            account=RUN_SERVICE_ACCOUNT,
        )
        for name in sorted(set(tenants)) or here[:_FEWEST]
    ]


def _check(  # noqa: PLR0913 -- what the options say
    servers: ApiServers,
    cluster: str,
    places: list[Place],
    args: PodArgs,
    *,
    made_up: bool,
    seconds: float,
) -> ClusterReport:
    if len(places) < _FEWEST:
        count = "one tenant" if places else "no tenant"
        return network.ClusterReport(
            cluster=cluster,
            verdict=None,
            problem=f"it has {count} whose pods start, and two are needed; try it with --namespaces",
        )
    openshift = servers.settings.compute_clusters[cluster].distribution is Distribution.OPENSHIFT
    args = replace(args, user=None if openshift else NOBODY)
    try:
        server = servers.cluster(cluster)
    except OperationError as error:
        # Without a credential, nothing is known of this cluster; what others show is told all the same.
        return network.ClusterReport(cluster=cluster, verdict=network.Verdict.UNKNOWN, problem=str(error))
    return network.check(server, cluster, places, args, made_up=made_up, seconds=seconds)


def _show(report: ClusterReport) -> None:
    _say(f"cluster {report.cluster}: {report.verdict or 'not checked'}")
    if report.problem:
        _say(f"  {report.problem}")
    if report.findings:
        title = f"What pods on {report.cluster} reach"
        columns = ("pod of", "what", "target", "result", "detail", "so")
        show_listing(Listing(title, columns, list(_rows(report))), console())


def _rows(report: ClusterReport) -> Iterator[tuple[str, ...]]:
    """Make the table's rows; what is as it should be of the clouds' services is one of them."""
    for tenant in dict.fromkeys(one.tenant for one in report.findings):
        dull = 0
        for one in report.findings:
            if one.tenant != tenant:
                continue
            if (one.kind, one.meaning) == (network.Kind.METADATA, network.Meaning.FINE):
                dull += 1
                continue
            yield (tenant, str(one.kind), one.target, one.result, one.detail, str(one.meaning))
        if dull:
            yield (tenant, "metadata", f"{dull} addresses of clouds", "blocked", "", "fine")


def _say(line: str, *, stderr: bool = False) -> None:
    Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False).print(line)
