"""Short stack traces: with each resource the engine keeps the frames of the program that led to it."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_FRAMES: Final = 11
"""How many are kept: five of the SDK, and ours from an object in a tenant's namespace to the composition."""


@contextmanager
def short_stack_traces() -> Iterator[None]:
    """Leave out of what the SDK records how the engine started the program.

    These frames are the same for every resource, are more than half of its trace, and name folders of the
    machine that happened to deploy. What is raised inside is told whole, since Python cuts a traceback only
    where it writes it.
    """
    sys.tracebacklimit = _FRAMES
    try:
        yield
    finally:
        del sys.tracebacklimit
