"""Running a command to its end, with an error that a person can read."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.errors import LocalError


def run(  # noqa: PLR0913 - each is an everyday parameter of a command
    command: Sequence[str],
    *,
    what: str,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    seconds: float = 120,
) -> str:
    """Run ``command`` and return its standard output.

    Parameters
    ----------
    command
        Program and arguments; no shell is involved.
    what
        What the command does for the reader of an error, e.g. ``"making the bridge"``.
    stdin
        Text for its standard input.
    environment
        The whole environment; this process's own where None.
    directory
        Working directory.
    seconds
        How long it may take.

    Raises
    ------
    LocalError
        It can't be started, takes too long, or fails; with the last line that it printed.
    """
    try:
        done = subprocess.run(
            command,
            input=stdin,
            env=environment,
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise LocalError(f"{what}: `{command[0]}` is not installed; install it and run this again") from error
    except subprocess.TimeoutExpired as error:
        raise LocalError(f"{what}: `{command[0]}` took more than {seconds:.0f} s") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise LocalError(
            f"{what}: `{' '.join(command[:4])} …` failed: {lines[-1] if lines else done.returncode}"
        )
    return done.stdout
