"""Command line of the day-2 operations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from operations.errors import OperationError
from operations.pulumi_cli import PulumiCli
from operations.recover import recover

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

_ROOT = Path(__file__).resolve().parent.parent


@app.callback()
def main() -> None:
    """Operate an environment of Pipeline Service."""


@app.command("recover")
def recover_command(
    stack: Annotated[str, typer.Option(help="The stack whose update was interrupted.")],
    root: Annotated[Path, typer.Option(help="Folder of Pulumi.yaml.")] = _ROOT,
    grace: Annotated[
        float,
        typer.Option(help="Seconds that processes of a dead engine get to finish by themselves.", min=0),
    ] = 30.0,
) -> None:
    """Make a stack usable again after an interrupted `pulumi up`; a second run finds nothing to do."""
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    try:
        recover(PulumiCli(root=root.resolve(), stack=stack), console.print, grace=grace)
    except OperationError as error:
        Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False).print(
            f"recover: {error}"
        )
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
