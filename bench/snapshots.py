"""Environments like the deployed one, each as a project whose unchanged preview can be measured.

Nothing is deployed for them: their stack files have entries more or fewer, and their states are the deployed
one's, written to match (`bench/clones.py`). Nothing is assumed: a preview that changes anything fails.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.environment import Deployed, pulumi
from bench.errors import BenchError
from local.engine import STACK

PROGRAM = "__main__.py"
CODE = ("components", "releases", "stacks", "units", ".venv", ".local")

WITHOUT_RELEASES = """
# The program, in which releases are there to be depended on, and make and read nothing.
from pathlib import Path

import components.release
import stacks.loader
from releases.catalog import find
from releases.prepare import PreparedRelease

components.release.register_unit = lambda *_, **__: None
stacks.loader.prepare = lambda name, *, version=None, **_: PreparedRelease(
    name=name, version=find(name, version).version, sha256="0" * 64, manifest=Path("none")
)
"""

Resource = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A project with a state.

    Attributes
    ----------
    folder
        The project's folder.
    environment
        Environment variables under which the engine runs there.
    """

    folder: Path
    environment: Mapping[str, str]

    def preview(self) -> list[str]:
        """Return the command of an unchanged preview; it fails where anything changes."""
        command = ["pulumi", "preview", "--stack", STACK, "--non-interactive", "--color=never"]
        return [*command, "--expect-no-changes"]


def without(state: Mapping[str, Any], gone: Callable[[Resource], bool]) -> dict[str, Any]:
    """Take resources out of a state, with all that lies below them and all that names them.

    Parameters
    ----------
    state
        The exported state.
    gone
        Tells which resources are not there.
    """
    made: dict[str, Any] = copy.deepcopy(dict(state))
    resources = made["deployment"]["resources"]
    lost: set[str] = set()
    kept = []
    for resource in resources:  # a parent stands before its children
        if gone(resource) or resource.get("parent") in lost:
            lost.add(resource["urn"])
        else:
            kept.append(resource)
    for resource in kept:
        if resource.get("provider", "").rpartition("::")[0] in lost:
            raise BenchError(f"{resource['urn']} stays, but its provider goes")
        for key, names in (resource.get("propertyDependencies") or {}).items():
            resource["propertyDependencies"][key] = [one for one in names or [] if one not in lost]
        if "dependencies" in resource:
            resource["dependencies"] = [one for one in resource["dependencies"] if one not in lost]
    made["deployment"]["resources"] = kept
    return made


def take(
    deployed: Deployed, folder: Path, *, settings: Mapping[str, Any], state: Mapping[str, Any], preamble: str
) -> Snapshot:
    """Make a project of an environment like the deployed one.

    Parameters
    ----------
    deployed
        The deployed one.
    folder
        Folder for the project; nobody else may read the one that it is made in.
    settings
        Its stack file.
    state
        Its state, secrets in plain text.
    preamble
        Python that goes before the program.

    Raises
    ------
    BenchError
        The engine doesn't take the state.
    """
    project = deployed.project
    folder.mkdir(parents=True)
    for name in CODE:
        (folder / name).symlink_to(project / name)
    # What a program writes there is its own.
    shutil.copytree(project / ".run", folder / ".run")
    (folder / PROGRAM).write_text(preamble + (project / PROGRAM).read_text())
    shutil.copy(project / "Pulumi.yaml", folder)
    backend = folder / "backend"
    backend.mkdir()
    environment = {**deployed.environment, "PULUMI_BACKEND_URL": f"file://{backend}"}
    pulumi(folder, environment, "stack", "init", STACK)
    stack_file = folder / f"Pulumi.{STACK}.yaml"
    salt = yaml.safe_load(stack_file.read_text()) if stack_file.exists() else {}
    stack_file.write_text(yaml.dump({**salt, **settings}, Dumper=_Plain, sort_keys=False))
    exported = folder / "state.json"
    exported.write_text(json.dumps(state))
    pulumi(folder, environment, "stack", "import", "--stack", STACK, "--file", str(exported))
    exported.unlink()
    return Snapshot(folder=folder, environment=environment)


class _Plain(yaml.SafeDumper):
    """Writes a stack file as committed ones are, without anchors."""

    def ignore_aliases(self, _data: object) -> bool:
        return True
