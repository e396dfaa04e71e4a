"""Addresses are stable: a new host never moves another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from local.network import Network


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    monkeypatch.setattr("local.network.psutil.net_if_addrs", dict)
    monkeypatch.setattr("local.network.run", lambda *_, **__: "[]")
    return Network("abc123", tmp_path / "network.json")


def test_a_new_host_leaves_the_others_addresses(registered: Network) -> None:
    before = registered.hosts(["kcp", "local-b"])
    after = registered.hosts(["kcp", "local-a", "local-b"])
    assert {name: after[name] for name in before} == before
    assert len({host.address for host in after.values()}) == 3


def test_a_removed_hosts_address_is_given_out_again(registered: Network) -> None:
    gone = registered.hosts(["kcp", "local-a", "local-b"])["local-a"]
    registered.forget("local-a")
    assert registered.hosts(["kcp", "local-b", "local-c"])["local-c"].address == gone.address


def test_a_subnet_that_the_machine_uses_is_avoided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    routes = [{"dst": "10.83.0.0/23", "dev": "tun0"}, {"dst": "default", "dev": "eth0"}]
    monkeypatch.setattr("local.network.psutil.net_if_addrs", dict)
    monkeypatch.setattr("local.network.run", lambda *_, **__: json.dumps(routes))
    assert Network("abc123", tmp_path / "network.json").hosts(["kcp"])["kcp"].address == "10.83.2.2"


def test_names_fit_the_kernels_limit_for_interfaces(registered: Network) -> None:
    longest = max(f"pi{'abc123'}-{host.index}" for host in registered.hosts(["kcp"]).values())
    assert len(longest) <= 15
    assert len(registered.uplink) <= 15
