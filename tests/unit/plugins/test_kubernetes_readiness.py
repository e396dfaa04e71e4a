from __future__ import annotations

from typing import Any

import pytest

from local.plugins.kubernetes.jsonpath import find, parse_jsonpath
from local.plugins.kubernetes.objects import Kind
from local.plugins.kubernetes.readiness import (
    daemon_set,
    deployment,
    endpoints_ready,
    job,
    load_balancer,
    pod,
    readiness_of,
    resource_quota,
    service_needs_endpoints,
    stateful_set,
    token_secret,
    wait_for,
)
from local.plugins.protocol.errors import ProviderError, UnsupportedError

WORKLOAD = {"metadata": {"generation": 2}, "spec": {"replicas": 2}}


def with_status(**status: Any) -> dict[str, Any]:  # noqa: ANN401
    return {**WORKLOAD, "status": {"observedGeneration": 2, **status}}


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (WORKLOAD, "the controller has not seen the Deployment yet"),
        (with_status(observedGeneration=1), "the controller has not seen the Deployment yet"),
        (with_status(updatedReplicas=1), "1 of 2 replicas updated"),
        (with_status(updatedReplicas=2, replicas=3), "1 old replicas are still there"),
        (
            with_status(updatedReplicas=2, replicas=2, availableReplicas=1),
            "1 of 2 updated replicas available",
        ),
        (
            with_status(
                conditions=[
                    {
                        "type": "Progressing",
                        "reason": "ProgressDeadlineExceeded",
                        "message": "no nodes",
                        "status": "False",
                    }
                ]
            ),
            "0 of 2 replicas updated: no nodes",
        ),
        (with_status(updatedReplicas=2, replicas=2, availableReplicas=2), ""),
        ({"spec": {"replicas": 0}}, ""),
    ],
)
def test_deployment_is_ready_when_rolled_out(obj: dict[str, Any], message: str) -> None:
    assert deployment(obj).message == message
    assert deployment(obj).ready is (message == "")


@pytest.mark.parametrize(
    ("obj", "ready"),
    [
        (with_status(readyReplicas=2, updatedReplicas=2), True),
        (with_status(readyReplicas=1, updatedReplicas=2), False),
        (with_status(readyReplicas=2, updatedReplicas=1, currentRevision="a", updateRevision="b"), False),
        (with_status(observedGeneration=1, readyReplicas=2), False),
    ],
)
def test_stateful_set_is_ready_when_every_replica_is(obj: dict[str, Any], *, ready: bool) -> None:
    assert stateful_set(obj).ready is ready


@pytest.mark.parametrize(
    ("obj", "ready"),
    [
        (with_status(desiredNumberScheduled=2, updatedNumberScheduled=2, numberAvailable=2), True),
        (with_status(desiredNumberScheduled=2, updatedNumberScheduled=1, numberAvailable=2), False),
        (with_status(desiredNumberScheduled=2, updatedNumberScheduled=2, numberAvailable=1), False),
        (with_status(observedGeneration=1), False),
    ],
)
def test_daemon_set_is_ready_when_available_on_every_node(obj: dict[str, Any], *, ready: bool) -> None:
    assert daemon_set(obj).ready is ready


def condition(name: str, status: str = "True", **more: str) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": name, "status": status, **more}]}}


def test_job_is_ready_when_complete_and_failed_for_good_when_failed() -> None:
    assert job(condition("Complete")).ready
    assert not job({}).ready
    assert job(condition("Failed", message="BackoffLimitExceeded")).failed
    assert "BackoffLimitExceeded" in job(condition("Failed", message="BackoffLimitExceeded")).message


def test_pod_is_ready_when_ready_or_done() -> None:
    assert pod(condition("Ready")).ready
    assert pod({"status": {"phase": "Succeeded"}}).ready
    assert "Pending" in pod({}).message


def test_quota_is_ready_when_its_limits_are_in_force() -> None:
    assert not resource_quota({"spec": {"hard": {"pods": "4"}}}).ready
    assert resource_quota({"spec": {"hard": {"pods": "4"}}, "status": {"hard": {"pods": "4"}}}).ready


def test_only_token_secrets_are_waited_for() -> None:
    assert token_secret({"type": "Opaque"}).ready
    assert not token_secret({"type": "kubernetes.io/service-account-token"}).ready
    assert token_secret({"type": "kubernetes.io/service-account-token", "data": {"token": "x"}}).ready


@pytest.mark.parametrize(
    ("spec", "needed"),
    [
        ({"selector": {"app": "a"}}, True),
        ({"selector": {"app": "a"}, "clusterIP": "None"}, False),
        ({"selector": {"app": "a"}, "type": "ExternalName"}, False),
        ({}, False),
    ],
)
def test_service_needs_an_endpoint_where_it_selects_pods_and_has_an_address(
    spec: dict[str, Any], *, needed: bool
) -> None:
    assert service_needs_endpoints({"spec": spec}) is needed


def test_service_is_ready_with_one_ready_endpoint() -> None:
    unready = {"endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": False}}]}
    ready = {"endpoints": [{"addresses": ["10.0.0.2"], "conditions": {"ready": True}}]}
    assert not endpoints_ready([]).ready
    assert not endpoints_ready([unready]).ready
    assert endpoints_ready([unready, ready]).ready
    assert not load_balancer({"spec": {"type": "LoadBalancer"}}).ready
    assert load_balancer({"spec": {"type": "ClusterIP"}}).ready


def test_kinds_without_a_criterion_are_refused_by_name_and_others_are_ready_at_once() -> None:
    with pytest.raises(UnsupportedError, match="PersistentVolumeClaim"):
        readiness_of(Kind("v1", "PersistentVolumeClaim"))
    assert readiness_of(Kind("v1", "ConfigMap")) is None
    assert readiness_of(Kind("tenancy.kcp.io/v1alpha1", "Workspace")) is None


OBJECT = {
    "metadata": {"name": "w", "annotations": {"example.com/note": "yes"}},
    "status": {
        "phase": "Ready",
        "count": 3,
        "ok": True,
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "Synced", "status": "False"}],
    },
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{.status.phase}", ["Ready"]),
        ("{status.phase}", ["Ready"]),
        ("{$.status.phase}", ["Ready"]),
        ("{.status.conditions[0].type}", ["Ready"]),
        ("{.status.conditions[-1].type}", ["Synced"]),
        ("{.status.conditions[*].type}", ["Ready", "Synced"]),
        ('{.status.conditions[?(@.type=="Ready")].status}', ["True"]),
        ("{.metadata.annotations['example.com/note']}", ["yes"]),
        (r"{.metadata.annotations.example\.com/note}", ["yes"]),
        ("{.status.missing.deeper}", []),
        ("{.status.conditions[7]}", []),
    ],
)
def test_jsonpath_selects_what_kubectl_selects(text: str, found: list[Any]) -> None:
    assert find(OBJECT, parse_jsonpath(text)) == found


@pytest.mark.parametrize("text", ["{}", "{.a[1:2]}", "{range .items}", "{.a[?(@.b>1)]}"])
def test_jsonpath_beyond_what_is_supported_is_an_error(text: str) -> None:
    with pytest.raises(ProviderError, match="JSONPath"):
        parse_jsonpath(text)


@pytest.mark.parametrize(
    ("expression", "ready"),
    [
        ("jsonpath={.status.phase}=Ready", True),
        ("jsonpath={.status.phase}='Ready'", True),
        ("jsonpath={.status.phase}=Pending", False),
        ("jsonpath={.status.phase}", True),
        ("jsonpath={.status.other}", False),
        ("jsonpath={.status.count}=3", True),
        ("jsonpath={.status.ok}=true", True),
        ('jsonpath={.status.conditions[?(@.type=="Synced")].status}=False', True),
        ("condition=Ready", True),
        ("condition=ready", True),
        ("condition=Synced", False),
        ("condition=Synced=False", True),
        ("condition=Missing", False),
    ],
)
def test_wait_for_expressions_are_judged_as_kubectl_wait_does(expression: str, *, ready: bool) -> None:
    verdict = wait_for(expression)(OBJECT)
    assert verdict.ready is ready
    assert bool(verdict.message) is not ready


def test_wait_for_several_values_is_an_error() -> None:
    with pytest.raises(ProviderError, match="selects 2 values"):
        wait_for("jsonpath={.status.conditions[*].type}=Ready")(OBJECT)


@pytest.mark.parametrize("expression", ["", "phase=Ready", "condition="])
def test_wait_for_needs_a_form(expression: str) -> None:
    with pytest.raises(ProviderError, match="must start with"):
        wait_for(expression)
