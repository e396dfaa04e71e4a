"""What must run is read off the stack's settings; no cluster may take a folder that holds something else."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from local import wanted
from local.errors import LocalError
from local.layout import NOT_CLUSTERS, Layout
from local.toolchain.catalog import ARGO_CD
from local.wanted import Nodes, choice, wanted_of
from stacks.loader import read_stack_file
from stacks.settings import EnvironmentSettings


@pytest.fixture
def settings(tmp_path: Path) -> EnvironmentSettings:
    config = {
        "kcp": {"kubeconfig": {"path": ".local/kcp/admin.kubeconfig"}},
        "computeClusters": {
            "local-b": {"kubeconfig": {"path": ".local/local-b/kubeconfig"}},
            "local-a": {"kubeconfig": {"path": "./.local/local-a/kubeconfig"}},
            "remote": {"kubeconfig": {"path": "kubeconfigs/remote"}},
        },
        "tenants": {
            "one": {
                "cluster": "local-a",
                "access": {"admins": {"users": ["carol", "alice"]}, "viewers": {"users": ["bob"]}},
            },
            "two": {"cluster": "local-a", "access": {"developers": {"users": ["alice"]}}},
            "three": {
                "cluster": "local-a",
                "external": {"path": "root:three", "binders": {"users": ["erin"], "groups": ["them"]}},
            },
        },
    }
    path = tmp_path / "Pulumi.test.yaml"
    path.write_text(yaml.safe_dump({"config": {f"pipeline-service:{key}": config[key] for key in config}}))
    return read_stack_file(path)


def with_cluster(settings: EnvironmentSettings, name: str, kubeconfig: str) -> EnvironmentSettings:
    """Return settings with one cluster, of any name: other checks of names are not these tests' matter."""
    cluster = settings.compute_clusters["local-a"]
    source = cluster.kubeconfig.model_copy(update={"path": kubeconfig})
    return settings.model_copy(
        update={"compute_clusters": {name: cluster.model_copy(update={"kubeconfig": source})}}
    )


def test_a_cluster_is_the_environments_own_where_its_kubeconfig_is(settings: EnvironmentSettings) -> None:
    assert wanted_of(settings, Nodes.REAL).clusters == ("local-a", "local-b")


def test_each_user_of_any_tenant_gets_one_credential(settings: EnvironmentSettings) -> None:
    assert wanted_of(settings, Nodes.REAL).users == ("alice", "bob", "carol", "erin")


def test_what_the_settings_install_is_built(settings: EnvironmentSettings) -> None:
    releases = wanted_of(settings, Nodes.REAL).releases
    assert {name for name, _ in releases} == {"api-syncagent-crds", "tekton-pipelines"}


def test_a_cluster_that_is_not_of_the_environment_has_nothing_built(settings: EnvironmentSettings) -> None:
    assert wanted_of(with_cluster(settings, "remote", "kubeconfigs/remote"), Nodes.REAL).releases == ()


@pytest.mark.parametrize(
    ("releases", "error"),
    [
        ({"argo-cd-ha": ARGO_CD.version}, "argo-cd-ha: its three Redis servers want three nodes"),
        ({"tekton-pipelines": "v0.1.0"}, r"tekton-pipelines v0\.1\.0: .* makes v1"),
    ],
)
def test_a_release_that_can_not_run_here_is_refused_before_anything_is_built(
    settings: EnvironmentSettings, monkeypatch: pytest.MonkeyPatch, releases: dict[str, str], error: str
) -> None:
    monkeypatch.setattr(
        wanted, "wanted_releases", lambda _: dict.fromkeys(settings.compute_clusters, releases)
    )
    with pytest.raises(LocalError, match=error):
        wanted_of(settings, Nodes.REAL)


def test_a_kubeconfig_that_no_embedded_cluster_has_is_refused_before_anything_starts(
    settings: EnvironmentSettings,
) -> None:
    mistyped = with_cluster(settings, "local-a", ".local/local-aa/kubeconfig")
    with pytest.raises(LocalError, match=r"local-a\.kubeconfig\.path.*write \.local/local-a/kubeconfig"):
        wanted_of(mistyped, Nodes.REAL)


@pytest.mark.parametrize("name", sorted(NOT_CLUSTERS))
def test_a_cluster_in_a_folder_that_is_not_a_clusters_is_refused(
    settings: EnvironmentSettings, name: str
) -> None:
    # Such a cluster's removal took kcp's data, the stack's state or every user's credential along.
    with pytest.raises(LocalError) as caught:
        wanted_of(with_cluster(settings, name, f".local/{name}/kubeconfig"), Nodes.REAL)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"pipeline-service:computeClusters.{name}: ")
    assert f".local/{name} holds what is not the cluster's" in line
    assert f"name it otherwise, e.g. local-{name}" in line


def test_a_cluster_elsewhere_may_have_any_name(settings: EnvironmentSettings) -> None:
    assert wanted_of(with_cluster(settings, "bin", "/srv/bin/kubeconfig"), Nodes.REAL).clusters == ()


def test_every_path_beside_the_clusters_folders_is_refused_as_a_name() -> None:
    layout = Layout(root=Path("/checkout"), cache=Path("/cache"))
    properties = [name for name, value in vars(Layout).items() if isinstance(value, property)]
    paths = [path for name in properties if isinstance(path := getattr(layout, name), Path)]
    assert {path.name for path in paths if path.parent == layout.local} == NOT_CLUSTERS


def test_an_unknown_choice_is_refused_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODES", "reel")
    with pytest.raises(LocalError, match=r"^NODES=reel is unknown: use real or simulated, or leave it out$"):
        choice("NODES", Nodes.REAL)
    monkeypatch.setenv("NODES", "simulated")
    assert choice("NODES", Nodes.REAL) is Nodes.SIMULATED
    monkeypatch.delenv("NODES")
    assert choice("NODES", Nodes.REAL) is Nodes.REAL
