"""The example of a layered product, put on stack dev by a tenant's user, and run there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.names import tenant_namespace
from tests.support.live import ROOT, TENANT_WORKSPACE, kubectl, run
from tests.support.products import product

ALICE = ROOT / ".local" / "users" / "alice.kubeconfig"


def test_a_layered_product_is_put_on_the_environment_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with product(tmp_path, monkeypatch) as pulumi:
        pulumi("config", "set", "environment", "organization/pipeline-service/dev")
        pulumi("config", "set", "tenant", "demo")
        pulumi("config", "set", "--secret", "kubeconfig", stdin=ALICE.read_text())
        pulumi("up", "--yes", "--skip-preview")
        outputs = json.loads(pulumi("stack", "output", "--json").out)
        assert outputs["namespaces"] == ["default"]
        assert (outputs["runsOn"]["cluster"], outputs["runsOn"]["state"]) == ("local-a", "active")

        as_alice = (
            "kubectl",
            f"--kubeconfig={ALICE}",
            f"--server={outputs['server']}",
            "--namespace=default",
        )
        made = run(*as_alice, "create", "-f", "-", "-o=name", stdin=json.dumps(outputs["run"])).out.strip()
        try:
            run(*as_alice, "wait", "--for=condition=Succeeded", "--timeout=300s", made)
            label = f"--selector=tekton.dev/pipelineRun={made.rpartition('/')[2]}"
            place = f"--namespace={tenant_namespace(TENANT_WORKSPACE, 'default')}"
            assert "Hello, demo" in kubectl("local-a", place, "logs", label, "--all-containers").out
        finally:
            run(*as_alice, "delete", made)
