"""Run kubectl against a unit's API server, going on through what passes by itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from units.api import Api
from units.errors import KubectlError, UnitError, passes_by_itself
from units.request import missing_kubeconfig

if TYPE_CHECKING:
    from units.request import Request

_REQUEST_SECONDS: Final = 60
_PAUSE_SECONDS: Final = 2.0
_NO_KUBECTL: Final = 'there is no kubectl on PATH; install it, or run eval "$(make -s env)"'


class Kubectl:
    """Kubectl with a unit's credential.

    Used as a context manager: what it learns of the API is kept in a folder of its own, and only as long as
    it lives. A cache shared with others would not know of an API that was made a moment ago.

    Parameters
    ----------
    request
        What the unit is asked to do.
    """

    def __init__(self, request: Request) -> None:
        if not request.kubeconfig.is_file():
            raise UnitError(missing_kubeconfig(request.kubeconfig))
        self._request: Final = request
        self._cache: Final = tempfile.TemporaryDirectory(prefix="unit-")
        self._api: Api | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._api is not None:
            self._api.close()
        self._cache.cleanup()

    @property
    def api(self) -> Api:
        """The server's objects, by requests of their own."""
        if self._api is None:
            if shutil.which("kubectl") is None:
                raise UnitError(_NO_KUBECTL)
            self._api = Api(self._options(self._request.server))
        return self._api

    def run(
        self,
        *arguments: str,
        stdin: str = "",
        server: str | None = None,
        patient: bool = True,
        seconds: float = _REQUEST_SECONDS,
    ) -> str:
        """Run kubectl.

        Parameters
        ----------
        *arguments
            Its arguments.
        stdin
            Its standard input.
        server
            URL of another API server that takes the same credential.
        patient
            Whether to try again after errors that pass by themselves.
        seconds
            How long it may take before it is ended.

        Returns
        -------
        str
            Its standard output.

        Raises
        ------
        KubectlError
            It failed.
        UnitError
            There is no kubectl.
        """
        command = ("kubectl", *self._options(server or self._request.server), *arguments)
        begun = time.monotonic()
        while True:
            try:
                result = subprocess.run(
                    command, input=stdin, capture_output=True, text=True, timeout=seconds, check=False
                )
            except FileNotFoundError:
                raise UnitError(_NO_KUBECTL) from None
            except subprocess.TimeoutExpired:
                raise KubectlError(f"kubectl {arguments[0]} didn't end within {seconds:.0f} s") from None
            if result.returncode == 0:
                return result.stdout
            if not patient or not passes_by_itself(result.stderr, time.monotonic() - begun):
                raise KubectlError(result.stderr)
            # What discovery learnt before may be why it failed.
            self._forget()
            time.sleep(_PAUSE_SECONDS)

    def get(self, *arguments: str, patient: bool = True) -> dict[str, Any] | None:
        """Get an object or a list.

        Parameters
        ----------
        *arguments
            Arguments of `kubectl get`.
        patient
            Whether to try again after errors that pass by themselves.

        Returns
        -------
        dict or None
            The object or list; None where the object doesn't exist.
        """
        request = f"--request-timeout={_REQUEST_SECONDS // 2}s"
        text = self.run("get", *arguments, "--output=json", "--ignore-not-found", request, patient=patient)
        found: dict[str, Any] | None = json.loads(text) if text.strip() else None
        return found

    def _options(self, server: str | None) -> list[str]:
        return [
            f"--kubeconfig={self._request.kubeconfig}",
            f"--cache-dir={self._cache.name}",
            *([f"--server={server}"] if server else []),
        ]

    def _forget(self) -> None:
        shutil.rmtree(self._cache.name)
        Path(self._cache.name).mkdir(mode=0o700)
