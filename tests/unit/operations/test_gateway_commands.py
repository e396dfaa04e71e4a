"""`operations gateway certificates`: what it prints is what the loader takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from operations.__main__ import app
from stacks.mutual_tls import BundleError, read_bundle

if TYPE_CHECKING:
    from pathlib import Path

STACK = """\
config:
  pipeline-service:kcp: {kubeconfig: {environment: KCP_KUBECONFIG}}
  pipeline-service:computeClusters:
    east-1:
      kubeconfig: {environment: EAST_1_KUBECONFIG}
      distribution: openshift
      events: {host: events.east-1.example.com, exposure: route}
    west-1:
      kubeconfig: {environment: WEST_1_KUBECONFIG}
      events: {host: 192.0.2.7}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: pipeline-service\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK)
    return tmp_path


def run(*arguments: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, ["gateway", "certificates", *arguments])
    assert result.exit_code == exit_code, result.output
    return result.output


def test_it_prints_a_bundle_and_nothing_else(project: Path) -> None:
    bundle = run("--days", "40")
    assert bundle.startswith("-----BEGIN CERTIFICATE-----\n")
    read = read_bundle(bundle)
    with pytest.raises(BundleError, match="has not the name"):
        read_bundle(bundle, ["events.east-1.example.com"])
    assert read.gateway
    assert not [path for path in project.iterdir() if "BEGIN" in path.read_text()]


def test_of_a_stack_it_names_the_routes(project: Path) -> None:
    bundle = run("--stack", "dev", "--project", str(project))
    assert read_bundle(bundle, ["events.east-1.example.com"]).listener


def test_a_stack_that_is_not_there_is_told(project: Path) -> None:
    assert run("--stack", "other", "--project", str(project), exit_code=1).startswith(
        "gateway certificates: "
    )
