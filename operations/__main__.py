"""Command line of the day-2 operations."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from operations import (
    check_commands,
    gateway_commands,
    images_commands,
    releases_commands,
    schemas,
    tenant_commands,
)
from operations.drift import (
    compare_units,
    deployed_units,
    drifted_entries,
    lines,
    mended,
    without_answer,
)
from operations.errors import OperationError
from operations.projects import find_project, stack_files
from operations.pulumi_cli import PulumiCli
from operations.recover import recover
from operations.stack_file import StackFile
from operations.tables import console, show
from operations.validate import validate
from stacks.loader import load_stack_file
from stacks.problems import SettingsError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

app.add_typer(images_commands.app, name="images")
app.add_typer(tenant_commands.app, name="tenant")
app.add_typer(releases_commands.app, name="releases")
app.add_typer(check_commands.app, name="check")
app.add_typer(gateway_commands.app, name="gateway")

_ROOT = Path(__file__).resolve().parent.parent
_HERE = Path()
_PROJECT = "Folder of Pulumi.yaml, or one below it."
_DRIFT = 3
_DIFFERENT = 3


@app.callback()
def main() -> None:
    """Operate an environment of Pipeline Service."""


@app.command("recover")
def recover_command(
    stack: Annotated[str, typer.Option(help="The stack whose update was interrupted.")],
    project: Annotated[Path, typer.Option(help=_PROJECT)] = _HERE,
    grace: Annotated[
        float,
        typer.Option(help="Seconds that processes of a dead engine get to finish by themselves.", min=0),
    ] = 30.0,
) -> None:
    """Make a stack usable again after an interrupted `pulumi up`; a second run finds nothing to do."""
    try:
        recover(PulumiCli(root=find_project(project), stack=stack), _plain().print, grace=grace)
    except OperationError as error:
        _plain(stderr=True).print(f"recover: {error}")
        raise typer.Exit(1) from error


@app.command("validate")
def validate_command(
    *,
    stack: Annotated[list[str] | None, typer.Option(help="A stack to check; may be repeated.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Check every stack file of the project.")] = False,
    project: Annotated[Path, typer.Option(help=_PROJECT)] = _HERE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check stack files without engine or cluster, and show what their environments would contain."""
    try:
        files = stack_files(find_project(project), stack or (), every=every)
    except OperationError as error:
        _plain(stderr=True).print(f"validate: {error}")
        raise typer.Exit(2) from error
    reports = [validate(path, os.environ) for path in files]
    if as_json:
        stacks = [report.model_dump(mode="json", by_alias=True) for report in reports]
        typer.echo(json.dumps({"stacks": stacks}, indent=2))
    else:
        out = console()
        for number, report in enumerate(reports):
            if number:
                out.print()
            show(report, out)
    if any(report.problems for report in reports):
        raise typer.Exit(1)


@app.command("drift")
def drift_command(
    *,
    stack: Annotated[str, typer.Option(help="The stack to look at.")],
    project: Annotated[Path, typer.Option(help=_PROJECT)] = _HERE,
    mend: Annotated[
        bool,
        typer.Option("--mend", help="Raise the incarnation of what drifted, for `pulumi up` to heal."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare releases and the insides of tenants' workspaces with what was applied.

    Ends with 3 where something differs and is not mended, with 1 where something could not be compared. A
    cluster that its entry declares unreachable or gone is skipped.
    """
    try:
        root = find_project(project)
        file = StackFile.read(stack_files(root, [stack], every=False)[0])
        units = deployed_units(PulumiCli(root=root, stack=stack).export())
        reports = compare_units(units, root, without_answer(file.settings))
        entries = drifted_entries(reports)
        diff = _mend(file.path, entries) if mend else ""
    except (OperationError, SettingsError) as error:
        _plain(stderr=True).print(f"drift: {error}")
        raise typer.Exit(1) from error
    if as_json:
        told = [report.model_dump(mode="json", by_alias=True) for report in reports]
        typer.echo(json.dumps({"stack": stack, "units": told, "diff": diff}, indent=2))
    else:
        for line in lines(reports):
            typer.echo(line)
        if diff:
            typer.echo(f"\n{diff}", nl=False)
    if any(report.problem for report in reports):
        raise typer.Exit(1)
    if entries and not mend:
        raise typer.Exit(_DRIFT)


def _mend(path: Path, entries: list[tuple[str, str]]) -> str:
    """Raise the incarnation of entries in a stack file; give the diff."""
    before = StackFile.read(path)
    after = mended(before, entries)
    after.write(before)
    return after.diff(before)


@app.command("render")
def render_command(
    *,
    stack: Annotated[str, typer.Option(help="The stack to render.")],
    out: Annotated[Path, typer.Option(help="A checkout of the GitOps repository.")],
    project: Annotated[Path, typer.Option(help=_PROJECT)] = _HERE,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; end with 3 on a difference.")
    ] = False,
) -> None:
    """Write what each cluster of delivery handover or gitops should hold, without engine, cluster or secret.

    Of the files that are there, only those change that an earlier rendering of the stack wrote.
    """
    # Here, since it needs the components and so the engine's SDKs, which other commands start without.
    from operations import render  # noqa: PLC0415

    try:
        root = find_project(project)
        [path] = stack_files(root, [stack], every=False)
        environment = load_stack_file(path)
        files = render.wanted(environment, root)
        changes = render.compare(environment, files, out)
        if not check:
            render.write(environment, files, changes, out)
    except (OperationError, SettingsError, OSError) as error:
        _plain(stderr=True).print(f"render: {error}")
        raise typer.Exit(1) from error
    for line in changes.lines():
        typer.echo(line)
    if check and changes:
        raise typer.Exit(_DIFFERENT)


@app.command("schema")
def schema_command() -> None:
    """Write the JSON Schemas of stack files and outputs, for editors and other programs."""
    for path in schemas.write(_ROOT):
        typer.echo(f"{path.relative_to(_ROOT)}: written")


def _plain(*, stderr: bool = False) -> Console:
    return Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False)


if __name__ == "__main__":
    app()
