"""What settings say that this version checks, but doesn't act on yet.

The one table of it: a line goes when the part it speaks of is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stacks.problems import key_path
from stacks.settings import EnvironmentSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOT_ACTED_ON: Final[Mapping[str, str]] = {
    "monitoring": "no ServiceMonitor is made",
}
"""By section: what is the case instead."""

_NO_EVENTS: Final = "without pipelinesAsCode: {enabled: true} no Git event reaches the tenants' pipelines"


def notices(settings: EnvironmentSettings) -> list[str]:
    """List what is given and not acted on, yet or without another setting.

    Parameters
    ----------
    settings
        The settings.

    Returns
    -------
    list of str
        One line for each section that differs from its default.
    """
    fields = EnvironmentSettings.model_fields
    given = [
        f"{key_path([fields[name].alias or name])}: checked, but not acted on by this version: {instead}"
        for name, instead in _NOT_ACTED_ON.items()
        if getattr(settings, name) != fields[name].default
    ]
    named = any(tenant.repositories for tenant in settings.tenants.values())
    if named and not settings.pipelines_as_code.enabled:
        given.append(f"{key_path(['tenants', '*', 'repositories'])}: {_NO_EVENTS}")
    return given
