"""The stack files that are committed."""

from pathlib import Path

import pytest
import yaml

from stacks.loader import read_stack_file
from stacks.vocabulary import ClusterState, Distribution

PROJECT = Path(__file__).parents[3]
STACK_FILES = sorted(PROJECT.glob("Pulumi.*.yaml"))


def test_there_are_stack_files_for_the_embedded_environment_and_as_worked_examples() -> None:
    assert [path.name for path in STACK_FILES] == [
        "Pulumi.dev.yaml",
        "Pulumi.production.yaml",
        "Pulumi.staging.yaml",
    ]


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name)
def test_a_committed_stack_file_is_valid(path: Path) -> None:
    assert read_stack_file(path).compute_clusters


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name)
def test_no_object_can_reach_a_default_provider(path: Path) -> None:
    config = yaml.safe_load(path.read_text())["config"]
    assert config["pulumi:disable-default-providers"] == ["kubernetes"]


def test_stack_dev_needs_nothing_but_the_embedded_environment() -> None:
    settings = read_stack_file(PROJECT / "Pulumi.dev.yaml")
    paths = {name: entry.kubeconfig.path for name, entry in settings.compute_clusters.items()}
    assert paths == {name: f".local/{name}/kubeconfig" for name in ("local-a", "local-b")}
    assert settings.kcp.kubeconfig.path == ".local/kcp/admin.kubeconfig"
    assert settings.releases.directory == ".local/releases"
    assert not settings.deletion_protection


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name)
def test_no_committed_stack_file_ties_its_reader_to_a_passphrase_or_key(path: Path) -> None:
    keys = set(yaml.safe_load(path.read_text()))
    assert keys == {"config"}


def test_the_example_of_a_production_environment_shows_each_kind_of_entry() -> None:
    settings = read_stack_file(PROJECT / "Pulumi.production.yaml")
    clusters, tenants = settings.compute_clusters.values(), settings.tenants.values()
    assert {cluster.distribution for cluster in clusters} == set(Distribution)
    assert len(settings.pools) == 3
    assert {cluster.pool for cluster in clusters} == set(settings.pools)
    assert [cluster.home_of for cluster in clusters if cluster.state is ClusterState.CORDONED] == [
        ("payments",)
    ]
    assert {tenant.external is None for tenant in tenants} == {True, False}
    assert settings.image_repository.offline
    assert settings.image_repository.mirrors
    assert settings.deletion_protection
    assert set(type(settings).model_fields) == settings.model_fields_set


def test_the_program_is_twenty_lines_at_most() -> None:
    assert len((PROJECT / "__main__.py").read_text().splitlines()) <= 20
