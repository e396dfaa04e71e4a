"""What of a tenant's objects goes into an export, and in what form."""

import json
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml

from operations.errors import OperationError
from operations.tenant_export import cleaned, dumped, is_tenants, restore

if TYPE_CHECKING:
    from operations.api_servers import ApiServer

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


class _Workspace:
    name = "workspace root:a"

    def __init__(self) -> None:
        self.applied: list[dict[str, Any]] = []

    def kubectl(self, *arguments: str, stdin: str) -> str:
        assert arguments[0] == "apply"
        self.applied += json.loads(stdin)["items"]
        return ""


def restored(items: str) -> list[dict[str, Any]]:
    workspace = _Workspace()
    restore(cast("ApiServer", workspace), f"items: {items}", ["default"])
    return workspace.applied


def test_a_point_in_time_that_somebody_wrote_into_an_export_is_restored_as_a_text() -> None:
    [one] = restored(
        "[{kind: A, metadata: {namespace: default}, data: {d: 2026-01-01, t: 2026-01-01T00:00:00Z}}]"
    )
    assert one["data"] == {"d": "2026-01-01", "t": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ("x", "no list of objects"),
        ("[{kind: A, metadata: x}]", r"items\.0: it is no object"),
        ("[{kind: A, metadata: {namespace: default}}, y]", r"items\.1: it is no object"),
        ("[{kind: [A], metadata: {namespace: default}}]", r"items\.0: it is no object"),
        ("[{kind: A, metadata: {namespace: default}, data: !!set {x}}]", "API server has no use for"),
        ("[{kind: A, metadata: {namespace: default}, data: &d [*d]}]", "API server has no use for"),
        ("[{kind: A, metadata: {namespace: other}}]", "namespaces that the tenant's entry doesn't name"),
    ],
)
def test_an_export_that_was_edited_into_something_else_is_refused_and_nothing_restored(
    items: str, said: str
) -> None:
    with pytest.raises(OperationError, match=said):
        restored(items)
