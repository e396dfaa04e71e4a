"""The merged kubeconfig has one context for each place, under the place's name."""

from __future__ import annotations

from pathlib import Path

import yaml

from local.kubeconfigs import write_merged


def source(path: Path, server: str, token: str) -> Path:
    document = {
        "clusters": [
            {"name": "other", "cluster": {"server": "x"}},
            {"name": "c", "cluster": {"server": server}},
        ],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "now", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "now",
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_each_source_keeps_its_own_server_and_user(tmp_path: Path) -> None:
    sources = {
        "kcp": source(tmp_path / "1", "https://k", "1"),
        "local-a": source(tmp_path / "2", "https://a", "2"),
    }
    write_merged(sources, tmp_path / "merged")
    merged = yaml.safe_load((tmp_path / "merged").read_text())
    assert {c["name"]: c["cluster"]["server"] for c in merged["clusters"]} == {
        "kcp": "https://k",
        "local-a": "https://a",
    }
    assert {u["name"]: u["user"]["token"] for u in merged["users"]} == {"kcp": "1", "local-a": "2"}
    assert merged["current-context"] == "kcp"
    assert (tmp_path / "merged").stat().st_mode & 0o777 == 0o600
