"""A second checkout's environment comes up beside the first, and goes without leaving a trace."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psutil
import pytest

from local.environment import Environment
from local.layout import Layout, default_layout
from local.node import PRIVATE_PATHS
from local.processes import owned
from local.wanted import Nodes, Wanted, wanted_of
from stacks.loader import read_stack_file
from tests.support.live import daemon_process


def traces() -> dict[str, object]:
    """Return what a machine has that an environment could leave behind."""
    return {
        "interfaces": sorted(name for name in psutil.net_if_addrs() if not name.startswith("veth")),
        "namespaces": sorted(path.name for path in Path("/run/netns").glob("*")),
        "rules": subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout.count(
            "\n-A"
        ),
        "IP sets": subprocess.run(
            ["ipset", "list", "-name"], capture_output=True, text=True, check=True
        ).stdout,
        "mounts": sorted(
            line.split()[4]
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if "/run" in line
        ),
        "folders": [path for path in PRIVATE_PATHS if Path(path).exists()],
    }


def first_status() -> list[tuple[str, str, str]]:
    layout = default_layout()
    settings = read_stack_file(layout.root / "Pulumi.dev.yaml")
    return Environment(layout, print).status(wanted_of(settings, Nodes.REAL))


def mounts_of(daemon: str) -> set[str]:
    table = Path(f"/proc/{daemon_process(daemon)}/mountinfo").read_text()
    return {line.split()[4] for line in table.splitlines()}


@pytest.fixture
def second(tmp_path: Path) -> Environment:
    return Environment(Layout(root=tmp_path, cache=default_layout().cache), print)


def test_down_leaves_no_process_namespace_interface_mount_or_rule(second: Environment) -> None:
    before = traces()
    with second.exclusive():
        try:
            second.up(Wanted(clusters=("local-a",), users=("alice",), nodes=Nodes.REAL))
            assert second.serves()
        finally:
            second.down()
    assert owned(second.layout.identity) == {}
    assert traces() == before
    assert [name for name, state, _ in first_status() if state not in {"running", "ready"}] == []
    assert mounts_of("local-a/sandbox") >= set(PRIVATE_PATHS)
    assert not second.layout.local.exists()
