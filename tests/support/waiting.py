"""Waiting for what real servers bring about in their own time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 60.0
"""More than anything takes on a loaded machine, if it comes at all."""


def until(
    holds: Callable[[], object], what: str, tell: Callable[[], object] = str, seconds: float = SECONDS
) -> None:
    """Wait until something holds; fail where it doesn't in time.

    Parameters
    ----------
    holds
        Tells whether it does.
    what
        Names it.
    tell
        Says more, where it fails.
    seconds
        How long to wait at most.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what} {tell()}")
        time.sleep(0.1)
