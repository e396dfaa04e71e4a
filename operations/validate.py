"""Checking a stack file without an engine and without a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from operations.overview import Facts, Overview, overview
from releases.files import in_project
from stacks.backends import state_warnings
from stacks.loader import read_stack_file
from stacks.notices import notices, remarks
from stacks.problems import Problem, SettingsError, key_path, shown
from stacks.settings import EnvironmentSettings


class Report(Facts):
    """What was found out about one stack file.

    Attributes
    ----------
    file
        Its name.
    problems
        What must be mended before anything can be deployed.
    warnings
        What should be looked at.
    notices
        What is told of settings that are right: not acted on yet, or maybe not meant so.
    environment
        What the environment would contain; None where there are problems.
    """

    file: str
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    environment: Overview | None = None


def validate(path: Path, variables: Mapping[str, str]) -> Report:
    """Check a stack file.

    Parameters
    ----------
    path
        The stack file, in its project's folder.
    variables
        The process's environment variables.
    """
    try:
        settings = read_stack_file(path)
    except SettingsError as error:
        return Report(file=path.name, problems=error.problems)
    project = path.parent
    return Report(
        file=path.name,
        warnings=(
            *state_warnings(settings, project=project, stack_file=path, variables=variables),
            *(str(one) for one in _absent(settings, project, variables)),
        ),
        notices=(*notices(settings), *remarks(settings)),
        environment=overview(settings),
    )


def _absent(settings: EnvironmentSettings, project: Path, variables: Mapping[str, str]) -> Iterator[Problem]:
    """Find what the settings refer to and is not here: the machine that deploys may well have it."""
    for place, kubeconfig in settings.kubeconfigs():
        if kubeconfig.path is not None and not _is_there(in_project(project, kubeconfig.path), Path.is_file):
            yield Problem(
                key=key_path([*place, "kubeconfig", "path"]),
                value=shown(kubeconfig.path),
                why="there is no such file here",
                mend="see that it is there where pulumi runs",
            )
        if kubeconfig.environment is not None and not variables.get(kubeconfig.environment, "").strip():
            yield Problem(
                key=key_path([*place, "kubeconfig", "environment"]),
                value=shown(kubeconfig.environment),
                why="this environment variable is not set here",
                mend="see that it is set where pulumi runs",
            )
    releases = settings.releases
    for key, given, what, kind in (
        ("directory", releases.directory, "folder", Path.is_dir),
        ("bundle", releases.bundle, "file", Path.is_file),
    ):
        if given is not None and not _is_there(in_project(project, given), kind):
            yield Problem(
                key=key_path(["releases", key]),
                value=shown(given),
                why=f"there is no such {what} here",
                mend="see that it is there where pulumi runs",
            )


def _is_there(path: Path, kind: Callable[[Path], bool]) -> bool:
    try:
        return kind(path)
    except OSError:
        # A path too long for any file, or below a folder that may not be entered.
        return False
