"""The real secret values of the running service stand nowhere that others can read."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.live import ROOT, in_workspace, kubectl, pulumi

COMPUTE = "root:pipeline-service:compute"


def secret_values() -> dict[str, str]:
    """Return every real credential of the environment, by what it is."""
    found = {"passphrase": (ROOT / ".local/pulumi/passphrase").read_text()}
    for path in (ROOT / ".local/kcp/admin.kubeconfig", *sorted((ROOT / ".local").glob("local-*/kubeconfig"))):
        for user in yaml.safe_load(path.read_text())["users"]:
            for key, value in user["user"].items():
                if key in {"token", "client-key-data"}:
                    found[f"{key} of {user['name']} in {path.parent.name}"] = value
    listed = yaml.safe_load(in_workspace(COMPUTE, "get", "secrets", "--all-namespaces", "--output=yaml").out)
    for secret in listed["items"]:
        token = secret.get("data", {}).get("token")
        if token:
            found[f"token of {secret['metadata']['name']}"] = base64.b64decode(token).decode()
    return found


@pytest.fixture(scope="module")
def values() -> dict[str, str]:
    found = secret_values()
    assert any(name.startswith("token of syncer") for name in found), sorted(found)
    assert len(found) >= 5
    return found


def leaks(text: str, values: dict[str, str]) -> list[str]:
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
    return [name for name, value in values.items() if value in text or encoded[name] in text]


def test_outputs_show_no_secret(values: dict[str, str]) -> None:
    shown = pulumi("stack", "output", "--json").out
    assert leaks(shown, values) == []
    assert "[secret]" in shown


def test_state_and_previews_show_no_secret(values: dict[str, str]) -> None:
    assert leaks(pulumi("stack", "export").out, values) == []
    assert leaks(pulumi("preview", "--json", "--refresh").out, values) == []
    assert leaks(pulumi("preview", "--diff", "--show-sames").out, values) == []


def test_logs_show_no_secret(values: dict[str, str]) -> None:
    logs = sorted((ROOT / ".local").glob("*/log/*.log"))
    assert len(logs) > 10
    assert {str(log): leaks(log.read_text(errors="replace"), values) for log in logs} == {
        str(log): [] for log in logs
    }
    agent = kubectl("local-a", "logs", "deployment/api-syncagent", "--namespace=pipeline-service-syncer").out
    assert leaks(agent, values) == []


def command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue


def test_no_process_carries_a_secret_among_its_arguments(values: dict[str, str]) -> None:
    seen: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            seen.update(command_lines())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        pulumi("up", "--yes", "--refresh", "--skip-preview")
    finally:
        ended.set()
        watcher.join()
    assert any("plugins/launch.py kubernetes" in line for line in seen), "the watcher saw no plugin at work"
    assert leaks("\n".join(seen), values) == []


def test_files_with_secrets_are_for_their_owner_alone(values: dict[str, str]) -> None:
    open_to_others = []
    for folder in (ROOT / ".local/pulumi", ROOT / ".local/users", ROOT / ".run"):
        for path in (p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()):
            if path.stat().st_mode & 0o077 and path.stat().st_size < 1_000_000:
                found = leaks(path.read_text(errors="replace"), values)
                if found:
                    open_to_others.append((str(path), found))
    assert open_to_others == []
