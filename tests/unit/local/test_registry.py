"""The embedded registry: what nodes and tools are told of it, and who knows its password."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

from local.network import Host
from local.registry import Registry, _daemon, _write_hosts, write_skopeo

if TYPE_CHECKING:
    from pathlib import Path

HASH = "$2b$05$made-up"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    packages = tmp_path / "packages"
    for path in (
        "skopeo_1/usr/bin/skopeo",
        "libgpgme11_1/usr/lib/arch/libgpgme.so.11",
        "libc6_1/lib/arch/libc.so.6",
        "whois_1/usr/bin/mkpasswd",
        "docker-registry_1/usr/bin/docker-registry",
    ):
        file = packages / path
        file.parent.mkdir(parents=True)
        file.write_text(f"#!/bin/sh\ncat >/dev/null\necho '{HASH}'\n")
        file.chmod(0o755)
    host = Host(name="registry", namespace="ps-x-registry", address="10.83.0.9", index=7)
    return Registry(
        owner="x",
        folder=tmp_path / ".local/registry",
        host=host,
        packages=lambda _: sorted(packages.iterdir()),
    )


def test_an_image_is_there_under_its_whole_name(registry: Registry) -> None:
    assert registry.image("busybox:1") == "10.83.0.9:5000/docker.io/library/busybox:1"


def test_the_password_stands_in_files_of_their_owner_alone(registry: Registry) -> None:
    daemon = _daemon(registry)
    _write_hosts(registry)
    [auth] = json.loads(registry.credentials.read_text())["auths"].values()
    holders = {
        path for path in registry.folder.rglob("*") if path.is_file() and auth["auth"] in path.read_text()
    }
    assert holders == {
        registry.credentials,
        registry.administrators_hosts / registry.address / "hosts.toml",
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in holders} == {0o600}
    assert auth["auth"] not in " ".join(daemon.command)
    assert (registry.folder / "htpasswd").read_text() == f"puller:{HASH}\n"


def test_a_second_start_keeps_password_and_command(registry: Registry) -> None:
    first, before = _daemon(registry), registry.credentials.read_text()
    assert _daemon(registry) == first
    assert registry.credentials.read_text() == before


def test_a_node_learns_the_authority_and_no_credential(registry: Registry) -> None:
    _daemon(registry)
    _write_hosts(registry)
    told = (registry.hosts / registry.address / "hosts.toml").read_text()
    assert f'ca = "{registry.hosts / registry.address / "ca.crt"}"' in told
    assert "Authorization" not in told
    administrators = (registry.administrators_hosts / registry.address / "hosts.toml").read_text()
    assert administrators.startswith(told)
    assert "Authorization" in administrators


def test_skopeo_runs_with_its_packages_libraries_but_the_machines_c_library(
    registry: Registry, tmp_path: Path
) -> None:
    write_skopeo(registry, tmp_path / "skopeo")
    text = (tmp_path / "skopeo").read_text()
    assert "/libgpgme11_1/usr/lib/arch" in text
    assert "libc6_1" not in text
    assert (tmp_path / "skopeo").stat().st_mode & 0o111
