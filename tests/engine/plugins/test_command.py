"""``local.Command``: which script runs when, with what, and what is left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.on_demand import STAND_INS
from tests.support.processes import is_running
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.pulumi_project import PulumiProject

pytestmark = STAND_INS

LOGGED = """
pulumi_command.local.Command("unit", create="echo create $N >> log", update="echo update $N >> log",
    delete="echo delete $N >> log", environment={"N": values["n"]}, triggers=values.get("triggers"))
"""


def log(project: PulumiProject) -> list[str]:
    return (project.directory / "log").read_text().splitlines()


def test_changed_input_updates_and_never_deletes(project: PulumiProject) -> None:
    project.write(LOGGED, {"n": "1"})
    project.up()
    project.set_values({"n": "2"})
    assert project.changes() == {"unit": "update"}
    assert project.preview()["unit"]["detailedDiff"] == {
        "environment.N": {"kind": "update", "inputDiff": False}
    }
    project.up()
    assert log(project) == ["create 1", "update 2"]
    assert project.changes() == {}


def test_changed_trigger_replaces_by_creating_before_deleting(project: PulumiProject) -> None:
    project.write(LOGGED, {"n": "1", "triggers": ["a"]})
    project.up()
    project.set_values({"n": "2", "triggers": ["b"]})
    assert project.preview()["unit"]["detailedDiff"]["triggers[0]"]["kind"] == "update-replace"
    project.up()
    assert log(project) == ["create 1", "create 2", "delete 1"]


def test_delete_runs_with_the_inputs_in_the_state(project: PulumiProject) -> None:
    project.write(LOGGED, {"n": "1"})
    project.up()
    project.write("")
    project.up()
    assert log(project) == ["create 1", "delete 1"]


def test_create_runs_again_where_no_update_is_given(project: PulumiProject) -> None:
    program = """
pulumi_command.local.Command("unit", create="echo create $N >> log", environment={"N": values["n"]})
"""
    project.write(program, {"n": "1"})
    project.up()
    project.set_values({"n": "2"})
    project.up()
    assert log(project) == ["create 1", "create 2"]
    project.destroy()


def test_nothing_runs_in_a_preview_and_outputs_are_unknown(project: PulumiProject) -> None:
    project.write("""
first = pulumi_command.local.Command("first", create="echo one | tee -a log", stdin="text")
pulumi_command.local.Command("second", create="cat >> log", stdin=first.stdout)
""")
    steps = project.preview()
    assert steps["second"]["newState"]["inputs"]["stdin"] == "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    assert not (project.directory / "log").exists()
    project.up()
    assert log(project) == ["one", "one"]


def test_previous_output_reaches_update_and_delete_unless_turned_off(project: PulumiProject) -> None:
    program = """
pulumi_command.local.Command("unit", create="echo made; echo noise >&2",
    update="echo update:$PULUMI_COMMAND_STDOUT:$PULUMI_COMMAND_STDERR | tee -a log",
    delete="echo delete:$PULUMI_COMMAND_STDOUT:$PULUMI_COMMAND_STDERR >> log",
    environment={"N": values["n"]}, add_previous_output_in_env=values.get("add"))
"""
    project.write(program, {"n": "1"})
    project.up()
    assert project.state("unit")["outputs"]["stdout"] == "made"
    assert project.state("unit")["outputs"]["stderr"] == "noise"
    project.set_values({"n": "2"})
    project.up()
    project.set_values({"n": "3", "add": False})
    project.up()
    project.destroy()
    assert log(project) == ["update:made:noise", "update::", "delete::"]


def test_interpreter_dir_and_stdin_are_used(project: PulumiProject, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    project.write(
        """
unit = pulumi_command.local.Command("unit", interpreter=["/bin/sh", "-e", "-c"], dir=values["dir"],
    create="pwd; cat", stdin="line one\\nline two\\n")
pulumi.export("stdout", unit.stdout)
""",
        {"dir": str(elsewhere)},
    )
    project.up()
    assert project.outputs() == {"stdout": f"{elsewhere}\nline one\nline two"}


def test_failure_tells_status_and_the_end_of_the_output_and_leaves_nothing_in_the_state(
    project: PulumiProject,
) -> None:
    project.write("""
pulumi_command.local.Command("unit", create="echo starting; echo it broke >&2; exit 7", logging="none")
""")
    error = project.up(fails=True)
    assert "exit status 7" in error
    assert "it broke" in error
    assert project.names() == set()


def test_failed_update_keeps_the_old_state_and_is_tried_again(project: PulumiProject) -> None:
    program = """
pulumi_command.local.Command("unit", create="true", update=values["update"], environment={"N": values["n"]})
"""
    project.write(program, {"n": "1", "update": "exit 3"})
    project.up()
    project.set_values({"n": "2", "update": "exit 3"})
    project.up(fails=True)
    assert project.state("unit")["inputs"]["environment"] == {"N": "1"}
    project.set_values({"n": "2", "update": "true"})
    project.up()
    assert project.state("unit")["inputs"]["environment"] == {"N": "2"}


def test_output_is_shown_while_it_runs_and_only_what_is_wanted(project: PulumiProject) -> None:
    project.write("""
pulumi_command.local.Command("unit", create="echo to-stdout; echo to-stderr >&2", logging="stderr")
""")
    shown = project.up()
    assert "to-stderr" in shown
    assert "to-stdout" not in shown
    assert project.state("unit")["outputs"]["stdout"] == "to-stdout"


def test_secret_input_stays_secret_and_is_not_quoted_in_logs_or_errors(project: PulumiProject) -> None:
    program = """
password = pulumi.Output.secret(values["password"])
pulumi_command.local.Command("unit", create=values["create"], stdin=password, environment={"P": password})
"""
    password = "swordfish-4-and-more"
    project.write(program, {"password": password, "create": "cat > got; ps -o args= -p $$ > arguments"})
    shown = project.run("up", "--yes", "--diff")
    project.set_values({"password": password, "create": "echo failing with $P >&2; exit 1"})
    shown += project.run("preview", "--diff", "--json")
    shown += project.up(fails=True)
    assert "failing with [secret]" in shown
    assert password not in shown
    assert (project.directory / "got").read_text() == password
    assert password not in (project.directory / "arguments").read_text()
    # As with the official plugin, what a command prints is no secret: a program must mark it.
    inputs = project.state("unit")["inputs"]
    assert inputs["stdin"] == {
        "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
        "plaintext": f'"{password}"',
    }


def test_cancelling_ends_every_process_of_the_command(project: PulumiProject) -> None:
    project.write("""
pulumi_command.local.Command("unit", create="sleep 300 & echo $! > child; echo $$ > leader; wait")
""")
    process = project.start("up", "--yes", "--skip-preview")
    leader = project.directory / "leader"
    until(lambda: leader.exists() and leader.read_text().strip(), "begun to run the command")
    process.send_signal(2)
    output = process.communicate(timeout=60)[0]
    assert "cancelled" in output
    for name in ("child", "leader"):
        assert not is_running(int((project.directory / name).read_text())), name


def test_every_other_type_and_option_is_refused_by_name(project: PulumiProject) -> None:
    refused = {
        "command:remote:Command": """
pulumi_command.remote.Command("r", connection={"host": "localhost"}, create="true")""",
        "command:remote:CopyToRemote": """
pulumi_command.remote.CopyToRemote("r", connection={"host": "localhost"}, remote_path="/x",
    source=pulumi.StringAsset("text"))""",
        "command:local:run": 'pulumi.export("r", pulumi_command.local.run_output(command="true").stdout)',
        "assetPaths": 'pulumi_command.local.Command("r", create="true", asset_paths=["*"])',
        "archivePaths": 'pulumi_command.local.Command("r", create="true", archive_paths=["*"])',
    }
    for name, program in refused.items():
        project.write(program)
        error = project.run("preview", fails=True)
        assert name in error, name
        assert "not supported by the stand-in" in error, error
