"""A cluster is spoken to by kubectl; one that does not answer is not ready, which is no error."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from local.cluster import Cluster, Ports, node_ready
from local.errors import LocalError
from local.pki import Identity
from local.toolchain.build import Toolchain


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """A cluster whose kubectl fails as one whose API server does not listen."""
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text("#!/bin/sh\necho warning >&2\necho 'connection refused' >&2\nexit 1\n")
    kubectl.chmod(0o755)
    return Cluster(
        owner="test",
        name="local-a",
        folder=tmp_path / "local-a",
        address="127.0.0.1",
        index=1,
        host=None,
        toolchain=Toolchain(folders={"kubernetes": kubectl.parent}),
        ports=Ports(),
    )


def test_a_failure_names_the_cluster_and_ends_with_kubectls_last_words(cluster: Cluster) -> None:
    with pytest.raises(LocalError, match=r"^local-a: kubectl get: .* failed: connection refused$"):
        cluster.kubectl("get", "nodes")
    assert not cluster.ready()
    assert not node_ready(cluster)


def test_an_api_server_that_hangs_is_not_ready(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    # Waiting for the node ended with a traceback where kubectl once took more than its minute.
    def hang(command: list[str], *, timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr("local.commands.subprocess.run", hang)
    assert not cluster.ready()
    assert not node_ready(cluster)


def test_a_components_kubeconfig_is_its_own_unless_a_path_is_given(cluster: Cluster) -> None:
    identity = Identity(common_name="kubernetes-admin", groups=("system:masters",))
    path = cluster.component_kubeconfig("admin", identity, path=cluster.kubeconfig)
    assert path == cluster.folder / "kubeconfig"
    assert path.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(path.read_text())["users"][0]["name"] == "kubernetes-admin"
    own = cluster.component_kubeconfig("kube-proxy", Identity(common_name="system:kube-proxy"))
    assert own == cluster.folder / "kube-proxy.kubeconfig"
