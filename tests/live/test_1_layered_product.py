"""The example of a layered product, put on stack dev by a tenant's user, and run there."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.names import tenant_namespace
from tests.support.live import ROOT, TENANT_WORKSPACE, Done, kubectl, run

ALICE = ROOT / ".local" / "users" / "alice.kubeconfig"
STACK = "live-test"


@pytest.fixture
def product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Done]]:
    """Pulumi in a copy of the example, with a stack of its own beside stack dev."""
    folder = tmp_path / "product"
    shutil.copytree(
        ROOT / "examples" / "layered-product", folder, ignore=shutil.ignore_patterns("venv", "Pulumi.*.yaml")
    )
    (folder / "venv").symlink_to(sys.prefix)
    # As `pip install` of the package would: `stacks` can be imported, whatever folder a program lies in.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PULUMI_STACK", STACK)

    def pulumi(*arguments: str, stdin: str | None = None) -> Done:
        return run("pulumi", "-C", str(folder), *arguments, "--non-interactive", stdin=stdin)

    pulumi("stack", "init", STACK)
    yield pulumi
    pulumi("destroy", "--yes", "--skip-preview")
    pulumi("stack", "rm", STACK, "--yes")


def test_a_layered_product_is_put_on_the_environment_and_runs(product: Callable[..., Done]) -> None:
    product("config", "set", "environment", "organization/pipeline-service/dev")
    product("config", "set", "tenant", "demo")
    product("config", "set", "--secret", "kubeconfig", stdin=ALICE.read_text())
    product("up", "--yes", "--skip-preview")
    outputs = json.loads(product("stack", "output", "--json").out)
    assert outputs["namespaces"] == ["default"]
    assert (outputs["runsOn"]["cluster"], outputs["runsOn"]["state"]) == ("local-a", "active")

    as_alice = ("kubectl", f"--kubeconfig={ALICE}", f"--server={outputs['server']}", "--namespace=default")
    made = run(*as_alice, "create", "-f", "-", "-o=name", stdin=json.dumps(outputs["run"])).out.strip()
    try:
        run(*as_alice, "wait", "--for=condition=Succeeded", "--timeout=300s", made)
        label = f"--selector=tekton.dev/pipelineRun={made.rpartition('/')[2]}"
        place = f"--namespace={tenant_namespace(TENANT_WORKSPACE, 'default')}"
        assert "Hello, demo" in kubectl("local-a", place, "logs", label, "--all-containers").out
    finally:
        run(*as_alice, "delete", made)
