"""Look up what was recorded of a run, for whom kcp lets see it.

Who asks for a run is known to kcp alone, so kcp is asked, as the user and with the user's own token: may this
user get this run? Only then is it looked up, with the pod's own account, in the one namespace of the cluster
that follows from the workspace's path and the namespace in it. What doesn't exist and what may not be seen
get the same answer.

It runs in pods of each compute cluster, with Python's standard library alone (components/results_reader.py).
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import sys
import urllib.parse
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from components.names import KCP_NAMESPACE_NAME, SUSPENDED, WORKSPACE_PATH, tenant_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

RUN: Final = "tekton.dev/v1.PipelineRun"
TASK_RUN: Final = "tekton.dev/v1.TaskRun"

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ROUTE: Final = re.compile(
    rf"/clusters/(?P<workspace>{_LABEL}(?::{_LABEL})*)/namespaces/(?P<namespace>{_LABEL})"
    rf"/pipelineruns/(?P<run>{_LABEL}(?:\.{_LABEL})*)(?:/(?P<what>taskruns|logs))?"
)
_LONGEST_PATH: Final = 2_000
_TOKEN: Final = re.compile(r"[Bb]earer ([A-Za-z0-9._~+/=-]{1,16384})")
_RECORD: Final = re.compile(r"([a-z0-9_-]+)/results/([a-z0-9_-]+)/records/([a-z0-9_-]+)")
_RESULTS: Final = "/apis/results.tekton.dev/v1alpha2/parents"
_SECONDS: Final = 30
_MOST_BYTES: Final = 32 * 1024 * 1024
"""Of an answer that is read whole."""
_PIECE: Final = 64 * 1024
_PAGE: Final = 100
_MOST_PAGES: Final = 50

_NO_ANSWER: Final = (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, AttributeError)
"""What a request raises that brings no answer, or not the one that was expected."""


class Refusal(Exception):  # noqa: N818 -- it is an answer
    """An answer that is not what was asked for."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


NOT_FOUND: Final = (404, "not found: there is no such run, or you may not see it")
NO_TOKEN: Final = (401, "give the token that kcp knows you by: Authorization: Bearer TOKEN")
UNAVAILABLE: Final = (502, "try again later")


@dataclass(frozen=True, kw_only=True)
class Route:
    """What is asked for.

    Attributes
    ----------
    workspace
        Path of the tenant's workspace.
    namespace
        Namespace in it.
    run
        Name of the PipelineRun.
    what
        `taskruns`, `logs`, or an empty text for the run itself.
    """

    workspace: str
    namespace: str
    run: str
    what: str

    def home(self) -> str:
        """Name the namespace on the cluster."""
        return tenant_namespace(self.workspace, self.namespace)


def route(path: str) -> Route | None:
    """Read what a path asks for; None where it asks for nothing that there is.

    Parameters
    ----------
    path
        The request's path, without a query.
    """
    found = _ROUTE.fullmatch(path) if len(path) <= _LONGEST_PATH else None
    return None if found is None else Route(**{key: value or "" for key, value in found.groupdict().items()})


def bearer(header: str | None) -> str:
    """Read the token of a request.

    Parameters
    ----------
    header
        Its header `Authorization`.

    Raises
    ------
    Refusal
        There is none.
    """
    found = _TOKEN.fullmatch((header or "").strip())
    if found is None:
        raise Refusal(*NO_TOKEN)
    return found[1]


class Server:
    """An API server.

    Parameters
    ----------
    url
        Its address.
    context
        By whom its certificate is trusted.
    """

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise ValueError("the address of an API server is not https://HOST")
        self._host, self._port = parts.hostname, parts.port or 443
        self._base = parts.path.rstrip("/")
        self._context = context

    def open(self, path: str, token: str, body: Mapping[str, Any] | None = None) -> http.client.HTTPResponse:
        """Ask; a redirection is not followed.

        Parameters
        ----------
        path
            What for.
        token
            As whom.
        body
            What is posted; None: nothing, it is read.
        """
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=_SECONDS, context=self._context
        )
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "Connection": "close",
        }
        if body is None:
            connection.request("GET", f"{self._base}{path}", headers=headers)
        else:
            headers["Content-Type"] = "application/json"
            connection.request("POST", f"{self._base}{path}", json.dumps(body), headers)
        # The answer holds the connection, and closes it when it is read.
        return connection.getresponse()

    def ask(self, path: str, token: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """Ask, and read the answer whole.

        Parameters
        ----------
        path
            What for.
        token
            As whom.
        body
            What is posted; None: nothing, it is read.

        Returns
        -------
        tuple
            Its status, and what it holds where that is good.
        """
        with self.open(path, token, body) as answer:
            if not http.client.OK <= answer.status < http.client.MULTIPLE_CHOICES:
                return answer.status, None
            text = answer.read(_MOST_BYTES + 1)
            if len(text) > _MOST_BYTES:
                raise ValueError("an answer is too large")
            return answer.status, json.loads(text)


def trusting(authorities: Path) -> ssl.SSLContext:
    """Trust servers by their authorities, or where there is no such file by the system's.

    Parameters
    ----------
    authorities
        File with certificates, PEM.
    """
    if not authorities.is_file():
        return ssl.create_default_context()
    context = ssl.create_default_context(cafile=str(authorities))
    # A certificate that is trusted may be a server's own.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What reads, for whom kcp lets see it.

    Attributes
    ----------
    kcp
        kcp.
    cluster
        The cluster's API server.
    results
        The API server of Tekton Results on the cluster.
    account
        File with the token of this pod's account, which is renewed while it runs.
    """

    kcp: Server
    cluster: Server
    results: Server
    account: Path

    def check(self, wanted: Route, token: str) -> None:
        """Ask kcp, as the user, whether they may get the run.

        Parameters
        ----------
        wanted
            The run.
        token
            The user's.

        Raises
        ------
        Refusal
            They may not, or kcp gives no answer.
        """
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {
                "resourceAttributes": {
                    "group": "tekton.dev",
                    "resource": "pipelineruns",
                    "verb": "get",
                    "namespace": wanted.namespace,
                    "name": wanted.run,
                }
            },
        }
        path = f"/clusters/{wanted.workspace}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        try:
            status, found = self.kcp.ask(path, token, review)
            allowed = found is not None and found["status"].get("allowed") is True
        except _NO_ANSWER as error:
            raise _unavailable("kcp", error) from None
        if status == http.client.UNAUTHORIZED:
            raise Refusal(*NO_TOKEN)
        if status >= http.client.INTERNAL_SERVER_ERROR or status == http.client.TOO_MANY_REQUESTS:
            raise _unavailable("kcp", f"status {status}")
        if not allowed:
            raise Refusal(*NOT_FOUND)

    def since(self, wanted: Route) -> datetime:
        """Tell since when the tenant's namespace is on the cluster: what is older was another tenant's.

        Parameters
        ----------
        wanted
            What is asked for.

        Raises
        ------
        Refusal
            It isn't there, or is not this tenant's, or suspended; or the cluster gives no answer.
        """
        try:
            status, found = self.cluster.ask(f"/api/v1/namespaces/{wanted.home()}", self._account())
            # Whose namespace this pod may not read is no tenant's.
            if status in (http.client.FORBIDDEN, http.client.NOT_FOUND):
                raise Refusal(*NOT_FOUND)
            metadata = found["metadata"]
            marks = metadata.get("annotations") or {}
            named = (marks.get(WORKSPACE_PATH), marks.get(KCP_NAMESPACE_NAME))
            mine = named == (wanted.workspace, wanted.namespace)
            if not mine or SUSPENDED in (metadata.get("labels") or {}):
                raise Refusal(*NOT_FOUND)
            return _time(metadata["creationTimestamp"])
        except _NO_ANSWER as error:
            raise _unavailable("the cluster", error) from None

    def run(self, wanted: Route) -> tuple[str, dict[str, Any]]:
        """Find a run: the newest of its name.

        Parameters
        ----------
        wanted
            The run; whoever asks may see it.

        Returns
        -------
        tuple
            The result that it belongs to, and the run as it was last recorded.

        Raises
        ------
        Refusal
            There is none, or Results gives no answer.
        """
        begun = self.since(wanted)
        # The name was matched against a pattern without quotes.
        which = f'data_type == "{RUN}" && data.metadata.name == "{wanted.run}"'
        found = [
            (result, run)
            for result, run in self._records(wanted.home(), "-", which)
            if run["metadata"]["name"] == wanted.run and _time(run["metadata"]["creationTimestamp"]) >= begun
        ]
        if not found:
            raise Refusal(*NOT_FOUND)
        return max(found, key=lambda one: _time(one[1]["metadata"]["creationTimestamp"]))

    def task_runs(self, wanted: Route) -> list[tuple[str, dict[str, Any]]]:
        """Find the TaskRuns of a run, the oldest first, each with the result that it belongs to.

        Parameters
        ----------
        wanted
            The run; whoever asks may see it.

        Raises
        ------
        Refusal
            There is no such run, or Results gives no answer.
        """
        result, run = self.run(wanted)
        owner = run["metadata"]["uid"]
        found = [
            (result, task)
            for result, task in self._records(wanted.home(), result, f'data_type == "{TASK_RUN}"')
            if any(one.get("uid") == owner for one in task["metadata"].get("ownerReferences") or [])
        ]
        return sorted(found, key=lambda one: (one[1]["metadata"]["creationTimestamp"], _task(one[1])))

    def logs(self, wanted: Route) -> Iterator[bytes]:
        """Read the logs of a run, that of each TaskRun below a line with its names.

        Parameters
        ----------
        wanted
            The run; whoever asks may see it.

        Raises
        ------
        Refusal
            There is no such run, or Results gives no answer.
        """
        for result, task in self.task_runs(wanted):
            metadata = task["metadata"]
            yield f"==> task {_task(task)} ({metadata['name']})\n".encode()
            path = f"{_RESULTS}/{wanted.home()}/results/{result}/logs/{metadata['uid']}"
            try:
                with self.results.open(path, self._account()) as answer:
                    if answer.status == http.client.NOT_FOUND:
                        yield b"(no log is kept)\n"
                        continue
                    if answer.status != http.client.OK:
                        raise _unavailable("Results", f"status {answer.status}")
                    while piece := answer.read(_PIECE):
                        yield piece
            except _NO_ANSWER as error:
                raise _unavailable("Results", error) from None

    def _records(self, home: str, result: str, which: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """List the objects that are recorded in a namespace, each with its result."""
        page = ""
        for _ in range(_MOST_PAGES):
            query = {
                "filter": which,
                "order_by": "create_time desc",
                "page_size": str(_PAGE),
                "page_token": page,
            }
            path = f"{_RESULTS}/{home}/results/{result}/records?{urllib.parse.urlencode(query)}"
            try:
                status, found = self.results.ask(path, self._account())
                if found is None:
                    raise _unavailable("Results", f"status {status}")
                records = [_object(one, home) for one in found.get("records") or []]
                page = found.get("next_page_token") or ""
            except _NO_ANSWER as error:
                raise _unavailable("Results", error) from None
            yield from (one for one in records if one is not None)
            if not page:
                return

    def _account(self) -> str:
        return self.account.read_text().strip()


def _object(record: Mapping[str, Any], home: str) -> tuple[str, dict[str, Any]] | None:
    """Read a record: its result, and the object; None where it is not of the namespace."""
    name = _RECORD.fullmatch(record["name"])
    found = json.loads(base64.b64decode(record["data"]["value"]))
    if name is None or name[1] != home or found["metadata"]["namespace"] != home:
        return None
    return name[2], found


def _task(task_run: Mapping[str, Any]) -> str:
    labels = task_run["metadata"].get("labels") or {}
    return str(labels.get("tekton.dev/pipelineTask", task_run["metadata"]["name"]))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _unavailable(what: str, why: object) -> Refusal:
    # Nor is the token in any message of urllib or of ssl.
    sys.stderr.write(f"{what} gives no answer: {type(why).__name__ if isinstance(why, Exception) else why}\n")
    return Refusal(UNAVAILABLE[0], f"{what} gives no answer; {UNAVAILABLE[1]}")


def shown(found: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """Show an object as its tenant knows it: in the namespace of the workspace.

    Parameters
    ----------
    found
        The object, as it was recorded on the cluster.
    namespace
        The namespace in the workspace.
    """
    metadata = {key: value for key, value in found["metadata"].items() if key != "managedFields"}
    return {**found, "metadata": {**metadata, "namespace": namespace}}
