"""The images of our own pods."""

from __future__ import annotations

from typing import Final

from releases.catalog import PYTHON_IMAGE

SYNCER_IMAGE: Final = "ghcr.io/kcp-dev/api-syncagent"
"""The agent, without its version: that is its CustomResourceDefinitions'."""

OWN_IMAGES: Final = (SYNCER_IMAGE, PYTHON_IMAGE)
"""All of them, under the names that they have where nothing mirrors them."""
