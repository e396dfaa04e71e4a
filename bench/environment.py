"""The embedded environment as it is deployed: what the benches measure, and never change."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.errors import BenchError
from local.engine import STACK
from local.layout import default_layout
from local.stack import UNSET, Plugins, plugins_wanted, variables


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A deployed environment.

    Attributes
    ----------
    project
        Its project's folder.
    environment
        Environment variables under which the engine and kubectl work there.
    settings
        Its stack file.
    state
        Its exported state, secrets in plain text.
    """

    project: Path
    environment: Mapping[str, str]
    settings: dict[str, Any]
    state: Mapping[str, Any]


def embedded() -> Deployed:
    """Look at the embedded environment of this checkout.

    Raises
    ------
    BenchError
        There is none.
    """
    layout = default_layout()
    if not layout.merged_kubeconfig.is_file():
        raise BenchError("the benches measure the embedded environment: run `make up` first")
    inherited = {name: value for name, value in os.environ.items() if name not in UNSET}
    environment = {**inherited, **variables(layout, plugins_wanted())}
    if plugins_wanted() is Plugins.STAND_IN:
        # What is taken out of its project needs no wrapper that keeps a stack file as it is.
        environment["PATH"] = os.pathsep.join([str(layout.engine), environment["PATH"]])
    exported = pulumi(layout.root, environment, "stack", "export", "--show-secrets", "--stack", STACK)
    return Deployed(
        project=layout.root,
        environment=environment,
        settings=yaml.safe_load((layout.root / f"Pulumi.{STACK}.yaml").read_text()),
        state=json.loads(exported),
    )


def pulumi(folder: Path, environment: Mapping[str, str], *arguments: str) -> str:
    """Run the engine's command line; return what it printed.

    Parameters
    ----------
    folder
        The project's folder.
    environment
        Environment variables of the engine.
    *arguments
        Its arguments.

    Raises
    ------
    BenchError
        It failed.
    """
    done = subprocess.run(
        ["pulumi", *arguments, "--non-interactive"],
        cwd=folder,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        # Not what it printed on standard output: that may be a state with its secrets.
        raise BenchError(f"pulumi {' '.join(arguments[:2])} in {folder} failed: {done.stderr}")
    return done.stdout
