"""What ends a run of the benches."""

from __future__ import annotations


class BenchError(Exception):
    """Something could not be measured."""
