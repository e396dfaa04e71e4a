"""The order of a recovery, and what it does not touch."""

import json
import platform
from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from operations import orphans
from operations.errors import OperationError
from operations.pulumi_cli import PulumiCli
from operations.recover import recover

URN = "urn:pulumi:dev::shop::kubernetes:core/v1:Namespace::team"
PROVIDER = "urn:pulumi:dev::shop::pulumi:providers:kubernetes::kcp"
DEAD_PID = 2**22 + 1  # above the largest pid that Linux gives out
LIVE = {"metadata": {"name": "team", "managedFields": [{"manager": "pulumi-kubernetes"}]}}


def state(*, pending: bool) -> dict[str, Any]:
    inputs = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
    create = {
        "urn": URN,
        "type": "kubernetes:core/v1:Namespace",
        "inputs": inputs,
        "provider": f"{PROVIDER}::1",
    }
    provider = {"urn": PROVIDER, "id": "1", "inputs": {"kubeconfig": "sealed"}}
    operations = [{"type": "creating", "resource": create}] if pending else []
    return {"version": 3, "deployment": {"resources": [provider], "pending_operations": operations}}


class FakePulumi(PulumiCli):
    """A stack in memory, in a backend in a folder."""

    def __init__(self, folder: Path, checkpoint: dict[str, Any], *, backend: str | None = None) -> None:
        super().__init__(root=folder / "project", stack="dev")
        store: dict[str, Any] = {"state": checkpoint, "calls": [], "backend": backend or folder.as_uri()}
        object.__setattr__(self, "store", store)
        self.root.mkdir()
        (self.root / "Pulumi.yaml").write_text("name: shop\n")

    store: dict[str, Any]

    def backend_url(self) -> str:
        return str(self.store["backend"])

    def export(self, *, show_secrets: bool = False) -> dict[str, Any]:
        self.store["calls"].append("export with secrets" if show_secrets else "export")
        return deepcopy(dict(self.store["state"]))

    def import_state(self, checkpoint: dict[str, Any]) -> None:
        self.store["calls"].append("import")
        self.store["state"] = checkpoint


def lock(folder: Path, *, pid: int = DEAD_PID, hostname: str | None = None) -> Path:
    path = folder / ".pulumi" / "locks" / "organization" / "shop" / "dev" / "1.json"
    path.parent.mkdir(parents=True)
    taken = datetime.now(UTC) - timedelta(minutes=1)
    content = {
        "pid": pid,
        "username": "sre",
        "hostname": hostname or platform.node(),
        "timestamp": taken.isoformat(),
    }
    path.write_text(json.dumps(content))
    return path


def found(_resource: Mapping[str, Any], provider: Mapping[str, Any]) -> Mapping[str, Any]:
    assert provider == {"kubeconfig": "sealed"}
    return LIVE


def never(_resource: Mapping[str, Any], _provider: Mapping[str, Any]) -> None:
    raise AssertionError("looked up without need")


def test_everything_is_settled_once_and_a_second_run_finds_nothing(tmp_path: Path) -> None:
    pulumi, said = FakePulumi(tmp_path, state(pending=True)), list[str]()
    path = lock(tmp_path)
    recover(pulumi, said.append, grace=0, find=found)
    assert not path.exists()
    assert [line.split()[0] for line in said] == ["lock", "adopted"]
    assert [entry["urn"] for entry in pulumi.export()["deployment"]["resources"]] == [PROVIDER, URN]
    said.clear()
    recover(pulumi, said.append, grace=0, find=never)
    assert said == ["nothing to recover"]


def test_a_held_lock_stops_before_anything_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulumi = FakePulumi(tmp_path, state(pending=True))
    path = lock(tmp_path, hostname="elsewhere")
    monkeypatch.setattr(orphans, "find_orphans", never)
    with pytest.raises(
        OperationError, match=r"locked by sre@elsewhere.*can't be looked at from here.*pulumi cancel"
    ):
        recover(pulumi, never, grace=0, find=never)  # type: ignore[arg-type]
    assert path.exists()
    assert pulumi.store["calls"] == []


def test_a_check_that_cant_be_made_leaves_the_state_alone(tmp_path: Path) -> None:
    def unreachable(_resource: Mapping[str, Any], _provider: Mapping[str, Any]) -> None:
        raise OperationError("can't tell whether it exists")

    pulumi = FakePulumi(tmp_path, state(pending=True))
    with pytest.raises(OperationError, match="can't tell"):
        recover(pulumi, lambda _line: None, grace=0, find=unreachable)
    assert "import" not in pulumi.store["calls"]


def test_a_state_that_changes_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    pulumi = FakePulumi(tmp_path, state(pending=True))

    def changing(_resource: Mapping[str, Any], _provider: Mapping[str, Any]) -> Mapping[str, Any]:
        pulumi.store["state"]["deployment"]["resources"].append({"urn": "urn:new"})
        return LIVE

    with pytest.raises(OperationError, match="its state changed meanwhile"):
        recover(pulumi, lambda _line: None, grace=0, find=changing)
    assert "import" not in pulumi.store["calls"]


def test_a_state_without_pending_creates_is_never_decrypted(tmp_path: Path) -> None:
    checkpoint = state(pending=True)
    checkpoint["deployment"]["pending_operations"][0]["type"] = "updating"
    pulumi = FakePulumi(tmp_path, checkpoint)
    recover(pulumi, lambda _line: None, grace=0, find=never)
    assert "export with secrets" not in pulumi.store["calls"]
    assert pulumi.store["calls"][-1] == "import"


def test_locks_of_other_backends_are_left_to_pulumi(tmp_path: Path) -> None:
    said: list[str] = []
    recover(
        FakePulumi(tmp_path, state(pending=False), backend="s3://bucket"), said.append, grace=0, find=never
    )
    assert "left to `pulumi cancel --stack dev`" in said[0]
