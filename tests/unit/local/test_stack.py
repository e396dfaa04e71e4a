"""The variables of stack dev name files, never secrets, and choose the plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.errors import LocalError
from local.layout import Layout
from local.stack import Plugins, plugins_wanted, variables


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("HOME", "/home/sre")
    monkeypatch.delenv("PULUMI_HOME", raising=False)
    return Layout(root=tmp_path, cache=tmp_path / "cache")


def test_stand_ins_live_in_a_home_of_their_own(layout: Layout) -> None:
    assert variables(layout, Plugins.STAND_IN)["PULUMI_HOME"] == str(layout.pulumi / "home")


def test_official_plugins_come_from_the_users_own_home(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "PULUMI_HOME" not in variables(layout, Plugins.OFFICIAL)
    monkeypatch.setenv("PULUMI_HOME", "/opt/pulumi")
    assert "PULUMI_HOME" not in variables(layout, Plugins.OFFICIAL)


def test_official_plugins_are_not_looked_for_among_the_stand_ins(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_HOME", variables(layout, Plugins.STAND_IN)["PULUMI_HOME"])
    assert variables(layout, Plugins.OFFICIAL)["PULUMI_HOME"] == "/home/sre/.pulumi"


def test_the_environments_own_programs_come_first_once(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = variables(layout, Plugins.STAND_IN)["PATH"]
    monkeypatch.setenv("PATH", first)
    assert variables(layout, Plugins.STAND_IN)["PATH"] == first
    assert first.split(":")[:2] == [str(layout.binaries), str(layout.root / ".venv" / "bin")]


def test_the_passphrase_is_named_by_its_file(layout: Layout) -> None:
    values = variables(layout, Plugins.STAND_IN)
    assert values["PULUMI_CONFIG_PASSPHRASE_FILE"] == str(layout.pulumi / "passphrase")
    assert "PULUMI_CONFIG_PASSPHRASE" not in values


def test_an_unknown_choice_of_plugins_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUGINS", "offical")
    with pytest.raises(LocalError, match=r"PLUGINS=offical is unknown: use stand-in or official"):
        plugins_wanted()
