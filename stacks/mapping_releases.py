"""From settings to what is changed in a release."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from releases.catalog import ARGO_CD, ARGO_CD_HA
from stacks import mapping_argocd, mapping_images, mapping_tekton
from stacks.image_sources import Images

if TYPE_CHECKING:
    from releases.adaptation import Adaptation
    from stacks.settings import EnvironmentSettings


def adaptation(
    settings: EnvironmentSettings, cluster: str, release: str, images: Images | None = None
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
    of_images = images or Images()
    if release in (ARGO_CD, ARGO_CD_HA):
        return replace(mapping_argocd.adaptation(settings, cluster), images=of_images.rules)
    adapted = mapping_tekton.adaptation(settings.tekton, release)
    # Where both speak of a key, what the settings of images close stays closed.
    maps = {name: dict(data) for name, data in adapted.config_maps.items()}
    for name, data in mapping_images.config_maps(settings, release, of_images).items():
        maps[name] = {**maps.get(name, {}), **data}
    return replace(adapted, config_maps=maps, images=of_images.rules)
