"""A throw-away Pulumi project with the real CLI, the real language host and the stand-in plugins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.plugins.install import install
from tests.support.apiserver import require_binaries

ROOT = Path(__file__).resolve().parents[2]
CLI_SECONDS = 240.0
PASSPHRASE = "correct-horse-battery-staple"
PRELUDE = """
import json
from pathlib import Path

import pulumi
import pulumi_command
import pulumi_kubernetes as k8s

values = json.loads(Path("values.json").read_text())
"""


class PulumiError(Exception):
    """A command of the CLI failed; the message is all it wrote."""


@dataclass
class PulumiProject:
    """A project with one stack, ``test``, in a directory of its own.

    Attributes
    ----------
    directory : Path
        Holds program, state and PULUMI_HOME.
    """

    directory: Path

    def __post_init__(self) -> None:
        require_binaries("pulumi")
        state = self.directory / "state"
        state.mkdir(parents=True)
        # Another PULUMI_HOME, with the official plugins, shows where the stand-ins differ from them.
        official = os.environ.get("TEST_PULUMI_HOME")
        self.home = Path(official) if official else self.directory / "home"
        if not official:
            install(self.home, Path(sys.executable), ROOT)
        self.environment = {
            # The interpreter of these tests runs the program, too: it has the SDKs.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": str(self.directory),
            "PULUMI_HOME": str(self.home),
            "PULUMI_BACKEND_URL": f"file://{state}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_PYTHON_CMD": sys.executable,
        }
        (self.directory / "Pulumi.yaml").write_text("name: stand-ins\nruntime: python\n")
        (self.directory / "Pulumi.test.yaml").write_text(
            "config:\n  pulumi:disable-default-providers: [kubernetes]\n"
        )
        self.write("", {})
        self.run("stack", "init", "test")

    def write(self, program: str, values: dict[str, Any] | None = None) -> None:
        """Write the program, and the values it finds in the variable ``values``."""
        (self.directory / "__main__.py").write_text(PRELUDE + textwrap.dedent(program))
        self.set_values(values or {})

    def set_values(self, values: dict[str, Any]) -> None:
        """Write the values that the program finds in the variable ``values``."""
        (self.directory / "values.json").write_text(json.dumps(values))

    def run(self, *arguments: str, fails: bool = False) -> str:
        """Run the CLI; return all it wrote. It must succeed, or fail where that is what is wanted."""
        result = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=CLI_SECONDS,
        )
        if (result.returncode != 0) is not fails:
            raise PulumiError(f"pulumi {' '.join(arguments)}: exit {result.returncode}\n{result.stdout}")
        return result.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the CLI in a process group of its own, as a terminal would."""
        return subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )

    def up(self, *arguments: str, fails: bool = False) -> str:
        """Run ``pulumi up``."""
        return self.run("up", "--yes", "--skip-preview", *arguments, fails=fails)

    def destroy(self, *arguments: str, fails: bool = False) -> str:
        """Run ``pulumi destroy``."""
        return self.run("destroy", "--yes", "--skip-preview", *arguments, fails=fails)

    def preview(self) -> dict[str, dict[str, Any]]:
        """Run ``pulumi preview``; return its steps by resource name."""
        result = subprocess.run(
            ["pulumi", "preview", "--json", "--non-interactive"],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=CLI_SECONDS,
        )
        if result.returncode != 0:
            raise PulumiError(f"pulumi preview: {result.stdout}\n{result.stderr}")
        steps = json.loads(result.stdout)["steps"]
        return {step["urn"].rpartition("::")[2]: step for step in steps}

    def changes(self) -> dict[str, str]:
        """Return what a preview would do, by resource name, without what stays the same."""
        return {name: step["op"] for name, step in self.preview().items() if step["op"] != "same"}

    def summary(self) -> dict[str, int]:
        """Return how many resources the last operation left the same, created, updated, replaced, deleted."""
        [last] = json.loads(self.run("stack", "history", "--json", "--page-size=1"))
        return dict(last["resourceChanges"])

    def export(self) -> str:
        """Return the checkpoint as text, secrets encrypted."""
        return self.run("stack", "export")

    def state(self, name: str) -> dict[str, Any]:
        """Return a resource of the checkpoint, secrets decrypted."""
        document = json.loads(self.run("stack", "export", "--show-secrets"))
        found = [
            item
            for item in document["deployment"].get("resources", [])
            if item["urn"].rpartition("::")[2] == name and not item.get("delete")
        ]
        assert len(found) == 1, f"{name}: {len(found)} in the state"
        return dict(found[0])

    def names(self) -> set[str]:
        """Return the names of the resources in the checkpoint, the stack's and providers' excluded."""
        document = json.loads(self.run("stack", "export"))
        return {
            item["urn"].rpartition("::")[2]
            for item in document["deployment"].get("resources", [])
            if not item["type"].startswith("pulumi:")
        }

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs, secrets decrypted."""
        return dict(json.loads(self.run("stack", "output", "--json", "--show-secrets")))
