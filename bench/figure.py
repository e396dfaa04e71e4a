"""A figure that was measured, beside what it should be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What was measured.

    Attributes
    ----------
    name
        What it is.
    value
        How much.
    unit
        Its unit.
    goal
        How much it may be.
    least
        Whether the goal is instead how much it must be at least.
    """

    name: str
    value: float
    unit: str
    goal: float
    least: bool = False

    def __str__(self) -> str:
        """Write its line."""
        reached = self.value >= self.goal if self.least else self.value <= self.goal
        return f"{self.name} {self.value:.2f} {self.unit} {self.goal:g} {'ok' if reached else 'short'}"
