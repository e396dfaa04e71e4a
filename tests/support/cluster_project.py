"""A cluster without nodes, and a project whose program puts units and releases on it, by the real CLI."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from releases.transform import serialize
from tests.support.apiserver import control_plane, require_binaries
from tests.support.pulumi_project import ROOT, PulumiProject

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.apiserver import ControlPlane

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

RECORDS = "/api/v1/namespaces/pipeline-service/configmaps"
"""Where units record what they have applied."""

PROVIDER = """
provider = k8s.Provider(
    "east",
    kubeconfig=Path("kubeconfig").read_text(),
    cluster_identifier="east",
    enable_server_side_apply=True,
)
"""
"""Beginning of a program: the cluster."""

RELEASES = f"""
from components.release import ReleaseArgs
from components.tekton import TektonControllers, TektonControllersArgs
from releases.prepare import PreparedRelease
{PROVIDER}
def release(name, **more):
    digest = values[name]
    manifest = Path(f"{{name}}-{{digest}}.yaml")
    prepared = PreparedRelease(name=name, version="v1", sha256=digest, manifest=manifest)
    return ReleaseArgs(
        release=prepared, cluster=provider, kubeconfig="kubeconfig", incarnation=0, state="active", **more
    )
"""
"""Beginning of a program: the cluster, and releases on it whose digests (`write_release`) are its values."""


@contextmanager
def cluster(folder: Path, *namespaces: str) -> Iterator[ControlPlane]:
    """Run a cluster that has our namespace, and others, until the end of the block."""
    require_binaries("pulumi", "kubectl")
    directory = folder / "plane"
    directory.mkdir()
    with control_plane(directory) as running:
        for name in ("pipeline-service", *namespaces):
            running.create("/api/v1/namespaces", {"metadata": {"name": name}})
        yield running


def cluster_project(folder: Path, plane: ControlPlane, program: str = "") -> PulumiProject:
    """Make a project whose folder has what units are run with."""
    made = PulumiProject(folder / "project")
    for part in (".venv", "components", "releases", "units"):
        (made.directory / part).symlink_to(ROOT / part)
    (made.directory / "kubeconfig").write_text(plane.kubeconfig())
    made.write(program)
    return made


def write_release(project: PulumiProject, name: str, objects: list[dict[str, Any]]) -> str:
    """Write a release's manifest where programs look for it, and return its digest."""
    text = serialize(objects)
    digest = hashlib.sha256(text.encode()).hexdigest()
    (project.directory / f"{name}-{digest}.yaml").write_text(text)
    return digest


def definition(group: str, version: str, plural: str, kind: str, scope: str = "Namespaced") -> dict[str, Any]:
    """Make the definition of a kind that takes anything."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"plural": plural, "kind": kind},
            "scope": scope,
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": anything},
                    "subresources": {"status": {}},
                }
            ],
        },
    }
