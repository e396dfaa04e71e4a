"""The command line of the embedded environment: ``python -m local up``, ``down``, ``demo`` and others."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from local.assembled import release
from local.demo import TENANT, run_demo
from local.demo_event import run_demo_event
from local.engine import STACK
from local.environment import Environment
from local.errors import LocalError
from local.layout import Layout, default_layout
from local.network import Network
from local.stack import UNSET, LocalStack, Plugins, plugins_wanted, variables
from local.wanted import Images, Nodes, Wanted, choice, wanted_of
from operations.tables import Listing, console, show_listing
from stacks.backends import elsewhere
from stacks.loader import read_stack_file
from stacks.problems import SettingsError
from stacks.settings import EnvironmentSettings

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
_Tenant = Annotated[str, typer.Option(help="Name of the tenant.")]
_NOTHING_HERE = "nothing was started here: run `make up`"
_errors = Console(stderr=True, highlight=False, soft_wrap=True)


def _reporter() -> Callable[[str], None]:
    started = time.monotonic()

    def report(line: str) -> None:
        seconds = int(time.monotonic() - started)
        _errors.print(f"[dim]{seconds // 60:3d}:{seconds % 60:02d}[/dim]  {escape(line)}")

    return report


def _settings(environment: Environment) -> EnvironmentSettings:
    return read_stack_file(environment.layout.root / f"Pulumi.{STACK}.yaml")


def _reaches_out(environment: Environment) -> bool:
    """Return whether the stack may have put something outside the embedded environment."""
    try:
        return bool(elsewhere(_settings(environment)))
    except SettingsError:  # it can't be read now; `up` accepts only the environment's own with stand-ins
        return plugins_wanted() is Plugins.OFFICIAL


def _wanted(environment: Environment) -> Wanted:
    settings = _settings(environment)
    outside = elsewhere(settings)
    if outside and plugins_wanted() is Plugins.STAND_IN:
        raise LocalError(
            "\n".join(
                f"{key}: not of the embedded environment, and the stand-in plugins are for that alone: "
                "use a kubeconfig below .local/, or PLUGINS=official"
                for key in outside
            )
        )
    # Once there is a registry, the nodes go on with it.
    images = Images.REGISTRY if environment.layout.registry.is_dir() else Images.IMPORTED
    wanted = wanted_of(settings, choice("NODES", Nodes.REAL))
    return replace(wanted, images=choice("IMAGES", images))


@app.command()
def up(
    *,
    without_stack: Annotated[
        bool, typer.Option("--without-stack", help="Make stack dev, but don't deploy it: to set its secrets.")
    ] = False,
) -> None:
    """Bring up the environment, then deploy stack dev to it; what is healthy is left as it is."""
    environment = Environment(default_layout(), _reporter())
    with environment.exclusive():
        plugins = plugins_wanted()
        wanted = _wanted(environment)
        # A cluster whose entry went must run once more, for the stack to take from it what it put there.
        leaving = environment.clusters() - set(wanted.clusters)
        running = replace(wanted, clusters=(*wanted.clusters, *sorted(leaving)))
        environment.up(running)
        if without_stack:
            environment.write_contexts(running)
            LocalStack(environment.layout, plugins).prepare()
            return
        with environment.syncers(running):
            LocalStack(environment.layout, plugins).up()
        for name in leaving:
            environment.remove_cluster(name)
        environment.write_contexts(wanted)
    if wanted.nodes is Nodes.SIMULATED:
        _errors.print("NODES=simulated: rollouts complete, but no pod executes, so no pipeline runs here")
    else:
        _errors.print("it is up; next: `make demo` runs a pipeline as a tenant's user")
    _errors.print('`eval "$(make -s env)"` gives a shell with pulumi, kubectl and all contexts')


@app.command()
def down() -> None:
    """Destroy stack dev where that is possible, then end and remove everything that `up` made."""
    report = _reporter()
    environment = Environment(default_layout(), report)
    layout = environment.layout
    if not layout.local.is_dir():
        report("nothing is here")
        return
    with environment.exclusive():
        stack = LocalStack(layout, plugins_wanted())
        if environment.serves():
            try:
                stack.destroy()
            except LocalError as error:
                if _reaches_out(environment):
                    raise LocalError(
                        f"{error}; nothing was removed: its state is needed for what is outside .local/"
                    ) from error
                _errors.print(f"{error}; going on, since its clusters and kcp are removed now")
        else:
            report("no `pulumi destroy`: kcp or a cluster does not run, and all of it is removed now")
        stack.forget()
        environment.down()
    if layout.local.exists():
        raise LocalError(f"{layout.local} could not be removed whole: look at what is left there")
    report("all is removed; the build cache stays in " + str(layout.cache))


@app.command()
def tools() -> None:
    """Build the tools alone, without starting anything."""
    Environment(default_layout(), _reporter()).tools()


@app.command()
def provide(
    releases: Annotated[
        list[str],
        typer.Argument(
            help="Releases to make usable, e.g. argo-cd, or tekton-pipelines=v1.9.0 for a version of it."
        ),
    ],
) -> None:
    """Build what further releases are made of: manifests into .local/releases, images into running clusters.

    `up` does this by itself for all that the stack's settings name.
    """
    environment = Environment(default_layout(), _reporter())
    with environment.exclusive():
        environment.provide([release(text) for text in releases], _wanted(environment))


@app.command()
def status() -> None:
    """Show what runs; exit 1 where something that should run does not."""
    environment = Environment(default_layout(), _reporter())
    nodes = environment.nodes()
    if nodes is None:
        raise LocalError(_NOTHING_HERE)
    clusters = environment.clusters()
    try:
        clusters |= set(wanted_of(_settings(environment), nodes).clusters)
    except (LocalError, SettingsError) as error:  # what runs can be told all the same
        _errors.print(f"[yellow]warning:[/yellow] {escape(str(error))}")
    rows = environment.status(Wanted(clusters=tuple(sorted(clusters)), users=(), nodes=nodes))
    show_listing(Listing("Embedded environment", ("what", "state", "where"), list(rows)), console())
    if any(state not in {"running", "ready"} for _, state, _ in rows):
        raise typer.Exit(1)


@app.command()
def env() -> None:
    """Print shell exports: `eval "$(make -s env)"` makes `pulumi` and `kubectl` work, with all contexts."""
    layout = default_layout()
    for name, value in variables(layout, plugins_wanted()).items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    sys.stdout.write(f"unset {' '.join(UNSET)}\n")


@app.command()
def logs(
    name: Annotated[
        str, typer.Argument(help="A daemon as `status` names it, e.g. kcp/kcp or local-a/kubelet.")
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,  # noqa: FBT002
) -> None:
    """Show the end of a daemon's log."""
    layout = default_layout()
    place, _, daemon = name.partition("/")
    log = layout.local / place / "log" / f"{daemon}.log"
    if not log.is_file():
        known = sorted(f"{p.parent.parent.name}/{p.stem}" for p in layout.local.glob("*/log/*.log"))
        raise LocalError(
            f"there is no log of {name!r}: known are {', '.join(known) or 'none, as nothing was started'}"
        )
    command = ["tail", "-n", "200", *(["-F"] if follow else []), str(log)]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


@app.command()
def demo(tenant: _Tenant = TENANT) -> None:
    """Run a two-task PipelineRun as a tenant's user; exit 0 only if it succeeded."""
    layout = _with_real_nodes()
    out = Console(highlight=False, soft_wrap=True)
    raise typer.Exit(run_demo(layout.root, STACK, out, name=tenant))


@app.command("demo-event")
def demo_event(tenant: _Tenant = TENANT) -> None:
    """Push to a tenant's first repository; exit 0 only if the run succeeded and Git was told."""
    layout = _with_real_nodes()
    machine = Network(layout.identity, layout.network).machine()
    out = Console(highlight=False, soft_wrap=True)
    with TemporaryDirectory(prefix="git-provider-", dir=layout.local) as folder:
        raise typer.Exit(run_demo_event(layout.root, STACK, Path(folder), machine, out, name=tenant))


def _with_real_nodes() -> Layout:
    """Return where everything is, once it is sure that pods execute; set up the environment's variables."""
    layout = default_layout()
    nodes = Environment(layout, _reporter()).nodes()
    if nodes is None:
        raise LocalError(_NOTHING_HERE)
    if nodes is Nodes.SIMULATED:
        raise LocalError("no pod executes on simulated nodes, so no pipeline runs here; real ones need root")
    os.environ.update(variables(layout, plugins_wanted()))
    return layout


def main() -> None:
    """Run the command line; an expected error is printed as its lines alone."""
    try:
        app()
    except (LocalError, SettingsError) as error:
        _errors.print(f"[red]error:[/red] {escape(str(error))}")
        sys.exit(1)


if __name__ == "__main__":
    main()
