"""The objects of an API server, a request for each and several at once, through one `kubectl proxy`.

kubectl knows every kind of credential (certificates, tokens, plugins, what lies behind proxies); with it in
between, no code of the units handles any. One process then serves all requests of a unit over one
connection, where each call of kubectl starts anew and asks for the API's whole description.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import quote, urlencode

from units.errors import NOT_FOUND, KubectlError, RefusedError, passes_by_itself
from units.manifest import identify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from units.manifest import Identity, Manifest

_AT_ONCE: Final = 8
"""Requests at once: an API server lets many more through; with more, its own processor time decides."""

_ANSWER_SECONDS: Final = 90
"""The proxy gives a connection 30 s, and the server a webhook as much."""

_PAUSE_SECONDS: Final = 0.5
_STOP_SECONDS: Final = 10
_PAGE: Final = 500

_UNTIL_WE_END: Final = 'kubectl "$@" & exec >&- 2>&-; read -r _; trap "" TERM; kill 0'
"""The proxy ends with its standard input, so that it outlives no runner, however that one is killed."""

_PLAIN: Final = MappingProxyType({"Accept": "application/json"})
# Of YAML, JSON is a part.
_APPLY: Final = MappingProxyType({**_PLAIN, "Content-Type": "application/apply-patch+yaml"})
_METADATA: Final = MappingProxyType(
    {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"}
)
_METADATA_LIST: Final = MappingProxyType(
    {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"}
)

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, kw_only=True)
class _Resource:
    """How the server calls the objects of a kind."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str = "", name: str = "") -> str:
        root = "apis" if "/" in self.api_version else "api"
        place = f"/namespaces/{quote(namespace)}" if self.namespaced and namespace else ""
        one = f"/{quote(name, safe=':')}" if name else ""
        return f"/{root}/{self.api_version}{place}/{self.plural}{one}"


class _Connection(http.client.HTTPConnection):
    """A connection to a server that listens on a socket in the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_SECONDS)
        self._path: Final = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Api:
    """The objects of an API server.

    Its methods for one object try once; `each` tries again what passes by itself.

    Parameters
    ----------
    options
        Options of kubectl that name the server and the credential.
    """

    def __init__(self, options: Sequence[str]) -> None:
        # The proxy lets in whoever reaches its socket: nobody but this user may enter this folder.
        self._folder: Final = tempfile.TemporaryDirectory(prefix="unit-")
        self._socket: Final = Path(self._folder.name) / "proxy"
        self._resources: Final[dict[str, dict[str, _Resource]]] = {}
        self._learning: Final = threading.Lock()
        self._of_thread: Final = threading.local()
        self._connections: Final[list[_Connection]] = []
        arguments = [*options, "proxy", "--append-server-path", f"--unix-socket={self._socket}"]
        log_file = Path(self._folder.name) / "log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _UNTIL_WE_END, "sh", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # A group of its own, which is what ends: kubectl may be a script that starts the real one.
                start_new_session=True,
            )
        self._process: Final = process
        self._stdin: Final = cast("IO[bytes]", process.stdin)
        self._stdout: Final = cast("IO[bytes]", process.stdout)
        self._pool: Final = ThreadPoolExecutor(_AT_ONCE)
        if not self._stdout.readline():
            said = log_file.read_text(errors="replace")
            self.close()
            raise KubectlError(f"kubectl proxy didn't start: {said}")

    def close(self) -> None:
        """End the proxy, and with it what is still asked."""
        self._stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._stdout.close()
        self._pool.shutdown(cancel_futures=True)
        for connection in self._connections:
            connection.close()
        self._folder.cleanup()

    def each(
        self, function: Callable[[_Item], _Answer], items: Iterable[_Item], *, patient: bool = True
    ) -> list[_Answer]:
        """Do something for each of several, some at once.

        Parameters
        ----------
        function
            What to do: one request.
        items
            For what.
        patient
            Whether to try again after errors that pass by themselves.

        Returns
        -------
        list
            The answers, in the order of the items.

        Raises
        ------
        RefusedError
            Some failed; all were tried.
        """
        asked = list(items)
        answers: dict[int, _Answer] = {}
        begun = time.monotonic()
        while True:
            todo = [number for number in range(len(asked)) if number not in answers]
            futures = {number: self._pool.submit(function, asked[number]) for number in todo}
            refused: dict[int, KubectlError] = {}
            for number, future in futures.items():
                try:
                    answers[number] = future.result()
                except KubectlError as error:
                    refused[number] = error
            if not refused:
                return [answers[number] for number in range(len(asked))]
            elapsed = time.monotonic() - begun
            if not patient or not all(passes_by_itself(one.stderr, elapsed) for one in refused.values()):
                raise RefusedError([(asked[number], error) for number, error in refused.items()])
            time.sleep(_PAUSE_SECONDS)

    def find(self, identity: Identity) -> Manifest | None:
        """Get an object; None where it doesn't exist, or nothing of its kind can.

        Parameters
        ----------
        identity
            The object.

        Raises
        ------
        KubectlError
            The server can't be asked.
        """
        resource = self._resource(identity.api_version, identity.kind)
        if resource is None:
            return None
        try:
            return self._send("GET", resource.path(identity.namespace, identity.name), of=identity)
        except KubectlError as error:
            if NOT_FOUND not in error.stderr:
                raise
            return None

    def apply(
        self,
        manifest: Manifest,
        manager: str,
        *,
        force: bool = True,
        dry_run: bool = False,
    ) -> Manifest:
        """Apply an object on the server's side.

        Parameters
        ----------
        manifest
            The object, or those of its fields that are to be set.
        manager
            Name under which its fields are owned.
        force
            Whether fields that somebody else holds are taken.
        dry_run
            Whether the server only says what it would make of it.

        Returns
        -------
        dict
            The object with `dry_run`, else no more of it than its metadata.

        Raises
        ------
        KubectlError
            It was refused.
        """
        identity = identify(manifest)
        resource = self._resource(identity.api_version, identity.kind)
        if resource is None:
            raise KubectlError(f'no matches for kind "{identity.kind}" in version "{identity.api_version}"')
        if resource.namespaced and not identity.namespace:
            raise KubectlError(f"{identity} names no namespace, and its kind lies in one")
        query = {
            "fieldManager": manager,
            "force": "true" if force else "false",
            "fieldValidation": "Strict",
        } | ({"dryRun": "All"} if dry_run else {})
        return self._send(
            "PATCH",
            f"{resource.path(identity.namespace, identity.name)}?{urlencode(query)}",
            manifest,
            of=identity,
            headers=_APPLY if dry_run else {**_APPLY, **_METADATA},
        )

    def patch(self, identity: Identity, patch: Mapping[str, Any], manager: str) -> None:
        """Merge something into an object.

        Parameters
        ----------
        identity
            The object.
        patch
            What to set, as JSON Merge Patch has it.
        manager
            Name under which the fields are owned.

        Raises
        ------
        KubectlError
            It was refused, or is not there.
        """
        resource = self._resource(identity.api_version, identity.kind)
        if resource is None:
            raise KubectlError(f'no matches for kind "{identity.kind}" in version "{identity.api_version}"')
        self._send(
            "PATCH",
            f"{resource.path(identity.namespace, identity.name)}?{urlencode({'fieldManager': manager})}",
            patch,
            of=identity,
            headers={**_METADATA, "Content-Type": "application/merge-patch+json"},
        )

    def delete(self, identity: Identity) -> None:
        """Have an object deleted: it goes once nothing holds it. One that is gone already is no error.

        Parameters
        ----------
        identity
            The object.

        Raises
        ------
        KubectlError
            It was refused.
        """
        resource = self._resource(identity.api_version, identity.kind)
        if resource is None:
            return
        try:
            self._send("DELETE", resource.path(identity.namespace, identity.name), of=identity)
        except KubectlError as error:
            if NOT_FOUND not in error.stderr:
                raise

    def pages(self, resource: str) -> Iterator[list[Manifest]]:
        """List all objects of a resource, of all namespaces, page by page: of each no more than metadata.

        Parameters
        ----------
        resource
            `<resource>.<group>`, or `<resource>` of the core group; where the server doesn't serve it, there
            are none.

        Raises
        ------
        KubectlError
            The server can't be asked, or took longer than it keeps a listing's state.
        """
        [served] = self.each(self._preferred, [resource])
        if served is None:
            return
        following: str | None = ""
        while following is not None:
            query = urlencode({"limit": _PAGE} | ({"continue": following} if following else {}))
            [page] = self.each(
                lambda path: self._send("GET", path, headers=_METADATA_LIST), [f"{served.path()}?{query}"]
            )
            # Of none, a server writes null.
            items = page["items"] or []
            yield [{**item, "apiVersion": served.api_version, "kind": served.kind} for item in items]
            following = page["metadata"].get("continue") or None

    def _preferred(self, resource: str) -> _Resource | None:
        """Find the version of a resource that the server prefers."""
        plural, _, group = resource.partition(".")
        try:
            # The core group stands in no list of groups, and has one version.
            version = (
                self._send("GET", f"/apis/{group}")["preferredVersion"]["groupVersion"] if group else "v1"
            )
        except KubectlError as error:
            if NOT_FOUND not in error.stderr:
                raise
            return None
        return next((one for one in self._served(version).values() if one.plural == plural), None)

    def _resource(self, api_version: str, kind: str) -> _Resource | None:
        with self._learning:
            if kind not in self._resources.get(api_version, {}):
                # It may have been defined since the server was asked.
                self._resources[api_version] = self._served(api_version)
            return self._resources[api_version].get(kind)

    def _served(self, api_version: str) -> dict[str, _Resource]:
        try:
            found = self._send("GET", f"/{'apis' if '/' in api_version else 'api'}/{api_version}")
        except KubectlError as error:
            if NOT_FOUND not in error.stderr:
                raise
            return {}
        return {
            one["kind"]: _Resource(
                api_version=api_version, kind=one["kind"], plural=one["name"], namespaced=one["namespaced"]
            )
            for one in found["resources"]
            if "/" not in one["name"]
        }

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        of: Identity | None = None,
        headers: Mapping[str, str] = _PLAIN,
    ) -> dict[str, Any]:
        connection: _Connection | None = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = self._of_thread.connection = _Connection(self._socket)
            self._connections.append(connection)
        content = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, content, dict(headers))
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            # Closed, it opens itself for the next request.
            connection.close()
            raise KubectlError(f"no answer from kubectl proxy: {error or type(error).__name__}") from None
        if response.status >= HTTPStatus.BAD_REQUEST:
            said = _refusal(response.status, text)
            raise KubectlError(f"{of}: {said}" if of else said)
        answer: dict[str, Any] = json.loads(text)
        return answer


def _refusal(status: int, text: bytes) -> str:
    """Say what a server has refused, in kubectl's words."""
    said = text.decode(errors="replace").strip()
    try:
        answer = json.loads(said)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and answer.get("kind") == "Status":
        reason, message = answer.get("reason"), answer.get("message")
    elif status == HTTPStatus.INTERNAL_SERVER_ERROR:
        # The proxy's own words, as a rule: it didn't reach the server.
        return f"Unable to connect to the server: {said}"
    else:
        reason, message = http.client.responses.get(status, str(status)).replace(" ", ""), said
        if status == HTTPStatus.NOT_FOUND:
            message = "the server could not find the requested resource"
    return f"Error from server{f' ({reason})' if reason else ''}: {message or 'unknown'}"
