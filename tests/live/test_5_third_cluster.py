"""A cluster is one entry more in the stack's configuration, and concerns no other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.live import ROOT, kubectl, local, pulumi, resources

STACK_FILE = ROOT / "Pulumi.dev.yaml"
ENTRY = """\
    local-c:
      kubeconfig: {path: .local/local-c/kubeconfig}
"""


@pytest.fixture
def committed() -> Iterator[str]:
    text = STACK_FILE.read_text()
    yield text
    if STACK_FILE.read_text() != text:  # the test has failed
        STACK_FILE.write_text(text)
        local("up")


def without_time(resource: dict[str, Any]) -> dict[str, Any]:
    """Return what a resource is; a secret is encrypted anew at each write, and times and reads vary."""
    inputs = resource.get("inputs", {})
    return {
        "id": resource.get("id"),
        "created": resource.get("created"),
        "inputs": {key: value for key, value in inputs.items() if "ciphertext" not in repr(value)},
    }


def test_a_third_cluster_changes_nothing_of_the_others(committed: str) -> None:
    before = {urn: without_time(resource) for urn, resource in resources().items()}
    first = "  pipeline-service:computeClusters:\n"
    assert first in committed
    STACK_FILE.write_text(committed.replace(first, first + ENTRY))

    local("up")

    after = {urn: without_time(resource) for urn, resource in resources().items()}
    assert {urn: after[urn] for urn in before} == before
    added = set(after) - set(before)
    assert added
    assert [urn for urn in added if "local-c" not in urn.rpartition("::")[2]] == []
    pulumi("preview", "--expect-no-changes")
    ready = "--output=jsonpath={.status.availableReplicas}"
    syncer = ("deployment/api-syncagent", "--namespace=pipeline-service-syncer")
    assert kubectl("local-c", "get", *syncer, ready).out == "1"

    STACK_FILE.write_text(committed)
    local("up")

    assert {urn: without_time(resource) for urn, resource in resources().items()} == before
    assert not (ROOT / ".local" / "local-c").exists()
