"""Fixtures: one control plane for all tests, a project and a namespace for each."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support.apiserver import ControlPlane, control_plane
from tests.support.pulumi_project import PulumiProject

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROVIDER = """
cluster = k8s.Provider(
    "cluster",
    kubeconfig=values["kubeconfig"],
    cluster_identifier=values.get("identifier", "test"),
    **values.get("provider", {}),
)
options = pulumi.ResourceOptions(provider=cluster)
"""


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane for the session."""
    with control_plane(tmp_path_factory.mktemp("control-plane")) as running:
        yield running


@pytest.fixture
def namespace(plane: ControlPlane) -> Iterator[str]:
    """A namespace that belongs to one test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    plane.create("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    plane.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def project(tmp_path: Path) -> PulumiProject:
    """An empty project."""
    return PulumiProject(tmp_path / "project")


class KubernetesProject:
    """A project whose program works in one namespace of the control plane."""

    def __init__(self, project: PulumiProject, plane: ControlPlane, namespace: str) -> None:
        self.project = project
        self.plane = plane
        self.namespace = namespace
        self.kubeconfig = plane.kubeconfig()

    def write(self, program: str, **values: object) -> None:
        """Write a program that finds ``options`` with its provider, and ``values``."""
        self.project.write(PROVIDER + program)
        self.set(**values)

    def set(self, **values: object) -> None:
        """Change the values that the program finds."""
        self.project.set_values({"kubeconfig": self.kubeconfig, "namespace": self.namespace, **values})

    def path(self, plural: str, name: str = "", group: str = "/api/v1") -> str:
        """Return the API path of an object of the namespace."""
        return f"{group}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")


@pytest.fixture
def kube(project: PulumiProject, plane: ControlPlane, namespace: str) -> KubernetesProject:
    """A project that works in a namespace of the control plane."""
    return KubernetesProject(project, plane, namespace)
