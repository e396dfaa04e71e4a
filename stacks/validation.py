"""From a stack's raw configuration to its settings, with everything that is wrong told at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from stacks import secret_checks
from stacks.cross_checks import cross_check
from stacks.problems import Problem, SettingsError, from_validation
from stacks.settings import EnvironmentSettings, known_keys

if TYPE_CHECKING:
    from collections.abc import Collection

    from stacks.partial import Entry


def validated(values: Entry, secrets: Collection[str]) -> EnvironmentSettings:
    """Make settings of a stack's configuration.

    Parameters
    ----------
    values
        This project's keys, without the project's name, and their values.
    secrets
        The keys whose values are secret; these values are not looked at.

    Raises
    ------
    SettingsError
        Something is wrong; it lists everything found.
    """
    known = known_keys()
    named = secret_checks.references(values).keys() - set(known[""])
    sections = {
        key: value
        for key, value in values.items()
        if key not in named
        and key not in secrets
        # A key with nothing behind it: nothing in the stack file, an empty text from the engine.
        and not (key in known[""] and value in (None, ""))
    }
    problems = [*secret_checks.check(values, secrets)]
    # What is said of a place with a secret says it all: what the model finds there would only repeat it.
    said = {problem.key for problem in problems}
    try:
        settings = EnvironmentSettings.model_validate(sections)
    except ValidationError as error:
        found = [*from_validation(error, known), *cross_check(sections)]
        problems += [problem for problem in found if not _within(problem, said)]
        raise SettingsError(problems) from None
    problems += cross_check(sections)
    if problems:
        raise SettingsError(problems)
    return settings


def _within(problem: Problem, keys: Collection[str]) -> bool:
    return any(problem.key == key or problem.key.startswith(f"{key}.") for key in keys)
