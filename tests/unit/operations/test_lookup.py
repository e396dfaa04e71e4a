"""Asking a cluster whether an object exists."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from operations.errors import OperationError
from operations.lookup import find_live, provider_inputs

KUBECONFIG = "apiVersion: v1\nkind: Config\n# the-real-token\n"
RESOURCE = {
    "urn": "urn:team",
    "provider": "urn:provider::1",
    "inputs": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "team", "labels": {"a": "b"}}},
}


class Kubectl:
    def __init__(self, *, code: int = 0, out: str = "", err: str = "") -> None:
        self.answer = (code, out, err)
        self.command: list[str] = []
        self.manifest: dict[str, Any] = {}
        self.kubeconfig = ""
        self.mode = 0

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        assert options["timeout"]
        self.command, self.manifest = command, json.loads(options["input"])
        path = Path(command[command.index("--kubeconfig") + 1])
        self.kubeconfig, self.mode = path.read_text(), path.stat().st_mode & 0o777
        return subprocess.CompletedProcess(command, *self.answer)


def ask(
    monkeypatch: pytest.MonkeyPatch,
    kubectl: Kubectl,
    *,
    provider: dict[str, Any] | None = None,
    resource: dict[str, Any] | None = None,
    root: Path = Path("/nowhere"),
) -> dict[str, Any] | None:
    monkeypatch.setattr(subprocess, "run", kubectl)
    return find_live(resource or RESOURCE, provider or {"kubeconfig": KUBECONFIG}, root=root)


def test_the_object_is_asked_for_by_its_identity_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl = Kubectl(out='{"metadata": {"name": "team"}}')
    assert ask(monkeypatch, kubectl) == {"metadata": {"name": "team"}}
    assert kubectl.manifest == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "team"}}


def test_the_credential_is_in_a_private_file_that_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl = Kubectl()
    ask(monkeypatch, kubectl)
    assert kubectl.kubeconfig == KUBECONFIG
    assert kubectl.mode == 0o600
    assert "the-real-token" not in " ".join(kubectl.command)
    assert not Path(kubectl.command[2]).exists()


def test_the_providers_namespace_and_context_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl = Kubectl()
    ask(monkeypatch, kubectl, provider={"kubeconfig": KUBECONFIG, "namespace": "shop", "context": "kcp"})
    assert kubectl.manifest["metadata"] == {"name": "team", "namespace": "shop"}
    assert kubectl.command[kubectl.command.index("--context") + 1] == "kcp"


def test_a_kubeconfig_that_is_a_path_is_used_where_it_lies(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "kubeconfig").write_text("here")
    kubectl = Kubectl()
    ask(monkeypatch, kubectl, provider={"kubeconfig": "kubeconfig"}, root=tmp_path)
    assert kubectl.kubeconfig == "here"


def test_a_single_object_is_taken_out_of_the_list_that_kubectl_wraps_it_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrapped = json.dumps({"kind": "List", "items": [{"metadata": {"name": "team"}}]})
    assert ask(monkeypatch, Kubectl(out=wrapped)) == {"metadata": {"name": "team"}}
    assert ask(monkeypatch, Kubectl(out='{"kind": "List", "items": []}')) is None


def test_nothing_printed_is_nothing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(monkeypatch, Kubectl(out="\n")) is None


def test_an_unknown_kind_has_no_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    error = 'error: resource mapping not found: no matches for kind "Workspace" in version "v1"'
    assert ask(monkeypatch, Kubectl(code=1, err=error)) is None


@pytest.mark.parametrize(
    "error", ["dial tcp 127.0.0.1:6443: connect: connection refused", "Unauthorized", ""]
)
def test_a_cluster_that_cant_be_asked_is_not_an_absent_object(
    monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    with pytest.raises(OperationError, match="can't tell whether it exists"):
        ask(monkeypatch, Kubectl(code=1, err=error))


@pytest.mark.parametrize(
    "inputs",
    [{}, {"metadata": {}}, {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "x-"}}],
)
def test_an_object_without_fixed_name_is_not_guessed(
    monkeypatch: pytest.MonkeyPatch,
    inputs: dict[str, Any],
) -> None:
    with pytest.raises(OperationError, match="no fixed name"):
        ask(monkeypatch, Kubectl(), resource=RESOURCE | {"inputs": inputs})


def test_a_providers_secret_inputs_are_revealed() -> None:
    secret = {
        "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
        "plaintext": json.dumps(KUBECONFIG),
    }
    entry = {"urn": "urn:provider", "id": "1", "inputs": {"kubeconfig": secret, "namespace": "shop"}}
    inputs = provider_inputs({"deployment": {"resources": [entry]}}, RESOURCE)
    assert inputs == {"kubeconfig": KUBECONFIG, "namespace": "shop"}


def test_a_missing_provider_is_named() -> None:
    with pytest.raises(OperationError, match="urn:team: its provider urn:provider is not in the state"):
        provider_inputs({"deployment": {"resources": []}}, RESOURCE)
