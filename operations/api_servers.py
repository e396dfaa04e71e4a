"""Asking the API servers of an environment, by kubectl and with the environment's own credentials."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from operations.errors import OperationError
from operations.pulumi_cli import PulumiCli
from releases.files import RUN_FOLDER, in_project
from stacks import kubeconfigs
from stacks.kubeconfigs import KubeconfigError
from stacks.loader import kubeconfig_file
from stacks.vocabulary import KCP_TARGET

if TYPE_CHECKING:
    from stacks.kubeconfigs import Kubeconfig
    from stacks.settings import EnvironmentSettings, KubeconfigSettings

_SECONDS: Final = 60
"""Seconds for one request."""

_COMMAND_SECONDS: Final = 600
"""Seconds for one command: a long list is many requests."""

_LOGGED: Final = re.compile(r"[EIW]\d{4} ")
"""Beginning of a line of a log: klog's, with the level and the day."""


@dataclass(frozen=True, kw_only=True)
class ApiServers:
    """The API servers of one stack.

    Attributes
    ----------
    project
        The project's folder.
    stack
        Name of the stack.
    settings
        Its settings.
    """

    project: Path
    stack: str
    settings: EnvironmentSettings = field(repr=False)

    def workspace(self, path: str) -> ApiServer:
        """Address a workspace of kcp.

        Parameters
        ----------
        path
            Its path, from the root.

        Raises
        ------
        OperationError
            There is no usable credential.
        """
        kubeconfig = self._kubeconfig(KCP_TARGET, self.settings.kcp.kubeconfig)
        return ApiServer(name=f"workspace {path}", kubeconfig=kubeconfig.at_workspace(path))

    def cluster(self, name: str) -> ApiServer:
        """Address a compute cluster.

        Parameters
        ----------
        name
            Its name.

        Raises
        ------
        OperationError
            There is no usable credential.
        """
        reference = self.settings.compute_clusters[name].kubeconfig
        return ApiServer(name=f"cluster {name}", kubeconfig=self._kubeconfig(name, reference))

    def _kubeconfig(self, target: str, reference: KubeconfigSettings) -> Kubeconfig:
        """Take the kubeconfig of the last `pulumi up` in this folder, else follow the settings."""
        last = kubeconfig_file(Path(RUN_FOLDER) / self.stack, target)
        file = str(last) if (self.project / last).is_file() else reference.path
        try:
            if file is not None:
                return kubeconfigs.read(in_project(self.project, file))
            return kubeconfigs.parse(self._text(reference), self.project)
        except KubeconfigError as error:
            raise OperationError(f"{target}{f' ({file})' if file else ''}: {error}") from error

    def _text(self, reference: KubeconfigSettings) -> str:
        if reference.environment is not None:
            if text := os.environ.get(reference.environment, ""):
                return text
            raise OperationError(
                f"{reference.environment}: this environment variable is not set, and no `pulumi up` in this"
                f' folder left a credential; set it: export {reference.environment}="$(cat KUBECONFIG-FILE)"'
            )
        pulumi = PulumiCli(root=self.project, stack=self.stack)
        if reference.secret is not None:
            return pulumi.secret(reference.secret)
        output = json.loads(pulumi.output_of(str(reference.stack), str(reference.output)))
        return output if isinstance(output, str) else json.dumps(output)


@dataclass(frozen=True, kw_only=True)
class ApiServer:
    """An API server, or a workspace of one.

    Attributes
    ----------
    name
        What it is called in errors.
    kubeconfig
        Address and credential.
    """

    name: str
    kubeconfig: Kubeconfig

    def objects(self, resources: str, *arguments: str) -> list[dict[str, Any]]:
        """List objects: all of them, or none with an error, however many requests they need.

        Parameters
        ----------
        resources
            Resources, as kubectl takes them, joined by commas.
        *arguments
            Further arguments of `kubectl get`.

        Raises
        ------
        OperationError
            Not all of them could be read.
        """
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", resources, *arguments, "--output=json"))[
            "items"
        ]
        return items

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl.

        Parameters
        ----------
        *arguments
            Its arguments.
        stdin
            Its standard input.

        Returns
        -------
        str
            What it printed.

        Raises
        ------
        OperationError
            It failed.
        """
        # The credential is in a private file for as long as kubectl runs, never on a command line. Its cache
        # is private, too: another one need not know of an API that was bound a moment ago.
        with tempfile.TemporaryDirectory(prefix="operations-") as folder:  # mode 0700
            path = Path(folder) / "kubeconfig"
            path.touch(mode=0o600)
            path.write_text(self.kubeconfig.render())
            command = ["kubectl", f"--kubeconfig={path}", f"--cache-dir={folder}/cache"]
            command += [f"--request-timeout={_SECONDS}s", *arguments]
            try:
                done = subprocess.run(
                    command,
                    input=stdin,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=_COMMAND_SECONDS,
                )
            except FileNotFoundError as error:
                raise OperationError('kubectl: not on PATH; run `eval "$(make -s env)"` first') from error
            except subprocess.TimeoutExpired as error:
                raise OperationError(
                    f"{self.name}: kubectl {arguments[0]} took over {_COMMAND_SECONDS} s; run this again"
                ) from error
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines()
            # What kubectl's libraries log on their way comes before the sentence that says it, and often.
            told = [line for line in lines if not _LOGGED.match(line)] or lines
            said = " ".join(" ".join(told).split()) or f"exit {done.returncode}"
            raise OperationError(
                f"{self.name}: kubectl {arguments[0]} failed ({said}); mend that and run this again"
            )
        return done.stdout
