"""The wrapper round the engine hands it a copy of the committed stack file, for stack dev alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from local.engine import salt_project, write_wrapper
from local.layout import Layout

COMMITTED = "config:\n\n  # a comment\n  pipeline-service:kcp: {parent: root}\n"
SALT = "encryptionsalt: v1:abc=:v1:def:ghi==\n"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(root=tmp_path / "it's a checkout", cache=tmp_path / "cache")
    engine = tmp_path / "engine"
    engine.write_text('#!/bin/sh\necho "arguments: $*"\necho "config: ${PULUMI_OPTION_CONFIG_FILE:-none}"\n')
    engine.chmod(0o755)
    layout.root.mkdir()
    (layout.root / "Pulumi.dev.yaml").write_text(COMMITTED)
    salt_project(layout).mkdir(parents=True)
    (salt_project(layout) / "Pulumi.dev.yaml").write_text(SALT)
    write_wrapper(layout, engine)
    return layout


def run(layout: Layout, *arguments: str, stack: str | None = "dev", folder: Path | None = None) -> str:
    environment = {"PATH": "/usr/bin:/bin", **({"PULUMI_STACK": stack} if stack else {})}
    command = [str(layout.binaries / "pulumi"), *arguments]
    done = subprocess.run(
        command, cwd=folder or layout.root, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert first == f"arguments: {' '.join(arguments)}"
    return second.removeprefix("config: ")


def test_the_engine_reads_a_copy_with_the_salt(layout: Layout) -> None:
    config = Path(run(layout, "up", "--yes"))
    assert config.read_text() == COMMITTED + SALT
    assert (layout.root / "Pulumi.dev.yaml").read_text() == COMMITTED
    assert [path.name for path in layout.pulumi.iterdir()].count("Pulumi.dev.yaml") == 1


def test_an_edit_of_the_committed_file_reaches_the_next_run(layout: Layout) -> None:
    run(layout, "preview")
    (layout.root / "Pulumi.dev.yaml").write_text(SALT + COMMITTED + "# more\n")
    assert Path(run(layout, "preview")).read_text() == COMMITTED + "# more\n" + SALT


@pytest.mark.parametrize("arguments", [("--stack", "dev"), ("-s", "dev"), ("--stack=dev",)])
def test_the_stack_may_be_named_by_an_argument(layout: Layout, arguments: tuple[str, ...]) -> None:
    assert run(layout, "destroy", *arguments, stack=None) != "none"


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", "--stack", "production"),
        ("up", "--stack=production"),
        ("up", "-s", "production"),
        ("up", "--config-file=other.yaml"),
        ("up", "--cwd", "elsewhere"),
        ("config", "set", "key", "value"),
        ("stack", "output"),
        (),
    ],
)
def test_another_stack_or_command_is_passed_on_as_it_is(layout: Layout, arguments: tuple[str, ...]) -> None:
    assert run(layout, *arguments) == "none"


def test_a_checkout_reached_by_a_link_and_flags_before_the_verb_count_too(
    layout: Layout, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(layout.root)
    assert run(layout, "--color=never", "up", folder=link) != "none"


def test_another_project_is_passed_on_as_it_is(layout: Layout, tmp_path: Path) -> None:
    assert run(layout, "up", folder=tmp_path) == "none"
