"""A unit whose manifest stands in the state, as a tenant's does: on a real engine and a real API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.cluster_project import cluster, cluster_project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.apiserver import ControlPlane
    from tests.support.pulumi_project import PulumiProject

NAMESPACE = "pipeline-service"
MAP = f"/api/v1/namespaces/{NAMESPACE}/configmaps/content"
RECORD = f"/api/v1/namespaces/{NAMESPACE}/configmaps/unit-tenant"

# With `earlier` as the program once was: both commands had the manifest and the whole environment.
PROGRAM = """
from components import unit
from components.names import digest

if values["earlier"]:
    short = unit.wait_environment
    unit.wait_environment = lambda args: {**unit.environment(args), **short(args)}
    command = unit.local.Command
    unit.local.Command = lambda name, **more: command(name, **{**more, "stdin": text})

text = unit.to_yaml([{
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "content", "namespace": "pipeline-service"},
    "data": {"member": values["member"]},
}])
unit.register_unit(
    "demo",
    unit.UnitArgs(
        unit="tenant",
        sha256=digest(text),
        kubeconfig="kubeconfig",
        manifest=text,
        drain=["leases.coordination.k8s.io"],
        wait_for=[{"resource": "configmaps/content", "namespace": "pipeline-service", "for": "create"}],
    ),
    parent=pulumi.ComponentResource("test:index:Tenant", "demo"),
)
"""


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    with cluster(tmp_path) as running:
        yield running


@pytest.fixture
def project(plane: ControlPlane, tmp_path: Path) -> PulumiProject:
    return cluster_project(tmp_path, plane, PROGRAM)


def test_a_state_with_the_manifest_in_both_commands_is_updated_and_nothing_is_applied_anew(
    plane: ControlPlane, project: PulumiProject
) -> None:
    project.set_values({"earlier": True, "member": "alice"})
    project.up()
    assert "alice" in project.state("demo-ready")["inputs"]["stdin"]
    before = plane.get(MAP)["metadata"]

    project.set_values({"earlier": False, "member": "alice"})
    assert project.changes() == {"demo-ready": "update"}
    project.up()
    assert plane.get(MAP)["metadata"] == before
    assert "alice" not in str(project.state("demo-ready"))
    assert project.changes() == {}


def test_a_changed_manifest_is_shown_by_its_text_once_and_waited_for_again(
    plane: ControlPlane, project: PulumiProject
) -> None:
    project.set_values({"earlier": False, "member": "alice"})
    project.up()

    project.set_values({"earlier": False, "member": "bob"})
    assert project.changes() == {"demo-apply": "update", "demo-ready": "update"}
    shown = [line.strip() for line in project.run("preview", "--diff").splitlines()]
    # The engine shows a single document field by field.
    assert shown.count('~ member: "alice" => "bob"') == 1
    project.up()
    assert plane.get(MAP)["data"] == {"member": "bob"}

    # A refresh has nothing to read; a destroy goes by the record alone.
    project.run("refresh", "--yes", "--skip-preview")
    assert project.changes() == {}
    project.destroy()
    assert not plane.exists(MAP)
    assert not plane.exists(RECORD)
