"""From settings to what is changed in a release.

Parameters mean what `stacks.mapping` says of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from components.openshift_pipelines import TektonSetup
from releases.catalog import ARGO_CD, ARGO_CD_HA, PIPELINES_AS_CODE, TEKTON_PIPELINES, TEKTON_RESULTS
from stacks import (
    mapping_argocd,
    mapping_images,
    mapping_pipelines_as_code,
    mapping_results,
    mapping_tekton,
)
from stacks.image_sources import Images

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    if release == TEKTON_RESULTS:
        return replace(mapping_results.adaptation(settings, cluster), images=of_images.rules)
    if release == PIPELINES_AS_CODE:
        adapted = mapping_pipelines_as_code.adaptation(settings.pipelines_as_code)
        return replace(adapted, images=of_images.rules)
    adapted = mapping_tekton.adaptation(settings.tekton, release)
    of_both = _merged(adapted.config_maps, mapping_images.config_maps(settings, release, of_images))
    return replace(adapted, config_maps=of_both, images=of_images.rules)


def on_openshift(settings: EnvironmentSettings, images: Images) -> TektonSetup:
    """Say the same of Tekton Pipelines where OpenShift's operator brings it.

    Parameters
    ----------
    settings
        The settings.
    images
        How images are named and pulled.
    """
    tekton = settings.tekton
    of_images = mapping_images.config_maps(settings, TEKTON_PIPELINES, images)
    # It has no data, which the operator can't bear; there the cluster says whom registries are trusted by.
    of_images.pop(mapping_images.REGISTRY_CERTIFICATES, None)
    return TektonSetup(
        config_maps=_merged(mapping_tekton.config_maps(tekton), of_images),
        performance=mapping_tekton.performance(tekton.controller),
        resources=mapping_tekton.controller_resources(tekton.controller),
        blocked_networks=mapping_tekton.blocked_networks(tekton.resolvers),
        pipelines_as_code=mapping_pipelines_as_code.on_openshift(settings.pipelines_as_code),
    )


def _merged(
    of_tekton: Mapping[str, Mapping[str, str]], of_images: Mapping[str, Mapping[str, str]]
) -> dict[str, Mapping[str, str]]:
    """Bring both together: where both speak of a key, what the settings of images close stays closed."""
    return {**of_tekton, **{name: {**of_tekton.get(name, {}), **data} for name, data in of_images.items()}}
