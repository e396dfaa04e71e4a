"""What `make up` leaves behind: a service that works, and that a preview finds unchanged."""

from __future__ import annotations

import json

from tests.support.live import TENANT_WORKSPACE, in_workspace, kubectl, local, objects, pulumi, resources


def may(user: str, verb: str, resource: str) -> bool:
    """Return whether kcp says that a user may do a thing in the tenant's workspace; else an error."""
    done = in_workspace(TENANT_WORKSPACE, "auth", "can-i", verb, resource, user=user, check=False)
    return {"yes": True, "no": False}[done.out.split()[0]]


def test_a_preview_right_after_shows_no_change() -> None:
    pulumi("preview", "--expect-no-changes")


def test_a_refresh_right_after_finds_nothing_drifted() -> None:
    pulumi("refresh", "--yes", "--run-program", "--expect-no-changes", "--skip-preview")


def test_a_tenants_own_user_runs_a_pipeline_on_a_compute_cluster() -> None:
    done = local("demo")
    assert "Succeeded" in done.out


def test_a_viewer_reads_runs_and_may_not_create_one() -> None:
    in_workspace(TENANT_WORKSPACE, "get", "pipelineruns.tekton.dev", user="bob")
    answers = {verb: may("bob", verb, "pipelineruns.tekton.dev") for verb in ("list", "create", "delete")}
    assert answers == {"list": True, "create": False, "delete": False}


def test_a_viewer_can_not_read_secrets() -> None:
    assert not may("bob", "list", "secrets")


def test_a_tenants_user_can_not_enter_the_operators_workspaces() -> None:
    for path in ("root:pipeline-service", "root:pipeline-service:compute", "root:pipeline-service:tenants"):
        done = in_workspace(path, "get", "workspaces.tenancy.kcp.io", user="alice", check=False)
        assert done.status != 0
        assert "Forbidden" in done.err or "forbidden" in done.err


def test_the_outputs_name_where_things_are() -> None:
    outputs = json.loads(pulumi("stack", "output", "--json").out)
    assert outputs["schemaVersion"] == 1
    assert outputs["tenants"]["demo"]["workspace"] == TENANT_WORKSPACE
    namespace = outputs["tenants"]["demo"]["namespaces"]["default"]
    cluster = outputs["tenants"]["demo"]["cluster"]
    kubectl(cluster, "get", "serviceaccount", "pipeline", f"--namespace={namespace}")
    for kind in ("resourcequota", "limitrange"):
        assert objects(cluster, kind, f"--namespace={namespace}")


def test_no_plugin_is_started_for_a_default_provider() -> None:
    assert not [urn for urn in resources() if "default_" in urn and "kubernetes" in urn]


def test_the_state_tells_where_in_the_program_a_resource_is_made_and_no_folder_of_the_machine() -> None:
    traces = {
        urn.rpartition("::")[2]: [frame.get("sourcePosition", "") for frame in one.get("stackTrace", [])]
        for urn, one in resources().items()
        if one["type"] != "pulumi:pulumi:Stack"  # made by the SDK
    }
    assert not [frame for trace in traces.values() for frame in trace if "/../" in frame]
    quota = " ".join(traces["demo.local-a.default-quota"])
    for file in ("components/kubernetes_object.py", "components/tenant.py", "__main__.py"):
        assert f"project:///{file}#" in quota
