"""From the settings of images to what carries them: Secrets, a policy, and Tekton's configuration.

Parameters mean what `stacks.mapping` says of them.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

import pulumi

from components import openshift_pipelines
from components.image_repository import PULL_SECRET, ImagePolicy
from releases.catalog import TEKTON_PIPELINES
from releases.image_names import parse
from stacks.vocabulary import Distribution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stacks.image_sources import Images
    from stacks.loader import LoadedEnvironment
    from stacks.settings import EnvironmentSettings

_REACHING_OUT: Final = ("bundles", "git", "http", "hub")
"""Tekton's resolvers that fetch pipelines from outside the cluster."""

REGISTRY_CERTIFICATES: Final = "config-registry-cert"
"""ConfigMap with the authority of registries, which Tekton's controller asks."""


def config_maps(settings: EnvironmentSettings, release: str, images: Images) -> dict[str, Mapping[str, str]]:
    """Say what the settings of images set in the ConfigMaps of a release.

    Parameters
    ----------
    settings
        The settings.
    release
        Name of the release.
    images
        How images are named and pulled.
    """
    if release != TEKTON_PIPELINES:
        return {}
    found: dict[str, Mapping[str, str]] = {}
    if settings.image_repository.pull_secret is not None:
        # The one pod that Tekton makes beside a run's without the run's ServiceAccount
        # (pkg/reconciler/pipelinerun/affinity_assistant.go).
        found["config-defaults"] = {
            "default-affinity-assistant-pod-template": f"imagePullSecrets:\n- name: {PULL_SECRET}\n"
        }
    if images.certificate_authority is not None:
        # Its controller asks a registry what an image starts, where a step doesn't say.
        found[REGISTRY_CERTIFICATES] = {"cert": images.certificate_authority}
    if settings.image_repository.offline:
        found["resolvers-feature-flags"] = {f"enable-{one}-resolver": "false" for one in _REACHING_OUT}
    return found


def pull_secret(environment: LoadedEnvironment) -> pulumi.Input[str] | None:
    """Make the content of the Secrets with which images are pulled: base64, and secret; None without any.

    Where it isn't known, as where no Secret is made, it is empty.
    """
    held = environment.images.pull_secret
    return held if not held else pulumi.Output.secret(base64.b64encode(held.encode()).decode())


def allowed_images(settings: EnvironmentSettings, cluster: str) -> tuple[str, ...]:
    """List the beginnings of the names of images that the pods of a cluster's tenants may use; none: all."""
    allowed = set(settings.image_repository.allowed_registries)
    if allowed and settings.compute_clusters[cluster].distribution is Distribution.OPENSHIFT:
        allowed |= set(openshift_pipelines.REPOSITORIES)
    return tuple(sorted(allowed))


def image_policy(environment: LoadedEnvironment, cluster: str) -> ImagePolicy:
    """Say which images the pods of a cluster's tenants may use.

    What Tekton puts into them is named as it is published and as it is installed: while a mirror is put in,
    or taken out, one of the two is what its controller still uses.
    """
    allowed = allowed_images(environment.settings, cluster)
    injected: set[str] = set()
    if allowed:
        tekton = environment.prepared[cluster].get(TEKTON_PIPELINES)
        for image in () if tekton is None else tekton.contents.injected:
            injected |= {parse(one).repository for one in (image, environment.images.rules.image(image))}
    return ImagePolicy(
        allowed=allowed,
        injected=tuple(sorted(injected)),
        keeps_secret=environment.images.pull_secret is not None,
    )
