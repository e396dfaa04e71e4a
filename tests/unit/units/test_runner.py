"""The units' runner, against an API server in memory."""

import hashlib
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fake_kubectl import FakeKubectl, definition, manifest
from units.apply import apply
from units.delete import delete
from units.errors import KubectlError, UnitError, passes_by_itself
from units.inventory import read_inventory
from units.kubectl import Kubectl
from units.manifest import identify, in_apply_order, in_delete_stages, parse
from units.request import Request, read_request
from units.wait import _rolled_out, wait

PROJECT = Path(__file__).parents[3]
NAMESPACE = manifest("Namespace", "pipeline-service")


def request(text: str = "", **more: str) -> Request:
    environment = {
        "UNIT_NAME": "tekton",
        "UNIT_VERSION": "v1",
        "UNIT_SHA256": hashlib.sha256(text.encode()).hexdigest(),
        "UNIT_KUBECONFIG": "kubeconfig",
        "UNIT_NAMESPACE": "pipeline-service",
        "UNIT_FIELD_MANAGER": "pipeline-service",
        **more,
    }
    return read_request(environment)


def run_apply(kubectl: FakeKubectl, *manifests: dict[str, Any], **more: str) -> str:
    text = yaml.safe_dump_all(manifests)
    return apply(kubectl, request(text, **more), text)  # type: ignore[arg-type]


def run_delete(kubectl: FakeKubectl, **more: str) -> str:
    return delete(kubectl, request(**more))  # type: ignore[arg-type]


def test_a_unit_without_a_version_is_called_by_its_name_alone() -> None:
    kubectl = FakeKubectl()
    assert run_apply(kubectl, manifest("ConfigMap", "x")).startswith("tekton v1: 1 objects")
    assert run_apply(kubectl, manifest("ConfigMap", "x"), UNIT_VERSION="").startswith("tekton: 1 objects")


def names(kubectl: FakeKubectl) -> set[str]:
    return {f"{one.kind}/{one.name}" for one in kubectl.objects}


def test_the_record_is_written_before_anything_is_applied() -> None:
    kubectl = FakeKubectl()
    kubectl.refuse["broken"] = "Error: broken is invalid"
    with pytest.raises(UnitError, match="broken is invalid"):
        run_apply(kubectl, manifest("ConfigMap", "fine"), manifest("ConfigMap", "broken"))
    recorded = read_inventory(kubectl, request())  # type: ignore[arg-type]
    assert recorded is not None
    assert {one.name for one in recorded.objects} == {"fine", "broken"}


def test_a_run_that_was_cut_off_is_finished_by_the_next() -> None:
    kubectl = FakeKubectl()
    kubectl.refuse["b"] = "Error: cut off"
    with pytest.raises(UnitError):
        run_apply(kubectl, manifest("ConfigMap", "a"), manifest("ConfigMap", "b"))
    del kubectl.refuse["b"]
    # The next run has another manifest already: what the first left behind is known, and goes.
    run_apply(kubectl, manifest("ConfigMap", "c"))
    assert names(kubectl) == {"ConfigMap/c", "ConfigMap/unit-tekton"}


def test_applying_again_changes_nothing_more() -> None:
    kubectl = FakeKubectl()
    first = run_apply(kubectl, NAMESPACE, manifest("ConfigMap", "a"))
    before = dict(kubectl.objects)
    assert run_apply(kubectl, NAMESPACE, manifest("ConfigMap", "a")) == first
    assert kubectl.objects == before
    assert kubectl.deleted == []


def test_what_dropped_out_is_pruned() -> None:
    kubectl = FakeKubectl()
    run_apply(kubectl, manifest("ConfigMap", "a"), manifest("ConfigMap", "b"))
    kubectl.add(manifest("ConfigMap", "somebody-elses"))
    done = run_apply(kubectl, manifest("ConfigMap", "a"))
    assert "1 pruned" in done
    assert names(kubectl) == {"ConfigMap/a", "ConfigMap/somebody-elses", "ConfigMap/unit-tekton"}


def test_an_object_that_moves_to_another_api_version_is_not_pruned() -> None:
    kubectl = FakeKubectl()
    run_apply(kubectl, manifest("Widget", "w", "x.io/v1beta1"))
    run_apply(kubectl, manifest("Widget", "w", "x.io/v1"))
    assert kubectl.deleted == []


def test_a_definition_with_objects_is_never_pruned_and_stays_recorded() -> None:
    kubectl = FakeKubectl()
    run_apply(kubectl, definition("Widget", "x.io"), definition("Gadget", "x.io"))
    kubectl.add(manifest("Widget", "precious", "x.io/v1", "team"))
    done = run_apply(kubectl, manifest("ConfigMap", "a"))
    assert "CustomResourceDefinition widgets.x.io" in done
    assert names(kubectl) >= {"CustomResourceDefinition/widgets.x.io", "Widget/precious"}
    assert "CustomResourceDefinition/gadgets.x.io" not in names(kubectl)
    del kubectl.objects[identify(manifest("Widget", "precious", "x.io/v1", "team"))]
    run_apply(kubectl, manifest("ConfigMap", "a"))
    assert "CustomResourceDefinition/widgets.x.io" not in names(kubectl)


def test_objects_of_a_definition_are_applied_once_it_is_established() -> None:
    class Watched(FakeKubectl):
        def add(self, *manifests: dict[str, Any]) -> None:
            assert manifests[0]["kind"] != "Widget" or self.unestablished < 0
            super().add(*manifests)

    kubectl = Watched()
    kubectl.unestablished = 3
    run_apply(
        kubectl, manifest("Widget", "w", "x.io/v1"), definition("Widget", "x.io"), manifest("ConfigMap", "a")
    )
    kinds = [one.kind for one in kubectl.applied]
    assert kinds[1:-1] == ["CustomResourceDefinition", "ConfigMap", "Widget"]
    assert kubectl.unestablished == -1


def test_the_records_own_namespace_is_applied_first() -> None:
    kubectl = FakeKubectl()
    run_apply(kubectl, manifest("ConfigMap", "a"), NAMESPACE)
    assert kubectl.applied[0].name == "pipeline-service"


def test_fields_of_others_are_reported_and_taken_back_only_by_a_raised_incarnation() -> None:
    kubectl = FakeKubectl()
    kubectl.refuse["a"] = (
        'error: Apply failed with 1 conflict: conflict with "kubectl-edit" using v1: .data.x'
    )
    with pytest.raises(
        UnitError, match=r"held by kubectl-edit: \.data\.x in .*raise the entry's incarnation"
    ):
        run_apply(kubectl, manifest("ConfigMap", "a"))
    kubectl.refuse.clear()
    run_apply(kubectl, manifest("ConfigMap", "a"), UNIT_INCARNATION="1")
    forced = dict(zip([one.name for one in kubectl.applied], kubectl.forced, strict=True))
    assert forced["a"] is True


def test_a_unit_with_a_right_to_its_fields_takes_them_at_once() -> None:
    # A tenant's admin who changed our role binding could otherwise keep every later grant and revoke out.
    kubectl = FakeKubectl()
    run_apply(kubectl, manifest("ConfigMap", "a"), UNIT_FORCE="true")
    forced = dict(zip([one.name for one in kubectl.applied], kubectl.forced, strict=True))
    assert forced["a"] is True


def test_a_manifest_that_is_not_the_reviewed_one_is_refused() -> None:
    kubectl = FakeKubectl()
    with pytest.raises(UnitError, match="was asked for"):
        apply(kubectl, request("reviewed"), "changed")  # type: ignore[arg-type]
    assert kubectl.applied == []


def test_what_units_share_comes_before_the_manifest_and_is_in_its_digest(tmp_path: Path) -> None:
    shared = tmp_path / "shared.yaml"
    shared.write_text(yaml.safe_dump_all([manifest("ConfigMap", "shared")], explicit_start=True))
    own = "# a heading\n" + yaml.safe_dump_all([manifest("ConfigMap", "own")], explicit_start=True)
    asked = request(shared.read_text() + own, UNIT_SHARED=str(shared))
    kubectl = FakeKubectl()
    apply(kubectl, asked, own)  # type: ignore[arg-type]
    assert {"shared", "own"} <= {one.name for one in kubectl.applied}

    kubectl = FakeKubectl()
    with shared.open("a") as file:
        file.write("---\n")
    with pytest.raises(UnitError, match="was asked for"):
        apply(kubectl, asked, own)  # type: ignore[arg-type]
    shared.unlink()
    with pytest.raises(UnitError, match=r"shared\.yaml can't be read \(No such file.*run pulumi preview"):
        apply(kubectl, asked, own)  # type: ignore[arg-type]
    assert kubectl.applied == []


def test_delete_needs_no_manifest_and_leaves_nothing() -> None:
    kubectl = FakeKubectl()
    run_apply(
        kubectl,
        NAMESPACE,
        definition("Widget", "x.io"),
        manifest("Widget", "w", "x.io/v1"),
        manifest("Deployment", "d", "apps/v1", "pipeline-service"),
        manifest("ClusterRole", "r", "rbac.authorization.k8s.io/v1"),
    )
    run_delete(kubectl)
    assert names(kubectl) == set()
    assert [one.kind for one in kubectl.deleted] == [
        "Widget",
        "CustomResourceDefinition",
        "Deployment",
        "ClusterRole",
        "ConfigMap",
        "Namespace",
    ]


def test_delete_of_what_was_never_made_is_no_error() -> None:
    assert "nothing is recorded" in run_delete(FakeKubectl())


def test_the_record_stays_until_everything_is_gone() -> None:
    kubectl = FakeKubectl()
    run_apply(kubectl, manifest("ConfigMap", "a"), manifest("Service", "stuck"))
    kubectl.refuse["stuck"] = "error: timed out waiting for the condition on services/stuck"
    with pytest.raises(UnitError, match="stuck"):
        run_delete(kubectl)
    del kubectl.refuse["stuck"]
    run_delete(kubectl)
    assert names(kubectl) == set()


def test_a_tenants_workspace_that_is_gone_already_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "kcp.kubeconfig"
    file.write_text(json.dumps({"clusters": [{"cluster": {"server": "https://kcp:6443"}}]}))
    more = {"UNIT_KUBECONFIG": str(file), "UNIT_WORKSPACE": "root:tenants:demo"}
    kubectl = FakeKubectl()
    kubectl.refuse["configmap"] = "Error from server (Forbidden): access denied"
    assert "gone already" in run_delete(kubectl, **more)
    kubectl.workspaces.add("demo")
    with pytest.raises(KubectlError, match="access denied"):
        run_delete(kubectl, **more)


def test_users_lose_access_before_their_objects_go_and_stuck_ones_are_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("units.delete._DRAIN_SECONDS", 0)
    kubectl = FakeKubectl()
    run_apply(
        kubectl,
        NAMESPACE,
        manifest("RoleBinding", "admins", "rbac.authorization.k8s.io/v1", "default"),
        manifest("APIBinding", "pipelines", "apis.kcp.io/v1alpha2"),
    )
    free = manifest("Task", "free", "tekton.dev/v1", "default")
    stuck = manifest("Task", "stuck", "tekton.dev/v1", "default")
    stuck["metadata"]["finalizers"] = ["syncagent.kcp.io/cleanup", "somebody/elses"]
    kubectl.add(free, stuck)
    done = run_delete(
        kubectl,
        UNIT_DRAIN='["tasks.tekton.dev"]',
        UNIT_RELEASE_FINALIZERS='["syncagent.kcp.io/cleanup"]',
    )
    assert "1 objects were let go by force" in done
    assert [one.kind for one in kubectl.deleted] == [
        "RoleBinding",
        "Task",
        "APIBinding",
        "ConfigMap",
        "Namespace",
    ]
    [(_, patch)] = kubectl.patched
    assert patch["metadata"]["finalizers"] == ["somebody/elses"]


def test_what_goes_by_itself_while_it_is_being_let_go_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # A tenant with 200 runs could not be removed: a run that the agent had let go meanwhile failed the unit.
    monkeypatch.setattr("units.delete._DRAIN_SECONDS", 0)
    kubectl = FakeKubectl()
    run_apply(kubectl, manifest("APIBinding", "pipelines", "apis.kcp.io/v1alpha2"))
    gone = manifest("Task", "gone", "tekton.dev/v1", "default")
    gone["metadata"]["finalizers"] = ["syncagent.kcp.io/cleanup"]
    kubectl.add(gone)
    arguments = {
        "UNIT_DRAIN": '["tasks.tekton.dev"]',
        "UNIT_RELEASE_FINALIZERS": '["syncagent.kcp.io/cleanup"]',
    }
    kubectl.refuse["gone"] = 'Error from server (NotFound): tasks.tekton.dev "gone" not found'
    run_delete(kubectl, **arguments)
    assert "APIBinding" in [one.kind for one in kubectl.deleted]


def test_what_a_unit_held_is_let_go_once_the_unit_is_gone_and_nothing_else_is_touched() -> None:
    # Without Chains nobody takes its finalizer off a run: the run, its namespace and its tenant could not go.
    kubectl = FakeKubectl()
    run_apply(kubectl, manifest("Deployment", "chains", "apps/v1", "default"))
    held = manifest("PipelineRun", "held", "tekton.dev/v1", "default")
    held["metadata"]["finalizers"] = ["chains.tekton.dev/pipelinerun", "somebody/elses"]
    free = manifest("PipelineRun", "free", "tekton.dev/v1", "default")
    free["metadata"]["finalizers"] = ["somebody/elses"]
    kubectl.add(held, free)
    let_go = [{"resource": "pipelineruns.tekton.dev", "finalizer": "chains.tekton.dev/pipelinerun"}]
    run_delete(kubectl, UNIT_LET_GO=json.dumps(let_go))
    [(patched, patch)] = kubectl.patched
    assert (patched.name, patch["metadata"]["finalizers"]) == ("held", ["somebody/elses"])
    assert "PipelineRun/free" in names(kubectl)


def test_namespaces_that_no_server_lets_go_are_not_asked_for() -> None:
    # A tenant's unit failed here: "namespaces "default" is forbidden: this namespace may not be deleted".
    kubectl = FakeKubectl()
    run_apply(kubectl, manifest("Namespace", "default"))
    kubectl.refuse["default"] = "Error from server (Forbidden): this namespace may not be deleted"
    run_delete(kubectl)
    assert names(kubectl) == {"Namespace/default"}


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(UnitError, match="UNIT_KUBECONFIG is not set"):
        read_request({})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "can't be read"),
        ("just text", "not an object"),
        ("kind: X", "not an object"),
        ("{broken", "can't be read"),
    ],
)
def test_what_is_no_manifest_is_refused(text: str, why: str) -> None:
    with pytest.raises(UnitError, match=why):
        parse(text)


def test_an_object_named_twice_is_refused() -> None:
    with pytest.raises(UnitError, match="ConfigMap a twice"):
        parse(yaml.safe_dump_all([manifest("ConfigMap", "a"), manifest("ConfigMap", "a")]))


KINDS = st.sampled_from(
    ["Namespace", "CustomResourceDefinition", "ClusterRole", "ConfigMap", "Service", "Deployment", "Widget"]
)


@given(st.lists(st.tuples(KINDS, st.from_regex(r"[a-z]{1,4}", fullmatch=True)), unique=True))
def test_whatever_is_applied_is_deleted_and_the_order_of_the_file_doesnt_matter(
    objects: list[tuple[str, str]],
) -> None:
    manifests = [manifest(kind, name, "x/v1") for kind, name in objects]
    identities = [identify(one) for one in manifests]
    stages = in_delete_stages(identities)
    assert sorted(one for stage in stages for one in stage) == sorted(identities)
    assert stages == in_delete_stages(reversed(identities))
    order = [identify(one).stage for one in in_apply_order(manifests)]
    assert order == sorted(order)


def test_a_workload_has_its_volume_and_what_it_is_held_to_as_long_as_it_runs() -> None:
    kinds = ("PersistentVolumeClaim", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    manifests = [manifest("Deployment", "d"), *(manifest(kind, "x") for kind in kinds)]
    assert [one["kind"] for one in in_apply_order(manifests)] == [*kinds, "Deployment"]
    first, second = in_delete_stages([identify(one) for one in manifests])
    assert [one.kind for one in first] == ["Deployment"]
    assert {one.kind for one in second} == set(kinds)


def test_what_others_leave_behind_goes_after_the_units_objects_and_before_its_record() -> None:
    kubectl = FakeKubectl()
    label = {"olm/operator": ""}
    for name, namespace, marked in (("ours", "o", label), ("theirs", "o", {}), ("elsewhere", "p", label)):
        left = manifest("ClusterServiceVersion", name, "operators.coreos.com/v1", namespace=namespace)
        left["metadata"]["labels"] = marked
        kubectl.add(left)
    run_apply(kubectl, NAMESPACE, manifest("Subscription", "s", "operators.coreos.com/v1", namespace="o"))
    leftover = {
        "resource": "clusterserviceversions.operators.coreos.com",
        "namespace": "o",
        "selector": "olm/operator",
    }
    run_delete(kubectl, UNIT_LEFTOVERS=json.dumps([leftover]))
    assert [one.name for one in kubectl.deleted] == ["s", "ours", "unit-tekton", "pipeline-service"]


def run_wait(kubectl: FakeKubectl, *manifests: dict[str, Any], **more: str) -> str:
    """Wait for what was applied, knowing of it no more than its digest."""
    return wait(kubectl, request(yaml.safe_dump_all(manifests), **more))  # type: ignore[arg-type]


def test_the_record_tells_what_is_to_be_waited_for() -> None:
    kubectl = FakeKubectl()
    status = {"observedGeneration": 1, "updatedReplicas": 1, "availableReplicas": 1}
    workload = manifest("Deployment", "agent", "apps/v1", "x", spec={"replicas": 1}, status=status)
    workload["metadata"]["generation"] = 1
    unit = (definition("Widget", "x.io"), workload, manifest("ConfigMap", "a"))
    run_apply(kubectl, *unit)
    kubectl.unestablished = 2
    assert run_wait(kubectl, *unit) == "tekton v1: 1 workloads available"
    # The definition was looked at until it was served.
    assert kubectl.unestablished == -1
    kubectl.add({**workload, "status": {**status, "updatedReplicas": 0}})
    with pytest.raises(UnitError, match="not available in time: Deployment x/agent"):
        run_wait(kubectl, *unit, UNIT_WAIT_SECONDS="0")


def test_what_is_not_recorded_as_applied_is_not_taken_for_there() -> None:
    kubectl = FakeKubectl()
    old, new = manifest("ConfigMap", "old"), manifest("ConfigMap", "new")
    with pytest.raises(UnitError, match="nothing is recorded as applied"):
        run_wait(kubectl, old)
    run_apply(kubectl, old)
    assert run_wait(kubectl, old) == "tekton v1: is there"
    with pytest.raises(
        UnitError, match=r"the manifest \w{64} is recorded as applied .* raise the entry's inc"
    ):
        run_wait(kubectl, new)
    kubectl.refuse["new"] = "Error: cut off"
    with pytest.raises(UnitError, match="cut off"):
        run_apply(kubectl, new)
    # An application that was cut off has recorded its digest already.
    with pytest.raises(UnitError, match="nothing is recorded as applied"):
        run_wait(kubectl, new)


def test_a_condition_that_does_not_hold_is_told_with_what_the_object_says() -> None:
    kubectl = FakeKubectl()
    run_apply(kubectl, manifest("ConfigMap", "x"))
    kubectl.refuse_waiting = "timed out waiting for the condition"
    conditions = [
        {"type": "CatalogSourcesUnhealthy", "status": "False", "message": "all are healthy"},
        {"type": "ResolutionFailed", "status": "True", "message": "no operators found in channel x"},
        {"type": "Quiet", "status": "True"},
    ]
    kubectl.add(manifest("Subscription", "s", "o.com/v1", namespace="o", status={"conditions": conditions}))
    wanted = [{"resource": "subscriptions.o.com/s", "namespace": "o", "for": "jsonpath={.status.state}=x"}]
    with pytest.raises(UnitError) as raised:
        run_wait(kubectl, manifest("ConfigMap", "x"), UNIT_WAIT=json.dumps(wanted), UNIT_WAIT_SECONDS="0")
    assert "ResolutionFailed is True: no operators found in channel x" in str(raised.value)
    assert "Quiet" not in str(raised.value)


def test_only_what_passes_by_itself_is_tried_again() -> None:
    assert passes_by_itself("failed calling webhook x: connection refused", 1)
    assert not passes_by_itself("dial tcp 10.0.0.1:6443: connect: connection refused", 31)
    assert passes_by_itself("dial tcp 10.0.0.1:6443: connect: connection refused", 1)
    assert passes_by_itself('no matches for kind "APIBinding" in version "v1"', 60)
    assert not passes_by_itself('no matches for kind "APIBinding" in version "v1"', 121)
    assert not passes_by_itself('The ConfigMap "a" is invalid: metadata.name', 0)
    assert not passes_by_itself('secrets is forbidden: User "x" cannot list', 0)


@pytest.mark.parametrize(
    ("status", "rolled_out"),
    [
        ({"observedGeneration": 2, "updatedReplicas": 1, "availableReplicas": 1}, True),
        # The condition Available holds here too: the old replica fulfils it.
        ({"observedGeneration": 2, "updatedReplicas": 0, "availableReplicas": 1}, False),
        ({"observedGeneration": 1, "updatedReplicas": 1, "availableReplicas": 1}, False),
        ({}, False),
    ],
)
def test_a_workload_counts_only_once_its_newest_state_runs(
    status: dict[str, int], *, rolled_out: bool
) -> None:
    assert (
        _rolled_out({"metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": status}) is rolled_out
    )


def command(tmp_path: Path, verb: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": str(tmp_path),
        "UNIT_NAME": "x",
        "UNIT_VERSION": "v1",
        "UNIT_SHA256": "0",
        "UNIT_NAMESPACE": "pipeline-service",
        "UNIT_FIELD_MANAGER": "pipeline-service",
        "UNIT_KUBECONFIG": str(tmp_path / "kubeconfig"),
        **more,
    }
    return subprocess.run(
        [sys.executable, "-m", "units", verb],
        env=environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        input="",
        check=False,
    )


def test_errors_are_one_line_without_a_traceback(tmp_path: Path) -> None:
    result = command(tmp_path, "apply")
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("error: the kubeconfig ")
    assert "--run-program" in line


@pytest.mark.parametrize("verb", ["apply", "wait", "delete"])
def test_a_lost_clusters_unit_is_forgotten_without_any_contact(tmp_path: Path, verb: str) -> None:
    # Apply and wait, too: only an update that succeeds brings the flag into the state, for the delete.
    result = command(tmp_path, verb, UNIT_ABANDONED="true")
    assert (result.returncode, result.stderr) == (0, "")


def test_no_credential_is_on_kubectls_command_line(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps({"users": [{"user": {"token": "hunter2"}}]}))
    seen = tmp_path / "seen"
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\necho "$@" >> {seen}\n')
    kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)
    assert "kubectl proxy didn't start" in command(tmp_path, "delete").stderr
    assert "hunter2" not in seen.read_text()
    assert f"--kubeconfig={kubeconfig}" in seen.read_text()


def test_what_kubectl_learnt_of_the_api_is_forgotten_before_it_is_tried_again(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("{}")
    with Kubectl(request(UNIT_KUBECONFIG=str(kubeconfig))) as kubectl:
        cache = Path(kubectl._cache.name)
        (cache / "discovery" / "host").mkdir(parents=True)
        (cache / "discovery" / "host" / "groups.json").write_text("{}")
        kubectl._forget()
        assert list(cache.iterdir()) == []
    assert not cache.exists()
