"""Parts of a compute cluster that die are repaired, and the next pipeline still succeeds."""

from __future__ import annotations

import os
import signal

import psutil

from local.processes import wait_until
from tests.support.live import daemon_process, kubectl, local, pulumi


def test_a_pipeline_succeeds_after_kubelet_and_syncer_died() -> None:
    healthy = {name: daemon_process(name) for name in ("kcp/kcp", "local-a/etcd", "local-b/kubelet")}
    killed = daemon_process("local-a/kubelet")
    os.kill(killed, signal.SIGKILL)
    kubectl(
        "local-a", "delete", "pod", "--all", "--namespace=pipeline-service-syncer", "--wait=false", "--force"
    )
    assert local("status", check=False).status == 1

    local("up")

    assert daemon_process("local-a/kubelet") != killed
    assert {name: daemon_process(name) for name in healthy} == healthy
    local("status")
    local("demo")


def test_a_pipeline_succeeds_after_all_of_a_node_died() -> None:
    for daemon in ("sandbox", "containerd", "kubelet", "kube-proxy", "kube-router"):
        os.kill(daemon_process(f"local-a/{daemon}"), signal.SIGKILL)
    local("up")
    local("demo")


def test_pods_resolve_services_by_name_even_after_somebody_deleted_the_resolver() -> None:
    kubectl("local-b", "delete", "deployment", "coredns", "--namespace=kube-system")
    local("up")
    name = "kubernetes.default.svc.cluster.local"
    image = "--image=docker.io/library/busybox:1.36"
    # The new one may be known to the node a moment after it is there.
    ask = ("sh", "-c", f"until nslookup {name}; do sleep 1; done")
    kubectl("local-b", "run", "lookup", image, "--restart=Never", "--command", "--", *ask)
    try:
        # Attached to, a pod that ends at once may show nothing of what it said.
        kubectl("local-b", "wait", "pod/lookup", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=120s")
        assert "10.85." in kubectl("local-b", "logs", "lookup").out
    finally:
        kubectl("local-b", "delete", "pod", "lookup")


def test_a_kcp_that_died_is_back_by_itself_with_every_credential_as_it_was() -> None:
    supervisor = psutil.Process(daemon_process("kcp/kcp"))
    [kcp] = supervisor.children()
    kcp.send_signal(signal.SIGABRT)  # as Go's runtime ends a program
    psutil.wait_procs([kcp], timeout=60)

    assert wait_until(lambda: local("status", check=False).status == 0, seconds=180, interval=2)
    assert daemon_process("kcp/kcp") == supervisor.pid
    [again] = supervisor.children()
    assert again != kcp
    assert "restarts: " in local("status").out
    kubectl("kcp", "get", "workspaces.tenancy.kcp.io")
    assert "Succeeded" in local("demo").out
    pulumi("preview", "--expect-no-changes")
