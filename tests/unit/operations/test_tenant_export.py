"""What of a tenant's objects goes into an export, and in what form."""

from typing import Any

import pytest
import yaml

from operations.tenant_export import cleaned, dumped, is_tenants

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


@pytest.mark.parametrize(
    "text", ["y", "n", "N", "yes", "on", "1e3", "12e4", "0o17", "1_000", "~", "2026-01-01"]
)
def test_a_text_stays_a_text_to_whoever_reads_the_export(text: str) -> None:
    # kubectl reads a plain y as true and 12e4 as a number: a Secret's key, or the digest of a commit.
    written = dumped({"data": {text: text}})
    assert written == f'"data":\n  "{text}": "{text}"\n'
    assert yaml.safe_load(written) == {"data": {text: text}}


def test_what_kcp_and_this_program_made_is_not_the_tenants() -> None:
    labelled = {"app.kubernetes.io/part-of": "pipeline-service"}
    ours = made("ServiceAccount", "ci")
    ours["metadata"]["labels"] = labelled
    assert not is_tenants(ours)
    # This program makes no other of these kinds: the label is a tenant's own, and the object would be lost.
    theirs = made("Pipeline")
    theirs["metadata"]["labels"] = labelled
    assert is_tenants(theirs)
    assert not is_tenants(made("ConfigMap", "kube-root-ca.crt"))
    assert not is_tenants(made("ServiceAccount", "default"))
    assert not is_tenants(made("Secret", type="kubernetes.io/service-account-token"))
    assert not is_tenants(made("Secret", namespace="pipeline-service"))
    assert not is_tenants(made("ConfigMap", namespace="admin"))
    assert is_tenants(made("Secret", "default"))
    assert is_tenants(made("ServiceAccount", "ci"))
