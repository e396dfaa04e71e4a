"""Delete finished PipelineRuns in kcp that a tenant's retention no longer keeps.

It runs in a pod of each compute cluster as a single file, with Python's standard library alone. It sees the
PipelineRuns of every workspace that binds the cluster's APIExport, through that export's virtual workspace,
and deletes there: the syncer then takes away the copy on the cluster. The other way round, a run deleted on
the cluster would come back from kcp and run again.
"""

from __future__ import annotations

import argparse
import base64
import json
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

RUNS: Final = "apis/tekton.dev/v1"
POLICY_SELECTOR: Final = "app.kubernetes.io/component=retention,pipeline-service/cluster="
_WORKSPACE_ANNOTATION: Final = "kcp.io/cluster"
_PATH_ANNOTATION: Final = "kcp.io/path"
_ALL: Final = "*"
_SECONDS: Final = 30
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How long a tenant's finished runs are kept.

    Attributes
    ----------
    tenant
        Name of the tenant.
    runs
        How many, the newest.
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

    workspace: str
    namespace: str
    name: str
    uid: str
    version: str
    completed: datetime | None


def read_run(item: Mapping[str, Any]) -> Run:
    """Read a PipelineRun.

    It counts as finished only if both its condition and its completion time say so.

    Parameters
    ----------
    item
        The object.
    """
    metadata = item["metadata"]
    going = "deletionTimestamp" in metadata
    return Run(
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
    """Decide which runs go: the finished ones of a tenant that are too old or too many, the oldest first.

    Parameters
    ----------
    runs
        All runs.
    policies
        Each workspace's policy, by its logical cluster; what has none keeps all its runs.
    now
        The time.
    """
    finished: dict[str, list[tuple[datetime, Run]]] = defaultdict(list)
    for run in runs:
        if run.completed is not None and run.workspace in policies:
            finished[run.workspace].append((run.completed, run))
    doomed: list[tuple[datetime, Run]] = []
    for workspace, kept in finished.items():
        policy = policies[workspace]
        kept.sort(key=lambda one: (one[0], one[1].namespace, one[1].name), reverse=True)
        longest = timedelta(days=policy.days)
        doomed += [one for place, one in enumerate(kept) if place >= policy.runs or now - one[0] > longest]
    return [run for _, run in sorted(doomed, key=lambda one: one[0])]


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


def policies_by_path(kcp: Kcp, export: str) -> dict[str, Policy]:
    """Read the policies of the tenants of a cluster, by their workspaces' paths.

    Parameters
    ----------
    kcp
        The workspace of the export.
    export
        Name of the export, which is the cluster's.
    """
    url = f"{kcp.server}/api/v1/namespaces/default/configmaps"
    found: dict[str, Policy] = {}
    for item in kcp.items(url, labelSelector=f"{POLICY_SELECTOR}{export}"):
        data = item["data"]
        found[data["workspace"]] = Policy(
            tenant=data["tenant"], runs=int(data["runs"]), days=int(data["days"])
        )
    return found


def prune(kcp: Kcp, export: str, *, most: int, dry_run: bool, now: datetime) -> bool:
    """Delete what is not kept, and write a line for each tenant.

    Parameters
    ----------
    kcp
        The workspace of the export.
    export
        Name of the export.
    most
        Runs that are deleted at most; the rest is left to the next time.
    dry_run
        Whether nothing is deleted.
    now
        The time.

    Returns
    -------
    bool
        Whether kcp did all that it was asked.
    """
    slices = "apis/apis.kcp.io/v1alpha1/apiexportendpointslices"
    status = kcp.request(f"{kcp.server}/{slices}/{export}").get("status") or {}
    paths = policies_by_path(kcp, export)
    good = True
    # One for each shard of kcp; none while nobody has bound the export.
    for endpoint in status.get("endpoints") or []:
        url = endpoint["url"].rstrip("/")
        workspaces = kcp.items(f"{url}/clusters/{_ALL}/apis/core.kcp.io/v1alpha1/logicalclusters")
        policies = dict(_known(workspaces, paths))
        runs = [read_run(item) for item in kcp.items(f"{url}/clusters/{_ALL}/{RUNS}/pipelineruns")]
        doomed = decide(runs, policies, now)[:most]
        failed = [] if dry_run else [run for run in doomed if not _delete(kcp, url, run)]
        most -= len(doomed)
        good = good and not failed
        _report(runs, policies, doomed, failed, dry_run=dry_run)
    return good


def _known(
    workspaces: Iterable[Mapping[str, Any]], paths: Mapping[str, Policy]
) -> Iterator[tuple[str, Policy]]:
    """Pair logical clusters with the policies of their paths."""
    for workspace in workspaces:
        annotations = workspace["metadata"]["annotations"]
        if policy := paths.get(annotations.get(_PATH_ANNOTATION, "")):
            yield annotations[_WORKSPACE_ANNOTATION], policy


def _delete(kcp: Kcp, url: str, run: Run) -> bool:
    place = f"clusters/{run.workspace}/{RUNS}/namespaces/{run.namespace}/pipelineruns/{run.name}"
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        # Exactly what was looked at: not one of the same name, nor one that has changed since.
        "preconditions": {"uid": run.uid, "resourceVersion": run.version},
    }
    try:
        kcp.request(f"{url}/{place}", "DELETE", options)
    except urllib.error.HTTPError as error:
        # Gone already, or changed meanwhile: then the next time decides anew.
        if error.code in (_NOT_FOUND, _CONFLICT):
            return True
        _say(f"{run.workspace} {run.namespace}/{run.name}: not deleted: {error.code} {error.reason}")
        return False
    return True


def _report(
    runs: Sequence[Run],
    policies: Mapping[str, Policy],
    doomed: Sequence[Run],
    failed: Sequence[Run],
    *,
    dry_run: bool,
) -> None:
    verb = "would be deleted" if dry_run else "deleted"
    for workspace in sorted({run.workspace for run in runs}):
        here = [run for run in runs if run.workspace == workspace]
        finished = sum(run.completed is not None for run in here)
        if policy := policies.get(workspace):
            gone = sum(run.workspace == workspace for run in doomed)
            errors = sum(run.workspace == workspace for run in failed)
            told = f"{gone - errors} {verb}" + (f", {errors} not" if errors else "")
            _say(f"tenant {policy.tenant}: {len(here)} runs, {finished} finished, {told}")
        else:
            _say(f"workspace {workspace}: {len(here)} runs, {finished} finished, no retention: left alone")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


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
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args(arguments)
    kcp = Kcp(options.kubeconfig.read_text())
    try:
        good = prune(
            kcp,
            options.export,
            most=options.most,
            dry_run=options.dry_run,
            now=datetime.now(UTC),
        )
    except OSError as error:
        # kcp's URL stands in no message of urllib, nor does the token.
        sys.stderr.write(f"error: kcp: {error}; the next run tries again\n")
        return 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
