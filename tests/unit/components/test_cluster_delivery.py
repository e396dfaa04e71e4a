"""What watches over a cluster's delivery where the cluster can't be asked."""

from __future__ import annotations

import pytest

from components.cluster_delivery import refuse_change


def test_the_delivery_of_a_cluster_that_nobody_reaches_stays_as_it_is() -> None:
    with pytest.raises(
        ValueError, match=r'computeClusters\.east\.delivery: "gitops": .* set it back to direct'
    ):
        refuse_change("east", "gitops", {"UNIT_DELIVERY": "direct"})


@pytest.mark.parametrize("before", [{"UNIT_DELIVERY": "gitops"}, {}, None])
def test_one_that_stays_as_it_is_passes(before: dict[str, str] | None) -> None:
    assert refuse_change("east", "gitops", before)
