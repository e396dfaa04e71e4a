"""Commands about the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from operations.errors import OperationError
from operations.gateway_certificates import DAYS, make_bundle
from operations.projects import find_project, stack_files
from stacks.gateway_sources import route_hosts
from stacks.loader import read_stack_file
from stacks.problems import SettingsError

app = typer.Typer(no_args_is_help=True, help="The gateway, which takes Git events to the clusters.")

_HERE = Path()
_MOST_DAYS = 3650


@app.command("certificates")
def certificates_command(
    *,
    stack: Annotated[
        str | None, typer.Option(help="The stack, whose Routes the certificate of listeners then names.")
    ] = None,
    days: Annotated[int, typer.Option(help="How long they hold.", min=1, max=_MOST_DAYS)] = DAYS,
    project: Annotated[Path, typer.Option(help="Folder of Pulumi.yaml, or one below it.")] = _HERE,
) -> None:
    """Make the certificates by which gateways and events listeners know each other, and print them.

    They go into the stack's configuration without ever being in a file:
    `python -m operations gateway certificates --stack NAME | pulumi config set --secret eventsTls`.
    """
    try:
        hosts: list[str] = []
        if stack is not None:
            file = stack_files(find_project(project), [stack], every=False)[0]
            hosts = route_hosts(read_stack_file(file))
    except (OperationError, SettingsError) as error:
        Console(stderr=True, soft_wrap=True, markup=False).print(f"gateway certificates: {error}")
        raise typer.Exit(1) from error
    typer.echo(make_bundle(hosts, days=days), nl=False)
