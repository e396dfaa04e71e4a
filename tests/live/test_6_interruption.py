"""Destroying leaves nothing; an interrupted deployment, run again, ends as an undisturbed one does."""

from __future__ import annotations

import signal

from tests.support.live import (
    ROOT,
    interrupted_up,
    kubectl,
    local,
    objects,
    pulumi,
    recover,
    resources,
    state,
)

CLUSTERS = ("local-a", "local-b")
OURS = ("clusterroles,clusterrolebindings", "--selector=app.kubernetes.io/part-of=pipeline-service")
BUILT_IN = {"default", "kube-node-lease", "kube-public", "kube-system"}


def names(context: str, *arguments: str) -> set[str]:
    return {entry["metadata"]["name"] for entry in objects(context, *arguments)}


def assert_something_to_recover() -> None:
    locks = list((ROOT / ".local" / "pulumi" / "state" / ".pulumi" / "locks").rglob("*.json"))
    assert locks, "the engine was killed, and yet its lock is gone"
    assert state().get("pending_operations"), "the engine was killed between two operations"


def test_destroy_leaves_nothing_and_interruptions_change_nothing_in_the_end() -> None:
    # A try before this one may have ended in the middle.
    assert recover().status == 0
    pulumi("up", "--yes", "--skip-preview")
    undisturbed = set(resources())
    for cluster in CLUSTERS:
        assert names(cluster, *OURS), "the selector finds nothing, so it would prove nothing below"

    pulumi("destroy", "--yes", "--skip-preview", "--run-program")

    assert resources() == {}
    assert "pipeline-service" not in names("kcp", "workspaces.tenancy.kcp.io")
    for cluster in CLUSTERS:
        assert names(cluster, "namespaces") == BUILT_IN
        assert names(cluster, "customresourcedefinitions") == set()
        assert names(cluster, "validatingwebhookconfigurations,mutatingwebhookconfigurations") == set()
        assert names(cluster, *OURS) == set()
        tekton = {name for name in names(cluster, "clusterroles,clusterrolebindings") if "tekton" in name}
        assert tekton == set()

    # In the middle of making kcp's workspaces, as by Ctrl-C.
    interrupted_up(r"Workspace .* created", signal.SIGINT)
    assert recover().status == 0
    # While a unit is being applied: kubectl and the plugin outlive the engine.
    interrupted_up(r"tekton-pipelines-apply creating", signal.SIGKILL)
    assert_something_to_recover()
    assert recover().status == 0
    # What was deployed in part can be destroyed, too: the program runs with half of its objects missing.
    pulumi("destroy", "--yes", "--skip-preview", "--run-program")
    assert resources() == {}
    # While a Kubernetes object is being made and waited for.
    interrupted_up(r"-agent creating", signal.SIGKILL)
    assert_something_to_recover()
    assert recover().status == 0
    assert recover().out.strip() == "nothing to recover"

    pulumi("up", "--yes", "--skip-preview")

    assert set(resources()) == undisturbed
    assert not state().get("pending_operations")
    pulumi("preview", "--expect-no-changes")
    for cluster in CLUSTERS:
        assert len(objects(cluster, "deployments", "--namespace=pipeline-service-syncer")) == 1
    kubectl("local-a", "get", "customresourcedefinition", "pipelineruns.tekton.dev")
    local("demo")
