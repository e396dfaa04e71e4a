"""The images of our own pods."""

from __future__ import annotations

from typing import Final

from releases.catalog import HAPROXY_IMAGE, PYTHON_IMAGE

SYNCER_IMAGE: Final = "ghcr.io/kcp-dev/api-syncagent"
"""The agent, without its version: that is its CustomResourceDefinitions'."""

OWN_IMAGES: Final = (SYNCER_IMAGE, PYTHON_IMAGE, HAPROXY_IMAGE)
"""All of them, under the names that they have where nothing mirrors them."""


def own_images(syncer_version: str) -> tuple[str, ...]:
    """Name all of them as they are pulled, under their own names.

    Parameters
    ----------
    syncer_version
        Version of the agent.
    """
    return tuple(f"{image}:{syncer_version}" if image == SYNCER_IMAGE else image for image in OWN_IMAGES)
