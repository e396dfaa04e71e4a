"""Chains signs what a tenant's run did, and the key in the stack's outputs verifies it."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from components.names import tenant_namespace
from tests.support.live import (
    ROOT,
    TENANT_WORKSPACE,
    in_workspace,
    kubectl,
    local,
    objects,
    pulumi,
    run,
)
from tests.support.on_demand import ON_DEMAND

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [ON_DEMAND, pytest.mark.timeout(2400)]

STACK_FILE = ROOT / "Pulumi.dev.yaml"
CLUSTER = "local-a"
NAMESPACE = tenant_namespace(TENANT_WORKSPACE, "default")
SETTINGS = """
  pipeline-service:tekton:
    chains: {enabled: true, signingKey: {secret: signing-key}}
"""
RUN = {
    "apiVersion": "tekton.dev/v1",
    "kind": "PipelineRun",
    "metadata": {"name": "signed", "namespace": "default"},
    "spec": {
        "pipelineSpec": {
            "tasks": [
                {
                    "name": "one",
                    "taskSpec": {
                        "steps": [
                            {"name": "say", "image": "docker.io/library/busybox:1.36", "script": "echo done"}
                        ]
                    },
                }
            ]
        }
    },
}


@pytest.fixture(scope="module")
def _chains() -> Iterator[None]:
    before = STACK_FILE.read_text()
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    local("provide", "tekton-chains")
    try:
        STACK_FILE.write_text(before.rstrip("\n") + "\n" + SETTINGS)
        run("pulumi", "config", "set", "--secret", "signing-key", "--stack", "dev", stdin=key.decode())
        pulumi("up", "--yes", "--skip-preview")
        yield
    finally:
        STACK_FILE.write_text(before)
        in_workspace(
            TENANT_WORKSPACE, "delete", "pipelinerun", "signed", "--ignore-not-found", "--wait=false"
        )
        pulumi("up", "--yes", "--skip-preview")


def copy() -> dict[str, Any]:
    found = kubectl(CLUSTER, "get", "pipelinerun", "signed", "-n", NAMESPACE, "-o=json", check=False)
    return json.loads(found.out) if found.status == 0 else {}


def signed() -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        run_there = copy()
        if run_there.get("metadata", {}).get("annotations", {}).get("chains.tekton.dev/signed"):
            return run_there
        time.sleep(2)
    raise AssertionError(f"not signed in two minutes: {json.dumps(copy(), indent=1)[-3000:]}")


def pre_authentication_encoding(kind: str, payload: bytes) -> bytes:
    """Write what is signed of a DSSE envelope (github.com/secure-systems-lab/dsse)."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)


@pytest.mark.usefixtures("_chains")
def test_a_tenants_run_is_signed_and_the_outputs_key_verifies_it() -> None:
    in_workspace(TENANT_WORKSPACE, "apply", "-f-", user="alice", stdin=json.dumps(RUN))
    made = signed()
    annotations = made["metadata"]["annotations"]
    assert annotations["chains.tekton.dev/signed"] == "true"
    uid = made["metadata"]["uid"]
    envelope = json.loads(base64.b64decode(annotations[f"chains.tekton.dev/signature-pipelinerun-{uid}"]))
    payload = base64.b64decode(envelope["payload"])
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    what = pre_authentication_encoding(envelope["payloadType"], payload)
    public = serialization.load_pem_public_key(
        json.loads(pulumi("stack", "output", "--json").out)["signing"]["publicKey"].encode()
    )
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature, what, ec.ECDSA(hashes.SHA256()))
    statement = json.loads(payload)
    assert statement["predicateType"] == "https://slsa.dev/provenance/v0.2"

    # The syncer leaves alone what Chains put there, also when it copies a change.
    in_workspace(TENANT_WORKSPACE, "annotate", "pipelinerun", "signed", "note=changed", user="alice")
    deadline = time.monotonic() + 60
    while "note" not in copy()["metadata"]["annotations"] and time.monotonic() < deadline:
        time.sleep(1)
    after = copy()["metadata"]
    assert after["annotations"].items() >= {**annotations, "note": "changed"}.items()
    assert "chains.tekton.dev/pipelinerun" in after["finalizers"]

    # And a signed run goes when its tenant deletes it: Chains lets go of it.
    in_workspace(TENANT_WORKSPACE, "delete", "pipelinerun", "signed", "--timeout=90s", user="alice")
    assert not [
        one for one in objects(CLUSTER, "pipelineruns", "-n", NAMESPACE) if one["metadata"]["uid"] == uid
    ]
