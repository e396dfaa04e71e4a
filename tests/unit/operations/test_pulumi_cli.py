"""The Pulumi CLI as operations call it, and the command line itself."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from operations.__main__ import app
from operations.errors import OperationError
from operations.pulumi_cli import PulumiCli


class Recorder:
    def __init__(self, *, code: int = 0, out: str = "", err: str = "") -> None:
        self.answer = (code, out, err)
        self.commands: list[list[str]] = []
        self.stdin: str | None = None

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        assert "env" not in options  # the caller's: backend and passphrase come from there
        self.commands.append(command)
        self.stdin = options["input"]
        return subprocess.CompletedProcess(command, *self.answer)


@pytest.fixture
def pulumi(tmp_path: Path) -> PulumiCli:
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    return PulumiCli(root=tmp_path, stack="dev")


def test_nothing_is_ever_asked(pulumi: PulumiCli, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(out='{"url": "file:///s"}')
    monkeypatch.setattr(subprocess, "run", recorder)
    pulumi.backend_url()
    pulumi.export()
    pulumi.export(show_secrets=True)
    pulumi.import_state({})
    assert all("--non-interactive" in command for command in recorder.commands)
    assert ["--show-secrets" in command for command in recorder.commands] == [False, False, True, False]


def test_a_state_goes_in_by_standard_input_not_by_arguments(
    pulumi: PulumiCli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder = Recorder()
    monkeypatch.setattr(subprocess, "run", recorder)
    pulumi.import_state({"deployment": {"secret": "x"}})
    assert json.loads(recorder.stdin or "") == {"deployment": {"secret": "x"}}
    assert "secret" not in " ".join(recorder.commands[0])


def test_the_clis_error_is_one_line(pulumi: PulumiCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", Recorder(code=255, err="error: no stack named\n  'dev' found\n"))
    with pytest.raises(OperationError, match="pulumi stack export: error: no stack named 'dev' found"):
        pulumi.export()


def test_a_missing_cli_says_how_to_get_it(pulumi: PulumiCli, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_args: object, **_options: object) -> None:
        raise FileNotFoundError(2, "No such file", "pulumi")

    monkeypatch.setattr(subprocess, "run", missing)
    with pytest.raises(OperationError, match=r"not on PATH.*make -s env"):
        pulumi.export()


@pytest.mark.parametrize("text", ["", "runtime: python\n", "name: [1]\n", "a: ["])
def test_a_project_without_name_is_refused(pulumi: PulumiCli, text: str) -> None:
    (pulumi.root / "Pulumi.yaml").write_text(text)
    with pytest.raises(OperationError, match=r"Pulumi\.yaml"):
        _ = pulumi.project


def test_the_projects_name_is_read(pulumi: PulumiCli) -> None:
    assert pulumi.project == "shop"


def test_the_command_line_reports_an_error_in_one_line_and_exits_1(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subprocess, "run", Recorder(code=255, err="error: not logged in"))
    (tmp_path / "Pulumi.yaml").write_text("name: pipeline-service\n")
    result = CliRunner().invoke(app, ["recover", "--stack", "dev", "--project", str(tmp_path)])
    assert result.exit_code == 1
    assert (
        result.stderr == "recover: pulumi whoami --json: error: not logged in; mend that and run it again\n"
    )
    assert result.stdout == ""


def test_a_folder_without_project_is_refused_in_a_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["recover", "--stack", "dev", "--project", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr == (
        f"recover: {tmp_path}: no Pulumi.yaml here or in a folder above;"
        " go to the project's folder, or give --project\n"
    )


def test_a_stack_has_to_be_named() -> None:
    assert CliRunner().invoke(app, ["recover"]).exit_code == 2
