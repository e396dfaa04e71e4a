"""Objects that exist although the state does not have them, as after a killed run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.engine.plugins.conftest import KubernetesProject

PROGRAM = """
k8s.core.v1.ConfigMap("config", metadata={"name": "config", "namespace": values["namespace"]},
    data={"key": values["key"]}, opts=options)
"""
UPSERT = {"upsert_existing_objects": True, "enable_config_map_mutable": True}


def test_upserting_provider_takes_an_existing_object_over_and_updates_it_later(
    kube: KubernetesProject,
) -> None:
    path = kube.path("configmaps")
    made = kube.plane.create(path, {"metadata": {"name": "config", "labels": {"theirs": "yes"}}})
    kube.write(PROGRAM, key="one", provider=UPSERT)
    kube.project.up()
    live = kube.plane.get(f"{path}/config")
    assert live["metadata"]["uid"] == made["metadata"]["uid"]
    assert live["data"] == {"key": "one"}
    assert live["metadata"]["labels"] == {"theirs": "yes"}
    kube.set(key="two", provider=UPSERT)
    kube.project.up()
    assert kube.plane.get(f"{path}/config")["data"] == {"key": "two"}


def test_upserting_provider_takes_no_field_from_its_owner_unforced(kube: KubernetesProject) -> None:
    path = kube.path("configmaps")
    kube.plane.create(path, {"metadata": {"name": "config"}, "data": {"key": "theirs"}})
    kube.write(PROGRAM, key="mine", provider=UPSERT)
    error = kube.project.up(fails=True)
    assert "server-side apply field conflict" in error
    assert ".data.key" in error
    assert kube.plane.get(f"{path}/config")["data"] == {"key": "theirs"}
    kube.set(key="mine", provider={**UPSERT, "enable_patch_force": True})
    kube.project.up()
    assert kube.plane.get(f"{path}/config")["data"] == {"key": "mine"}
