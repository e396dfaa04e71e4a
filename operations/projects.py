"""Where a project and its stack files are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operations.errors import OperationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def find_project(start: Path) -> Path:
    """Find the project that a folder belongs to, as the Pulumi CLI does.

    Parameters
    ----------
    start
        A folder.

    Returns
    -------
    Path
        The folder itself or the nearest one above it that has a `Pulumi.yaml`.

    Raises
    ------
    OperationError
        There is none.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        try:
            if (folder / "Pulumi.yaml").is_file():
                return folder
        except OSError as error:
            raise OperationError(f"--project: {error.strerror}; name a folder that can be read") from None
    raise OperationError(
        f"{start}: no Pulumi.yaml here or in a folder above; go to the project's folder, or give --project"
    )


def stack_files(project: Path, stacks: Sequence[str], *, every: bool) -> list[Path]:
    """Name the stack files that are meant.

    Parameters
    ----------
    project
        The project's folder.
    stacks
        Names of stacks, with or without their organization and project.
    every
        Whether all of the project's are meant; then no stack is named.

    Raises
    ------
    OperationError
        Nothing is meant, or two things at once.
    """
    if every == bool(stacks):
        raise OperationError("give either --stack NAME or --all")
    if stacks:
        return [project / f"Pulumi.{stack.rpartition('/')[2]}.yaml" for stack in dict.fromkeys(stacks)]
    files = sorted(project.glob("Pulumi.*.yaml"))
    if not files:
        raise OperationError(f"{project}: no stack file Pulumi.<stack>.yaml; make one: pulumi stack init")
    return files
