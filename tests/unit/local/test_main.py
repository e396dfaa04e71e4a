"""The command line of the embedded environment: what it prints."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from local import __main__ as command_line
from local.environment import Environment
from local.wanted import Nodes

LOG = f".local/{'deep/' * 30}log/kubelet.log"


@pytest.mark.parametrize(("state", "code"), [("running", 0), ("stopped", 1)])
@pytest.mark.parametrize("columns", ["40", "400"])
def test_status_cuts_no_path_where_it_is_piped(
    monkeypatch: pytest.MonkeyPatch, columns: str, state: str, code: int
) -> None:
    rows = [("kcp", "ready", "https://127.0.0.1:6443"), ("local-a/kubelet", state, LOG)]
    monkeypatch.setattr(Environment, "nodes", lambda _self: Nodes.REAL)
    monkeypatch.setattr(Environment, "clusters", lambda _self: {"local-a"})
    monkeypatch.setattr(Environment, "status", lambda _self, _wanted: rows)
    done = CliRunner().invoke(command_line.app, ["status"], env={"COLUMNS": columns})
    assert done.exit_code == code, done.output
    lines = [line.split() for line in done.output.splitlines()]
    assert [list(row) for row in rows] == [
        line for line in lines if line[:1] in (["kcp"], ["local-a/kubelet"])
    ]
