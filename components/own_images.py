"""The images of our own pods."""

from __future__ import annotations

from typing import Final

from releases.catalog import HAPROXY_IMAGE, PYTHON_IMAGE

SYNCER_IMAGE: Final = "ghcr.io/kcp-dev/api-syncagent"
"""The agent, without its version: that is its CustomResourceDefinitions'."""


def own_images(*, gateway: bool, syncer_version: str | None = None) -> tuple[str, ...]:
    """Name them as they are pulled, under the names that they have where nothing mirrors them.

    Parameters
    ----------
    gateway
        Whether there is a gateway.
    syncer_version
        Version of the agent; None: its name is given without.
    """
    syncer = SYNCER_IMAGE if syncer_version is None else f"{SYNCER_IMAGE}:{syncer_version}"
    return (syncer, PYTHON_IMAGE, *((HAPROXY_IMAGE,) if gateway else ()))
