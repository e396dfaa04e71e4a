"""What is built follows from what the stack installs."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.assembled import release
from local.environment import Environment
from local.layout import Layout
from local.toolchain.catalog import ARGO_CD, SIMULATED, TEKTON, TEKTON_NEXT, WITH_NODES
from local.wanted import Nodes, Wanted


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the modules that were asked for; nothing is built."""
    names: list[str] = []
    monkeypatch.setattr(
        "local.environment.ensure", lambda modules, *_, **__: names.extend(module.name for module in modules)
    )
    monkeypatch.setattr("local.environment.fits_on_path", lambda *_: False)
    return names


def wanted(*releases: str, nodes: Nodes = Nodes.REAL) -> Wanted:
    return Wanted(
        clusters=("local-a",), users=(), nodes=nodes, releases=tuple(release(text) for text in releases)
    )


def environment(folder: Path) -> Environment:
    return Environment(Layout(root=folder, cache=folder / "cache"), lambda _: None)


def test_what_no_setting_asks_for_is_not_built(built: list[str], tmp_path: Path) -> None:
    environment(tmp_path).toolchain(wanted("tekton-pipelines", "api-syncagent-crds"))
    assert set(built) == {*(module.name for module in WITH_NODES), TEKTON.name}
    assert len(built) == len(set(built))


def test_what_a_setting_turns_on_is_built(built: list[str], tmp_path: Path) -> None:
    second = f"tekton-pipelines={TEKTON_NEXT.version}"
    environment(tmp_path).toolchain(wanted("tekton-pipelines", second, "argo-cd"))
    assert {TEKTON.name, TEKTON_NEXT.name, ARGO_CD.name} <= set(built)


def test_simulated_nodes_run_nothing_so_no_release_is_built(built: list[str], tmp_path: Path) -> None:
    environment(tmp_path).toolchain(wanted("tekton-pipelines", "argo-cd", nodes=Nodes.SIMULATED))
    assert built == [module.name for module in SIMULATED]
