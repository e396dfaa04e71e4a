"""Tekton by OLM and its operator, on a real API server with a stand-in for both of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from components.openshift_pipelines import OPERATOR, OPERATORS_NAMESPACE, TEKTON_NAMESPACE
from tests.support.cluster_project import CRDS, PROVIDER, RECORDS, cluster, cluster_project, definition
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.apiserver import ControlPlane
    from tests.support.pulumi_project import PulumiProject

PROGRAM = (
    PROVIDER
    + """
from components.openshift_pipelines import OpenShiftPipelinesArgs
from components.tekton import TektonControllers, TektonControllersArgs

units = OpenShiftPipelinesArgs(cluster=provider, kubeconfig="kubeconfig", incarnation=0, state="active")
TektonControllers("east", TektonControllersArgs(pipelines=units))
"""
)

OLM = f"/apis/operators.coreos.com/v1alpha1/namespaces/{OPERATORS_NAMESPACE}"
SUBSCRIPTION = f"{OLM}/subscriptions/{OPERATOR}"
VERSION = f"{OLM}/clusterserviceversions/{OPERATOR}.v1.21.0"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{OPERATORS_NAMESPACE}/deployments"
CONFIG = "/apis/operator.tekton.dev/v1alpha1/tektonconfigs/config"
POLICY = f"/apis/networking.k8s.io/v1/namespaces/{TEKTON_NAMESPACE}/networkpolicies/resolvers"

TEKTON = {"pipelines": "Pipeline", "pipelineruns": "PipelineRun", "tasks": "Task"}


def deployment(name: str) -> dict[str, Any]:
    # None of its pods is wanted, so that it is available without nodes.
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


class Operator(threading.Thread):
    """OLM and the Tekton operator: answers what is applied as they do, while its version is installed.

    Attributes
    ----------
    broken
        What went wrong in it.
    """

    def __init__(self, plane: ControlPlane) -> None:
        super().__init__(daemon=True)
        self.plane = plane
        self.stopped = threading.Event()
        self.broken: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.stopped.wait(0.3):
                self.install()
                self.configure()
        except BaseException as error:  # noqa: BLE001 -- told by the fixture
            self.broken = error

    def get(self, path: str) -> dict[str, Any]:
        status, answer = self.plane.request("GET", path)
        return answer if status == 200 else {}

    def install(self) -> None:
        subscription = self.get(SUBSCRIPTION)
        if not subscription or subscription.get("status"):
            return
        assert not self.plane.exists(VERSION), "a version exists and is not referenced by a subscription"
        label = f"operators.coreos.com/{OPERATOR}.{OPERATORS_NAMESPACE}"
        self.plane.create(
            VERSION.rpartition("/")[0],
            {
                "apiVersion": "operators.coreos.com/v1alpha1",
                "kind": "ClusterServiceVersion",
                "metadata": {"name": VERSION.rpartition("/")[2], "labels": {label: ""}},
            },
        )
        for name in ("openshift-pipelines-operator", "tekton-operator-webhook"):
            self.plane.create(DEPLOYMENTS, deployment(name))
        if not self.plane.exists(f"{CRDS}/tektonconfigs.operator.tekton.dev"):
            made = definition("operator.tekton.dev", "v1alpha1", "tektonconfigs", "TektonConfig", "Cluster")
            self.plane.create(CRDS, made)
        self.plane.patch(f"{SUBSCRIPTION}/status", {"status": {"state": "AtLatestKnown"}})

    def configure(self) -> None:
        config = self.get(CONFIG)
        if not config or not self.plane.exists(VERSION):
            return
        if "deletionTimestamp" in config["metadata"]:
            for plural in TEKTON:
                self.plane.delete(f"{CRDS}/{plural}.tekton.dev")
            self.plane.patch(CONFIG, {"metadata": {"finalizers": []}})
        elif not config.get("status"):
            self.plane.patch(CONFIG, {"metadata": {"finalizers": ["tektonconfigs.operator.tekton.dev"]}})
            if not self.plane.exists(f"/api/v1/namespaces/{TEKTON_NAMESPACE}"):
                self.plane.create("/api/v1/namespaces", {"metadata": {"name": TEKTON_NAMESPACE}})
            for plural, kind in TEKTON.items():
                self.plane.create(CRDS, definition("tekton.dev", "v1", plural, kind))
            ready = {"type": "Ready", "status": "True"}
            self.plane.patch(f"{CONFIG}/status", {"status": {"conditions": [ready]}})


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """A cluster as OpenShift hands it over: with OLM, without Tekton."""
    with cluster(tmp_path, OPERATORS_NAMESPACE) as running:
        for plural, kind in (
            ("subscriptions", "Subscription"),
            ("clusterserviceversions", "ClusterServiceVersion"),
        ):
            running.create(CRDS, definition("operators.coreos.com", "v1alpha1", plural, kind))
        yield running


@pytest.fixture
def operator(plane: ControlPlane) -> Iterator[Operator]:
    """The stand-in, at work."""
    running = Operator(plane)
    running.start()
    yield running
    running.stopped.set()
    running.join()
    assert running.broken is None


@pytest.fixture
def project(plane: ControlPlane, tmp_path: Path) -> PulumiProject:
    """A project of one OpenShift cluster's Tekton."""
    return cluster_project(tmp_path, plane, PROGRAM)


@pytest.mark.usefixtures("operator")
def test_tekton_comes_by_its_operator_stays_and_goes_without_a_trace(
    plane: ControlPlane, project: PulumiProject
) -> None:
    # A preview of what is not there yet: not even the kind TektonConfig.
    assert {step["op"] for step in project.preview().values()} == {"create"}

    project.up()
    assert plane.get(CONFIG)["spec"]["profile"] == "lite"
    assert plane.get(SUBSCRIPTION)["spec"]["channel"] == "pipelines-1.21"
    assert plane.exists(f"{CRDS}/pipelineruns.tekton.dev")
    # In the namespace that the operator has made.
    assert plane.exists(POLICY)
    assert project.changes() == {}

    project.destroy()
    # The operator was still there to take down what it had made, and went only then.
    for path in (POLICY, CONFIG, f"{CRDS}/pipelineruns.tekton.dev", SUBSCRIPTION, VERSION):
        until(lambda path=path: not plane.exists(path), f"{path} is gone")  # type: ignore[misc]
    records = [one["metadata"]["name"] for one in plane.get(RECORDS)["items"]]
    assert [name for name in records if name.startswith("unit-")] == []

    # What OLM leaves behind would be in the way of this.
    for name in ("openshift-pipelines-operator", "tekton-operator-webhook"):
        plane.delete(f"{DEPLOYMENTS}/{name}")
    project.up()
    assert plane.exists(f"{CRDS}/pipelineruns.tekton.dev")
    project.destroy()
