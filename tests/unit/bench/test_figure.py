"""The line of a figure, by which a person sees whether it is as it should be."""

from __future__ import annotations

import pytest

from bench.figure import Figure


@pytest.mark.parametrize(
    ("value", "least", "verdict"),
    [(1.9, False, "ok"), (2.0, False, "ok"), (2.1, False, "short"), (2.1, True, "ok"), (1.9, True, "short")],
)
def test_a_figure_is_held_against_its_goal(
    value: float,
    least: bool,  # noqa: FBT001 -- a case
    verdict: str,
) -> None:
    line = str(Figure(name="x", value=value, unit="ms", goal=2, least=least))
    assert line == f"x {value:.2f} ms 2 {verdict}"
