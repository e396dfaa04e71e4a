"""Bad configuration is refused by the engine's run with one line a fault, before anything is registered."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.live import ROOT, pulumi, resources

COMMITTED = (ROOT / "Pulumi.dev.yaml").read_text()
DEMO = "    demo:\n      cluster: local-a\n"
TWIN = "    twin: {cluster: local-a, workspace: demo}\n"

BAD = {
    "an unknown key": (COMMITTED.replace("      quota: {", "      qouta: {"), "tenants.demo.qouta", "quota"),
    "a bad name": (COMMITTED.replace("    demo:\n", "    Demo_1:\n"), "tenants.Demo_1", "lower"),
    "two tenants with one workspace": (COMMITTED.replace(DEMO, TWIN + DEMO), "tenants.", "workspace"),
    "a cluster that does not exist": (
        COMMITTED.replace("cluster: local-a", "cluster: local-x"),
        "tenants.demo.cluster",
        "local-x",
    ),
    "an unreadable kubeconfig": (
        COMMITTED.replace(".local/local-a/kubeconfig", ".local/nowhere"),
        "computeClusters.local-a.kubeconfig.path",
        ".local/nowhere",
    ),
    "wrong types": (
        COMMITTED.replace('cpu: "2"', "cpu: [2]"),
        "tenants.demo.quota.cpu",
        "write it in quotes",
    ),
    "an empty file": ("", "kcp", "missing"),
}


@pytest.mark.parametrize("fault", sorted(BAD))
def test_bad_input_is_refused_with_the_key_and_the_mend_before_anything_is_touched(
    fault: str, tmp_path: Path
) -> None:
    text, key, hint = BAD[fault]
    assert text != COMMITTED
    before = resources().keys()
    config = tmp_path / "Pulumi.dev.yaml"
    config.write_text(text)

    done = pulumi("up", "--yes", "--skip-preview", f"--config-file={config}", check=False)

    printed = done.out + done.err
    assert done.status != 0
    # The engine says it twice: as it happens, and once more at the end.
    said = {
        line.partition("error: ")[2] for line in printed.splitlines() if "error: pipeline-service" in line
    }
    (line,) = {line for line in said if line.startswith(f"pipeline-service:{key}")}
    assert hint in line.lower()
    assert "Traceback" not in printed
    assert resources().keys() == before
