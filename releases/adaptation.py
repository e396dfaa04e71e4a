"""What the settings change of a release, beyond what is changed in it everywhere."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from releases.images import ImageRules

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """What the settings change of a release; with no field given, nothing.

    Fields hold plain data (texts, numbers, booleans, mappings and sequences of these): their JSON is a part
    of what names a prepared manifest.

    Attributes
    ----------
    config_maps
        By name of a ConfigMap of the release: keys and values that are set in its data, beside those there.
    images
        Mirrors, digests and the pull secret of its images.
    assigned_users
        Whether the platform gives pods their users, so that they may name none: OpenShift.
    """

    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    images: ImageRules = field(default_factory=ImageRules)
    assigned_users: bool = False

    def as_json(self) -> str:
        """Write it so that equal adaptations are equal texts, whatever the order of their entries."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


UNADAPTED = Adaptation()
"""A release as every environment has it."""
