from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from local.plugins.command.process import CommandLine, ProcessGroups, run
from local.plugins.command.provider import check_inputs, command_line
from local.plugins.protocol.errors import ProviderError, UnsupportedError
from local.plugins.protocol.lifetime import Lifetime
from local.plugins.protocol.values import UNKNOWN, Secret
from tests.support.processes import is_running


@pytest.fixture
def lifetime() -> Lifetime:
    return Lifetime("127.0.0.1:1", os.getppid())


def execute(lifetime: Lifetime, **options: Any) -> tuple[tuple[str, str], list[str]]:  # noqa: ANN401
    lines: list[str] = []
    return run(CommandLine(**options), ProcessGroups(), lifetime, lines.append), lines


@pytest.mark.parametrize(
    ("inputs", "failing"),
    [
        ({"create": "true", "environment": {"A": "b"}, "triggers": [1, {"any": "thing"}]}, set()),
        ({"create": UNKNOWN, "environment": {"A": UNKNOWN}, "stdin": Secret(UNKNOWN)}, set()),
        ({"create": None, "logging": "none", "addPreviousOutputInEnv": False}, set()),
        ({"create": 5}, {"create"}),
        ({"environment": {"A": 1}}, {"environment"}),
        ({"interpreter": ["sh", 1]}, {"interpreter"}),
        ({"logging": "all"}, {"logging"}),
        ({"craete": "true"}, {"craete"}),
        ({"triggers": "text"}, {"triggers"}),
    ],
)
def test_wrong_inputs_are_named(inputs: dict[str, Any], failing: set[str]) -> None:
    assert set(check_inputs(inputs)) == failing


@pytest.mark.parametrize("name", ["assetPaths", "archivePaths"])
def test_inputs_that_are_not_supported_are_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedError, match=name):
        check_inputs({name: ["*"]})


def test_command_line_reveals_secrets_to_the_process_and_remembers_to_hide_them() -> None:
    command = command_line(
        Secret("run"),
        {"stdin": Secret("swordfish"), "environment": {"A": Secret("marlin-1")}},
        {"stdout": "before"},
    )
    assert command.script == "run"
    assert command.stdin == "swordfish"
    assert command.environment == {"A": "marlin-1", "PULUMI_COMMAND_STDOUT": "before"}
    assert set(command.secrets) >= {"swordfish", "marlin-1"}


def test_command_with_an_unknown_input_does_not_run() -> None:
    with pytest.raises(ProviderError, match="no value yet"):
        command_line("true", {"stdin": UNKNOWN}, {})


def test_output_is_kept_without_its_last_line_break_and_logged_by_line(lifetime: Lifetime) -> None:
    result, lines = execute(lifetime, script="echo one; echo two; printf three >&2")
    assert result == ("one\ntwo", "three")
    assert sorted(lines) == ["one", "three", "two"]


def test_streams_that_are_not_wanted_are_not_logged(lifetime: Lifetime) -> None:
    result, lines = execute(lifetime, script="echo one; echo two >&2", log_stdout=False)
    assert result == ("one", "two")
    assert lines == ["two"]


def test_large_input_and_output_do_not_block_each_other(lifetime: Lifetime) -> None:
    text = "x" * 3_000_000
    result, _ = execute(lifetime, script="cat; cat /dev/null", stdin=text)
    assert result == (text, "")


def test_input_that_is_not_read_is_no_error(lifetime: Lifetime) -> None:
    assert execute(lifetime, script="true", stdin="x" * 3_000_000)[0] == ("", "")


def test_failure_quotes_the_end_of_the_output_without_secrets(lifetime: Lifetime) -> None:
    script = "i=0; while [ $i -lt 200 ]; do echo line-$i; i=$((i+1)); done; echo the key is $KEY >&2; exit 4"
    with pytest.raises(ProviderError) as caught:
        execute(lifetime, script=script, environment={"KEY": "swordfish"}, secrets={"swordfish"})
    message = str(caught.value)
    assert message.startswith("exit status 4: running ")
    assert "line-199" in message
    assert "line-0\n" not in message
    assert "the key is [secret]" in message


def test_signal_is_named(lifetime: Lifetime) -> None:
    with pytest.raises(ProviderError, match="signal: SIGKILL"):
        execute(lifetime, script="kill -9 $$")


@pytest.mark.parametrize(
    "options",
    [{"interpreter": ["/no/such/shell"]}, {"directory": "/no/such/directory"}, {"environment": {"A": "x\0"}}],
)
def test_command_that_cannot_be_started_says_why(lifetime: Lifetime, options: dict[str, Any]) -> None:
    with pytest.raises(ProviderError, match="cannot start 'true'"):
        execute(lifetime, script="true", **options)


def started(directory: Path) -> int:
    deadline = time.monotonic() + 30
    while not (directory / "child").exists() or not (directory / "child").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int((directory / "child").read_text())


BACKGROUND = "sleep 60 & echo $! > child; wait"


def test_cancelling_ends_the_whole_process_group(lifetime: Lifetime, tmp_path: Path) -> None:
    errors: list[Exception] = []

    def body() -> None:
        try:
            execute(lifetime, script=BACKGROUND, directory=str(tmp_path))
        except ProviderError as error:
            errors.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    child = started(tmp_path)
    lifetime.cancel()
    thread.join(30)
    assert "cancelled" in str(errors[0])
    assert not is_running(child)


def test_end_of_the_plugin_ends_commands_that_ignore_a_polite_request(
    lifetime: Lifetime, tmp_path: Path
) -> None:
    groups = ProcessGroups()
    script = "trap '' TERM; " + BACKGROUND
    errors: list[str] = []

    def body() -> None:
        try:
            run(CommandLine(script=script, directory=str(tmp_path)), groups, lifetime, print)
        except ProviderError as error:
            errors.append(str(error))

    thread = threading.Thread(target=body)
    thread.start()
    child = started(tmp_path)
    groups.close()
    thread.join(30)
    assert "SIGKILL" in errors[0]
    assert not is_running(child)
    with pytest.raises(ProviderError, match="the plugin is ending"):
        run(CommandLine(script="true"), groups, lifetime, print)
