"""What somebody else has installed: refused, or taken over whole."""

from typing import Any

import pytest

from components.argocd_manifests import APPLICATION
from tests.support.fake_kubectl import FakeApi, FakeKubectl, manifest
from tests.unit.units.test_runner import request, run_apply
from units.adoption import take_over
from units.errors import KubectlError, UnitError
from units.manifest import Identity


def by(manager: str, **more: str) -> dict[str, Any]:
    fields = {"manager": manager, "operation": "Update", **more}
    return {"metadata": {"name": "controller", "namespace": "x", "managedFields": [fields]}}


def delivered(tracking: str | None) -> dict[str, Any]:
    one = {**manifest("Deployment", "controller", "apps/v1"), **by("argocd-controller")}
    if tracking:
        one["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": tracking}
    return one


@pytest.mark.parametrize("tracking", [None, "tekton:apps/Deployment:x/controller", "pipeline-service-2:x"])
def test_what_another_argo_cd_has_installed_is_refused(tracking: str | None) -> None:
    kubectl = FakeKubectl()
    kubectl.add(delivered(tracking))
    with pytest.raises(UnitError, match="installed already by argocd-controller: Deployment x/controller"):
        run_apply(kubectl, manifest("Deployment", "controller", "apps/v1", "x"))


class Rolling:
    """An object that changes as often as is said, between being read and being patched."""

    def __init__(self, changes: int) -> None:
        self.changes = changes
        self.kept: list[Any] = []
        self.api = RollingApi(self)


class RollingApi(FakeApi):
    def __init__(self, rolling: Rolling) -> None:
        self._rolling = rolling

    def find(self, identity: Identity) -> dict[str, Any]:
        live = {**identity.reference(), **by("kubectl-create")}
        live["metadata"]["resourceVersion"] = str(self._rolling.changes)
        return live

    def patch(self, identity: Identity, patch: dict[str, Any], _manager: str) -> None:
        seen = patch["metadata"]["resourceVersion"]
        if self._rolling.changes:
            self._rolling.changes -= 1
        if seen != str(self._rolling.changes):
            raise KubectlError(f"{identity}: Error from server (Conflict): x: the object has been modified")
        self._rolling.kept.append(patch["metadata"]["managedFields"])


def test_an_object_that_changes_meanwhile_is_read_anew_to_be_taken_over() -> None:
    ours = [manifest("Deployment", "controller", "apps/v1", "x")]
    for changes in (0, 2):
        kubectl = Rolling(changes)
        take_over(kubectl, request(), ours)  # type: ignore[arg-type]
        assert (kubectl.kept, kubectl.changes) == ([[]], 0)
    with pytest.raises(UnitError, match="changes all the time"):
        take_over(Rolling(1000), request(), ours)  # type: ignore[arg-type]


def test_what_kubectl_apply_held_is_the_units_and_applied_once_more() -> None:
    # Else a field of theirs that the unit's manifest doesn't have would stay for ever.
    theirs = manifest("ConfigMap", "settings", namespace="x")
    annotation: dict[str, Any] = {"f:kubectl.kubernetes.io/last-applied-configuration": {}}
    theirs["metadata"] |= {
        "resourceVersion": "1",
        "managedFields": [
            {
                "manager": "kubectl-client-side-apply",
                "operation": "Update",
                "fieldsV1": {"f:metadata": {"f:annotations": annotation}, "f:data": {"f:old": {}}},
            },
            {"manager": "pipeline-service", "operation": "Apply", "fieldsV1": {"f:data": {"f:new": {}}}},
            {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:data": {"f:edited": {}}}},
        ],
    }
    kubectl = FakeKubectl()
    kubectl.add(theirs)
    ours = manifest("ConfigMap", "settings", namespace="x")
    assert take_over(kubectl, request(), [ours]) == [ours]  # type: ignore[arg-type]
    [(_, patch)] = kubectl.patched
    [left] = patch["metadata"]["managedFields"]
    assert left["fieldsV1"] == {
        "f:metadata": {"f:annotations": annotation},
        "f:data": {"f:old": {}, "f:new": {}},
    }


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_what_somebody_else_has_installed_is_refused_before_anything_is_touched(kind: str) -> None:
    kubectl = FakeKubectl()
    theirs = {**manifest(kind, "controller", "apps/v1", namespace="x"), **by("kubectl-client-side-apply")}
    kubectl.add(theirs)
    ours = [manifest("ConfigMap", "config", namespace="x"), manifest(kind, "controller", "apps/v1", "x")]
    with pytest.raises(
        UnitError,
        match=rf"tekton v1: installed already by kubectl-client-side-apply: {kind} x/controller; "
        r"remove it, or .*add tekton to the list adopt of the cluster's entry",
    ):
        run_apply(kubectl, *ours)
    assert list(kubectl.objects.values()) == [theirs]

    run_apply(kubectl, *ours, UNIT_ADOPT="true")
    # All but the record of before, which is always this program's.
    assert kubectl.forced == [True, True, True, True]
    run_apply(kubectl, *ours)
    assert kubectl.forced[-2] is False


@pytest.mark.parametrize(
    "there",
    [
        manifest("ConfigMap", "config", namespace="x"),
        {**manifest("Deployment", "controller", "apps/v1"), **by("pipeline-service")},
        delivered(f"{APPLICATION}:apps/Deployment:x/controller"),
        {**manifest("Deployment", "another", "apps/v1"), "metadata": {"name": "another", "namespace": "x"}},
    ],
    ids=["prepared", "record-lost", "delivered-by-argo-cd", "neighbour"],
)
def test_what_is_no_installation_of_others_is_no_reason_to_refuse(there: dict[str, Any]) -> None:
    kubectl = FakeKubectl()
    kubectl.add(there)
    ours = [
        manifest("ConfigMap", "config", namespace="x"),
        manifest("Deployment", "controller", "apps/v1", "x"),
    ]
    assert run_apply(kubectl, *ours).startswith("tekton v1: 2 objects applied")
