"""Another checkout of this very state of the project, with an embedded environment of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import yaml

from local.layout import Layout, default_layout
from tests.support.live import ROOT, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
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


class Checkout:
    """Another checkout, with its own stack file and shell.

    Parameters
    ----------
    folder : Path
        Where it is made.
    variables : mapping
        Choices of its environment, as `make up` takes them.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        copy_project(folder)
        self.folder = folder
        self.layout = Layout(root=folder, cache=default_layout().cache)
        self.variables = outside(variables)
        self.stack_file = folder / "Pulumi.dev.yaml"

    def configure(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the stack's configuration."""
        document = yaml.safe_load(self.stack_file.read_text())
        change(document["config"])
        self.stack_file.write_text(yaml.safe_dump(document, sort_keys=False))

    def run(self, *command: str, check: bool = True, stdin: str | None = None, seconds: float = 900) -> str:
        """Run a command; return all it printed. With ``check`` it must succeed."""
        done = run_in(self.folder, *command, variables=self.variables, stdin=stdin, seconds=seconds)
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def local(self, *arguments: str) -> str:
        """Run ``python -m local``."""
        return self.run(sys.executable, "-m", "local", *arguments)

    def use_shell(self) -> None:
        """Take over what `make env` prints."""
        for line in run_in(
            self.folder, sys.executable, "-m", "local", "env", variables=self.variables
        ).stdout.splitlines():
            word, *rest = shlex.split(line)
            if word == "export":
                name, _, value = rest[0].partition("=")
                self.variables[name] = value
