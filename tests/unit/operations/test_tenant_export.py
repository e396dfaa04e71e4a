"""What of a tenant's objects goes into an export, and in what form."""

from typing import Any

from operations.tenant_export import cleaned, is_tenants

RUN: dict[str, Any] = {
    "apiVersion": "tekton.dev/v1",
    "kind": "PipelineRun",
    "metadata": {
        "name": "build-1",
        "namespace": "default",
        "uid": "u",
        "resourceVersion": "7",
        "generation": 2,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{}],
        "finalizers": ["syncagent.kcp.io/cleanup"],
        "ownerReferences": [{"uid": "v"}],
        "labels": {"team": "a", "internal.kcp.io/x": "y"},
        "annotations": {
            "kcp.io/cluster": "abc",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "note": "kept",
        },
    },
    "spec": {"pipelineRef": {"name": "build"}},
    "status": {"conditions": [{"type": "Succeeded", "status": "True"}]},
}


def made(kind: str, name: str = "x", namespace: str = "default", **more: object) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, **more}


def test_what_server_and_syncer_wrote_is_left_out() -> None:
    assert cleaned(RUN)["metadata"] == {
        "name": "build-1",
        "namespace": "default",
        "labels": {"team": "a"},
        "annotations": {"note": "kept"},
    }


def test_a_run_keeps_its_record_and_would_not_run_again_whoever_applies_it() -> None:
    run = cleaned(RUN)
    assert run["spec"] == {"pipelineRef": {"name": "build"}, "status": "PipelineRunPending"}
    assert run["status"] == RUN["status"]
    assert "status" not in RUN["spec"]


def test_an_object_keeps_everything_that_its_user_wrote() -> None:
    secret = made("Secret", type="Opaque", data={"k": "dg=="}, immutable=True)
    assert cleaned(secret) == secret
    assert cleaned(made("Pipeline", spec={"tasks": []}, status={"x": 1})) == made(
        "Pipeline", spec={"tasks": []}
    )
    assert cleaned(made("ServiceAccount", secrets=[{"name": "old-token"}])) == made("ServiceAccount")


def test_what_kcp_and_this_program_made_is_not_the_tenants() -> None:
    ours = made("ConfigMap")
    ours["metadata"]["labels"] = {"app.kubernetes.io/part-of": "pipeline-service"}
    assert not is_tenants(ours)
    assert not is_tenants(made("ConfigMap", "kube-root-ca.crt"))
    assert not is_tenants(made("ServiceAccount", "default"))
    assert not is_tenants(made("Secret", type="kubernetes.io/service-account-token"))
    assert not is_tenants(made("Secret", namespace="pipeline-service"))
    assert not is_tenants(made("ConfigMap", namespace="admin"))
    assert is_tenants(made("Secret", "default"))
    assert is_tenants(made("ServiceAccount", "ci"))
