"""Runs by Git events of a tenant that is stopped: the real engine, admission, and Pipelines as Code."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from components.access import REPOSITORY_GROUP
from components.names import SYNCER_GROUP, tenant_namespace
from components.repository_admission import STATE
from local.demo_event import RUN_FILE, SHA_LABEL, connection, pushed_file
from local.git_provider.provider import GitProvider
from local.git_provider.server import served
from local.images import BUSYBOX_IMAGE
from operations.drift import deployed_units
from tests.support.apiserver import control_plane, require_binaries
from tests.support.cluster_project import PROVIDER, cluster_project
from tests.support.pac_programs import kubectl, pipelines_as_code_beside
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.apiserver import ControlPlane
    from tests.support.pulumi_project import PulumiProject

PATH = "root:org:team"
NAMESPACE = tenant_namespace(PATH, "default")
RUNS = f"/apis/tekton.dev/v1/namespaces/{NAMESPACE}/pipelineruns"
URL = "https://git.example.com/team/app"
COMMAND = "team.east-cancel"
CANCELLED = "CancelledRunFinally"
QUEUED_SECONDS = 13
LET_GO = f"{REPOSITORY_GROUP}/scm-reporting-plr-started"

PROGRAM = (
    PROVIDER
    + """
from components import event_runs
from components.compute_cluster import ComputeCluster, ComputeClusterArgs
from components.external_tenant import ExternalTenant, ExternalTenantArgs
from components.pipelines_as_code import RepositoryRules
from components.tenant_manifests import TenantQuota, TenantRepositories
from components.tenant_network import TenantNetwork
from components.tenant_place import TenantPlace
from components.unit import ClusterUnitArgs

event_runs.WAIT_SECONDS = values["wait"]
rules = RepositoryRules(namespace="pipelines-as-code", provider_urls=(values["api"],))
ground = ComputeCluster("east", ComputeClusterArgs(cluster=provider, repositories=rules))
place = TenantPlace(
    path="root:org:team",
    namespaces=("default",),
    quota=TenantQuota(pipeline_runs=10, cpu="2", memory="2Gi", pods=10, storage="1Gi"),
    network=TenantNetwork(),
    suspended=values["stopped"],
    stopped=values["stopped"],
    repositories=TenantRepositories(identities=("git.example.com/team/app",), rules=rules),
    cluster_name="east",
    cluster=provider,
    on_cluster=ClusterUnitArgs(kubeconfig="kubeconfig", incarnation=0, state="active"),
    protect=False,
    after=(ground,),
)
ExternalTenant("team", ExternalTenantArgs(compute=provider, binders=(), place=place))
"""
)


class Tekton(threading.Thread):
    """Ends the runs that are cancelled, as Tekton's controller does: those that waited only seconds later.

    Attributes
    ----------
    works
        Whether it does so.
    broken
        What went wrong in it.
    """

    def __init__(self, plane: ControlPlane) -> None:
        super().__init__(daemon=True)
        self.plane = plane
        self.works = True
        self.broken: BaseException | None = None
        self.stopped = threading.Event()
        self._cancelled: dict[str, float] = {}

    def run(self) -> None:
        try:
            while not self.stopped.wait(0.2):
                for one in runs(self.plane) if self.plane.exists(RUNS) else ():
                    self.end(one)
        except BaseException as error:  # noqa: BLE001 -- told by the fixture
            self.broken = error

    def end(self, one: dict[str, Any]) -> None:
        name = one["metadata"]["name"]
        if ended(one) or not self.works or one["spec"].get("status") != CANCELLED:
            return
        queued = one["metadata"]["labels"][STATE] == "queued"
        since = self._cancelled.setdefault(name, time.monotonic())
        # So the watcher takes the next in its queue while that has not ended yet: it first tries for nine
        # seconds to tell the provider, which knows no commit that is cancelled.
        if time.monotonic() - since < (QUEUED_SECONDS if queued else 0):
            return
        condition = {"type": "Succeeded", "status": "False", "reason": "Cancelled", "message": "cancelled"}
        done = {"completionTime": "2026-01-31T12:00:00Z", "startTime": "2026-01-31T11:59:00Z"}
        self.plane.patch(f"{RUNS}/{name}/status", {"status": {**done, "conditions": [condition]}})


def runs(plane: ControlPlane, selector: str = STATE) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = plane.get(f"{RUNS}?labelSelector={selector}")["items"]
    return found


def ended(run: dict[str, Any]) -> bool:
    return "completionTime" in run.get("status", {})


class Scene:
    """A tenant on a cluster with Pipelines as Code, its repository at a Git provider, and the program."""

    def __init__(self, plane: ControlPlane, project: PulumiProject, provider: GitProvider) -> None:
        self.plane, self.project, self.provider = plane, project, provider
        self.repository = provider.add_repository(URL)
        self.tekton = Tekton(plane)

    def values(self, *, stopped: bool, wait: int = 60) -> None:
        self.project.set_values({"stopped": stopped, "wait": wait, "api": self.provider.api})

    def connect(self, listener: str) -> None:
        """Let the tenant's repository make one run at a time."""
        self.hook = self.provider.add_hook(self.repository, f"{listener}/", "made-up-hook")
        objects = connection(URL, self.provider.add_token(self.repository), self.hook.secret)
        spec = objects["items"][1]["spec"]
        spec["git_provider"]["url"] = self.provider.api
        spec["concurrency_limit"] = 1
        kubectl(self.plane, "apply", f"--namespace={NAMESPACE}", "--filename=-", stdin=json.dumps(objects))

    def push(self, state: str) -> str:
        """Push; wait until there is a run in a state of Pipelines as Code, and give its name."""
        files = {RUN_FILE: pushed_file(BUSYBOX_IMAGE), "count": str(time.monotonic_ns())}
        commit, delivery = self.provider.push(self.hook, self.repository, files)
        assert delivery.code == 202
        of_commit = f"{SHA_LABEL}={commit.sha},{STATE}={state}"

        def found() -> list[dict[str, Any]]:
            # What is queued waits; what has started was let go, though it is made with that state.
            status = "PipelineRunPending" if state == "queued" else ""
            return [one for one in runs(self.plane, of_commit) if one["spec"].get("status", "") == status]

        until(lambda: len(found()) == 1, state, lambda: (runs(self.plane), self.logged()))
        return str(found()[0]["metadata"]["name"])

    def logged(self) -> str:
        """Give the end of the watcher's log."""
        return (self.plane.directory / "pipelines-as-code-watcher.log").read_text()[-3000:]

    def was_let_go(self, name: str) -> bool:
        """Tell whether the watcher has ever let a run start."""
        return LET_GO in self.plane.get(f"{RUNS}/{name}")["metadata"]["annotations"]

    def cancelled(self, name: str) -> bool:
        """Tell whether a run was cancelled and has ended."""
        run = self.plane.get(f"{RUNS}/{name}")
        return run["spec"].get("status") == CANCELLED and ended(run)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    require_binaries("pulumi", "kubectl")
    tmp_path: Path = tmp_path_factory.mktemp("event-runs")
    provider = GitProvider(tmp_path / "git")
    folder = tmp_path / "plane"
    folder.mkdir()
    with (
        control_plane(folder) as plane,
        served(provider) as api,
        pipelines_as_code_beside(plane, f"{api}/api/v3") as pac,
    ):
        made = Scene(plane, cluster_project(tmp_path, plane, PROGRAM), provider)
        made.values(stopped=False)
        made.project.up()
        made.connect(pac.url)
        made.tekton.start()
        try:
            yield made
        finally:
            made.tekton.stopped.set()
            made.tekton.join()
        assert made.tekton.broken is None


@pytest.fixture
def scene(started: Scene) -> Iterator[Scene]:
    """A tenant that works, without a run."""
    yield started
    started.tekton.works = True
    started.values(stopped=False)
    started.project.up()
    kubectl(started.plane, "delete", "pipelineruns", "--all", f"--namespace={NAMESPACE}")


def synced(plane: ControlPlane) -> dict[str, Any]:
    """Make a run as the syncer does."""
    metadata = {"name": "synced", "labels": {f"{SYNCER_GROUP}/remote-object-cluster": "2abc"}}
    return plane.create(
        RUNS, {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": metadata, "spec": {}}
    )


def test_what_runs_and_what_waits_is_cancelled_once_it_is_stopped_and_each_time(scene: Scene) -> None:
    project = scene.project
    assert COMMAND not in project.preview()
    names = [scene.push("started"), scene.push("queued"), scene.push("queued")]
    copied = synced(scene.plane)

    scene.values(stopped=True)
    changed = project.changes()
    assert changed.pop(COMMAND) == "create"
    # Its binders go, and its namespaces let nothing start: nothing else changes.
    assert set(changed) == {
        "team.east-binders",
        "team.east.default-namespace",
        "team.east.default-quota",
    }
    project.up()
    assert all(map(scene.cancelled, names))
    assert [name for name in names if scene.was_let_go(name)] == names[:1]
    assert scene.plane.get(f"{RUNS}/synced") == copied
    assert project.state(COMMAND)["outputs"]["stdout"] == "runs of team by Git events: 3 cancelled"
    assert project.changes() == {}
    # It has no manifest that could drift.
    assert deployed_units(json.loads(project.export())) == []

    scene.values(stopped=False)
    assert project.changes()[COMMAND] == "delete"
    project.up()
    later = scene.push("started")
    assert not scene.cancelled(later)
    scene.values(stopped=True)
    project.up()
    assert scene.cancelled(later)


def test_a_run_that_does_not_end_fails_the_update_by_name_and_the_next_one_goes_on(scene: Scene) -> None:
    name = scene.push("started")
    scene.tekton.works = False
    scene.values(stopped=True, wait=3)
    said = scene.project.up(fails=True)
    assert f"runs of team by Git events: PipelineRun {NAMESPACE}/{name} did not end within 3 s" in said
    assert "Tekton's controller has yet to end it" in said
    scene.tekton.works = True
    scene.project.up()
    assert scene.cancelled(name)
