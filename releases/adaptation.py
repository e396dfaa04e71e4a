"""What the settings change of a release, beyond what is changed in it everywhere."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from releases.images import ImageRules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, kw_only=True)
class DeploymentRules:
    """What is changed in a Deployment; with no field given, nothing.

    Attributes
    ----------
    replicas
        Number of its pods.
    arguments
        What its first container is given behind its own arguments.
    resources
        Resources of its first container: what stands here takes the place of what stands there.
    environment
        Environment variables of its first container, by name.
    annotations
        Annotations of its pods, which are made anew where these change.
    volumes
        Further volumes of its pods, as they stand in a pod, each with the folder of its first container that
        it is mounted in as `mountPath`.
    volume_group
        Number of the group that owns what is in its volumes, and that its containers are of; None: as it is.
    recreate
        Whether an old pod ends before a new one begins, since both can't have one volume.
    """

    replicas: int | None = None
    arguments: Sequence[str] = ()
    resources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    volumes: Sequence[Mapping[str, Any]] = ()
    volume_group: int | None = None
    recreate: bool = False


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """What the settings change of a release; with no field given, nothing.

    Fields hold plain data (texts, numbers, booleans, mappings and sequences of these): their JSON is a part
    of what names a prepared manifest.

    Attributes
    ----------
    config_maps
        By name of a ConfigMap of the release: keys and values that are set in its data, beside those there.
    deployments
        By name of a Deployment of the release: what is changed in it.
    objects
        Objects that are installed with it.
    images
        Mirrors, digests and the pull secret of its images.
    assigned_users
        Whether the platform gives pods their users, so that they may name none: OpenShift.
    """

    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    deployments: Mapping[str, DeploymentRules] = field(default_factory=dict)
    objects: Sequence[Mapping[str, Any]] = ()
    images: ImageRules = field(default_factory=ImageRules)
    assigned_users: bool = False

    def as_json(self) -> str:
        """Write it so that equal adaptations are equal texts, whatever the order of their entries."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


UNADAPTED = Adaptation()
"""A release as every environment has it."""
