"""The stack files that are committed."""

from pathlib import Path

import pytest
import yaml

from stacks.loader import read_stack_file

PROJECT = Path(__file__).parents[3]
STACK_FILES = sorted(PROJECT.glob("Pulumi.*.yaml"))


def test_there_is_a_stack_file_for_the_embedded_environment() -> None:
    assert PROJECT / "Pulumi.dev.yaml" in STACK_FILES


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


def test_the_program_is_twenty_lines_at_most() -> None:
    assert len((PROJECT / "__main__.py").read_text().splitlines()) <= 20
