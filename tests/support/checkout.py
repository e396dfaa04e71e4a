"""Another checkout of this very state of the project, with an embedded environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.support.live import ROOT, run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def copy_project(target: Path) -> None:
    """Copy what git knows, and what it would take, with the same virtual environment."""
    for name in run("git", "ls-files", "--cached", "--others", "--exclude-standard").out.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / ".venv").symlink_to(ROOT / ".venv")


def outside(more: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a shell that knows nothing of this checkout's environment."""
    ours = ("PULUMI_", "KUBECONFIG")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if not p.startswith(f"{ROOT}/"))
    return {**environment, "PATH": path, **more}


def run_in(
    checkout: Path,
    *command: str,
    variables: Mapping[str, str],
    stdin: str | None = None,
    seconds: float = 900,
) -> subprocess.CompletedProcess[str]:
    """Run a command in a checkout; whether it succeeded is for the caller to look at."""
    return subprocess.run(
        command,
        cwd=checkout,
        env=dict(variables),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
