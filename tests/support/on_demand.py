"""Marks of tests that take many minutes, and run where PIPELINE_SERVICE_TEST_ALL is set."""

from __future__ import annotations

import os

import pytest

_ALL = "PIPELINE_SERVICE_TEST_ALL" in os.environ

ON_DEMAND = pytest.mark.skipif(
    not _ALL, reason="takes many minutes on a new machine: set PIPELINE_SERVICE_TEST_ALL=1"
)
"""Marks tests that build or bring up what no other test needs."""

STAND_INS = pytest.mark.skipif(
    not _ALL,
    reason="for changes of local/plugins, or to try the official ones: set PIPELINE_SERVICE_TEST_ALL=1",
)
"""Marks tests of nothing but the plugins, which all other tests on the engine use."""
