"""A canary's releases change first, and where that fails those of the others don't: on a real engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.cluster_project import cluster, cluster_project, write_release
from tests.support.pulumi_project import PulumiError, PulumiProject

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.apiserver import ControlPlane

NAMESPACE = "pipeline-service"
MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"

# Two units of one server stand for a release on two clusters.
PROGRAM = """
from components.release import Release, ReleaseArgs
from releases.contents import Contents
from releases.prepare import PreparedRelease

made = {}
for name in ("canary", "other"):
    version, digest = values[name]
    made[name] = Release(name, ReleaseArgs(
        release=PreparedRelease(
            name=name,
            version=version,
            sha256=digest,
            manifest=Path(f"{name}-{digest}.yaml"),
            contents=Contents(outline=tuple(values.get("outline", ()))),
        ),
        cluster=None,  # no Secret is made with it
        kubeconfig="kubeconfig",
        incarnation=0,
        state="active",
        after=(made["canary"],) if values["ordered"] and name == "other" else (),
    ))
"""


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    with cluster(tmp_path) as running:
        yield running


@pytest.fixture
def project(plane: ControlPlane, tmp_path: Path) -> PulumiProject:
    return cluster_project(tmp_path, plane, PROGRAM)


def release(project: PulumiProject, name: str, version: str, *, key: str = "version") -> tuple[str, str]:
    """Write the manifest of a version: a ConfigMap that names it."""
    metadata = {"name": name, "namespace": NAMESPACE}
    objects = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {key: version}}]
    return version, write_release(project, name, objects)


@pytest.mark.parametrize("options", [(), ("--continue-on-error",)], ids=["plain", "continue-on-error"])
def test_a_failing_canary_stops_all_others_and_being_one_changes_nothing(
    plane: ControlPlane, project: PulumiProject, options: tuple[str, ...]
) -> None:
    def versions() -> dict[str, str]:
        return {name: plane.get(f"{MAPS}/{name}")["data"]["version"] for name in ("canary", "other")}

    first = {name: release(project, name, "v1") for name in ("canary", "other")}
    project.set_values({**first, "ordered": False})
    project.up()
    # A pool that becomes a canary's changes what waits for what, and nothing else.
    project.set_values({**first, "ordered": True})
    assert project.changes() == {}

    broken = release(project, "canary", "v2", key="no/key")
    project.set_values({"canary": broken, "other": release(project, "other", "v2"), "ordered": True})
    with pytest.raises(PulumiError, match=r'ConfigMap "canary" is invalid: data\[no/key\]'):
        project.up(*options)
    assert versions() == {"canary": "v1", "other": "v1"}

    second = {name: release(project, name, "v2") for name in ("canary", "other")}
    project.set_values({**second, "ordered": True})
    project.up()
    assert versions() == {"canary": "v2", "other": "v2"}

    # Back again: the manifest of before is applied like any other.
    project.set_values({**first, "ordered": True})
    project.up()
    assert versions() == {"canary": "v1", "other": "v1"}
    project.destroy()
    assert not plane.exists(f"{MAPS}/canary")


def test_a_preview_shows_line_by_line_what_an_upgrade_changes(project: PulumiProject) -> None:
    first = {name: release(project, name, "v1") for name in ("canary", "other")}
    before = ["ClusterRole flyer 11111111", "  allows get: pods", "Deployment kites/flyer 22222222"]
    project.set_values({**first, "ordered": False, "outline": before})
    project.up()
    assert project.changes() == {}

    after = ["ClusterRole flyer 33333333", "  allows get: pods, secrets", "Deployment kites/flyer 22222222"]
    second = {**first, "other": release(project, "other", "v2")}
    project.set_values({**second, "ordered": False, "outline": after})
    shown = [line.strip() for line in project.run("preview", "--diff").splitlines()]
    for line in (
        "- ClusterRole flyer 11111111",
        "+ ClusterRole flyer 33333333",
        "+   allows get: pods, secrets",
    ):
        assert line in shown
    assert "+ Deployment kites/flyer 22222222" not in shown
    # That it is what the file holds is the file's own digest to say: the runner doesn't read it.
    project.up()
    assert project.changes() == {}
    project.destroy()
