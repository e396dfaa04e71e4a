"""From settings to what is changed in a release."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from releases.adaptation import Adaptation
from releases.catalog import ARGO_CD, ARGO_CD_HA
from releases.images import ImageRules
from stacks import mapping_argocd, mapping_images

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
    named = images or ImageRules()
    if release in (ARGO_CD, ARGO_CD_HA):
        return replace(mapping_argocd.adaptation(settings, cluster), images=named)
    return Adaptation(config_maps=mapping_images.config_maps(settings, release), images=named)
