"""From settings to what is changed in a release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from releases.adaptation import UNADAPTED, Adaptation

if TYPE_CHECKING:
    from stacks.settings import EnvironmentSettings


def adaptation(settings: EnvironmentSettings, cluster: str, release: str) -> Adaptation:
    """Say what the settings change of a release on a cluster.

    Parameters
    ----------
    settings
        The settings.
    cluster
        Name of the cluster.
    release
        Name of the release.
    """
    del settings, cluster, release  # No setting reaches into a release yet.
    return UNADAPTED
