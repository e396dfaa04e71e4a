"""Delete finished PipelineRuns in kcp that a tenant's retention no longer keeps.

It runs in a pod of each compute cluster as a single file, with Python's standard library alone. It sees the
PipelineRuns of every workspace that binds the cluster's APIExport, through that export's virtual workspace,
and deletes there: the syncer then takes away the copy on the cluster. The other way round, a run deleted on
the cluster would come back from kcp and run again.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

T = TypeVar("T")

RUNS: Final = "apis/tekton.dev/v1"
POLICY_SELECTOR: Final = "app.kubernetes.io/component=retention,pipeline-service/cluster="
_WORKSPACE_ANNOTATION: Final = "kcp.io/cluster"
_PATH_ANNOTATION: Final = "kcp.io/path"
_ALL: Final = "*"
_SECONDS: Final = 30
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_FAILURES: Final = 3
"""Deletes in a row that fail before a workspace is left to the next pass."""

_ODD: Final = (AttributeError, KeyError, OverflowError, TypeError, ValueError)
"""What reading an object raises that is not as it should be."""

_NO_ANSWER: Final = (OSError, http.client.HTTPException, ValueError)
"""What a request raises: no answer, a refusal, an answer that breaks off, one that is no JSON."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How long a tenant's finished runs are kept.

    Attributes
    ----------
    tenant
        Name of the tenant.
    runs
        How many, the newest; 0 means that a finished run goes at the next pass.
    days
        How many days.
    """

    tenant: str
    runs: int
    days: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """A PipelineRun, as far as it matters here.

    Attributes
    ----------
    base
        URL of the virtual workspace that it was read from.
    workspace
        Its logical cluster in kcp.
    namespace
        Its namespace.
    name
        Its name.
    uid
        Its uid.
    version
        Its resourceVersion when it was looked at.
    completed
        When it finished; None while it is not, or is being deleted already.
    """

    base: str
    workspace: str
    namespace: str
    name: str
    uid: str
    version: str
    completed: datetime | None

    @property
    def end(self) -> datetime:
        """When it finished; while it is not, a time that never comes."""
        return self.completed or datetime.max.replace(tzinfo=UTC)

    @property
    def url(self) -> str:
        """Where it is."""
        place = f"{self.workspace}/{RUNS}/namespaces/{self.namespace}/pipelineruns/{self.name}"
        return f"{self.base}/clusters/{place}"


def read_run(item: Mapping[str, Any], base: str) -> Run:
    """Read a PipelineRun.

    It counts as finished only if both its condition and its completion time say so.

    Parameters
    ----------
    item
        The object.
    base
        URL of the virtual workspace that it was read from.

    Raises
    ------
    AttributeError, KeyError, TypeError
        It is not as an API server writes it.
    """
    metadata = item["metadata"]
    going = "deletionTimestamp" in metadata
    return Run(
        base=base,
        workspace=metadata["annotations"][_WORKSPACE_ANNOTATION],
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        completed=None if going else _completion(item.get("status")),
    )


def _completion(status: Any) -> datetime | None:  # noqa: ANN401 -- whatever stands there
    """Tell when a run finished.

    The schema leaves a status free, and the owner of an external workspace can write any: one that can't be
    read is that of a run that isn't finished, and must not stop the others' pruning.
    """
    try:
        verdicts = [one["status"] for one in status["conditions"] if one["type"] == "Succeeded"]
        time = datetime.fromisoformat(status["completionTime"])
    except (KeyError, TypeError, ValueError):
        return None
    return time if verdicts in (["True"], ["False"]) and time.tzinfo else None


def decide(runs: Iterable[Run], policies: Mapping[str, Policy], now: datetime) -> list[Run]:
    """Decide which runs go: the finished ones of a tenant that are too old or too many.

    They come in the order in which they are to go, of each workspace the oldest in turn: so a workspace of
    which many are due, or of which none can be deleted, holds up no other.

    Parameters
    ----------
    runs
        All runs.
    policies
        Each workspace's policy, by its logical cluster; what has none keeps all its runs.
    now
        The time.
    """
    turns: list[tuple[int, Run]] = []
    for workspace, here in _by_workspace(run for run in runs if run.completed).items():
        if policy := policies.get(workspace):
            finished = sorted(here, key=lambda run: (run.end, run.namespace, run.name))
            many, longest = len(finished) - policy.runs, timedelta(days=policy.days)
            due = [run for place, run in enumerate(finished) if place < many or now - run.end > longest]
            turns += enumerate(due)
    return [run for _, run in sorted(turns, key=lambda one: (one[0], one[1].end))]


def _by_workspace(runs: Iterable[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        found[run.workspace].append(run)
    return found


class Kcp:
    """Requests to kcp with the identity of a kubeconfig.

    Parameters
    ----------
    kubeconfig
        A kubeconfig of one context in JSON, everything inline, as the program writes it.
    page
        How many objects are asked for at once, so that no more than these are in memory.
    """

    def __init__(self, kubeconfig: str, page: int = 100) -> None:
        self._page: Final = page
        document = json.loads(kubeconfig)
        cluster = document["clusters"][0]["cluster"]
        self.server: Final[str] = cluster["server"].rstrip("/")
        self._token: Final[str] = document["users"][0]["user"]["token"]
        authority = cluster.get("certificate-authority-data")
        data = base64.b64decode(authority).decode() if authority else None
        self._tls: Final = ssl.create_default_context(cadata=data)
        # From 3.13 on, Python wants extensions that API servers' own authorities often leave out.
        self._tls.verify_flags &= ~ssl.VERIFY_X509_STRICT

    def request(self, url: str, method: str = "GET", body: object = None) -> dict[str, Any]:
        """Send a request.

        Parameters
        ----------
        url
            The whole URL.
        method
            The HTTP method.
        body
            What to send, as JSON.

        Returns
        -------
        dict
            The answer.

        Raises
        ------
        OSError
            There is no answer, or (`urllib.error.HTTPError`) kcp refuses.
        http.client.HTTPException
            The answer breaks off.
        ValueError
            The answer is no JSON.
        """
        request = urllib.request.Request(  # noqa: S310 -- kcp's own URL
            url,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Accept": "application/json",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=_SECONDS, context=self._tls) as answer:  # noqa: S310 -- as above
            found: dict[str, Any] = json.load(answer)
        return found

    def items(self, url: str, **query: str) -> Iterator[dict[str, Any]]:
        """List objects page by page.

        Parameters
        ----------
        url
            URL of the list.
        **query
            Further parameters.
        """
        query["limit"] = str(self._page)
        while True:
            answer = self.request(f"{url}?{urllib.parse.urlencode(query)}")
            yield from answer["items"]
            query["continue"] = answer["metadata"].get("continue", "")
            if not query["continue"]:
                return


def _readable(
    items: Iterable[Mapping[str, Any]], what: str, read: Callable[[Mapping[str, Any]], T], problems: list[str]
) -> Iterator[T]:
    """Read objects; one that is not as it should be is a problem, and stops no other."""
    for item in items:
        try:
            made = read(item)
        except _ODD as error:
            problems.append(
                f"{what} {_named(item)}: can't be read ({type(error).__name__}: {error}); left alone"
            )
        else:
            yield made


def _named(item: Any) -> str:  # noqa: ANN401 -- whatever stands there
    metadata = item.get("metadata") if isinstance(item, dict) else None
    found = metadata if isinstance(metadata, dict) else {}
    return "/".join(str(found[key]) for key in ("namespace", "name") if key in found) or "without a name"


def read_policy(item: Mapping[str, Any]) -> tuple[str, Policy]:
    """Read a tenant's policy: the path of its workspace, and how long runs are kept there.

    Parameters
    ----------
    item
        The ConfigMap.

    Raises
    ------
    AttributeError, KeyError, OverflowError, TypeError, ValueError
        Somebody changed it to what the program doesn't write.
    """
    data = item["data"]
    policy = Policy(tenant=data["tenant"], runs=int(data["runs"]), days=int(data["days"]))
    if policy.runs < 0 or timedelta(days=policy.days) < timedelta(days=1):
        raise ValueError(f"runs {policy.runs}, days {policy.days}")
    return data["workspace"], policy


def policies_by_path(kcp: Kcp, export: str, problems: list[str]) -> dict[str, Policy]:
    """Read the policies of the tenants of a cluster, by their workspaces' paths.

    Parameters
    ----------
    kcp
        The workspace of the export.
    export
        Name of the export, which is the cluster's.
    problems
        Takes what could not be read.
    """
    url = f"{kcp.server}/api/v1/namespaces/default/configmaps"
    items = kcp.items(url, labelSelector=f"{POLICY_SELECTOR}{export}")
    return dict(_readable(items, "ConfigMap", read_policy, problems))


def prune(  # noqa: PLR0913 -- all that a pass depends on
    kcp: Kcp, export: str, *, most: int, seconds: float, dry_run: bool, now: datetime
) -> list[str]:
    """Delete what is not kept, and write a line for each tenant.

    Parameters
    ----------
    kcp
        The workspace of the export.
    export
        Name of the export.
    most
        Runs that are deleted at most; the rest is left to the next time.
    seconds
        How long deleting may take; the rest is left to the next time as well.
    dry_run
        Whether nothing is deleted.
    now
        The time.

    Returns
    -------
    list of str
        What went wrong, a line for each; none of it stopped what could be done.

    Raises
    ------
    OSError, http.client.HTTPException, KeyError, TypeError, ValueError
        What there is to prune can't be asked for.
    """
    problems: list[str] = []
    slices = "apis/apis.kcp.io/v1alpha1/apiexportendpointslices"
    status = kcp.request(f"{kcp.server}/{slices}/{export}").get("status") or {}
    paths = policies_by_path(kcp, export, problems)
    runs: list[Run] = []
    policies: dict[str, Policy] = {}
    # One for each shard of kcp; none while nobody has bound the export.
    for endpoint in status.get("endpoints") or []:
        found, theirs = _look(kcp, endpoint["url"].rstrip("/"), paths, problems)
        runs += found
        policies |= theirs
    # Two endpoints may lead to the same shard.
    runs = list({run.uid: run for run in runs}.values())
    chosen = decide(runs, policies, now)[:most]
    gone = chosen if dry_run else _deleted(kcp, chosen, problems, seconds)
    _report(runs, policies, set(chosen), set(gone), verb="would be deleted" if dry_run else "deleted")
    return problems


def _look(
    kcp: Kcp, url: str, paths: Mapping[str, Policy], problems: list[str]
) -> tuple[list[Run], dict[str, Policy]]:
    """Read a shard's runs, and its workspaces' policies; one that gives no answer stops no other."""
    try:
        workspaces = kcp.items(f"{url}/clusters/{_ALL}/apis/core.kcp.io/v1alpha1/logicalclusters")
        places = dict(_readable(workspaces, "LogicalCluster", _place, problems))
        items = kcp.items(f"{url}/clusters/{_ALL}/{RUNS}/pipelineruns")
        runs = list(_readable(items, "PipelineRun", lambda item: read_run(item, url), problems))
    except (*_NO_ANSWER, *_ODD) as error:
        problems.append(f"{urllib.parse.urlsplit(url).netloc}: not looked at: {_told(error)}")
        return [], {}
    return runs, {workspace: paths[path] for workspace, path in places.items() if path in paths}


def _place(workspace: Mapping[str, Any]) -> tuple[str, str]:
    """Read a logical cluster: its name, and the path of its workspace."""
    annotations = workspace["metadata"]["annotations"]
    return annotations[_WORKSPACE_ANNOTATION], annotations.get(_PATH_ANNOTATION, "")


def _deleted(kcp: Kcp, chosen: Iterable[Run], problems: list[str], seconds: float) -> list[Run]:
    """Delete runs; give those that are gone."""
    gone: list[Run] = []
    failures: dict[str, int] = defaultdict(int)
    until = time.monotonic() + seconds
    for run in chosen:
        if time.monotonic() > until:
            break
        # Where nothing is deleted, each try may last until its time is up: the others' time.
        if failures[run.workspace] >= _FAILURES:
            continue
        try:
            _delete(kcp, run)
        except _NO_ANSWER as error:
            failures[run.workspace] += 1
            problems.append(f"{run.workspace} {run.namespace}/{run.name}: not deleted: {_told(error)}")
            if failures[run.workspace] == _FAILURES:
                problems.append(f"{run.workspace}: {_FAILURES} in a row failed; left to the next pass")
        else:
            failures[run.workspace] = 0
            gone.append(run)
    return gone


def _delete(kcp: Kcp, run: Run) -> None:
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        # Exactly what was looked at: not one of the same name, nor one that has changed since.
        "preconditions": {"uid": run.uid, "resourceVersion": run.version},
    }
    try:
        kcp.request(run.url, "DELETE", options)
    except urllib.error.HTTPError as error:
        # Gone already, or changed meanwhile: then the next time decides anew.
        if error.code not in (_NOT_FOUND, _CONFLICT):
            raise


def _told(error: Exception) -> str:
    # kcp's URL stands in no message of urllib, nor does the token.
    return str(error) or type(error).__name__


def _report(
    runs: Iterable[Run], policies: Mapping[str, Policy], chosen: set[Run], gone: set[Run], *, verb: str
) -> None:
    for workspace, here in sorted(_by_workspace(runs).items()):
        counts = f"{len(here)} runs, {sum(run.completed is not None for run in here)} finished"
        if policy := policies.get(workspace):
            left = len(chosen.intersection(here) - gone)
            told = f"{len(gone.intersection(here))} {verb}" + (f", {left} not" if left else "")
            sys.stdout.write(f"tenant {policy.tenant}: {counts}, {told}\n")
        else:
            sys.stdout.write(f"workspace {workspace}: {counts}, no retention: left alone\n")


def main(arguments: Sequence[str]) -> int:
    """Run once.

    Parameters
    ----------
    arguments
        The command line's.

    Returns
    -------
    int
        Exit status: 0, or 1 where something was not done.
    """
    parser = argparse.ArgumentParser(description="Delete finished PipelineRuns that are no longer kept.")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--export", required=True)
    parser.add_argument("--most", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=420)
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args(arguments)
    kcp = Kcp(options.kubeconfig.read_text())
    try:
        problems = prune(
            kcp,
            options.export,
            most=options.most,
            seconds=options.seconds,
            dry_run=options.dry_run,
            now=datetime.now(UTC),
        )
    except (*_NO_ANSWER, *_ODD) as error:
        sys.stderr.write(f"error: kcp: {_told(error)}; the next run tries again\n")
        return 1
    for problem in problems:
        sys.stderr.write(f"error: {problem}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
