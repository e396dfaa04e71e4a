"""Measure what the project itself costs: one line for each figure, `name value unit goal verdict`.

Each is a ratio or a difference within this one run, so that it means something on a busy machine too. None is
a test: a figure that falls short is for a person to look at.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Final

import typer

from bench import apply_step
from bench.clones import grown, is_of
from bench.environment import Deployed, embedded
from bench.errors import BenchError
from bench.figure import Figure
from bench.gateway import figures as gateway_figures
from bench.measure import Command, in_turn, run
from bench.snapshots import WITHOUT_RELEASES, Snapshot, take, without
from components.names import tenant_namespace
from components.tenant_manifests import namespace_objects
from components.tenant_network import WORKSPACE_DIGEST
from local.engine import STACK
from operations.drift import deployed_units
from releases.files import RUN_FOLDER
from stacks import mapping
from stacks.loader import read_stack_file

_PREFIX: Final = "pipeline-service:"
_COMMAND: Final = "command:local:Command"
_RELEASE: Final = "pipeline-service:release:Release"
_EVENTS: Final = ("pipeline-service:gateway:Gateway", "pipeline-service:events:EventsListener")
"""They name all clusters and tenants, so that they can't be cloned for one: the projects have none."""

_MANY_CLUSTERS: Final = 5
_ONE, _MANY, _BARE, _FIVE = "one cluster", "many tenants", "no releases", "five clusters"


def _environments(deployed: Deployed, folder: Path, tenants: int) -> dict[str, Snapshot]:
    """Make the environments that are compared, of one cluster and one tenant of the deployed one."""
    clusters, entries = (
        deployed.settings["config"][f"{_PREFIX}{key}"] for key in ("computeClusters", "tenants")
    )
    tenant, entry = next(iter(entries.items()))
    cluster = entry["cluster"]
    others = {*clusters, *entries} - {cluster, tenant}
    one = without(
        deployed.state,
        lambda found: found["type"] in _EVENTS or any(is_of(found, name) for name in others),
    )
    config = {key: value for key, value in deployed.settings["config"].items() if key != f"{_PREFIX}gateway"}

    def kubeconfig_of(name: str) -> str:
        # That of the deployed one, copied: the program refuses two clusters with the same file.
        return f"{RUN_FOLDER}/{name}.kubeconfig"

    def settings(clusters_of: Sequence[str], tenants_of: Sequence[str]) -> dict[str, Any]:
        made = {
            f"{_PREFIX}computeClusters": {
                name: {**clusters[cluster], "kubeconfig": {"path": kubeconfig_of(name)}}
                for name in clusters_of
            },
            # A repository is one tenant's alone.
            f"{_PREFIX}tenants": {
                name: json.loads(json.dumps(entry).replace(tenant, name)) for name in tenants_of
            },
        }
        return {"config": {**config, **made}}

    def of_release(found: Mapping[str, Any]) -> bool:
        return found["type"] == _COMMAND and f"{_RELEASE}::" in found.get("parent", "")

    loaded = read_stack_file(deployed.project / f"Pulumi.{STACK}.yaml")

    def places(name: str) -> dict[str, str]:
        path = f"{loaded.tenants_path}:{name}"
        own = loaded.tenants[tenant]
        names = {one: tenant_namespace(path, one) for one in own.namespaces}
        objects = namespace_objects(
            tenant=name,
            workspace_path=path,
            kcp_namespace=own.namespaces[0],
            namespace_name=names[own.namespaces[0]],
            quota=mapping.tenant_quota(own.quota),
            network=mapping.tenant_network(own.network),
        )
        return {**names, "digest": objects["namespace"]["metadata"]["labels"][WORKSPACE_DIGEST]}

    more_tenants = [f"t{number:03}" for number in range(1, tenants)]
    more_clusters = [f"c{number}" for number in range(1, _MANY_CLUSTERS)]
    made = {
        _ONE: (settings([cluster], [tenant]), one, ""),
        _MANY: (
            settings([cluster], [tenant, *more_tenants]),
            grown(one, tenant, more_tenants, places, deployed.project),
            "",
        ),
        _BARE: (settings([cluster], [tenant]), without(one, of_release), WITHOUT_RELEASES),
        _FIVE: (
            settings([cluster, *more_clusters], [tenant]),
            grown(one, cluster, more_clusters, lambda _: {}, deployed.project),
            "",
        ),
    }
    environments = {}
    for number, (name, (those, state, preamble)) in enumerate(made.items()):
        place = folder / str(number)
        environments[name] = take(deployed, place, settings=those, state=state, preamble=preamble)
        for one_more in (cluster, *more_clusters):
            shutil.copy(
                deployed.project / clusters[cluster]["kubeconfig"]["path"], place / kubeconfig_of(one_more)
            )
    return environments


def _previews(environments: Mapping[str, Snapshot], tenants: int, rounds: int) -> Iterator[Figure]:
    commands = {
        name: Command(arguments=one.preview(), folder=one.folder, environment=one.environment)
        for name, one in environments.items()
    }
    # The runtimes' garbage collectors move the figure: three times each.
    held = {
        name: median(run(commands[name], memory=True).mebibytes for _ in range(3)) for name in (_ONE, _MANY)
    }
    took = in_turn(commands, rounds)
    for name, sample in took.items():
        memory = f", {held[name]:.0f} MiB" if name in held else ""
        _say(f"{name}: {sample.seconds:.1f} s of wall time, {sample.processor:.1f} s of processor{memory}")
    more = tenants - 1
    growth = (took[_MANY].processor - took[_ONE].processor) / more
    yield Figure(name="preview-growth-per-tenant", value=growth * 1000, unit="ms", goal=250)
    growth = (held[_MANY] - held[_ONE]) / more
    yield Figure(name="memory-growth-per-tenant", value=growth, unit="MiB", goal=2)
    ratio = took[_FIVE].processor / took[_ONE].processor
    yield Figure(name="preview-five-clusters-to-one", value=ratio, unit="ratio", goal=2.5)
    difference = took[_ONE].processor - took[_BARE].processor
    yield Figure(name="preview-for-releases", value=difference, unit="s", goal=1)


def _tell(figure: Figure) -> None:
    sys.stdout.write(f"{figure}\n")
    sys.stdout.flush()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main(
    *,
    tenants: Annotated[int, typer.Option(help="Tenants of the larger environment.", min=2)] = 41,
    rounds: Annotated[int, typer.Option(help="How often each is measured.", min=1)] = 3,
    gateway: Annotated[
        bool | None,
        typer.Option(
            "--gateway-alone/--without-gateway",
            help="Only the gateway, which needs no environment, or all but the gateway. Default: all.",
        ),
    ] = None,
) -> None:
    """Measure what the project itself costs, beside the embedded environment, which stays as it is."""
    try:
        if gateway is not False:
            for figure in gateway_figures():
                _tell(figure)
        if gateway:
            return
        deployed = embedded()
        with tempfile.TemporaryDirectory(prefix="bench-") as name:  # mode 0700: it will hold credentials
            for figure in _previews(_environments(deployed, Path(name), tenants), tenants, rounds):
                _tell(figure)
        units = [unit for unit in deployed_units(deployed.state) if unit.section == "computeClusters"]
        first = [unit for unit in units if unit.target == units[0].target]
        ratio = apply_step.ratio(deployed, first, rounds)
        _tell(Figure(name="apply-step-to-kubectl", value=ratio, unit="ratio", goal=1))
    except BenchError as error:
        _say(f"bench: {error}")
        raise typer.Exit(1) from error


if __name__ == "__main__":
    typer.run(main)
