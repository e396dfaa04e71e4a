"""Argo CD's component on a real engine and API server: its real manifest and definitions, and its rights."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from components.access import READ, Subject, cluster_role, cluster_role_binding, rule
from releases.adaptation import Adaptation
from releases.catalog import ARGO_CD, ARGO_CD_HA
from releases.transform import serialize, transform
from tests.support.argocd import published
from tests.support.cluster_project import CRDS, RECORDS, cluster, cluster_project, definition
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.apiserver import ControlPlane
    from tests.support.pulumi_project import PulumiProject

PROGRAM = """
from components.argocd import ArgoCd, ArgoCdArgs
from components.argocd_manifests import GitSource
from components.release import ReleaseArgs
from releases.prepare import PreparedRelease

cluster = k8s.Provider("cluster", kubeconfig=Path("kubeconfig").read_text(), enable_server_side_apply=True)
release = ReleaseArgs(
    release=PreparedRelease(
        name=values["name"], version="v3.2.0", sha256=values["sha256"], manifest=Path("argocd.yaml")
    ),
    cluster=cluster,
    kubeconfig="kubeconfig",
    incarnation=0,
    state="active",
)
source = GitSource(
    repository="https://git.example.com/sre/clusters",
    branch="main",
    path="clusters/east",
    token=pulumi.Output.secret("made-up-token"),
)
ArgoCd(
    "east",
    ArgoCdArgs(
        release=release,
        source=source if values["follow"] else None,
        content=values["content"] if values["follow"] else (),
        ignore_differences=[{"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}],
        client_secret=pulumi.Output.secret("made-up-password"),
    ),
)
"""

LABELS = {"app": "x"}
PLACE = {"name": "x", "namespace": "pipeline-service"}
CONTENT = [
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": PLACE, "data": {"a": "b"}},
    # As Tekton's controllers have it: they may write runs, and read credentials.
    cluster_role(
        "runner",
        [
            rule("tekton.dev", ("pipelineruns",), (*READ, "create", "delete")),
            rule("", ("pods",), ("create",)),
        ],
        LABELS,
    ),
    cluster_role_binding(
        "runner", "runner", [Subject(kind="ServiceAccount", name="x", namespace="pipeline-service")], LABELS
    ),
    cluster_role_binding(
        "looker", "view", [Subject(kind="ServiceAccount", name="x", namespace="pipeline-service")], LABELS
    ),
]
CONTROLLER = "system:serviceaccount:argocd:argocd-application-controller"
SERVER = "system:serviceaccount:argocd:argocd-server"
RUN = {
    "apiVersion": "tekton.dev/v1",
    "kind": "PipelineRun",
    "metadata": {"name": "run", "namespace": "default"},
}
ARGO = "/apis/argoproj.io/v1alpha1/namespaces/argocd"


def without_pods(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # There are no nodes: with no pod wanted, its workloads are available.
    for one in objects:
        if one["kind"] in ("Deployment", "StatefulSet"):
            one["spec"]["replicas"] = 0
    return objects


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """A cluster with our namespace and a tenant's run."""
    with cluster(tmp_path) as running:
        running.create(CRDS, definition("tekton.dev", "v1", "pipelineruns", "PipelineRun"))
        yield running


@pytest.fixture
def project(plane: ControlPlane, tmp_path: Path) -> PulumiProject:
    """A project of one cluster's Argo CD."""
    return cluster_project(tmp_path, plane)


def write(project: PulumiProject, name: str = ARGO_CD, *, follow: bool = True) -> None:
    text = serialize(without_pods(transform(name, published(name), Adaptation())))
    (project.directory / "argocd.yaml").write_text(text)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    project.write(PROGRAM, {"name": name, "sha256": sha256, "follow": follow, "content": CONTENT})


def kubectl(project: PulumiProject, user: str, *arguments: str, stdin: object = None) -> tuple[bool, str]:
    done = subprocess.run(
        ["kubectl", "--kubeconfig", str(project.directory / "kubeconfig"), f"--as={user}", *arguments],
        input=None if stdin is None else json.dumps(stdin),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode == 0, done.stdout + done.stderr


def apply(project: PulumiProject, *objects: object) -> tuple[bool, str]:
    """Apply as Argo CD does."""
    return kubectl(
        project,
        CONTROLLER,
        "apply",
        "--server-side",
        "--field-manager=argocd-controller",
        "--filename=-",
        stdin={"apiVersion": "v1", "kind": "List", "items": list(objects)},
    )


def left(plane: ControlPlane) -> list[str]:
    """List what there is of Argo CD outside its namespace."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    admission = "/apis/admissionregistration.k8s.io/v1"
    lists = (
        CRDS,
        "/api/v1/namespaces",
        f"{rbac}/clusterroles",
        f"{rbac}/clusterrolebindings",
        f"{admission}/validatingadmissionpolicies",
        f"{admission}/validatingadmissionpolicybindings",
        RECORDS,
    )
    names = [one["metadata"]["name"] for path in lists for one in plane.get(path)["items"]]
    return [name for name in names if "argo" in name]


def test_it_comes_stays_follows_and_goes_without_a_trace(plane: ControlPlane, project: PulumiProject) -> None:
    write(project)
    project.up()
    # The real definitions took them; with an unknown field, a server-side application would have failed.
    assert plane.get(f"{ARGO}/applications/pipeline-service")["spec"]["source"]["path"] == "clusters/east"
    assert plane.get(f"{ARGO}/appprojects/default")["spec"]["destinations"] == []
    assert plane.exists("/api/v1/namespaces/argocd/secrets/pipeline-service-repository")
    assert project.changes() == {}
    assert "made-up" not in project.export()

    # Following no more: the Application goes, and what it delivered stays.
    assert apply(project, CONTENT[0]) == (True, "configmap/x serverside-applied\n")
    plane.patch(f"{ARGO}/appprojects/default", {"spec": {"sourceRepos": ["*"]}})
    write(project, follow=False)
    project.up()
    assert not plane.exists(f"{ARGO}/applications/pipeline-service")
    assert plane.exists("/api/v1/namespaces/pipeline-service/configmaps/x")
    # What somebody opened by hand is closed again.
    assert plane.get(f"{ARGO}/appprojects/default")["spec"]["sourceRepos"] == []
    assert project.changes() == {}

    project.destroy()
    assert left(plane) == []


def test_it_comes_with_high_availability(plane: ControlPlane, project: PulumiProject) -> None:
    write(project, ARGO_CD_HA)
    project.up()
    assert plane.exists("/apis/apps/v1/namespaces/argocd/statefulsets/argocd-redis-ha-server")


def test_it_may_deliver_its_content_and_nothing_else(plane: ControlPlane, project: PulumiProject) -> None:
    write(project)
    project.up()

    # All of it, roles and bindings too: it holds what it hands on.
    until(lambda: apply(project, *CONTENT)[0], "applied", lambda: apply(project, *CONTENT)[1])
    for rules, why in (
        ([rule("", ("nodes",), ("delete",))], "attempting to grant RBAC permissions not currently held"),
        ([rule("*", ("*",), ("*",))], "attempting to grant RBAC permissions not currently held"),
    ):
        applied, said = apply(project, cluster_role("runner", rules, LABELS))
        assert not applied
        assert why in said
    subjects = [Subject(kind="ServiceAccount", name="x", namespace="pipeline-service")]
    applied, said = apply(project, cluster_role_binding("master", "cluster-admin", subjects, LABELS))
    assert not applied
    assert "attempting to grant RBAC permissions not currently held" in said

    # Kinds that it doesn't deliver, and credentials above all, are out of its reach.
    for resource in ("secrets", "services", "namespaces", "nodes"):
        seen, said = kubectl(project, CONTROLLER, "get", resource, "--all-namespaces")
        assert not seen
        assert "cannot list" in said

    # Its role allows a run to be written, since Tekton's does; the guard doesn't.
    plane.create("/apis/tekton.dev/v1/namespaces/default/pipelineruns", RUN)
    assert kubectl(project, CONTROLLER, "auth", "can-i", "delete", "pipelineruns.tekton.dev")[0]
    more = {**RUN, "metadata": {"name": "more"}}
    dry = ("create", "--dry-run=server", "--filename=-")
    until(lambda: "never uses it" in kubectl(project, CONTROLLER, *dry, stdin=more)[1], "in force")
    for refused in (
        kubectl(project, CONTROLLER, "delete", "pipelinerun", "run", "--namespace=default"),
        kubectl(project, CONTROLLER, "create", "--filename=-", stdin=more),
        kubectl(
            project,
            CONTROLLER,
            "create",
            "--filename=-",
            stdin={
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "x", "namespace": "default"},
                "spec": {"containers": [{"name": "x", "image": "x"}]},
            },
        ),
    ):
        assert not refused[0]
        assert "never uses it" in refused[1]
    # Others may.
    deleted, said = kubectl(project, "test-admin", "auth", "can-i", "delete", "pipelineruns.tekton.dev")
    assert not deleted, said
    status, answer = plane.request("DELETE", "/apis/tekton.dev/v1/namespaces/default/pipelineruns/run")
    assert status == 200, answer

    # What people do by its server: look.
    assert kubectl(project, SERVER, "get", "configmap", "x", "--namespace=pipeline-service")[0]
    for verb in ("delete", "patch", "list"):
        assert not kubectl(project, SERVER, "auth", "can-i", verb, "configmaps", "--namespace=default")[0]
