"""Changing who owns the fields of objects that others change, too, and leaving what is handed over."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fake_kubectl import FakeKubectl, definition, manifest
from units.deliver import DIRECT, GITOPS, HANDOVER, deliver, read_delivery, undeliver
from units.errors import KubectlError, UnitError
from units.manifest import identify
from units.request import Request, read_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from units.manifest import Identity

ENVIRONMENT = {
    "UNIT_NAME": "delivery",
    "UNIT_SHA256": "0" * 64,
    "UNIT_KUBECONFIG": "kubeconfig",
    "UNIT_NAMESPACE": "pipeline-service",
    "UNIT_FIELD_MANAGER": "pipeline-service",
    "UNIT_DELIVERY_KEY": "computeClusters.east.delivery",
    "UNIT_APPLICATION": "argocd/pipeline-service",
}
REQUEST: Request = read_request(ENVIRONMENT)
ARGO = {"manager": "argocd-controller", "operation": "Apply"}
OURS = {"manager": "pipeline-service", "operation": "Apply"}
CONFLICT = (
    'Error from server (Conflict): Operation cannot be fulfilled on configmaps "x": the object has been'
    " modified; please apply your changes to the latest version and try again"
)


class Server:
    """A cluster with a record and one object, which others change before the first patches."""

    def __init__(self, record: str, changes: int = 0, **metadata: object) -> None:
        self.object = manifest("ConfigMap", "x")
        self.object["metadata"] |= {"resourceVersion": "1", **metadata}
        one = ["v1", "ConfigMap", self.object["metadata"].get("namespace", ""), "x"]
        self.record = {"data": {"delivery": record, "objects": json.dumps([one])}}
        self.changes = changes
        self.recorded: list[str] = []
        self.api = self

    def get(self, *arguments: str, **_: object) -> dict[str, Any] | None:
        return self.record if arguments[:2] == ("configmap", "delivery") else None

    def each(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        return [function(item) for item in items]

    def find(self, identity: Identity) -> dict[str, Any] | None:
        return copy.deepcopy(self.object) if identity.kind == "ConfigMap" else None

    def apply(self, sent: dict[str, Any], _manager: str) -> None:
        self.recorded.append(sent["data"]["delivery"])

    def patch(self, _identity: Identity, sent: dict[str, Any], _manager: str) -> None:
        metadata = self.object["metadata"]
        if self.changes:
            self.changes -= 1
            metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        patch = dict(sent["metadata"])
        if patch.pop("resourceVersion") != metadata["resourceVersion"]:
            raise KubectlError(CONFLICT)
        for key in ("annotations", "labels"):
            changed = {**metadata.get(key, {}), **patch.pop(key, {})}
            metadata[key] = {name: value for name, value in changed.items() if value is not None}
        metadata |= patch


def run(server: Server, wanted: str) -> str:
    return deliver(server, REQUEST, read_delivery({**ENVIRONMENT, "UNIT_DELIVERY": wanted}), "")  # type: ignore[arg-type]


def test_an_object_that_another_changes_meanwhile_is_tried_again_as_it_is_then() -> None:
    server = Server(HANDOVER, changes=2, managedFields=[ARGO, OURS])
    assert run(server, GITOPS).startswith("gitops: 1 objects")
    assert server.object["metadata"]["managedFields"] == [ARGO]
    assert server.recorded == [GITOPS]


def test_one_that_changes_all_the_time_is_told_and_nothing_is_recorded() -> None:
    server = Server(HANDOVER, changes=99, managedFields=[ARGO, OURS])
    with pytest.raises(UnitError, match=r"ConfigMap .*x changes all the time"):
        run(server, GITOPS)
    assert server.recorded == []


def test_what_is_taken_back_loses_argo_cds_marks_and_keeps_the_others() -> None:
    marks = {"argocd.argoproj.io/tracking-id": "x", "a/b": "stays"}
    server = Server(HANDOVER, managedFields=[ARGO], annotations=marks, labels={"c": "stays"})
    assert run(server, DIRECT).startswith("direct: 1 objects")
    metadata = server.object["metadata"]
    assert (metadata["annotations"], metadata["labels"]) == ({"a/b": "stays"}, {"c": "stays"})
    # An empty list would leave the owners as they were.
    assert metadata["managedFields"] == [{}]


@pytest.mark.parametrize("asked", [DIRECT, HANDOVER, GITOPS])
def test_a_cluster_in_handover_is_not_left(asked: str) -> None:
    delivery = read_delivery({**ENVIRONMENT, "UNIT_DELIVERY": asked})
    with pytest.raises(UnitError, match=r"computeClusters\.east\.delivery: .* would be forgotten"):
        undeliver(Server(HANDOVER), REQUEST, delivery)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("record", "said"), [(DIRECT, "nothing is Argo CD's"), (GITOPS, "stays on the cluster")]
)
def test_one_in_any_other_delivery_is(record: str, said: str) -> None:
    delivery = read_delivery({**ENVIRONMENT, "UNIT_DELIVERY": record})
    assert said in undeliver(Server(record), REQUEST, delivery)  # type: ignore[arg-type]


RUN = {
    **manifest("PipelineRun", "signed", "tekton.dev/v1", namespace="ci"),
    "metadata": {
        "name": "signed",
        "namespace": "ci",
        "finalizers": ["chains.tekton.dev/pipelinerun", "a.b/c"],
    },
}
CHAINS = ("tekton-chains/tekton-chains-controller", "chains.tekton.dev/pipelinerun")
WATCHER = ("pipelines-as-code/pipelines-as-code-watcher", "pipelinesascode.tekton.dev/finalizer")


def holders(wanted: dict[tuple[str, str], bool]) -> dict[str, str]:
    """Say who puts which finalizer on runs, and whether it is wanted."""
    made = [
        {
            "deployment": deployment,
            "let_go": [{"resource": "pipelineruns.tekton.dev", "finalizer": finalizer}],
            "wanted": is_wanted,
        }
        for (deployment, finalizer), is_wanted in wanted.items()
    ]
    return {
        **ENVIRONMENT,
        "UNIT_DELIVERY": GITOPS,
        "UNIT_HOLDERS": json.dumps(made),
        "UNIT_WAIT_SECONDS": "0",
    }


def test_finalizers_of_what_argo_cd_has_taken_away_are_taken_off_and_not_before() -> None:
    # Argo CD deletes a release, and knows nothing of what it has put on objects of others.
    kubectl = FakeKubectl()
    chains = manifest("Deployment", "tekton-chains-controller", "apps/v1", "tekton-chains")
    kubectl.add(copy.deepcopy(RUN), chains)

    def finalizers() -> list[str]:
        found = kubectl.named("signed")
        assert found is not None
        return list(found["metadata"]["finalizers"])

    def go(*, wanted: bool = False) -> str:
        variables = holders({CHAINS: wanted})
        return deliver(kubectl, read_request(variables), read_delivery(variables), "")  # type: ignore[arg-type]

    # Where it never was by our doing, it is somebody else's.
    go()
    assert finalizers() == RUN["metadata"]["finalizers"]
    go(wanted=True)
    assert finalizers() == RUN["metadata"]["finalizers"]
    for _ in range(2):
        with pytest.raises(UnitError, match=r"Deployment tekton-chains/tekton-chains-controller is still th"):
            go()
    assert finalizers() == RUN["metadata"]["finalizers"]
    del kubectl.objects[identify(chains)]
    go()
    assert finalizers() == ["a.b/c"]
    kubectl.add(copy.deepcopy(RUN))
    go()
    assert finalizers() == RUN["metadata"]["finalizers"]


def test_only_the_finalizers_of_who_has_left_are_taken_off() -> None:
    kubectl = FakeKubectl()
    run = copy.deepcopy(RUN)
    run["metadata"]["finalizers"] = [CHAINS[1], WATCHER[1]]
    kubectl.add(run)

    def finalizers(**wanted: bool) -> list[str]:
        variables = holders({CHAINS: wanted["chains"], WATCHER: wanted["watcher"]})
        deliver(kubectl, read_request(variables), read_delivery(variables), "")  # type: ignore[arg-type]
        found = kubectl.named("signed")
        assert found is not None
        return list(found["metadata"]["finalizers"])

    assert finalizers(chains=True, watcher=True) == [CHAINS[1], WATCHER[1]]
    assert finalizers(chains=True, watcher=False) == [CHAINS[1]]
    # What it was told before is not forgotten with that.
    assert finalizers(chains=False, watcher=False) == []


APPLICATIONS = definition("Application", "argoproj.io")


def application(*resources: dict[str, Any]) -> dict[str, Any]:
    status = {"resources": list(resources)}
    return manifest("Application", "pipeline-service", "argoproj.io/v1alpha1", "argocd", status=status)


def in_handover() -> FakeKubectl:
    kubectl = FakeKubectl()
    record = {"data": {"delivery": HANDOVER, "objects": "[]"}}
    kubectl.add({**manifest("ConfigMap", "delivery", namespace="pipeline-service"), **record}, APPLICATIONS)
    return kubectl


def delivered(kubectl: FakeKubectl, wanted: str) -> str:
    variables = {**ENVIRONMENT, "UNIT_DELIVERY": wanted}
    return deliver(kubectl, REQUEST, read_delivery(variables), "[]")  # type: ignore[arg-type]


@pytest.mark.parametrize("wanted", [HANDOVER, GITOPS])
def test_a_cluster_is_not_left_to_an_argo_cd_that_follows_nothing(wanted: str) -> None:
    # After a way to direct that failed halfway, the engine saw no change in the unit of the Application.
    kubectl = in_handover()
    with pytest.raises(
        UnitError, match=r"argocd/pipeline-service is not there, .*raise computeClusters\.east\."
    ):
        delivered(kubectl, wanted)
    kubectl.add(application())
    assert delivered(kubectl, wanted).startswith(wanted)


def test_what_argo_cd_has_yet_to_remove_is_not_left_behind() -> None:
    kubectl = in_handover()
    kubectl.add(
        application(
            {"kind": "ConfigMap", "name": "stays"},
            {"kind": "ConfigMap", "name": "leaves", "requiresPruning": True},
        )
    )
    with pytest.raises(UnitError, match=r"has yet to remove what left the repository: ConfigMap leaves;"):
        delivered(kubectl, DIRECT)
    assert kubectl.named("pipeline-service", "Application")
    kubectl.add(application({"kind": "ConfigMap", "name": "stays"}))
    delivered(kubectl, DIRECT)
    assert not kubectl.named("pipeline-service", "Application")
