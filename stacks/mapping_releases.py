"""From settings to what is changed in a release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from releases.adaptation import Adaptation
from releases.images import ImageRules
from stacks import mapping_images

if TYPE_CHECKING:
    from stacks.settings import EnvironmentSettings


def adaptation(
    settings: EnvironmentSettings, cluster: str, release: str, images: ImageRules | None = None
) -> Adaptation:
    """Say what the settings change of a release on a cluster.

    Parameters
    ----------
    settings
        The settings.
    cluster
        Name of the cluster.
    release
        Name of the release.
    images
        How its images are named and pulled; by default as they are published.
    """
    del cluster  # No setting reaches into a release on one cluster alone yet.
    return Adaptation(
        config_maps=mapping_images.config_maps(settings, release), images=images or ImageRules()
    )
