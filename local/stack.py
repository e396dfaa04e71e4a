"""Stack dev in the embedded environment: the engine's home, state and passphrase, and running it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from enum import StrEnum
from pathlib import Path

from local.commands import run
from local.engine import STACK, salt_project
from local.errors import LocalError
from local.layout import Layout
from local.network import ADDRESSES
from local.plugins.install import install
from local.wanted import choice
from releases.files import RUN_FOLDER, write_atomic

UNSET = ("PULUMI_CONFIG_PASSPHRASE",)
"""Variables that must not be set: the engine would prefer this one to the passphrase's file."""


class Plugins(StrEnum):
    """Which resource plugins the engine uses."""

    STAND_IN = "stand-in"
    OFFICIAL = "official"


def plugins_wanted() -> Plugins:
    """Return the choice of the variable PLUGINS; stand-ins by default, since this stack is local."""
    return choice("PLUGINS", Plugins.STAND_IN)


def variables(layout: Layout, plugins: Plugins) -> dict[str, str]:
    """Return the environment variables under which `pulumi` and `kubectl` just work.

    Parameters
    ----------
    layout
        The checkout.
    plugins
        With official plugins, PULUMI_HOME stays the user's own, where the engine finds or downloads them.

    Returns
    -------
    dict of str to str
        No value is a secret: the passphrase is named by its file.
    """
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    # A language host that is too old to be told of the virtual environment takes its Python from PATH.
    own = [str(layout.binaries), str(layout.root / ".venv" / "bin")]
    values = {
        "PATH": os.pathsep.join([*own, *(part for part in path if part not in own)]),
        "KUBECONFIG": str(layout.merged_kubeconfig),
        "PULUMI_BACKEND_URL": f"file://{layout.pulumi / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(layout.pulumi / "passphrase"),
        # Where the committed stack file is read, it has no salt; the state has.
        "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_STACK": STACK,
    }
    # A proxy for the outer world can't reach the addresses of this machine.
    for name in ("NO_PROXY", "no_proxy"):
        direct = [part for part in os.environ.get(name, "").split(",") if part]
        values[name] = ",".join(dict.fromkeys([*direct, "127.0.0.1", "localhost", ADDRESSES]))
    stand_ins = str(layout.pulumi / "home")
    if plugins is Plugins.STAND_IN:
        values |= {"PULUMI_HOME": stand_ins, "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"}
    elif os.environ.get("PULUMI_HOME") == stand_ins:  # from an earlier `make env` of this shell
        values |= {
            "PULUMI_HOME": str(Path.home() / ".pulumi"),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "false",
        }
    return values


class LocalStack:
    """Stack dev of one checkout.

    Parameters
    ----------
    layout
        The checkout's paths and names.
    plugins
        Which resource plugins to use.
    """

    def __init__(self, layout: Layout, plugins: Plugins) -> None:
        self._layout = layout
        self._plugins = plugins

    @property
    def _variables(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name not in UNSET}
        return {**inherited, **variables(self._layout, self._plugins)}

    def prepare(self) -> None:
        """Make what the engine needs, and repair what an interrupted run left behind.

        It needs plugins, a backend, a passphrase and the stack itself.
        """
        folder = self._layout.pulumi
        (folder / "state").mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        passphrase = folder / "passphrase"
        if not passphrase.exists():
            write_atomic(passphrase, secrets.token_urlsafe(32), mode=0o600)
        if self._plugins is Plugins.STAND_IN:
            install(folder / "home", Path(sys.executable), self._layout.root)
        if not self._exists():
            # The engine writes the passphrase's salt into the stack file of the project it runs in.
            project = salt_project(self._layout)
            write_atomic(project / "Pulumi.yaml", "name: pipeline-service\nruntime: python\n")
            self._pulumi("stack", "init", STACK, "--non-interactive", f"--cwd={project}")
        if self._stream(sys.executable, "-m", "operations", "recover", "--stack", STACK) != 0:
            raise LocalError("the stack's state is not usable as it is: see the lines above")

    def _exists(self) -> bool:
        listed = json.loads(self._pulumi("stack", "ls", "--json"))
        return any(stack["name"].rpartition("/")[2] == STACK for stack in listed)

    def _pulumi(self, *arguments: str) -> str:
        return run(
            ["pulumi", *arguments],
            what=f"stack {STACK}",
            stdin="",
            environment=self._variables,
            directory=self._layout.root,
        )

    def _stream(self, *command: str) -> int:
        """Run ``command`` with its output shown; how it ends upon a Ctrl-C is its own affair."""
        with subprocess.Popen(
            command, cwd=self._layout.root, env=self._variables, stdin=subprocess.DEVNULL
        ) as process:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # The terminal sent it to the engine too, which saves its state; a second one ends this.
                process.wait()
                raise

    def _engine(self, verb: str, *flags: str) -> None:
        """Prepare the stack and run an update of it without a question."""
        self.prepare()
        command = ("pulumi", verb, "--stack", STACK, "--yes", "--skip-preview", "--non-interactive", *flags)
        if self._stream(*command) != 0:
            raise LocalError(f"`pulumi {verb}` failed: see the lines above; run this again to go on")

    def up(self) -> None:
        """Repair what an interrupted run left behind, then run `pulumi up`."""
        self._engine("up")

    def destroy(self) -> None:
        """Run `pulumi destroy` with the program, so that credentials are the present ones."""
        self._engine("destroy", "--run-program")

    def forget(self) -> None:
        """Remove the files that the program made for this stack."""
        folder = self._layout.root / RUN_FOLDER
        shutil.rmtree(folder / STACK, ignore_errors=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
