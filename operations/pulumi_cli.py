"""The few commands of the Pulumi CLI that operations need, run without asking anything."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from operations.errors import OperationError

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class PulumiCli:
    """One stack of one project, as the `pulumi` on PATH sees it.

    Attributes
    ----------
    root
        Folder of `Pulumi.yaml`; the working directory of every command.
    stack
        Name of the stack.
    """

    root: Path
    stack: str

    @property
    def project(self) -> str:
        """The project's name.

        Raises
        ------
        OperationError
            When `Pulumi.yaml` can't be read or names none.
        """
        path = self.root / "Pulumi.yaml"
        try:
            settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise OperationError(
                f"{path}: can't be read ({_one_line(str(error))}); give --project"
            ) from error
        if not isinstance(settings, dict) or not isinstance(settings.get("name"), str):
            raise OperationError(f"{path}: names no project; add `name`")
        return str(settings["name"])

    def backend_url(self) -> str:
        """Return the URL of the backend that holds the state, such as ``file:///var/lib/state``.

        Raises
        ------
        OperationError
            When the CLI is not logged in or fails otherwise.
        """
        answer = json.loads(self._run("whoami", "--json"))
        url = answer.get("url")
        if not isinstance(url, str) or not url:
            raise OperationError(
                "pulumi whoami: names no backend; run `pulumi login` or set PULUMI_BACKEND_URL"
            )
        return url

    def export(self, *, show_secrets: bool = False) -> dict[str, Any]:
        """Return the stack's checkpoint: ``{"version": int, "deployment": {…}}``.

        Parameters
        ----------
        show_secrets
            Decrypt secret values. Such a result must stay in memory.

        Raises
        ------
        OperationError
            When there is no such stack, or its secrets can't be decrypted.
        """
        options = ("--show-secrets",) if show_secrets else ()
        answer = json.loads(self._run("stack", "export", "--stack", self.stack, *options))
        if not isinstance(answer, dict):
            raise OperationError(f"pulumi stack export: not an object; check stack {self.stack}")
        return answer

    def import_state(self, checkpoint: dict[str, Any]) -> None:
        """Replace the stack's checkpoint.

        Raises
        ------
        OperationError
            When the CLI refuses it.
        """
        self._run("stack", "import", "--stack", self.stack, stdin=json.dumps(checkpoint))

    def secret(self, key: str) -> str:
        """Return the value of a secret key of the stack's configuration.

        Raises
        ------
        OperationError
            When it is not set, or can't be decrypted.
        """
        return self._run("config", "get", key, "--stack", self.stack)

    def output_of(self, stack: str, name: str) -> str:
        """Return an output of another stack as JSON, decrypted.

        Parameters
        ----------
        stack
            Name of the stack, with its organization and project.
        name
            Name of the output.

        Raises
        ------
        OperationError
            When there is none, or it can't be decrypted.
        """
        return self._run("stack", "output", name, "--stack", stack, "--show-secrets", "--json")

    def _run(self, *arguments: str, stdin: str | None = None) -> str:
        command = ["pulumi", *arguments, "--non-interactive", "--color", "never"]
        what = " ".join(command[:3])
        try:
            done = subprocess.run(
                command,
                cwd=self.root,
                input=stdin,
                capture_output=True,
                text=True,
                check=False,
                timeout=_SECONDS,
            )
        except FileNotFoundError as error:
            raise OperationError('pulumi: not on PATH; run `eval "$(make -s env)"` first') from error
        except subprocess.TimeoutExpired as error:
            raise OperationError(
                f"{what}: no answer in {_SECONDS:.0f} s; is the backend reachable?"
            ) from error
        if done.returncode != 0:
            raise OperationError(
                f"{what}: {_one_line(done.stderr or done.stdout)}; mend that and run it again"
            )
        return done.stdout


def _one_line(text: str) -> str:
    return " ".join(text.split())
