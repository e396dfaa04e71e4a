"""What somebody changed or deleted behind the program's back comes back, and nothing else is touched."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from tests.support.live import ROOT, TENANT_WORKSPACE, Done, in_workspace, kubectl, pulumi, resources, run

STACK_FILE = ROOT / "Pulumi.dev.yaml"
SYNCER = ("deployment/api-syncagent", "--namespace=pipeline-service-syncer")


def test_drifted_and_deleted_objects_are_restored() -> None:
    outputs = json.loads(pulumi("stack", "output", "--json").out)
    namespace = outputs["tenants"]["demo"]["namespaces"]["default"]
    before = resources()
    kubectl("local-b", "scale", *SYNCER, "--replicas=0")
    (quota,) = (
        name
        for name in kubectl(
            "local-a", "get", "resourcequota", "-oname", f"--namespace={namespace}"
        ).out.split()
    )
    kubectl("local-a", "delete", quota, f"--namespace={namespace}")

    pulumi("up", "--yes", "--refresh", "--skip-preview")

    assert kubectl("local-b", "get", *SYNCER, "--output=jsonpath={.spec.replicas}").out == "1"
    kubectl("local-a", "get", quota, f"--namespace={namespace}")
    assert resources().keys() == before.keys()
    pulumi("preview", "--expect-no-changes")


def drift(*arguments: str) -> Done:
    return run(sys.executable, "-m", "operations", "drift", "--stack", "dev", *arguments, check=False)


@pytest.fixture
def _committed() -> Iterator[None]:
    """Put the stack file back, and what is deployed with it."""
    committed = STACK_FILE.read_text()
    try:
        yield
    finally:
        STACK_FILE.write_text(committed)
        pulumi("up", "--yes", "--skip-preview")


@pytest.mark.usefixtures("_committed")
def test_what_drifted_inside_a_tenants_workspace_is_found_and_mended() -> None:
    lost = ("rolebinding", "pipeline-service:viewer", "--namespace=default")
    in_workspace(TENANT_WORKSPACE, "delete", *lost)

    found = drift()

    assert found.status == 3, found
    about_tenants = found.out[found.out.index("tenants.demo: ") :].splitlines()
    assert about_tenants[0].endswith("1 object differs")
    assert about_tenants[1] == "  missing: RoleBinding default/pipeline-service:viewer"
    assert found.out.count("differ") == 1, "something else drifted, too"

    mended = drift("--mend")
    assert mended.status == 0, mended
    assert "+      incarnation: 1" in mended.out
    pulumi("up", "--yes", "--skip-preview")

    in_workspace(TENANT_WORKSPACE, "get", *lost)
    assert drift().status == 0
    pulumi("preview", "--expect-no-changes")
