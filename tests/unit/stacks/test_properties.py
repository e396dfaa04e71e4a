"""What holds for every environment, tried on made-up ones up to 20 clusters and 50 tenants."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.support import environments
from tests.support.recording import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.recording import Registration

SEEDS = st.integers(0, 2**32)

# An environment of the largest size is composed in seconds. A seed has no smaller form worth looking for.
few = settings(max_examples=2, deadline=None, phases=[Phase.explicit, Phase.generate])
one = settings(few, max_examples=1)


def registered(sections: Mapping[str, Any]) -> dict[str, Registration]:
    recorder, _ = record(environments.read(environments.stack_file(sections)))
    return recorder.registrations


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 -- no secret is made of it


def only_named_differ(
    names: set[str], before: Mapping[str, Registration], after: Mapping[str, Registration]
) -> None:
    """Compare all that the engine is told: what differs must begin with a name, and nothing may go."""
    changed = [
        urn
        for urn in before.keys() | after.keys()
        if "pulumi:pulumi:Stack" not in urn and before.get(urn) != after.get(urn)
    ]
    named = re.compile(rf"(cluster-)?({'|'.join(map(re.escape, names))})([-.].*)?")
    assert [urn for urn in changed if not named.fullmatch(urn.rpartition("::")[2])] == []
    assert before.keys() - after.keys() == set()
    assert changed


@pytest.mark.parametrize("section", ["computeClusters", "tenants"])
@pytest.mark.parametrize(("clusters", "tenants"), [(1, 0), (1, 2), (3, 5)])
@few
@given(seed=SEEDS)
def test_an_entry_more_or_less_changes_only_urns_that_carry_its_name(
    section: str, clusters: int, tenants: int, seed: int
) -> None:
    by = seeded(seed)
    before = environments.sections(by, clusters=clusters, tenants=tenants)
    more = environments.with_tenant if section == "tenants" else environments.with_cluster
    after = more(by, before)
    names = after[section].keys() - before[section].keys()
    only_named_differ(set(names), registered(before), registered(after))


@one
@given(seed=SEEDS)
def test_a_cluster_and_a_tenant_among_many_change_only_urns_that_carry_their_names(seed: int) -> None:
    by = seeded(seed)
    before = environments.sections(by, clusters=19, tenants=49)
    after = environments.with_tenant(by, environments.with_cluster(by, before))
    names = {
        name
        for section in ("computeClusters", "tenants")
        for name in after[section].keys() - before[section].keys()
    }
    only_named_differ(names, registered(before), registered(after))


@one
@given(seed=SEEDS)
def test_the_first_cluster_changes_only_urns_that_carry_its_name(seed: int) -> None:
    by = seeded(seed)
    before = environments.sections(by, clusters=0, tenants=0)
    after = environments.with_cluster(by, before)
    only_named_differ(set(after["computeClusters"]), registered(before), registered(after))


@pytest.mark.parametrize(("clusters", "tenants"), [(2, 3), (4, 8)])
@few
@given(seed=SEEDS)
def test_the_order_of_entries_changes_nothing(clusters: int, tenants: int, seed: int) -> None:
    by = seeded(seed)
    before = environments.sections(by, clusters=clusters, tenants=tenants)
    assert registered(before) == registered(environments.shuffled(by, before))


@pytest.mark.parametrize(("clusters", "tenants"), [(0, 0), (1, 0), (3, 5), (20, 50)])
@few
@given(seed=SEEDS)
def test_settings_written_as_a_stack_file_are_read_as_they_were(
    clusters: int, tenants: int, seed: int
) -> None:
    sections = environments.sections(seeded(seed), clusters=clusters, tenants=tenants)
    first = environments.read(environments.stack_file(sections))
    # What was not given is not written: of an external tenant, much may not stand there.
    written = first.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert environments.read(environments.stack_file(written)) == first
