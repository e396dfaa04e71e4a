"""What holds for every environment, tried on made-up ones up to 20 clusters and 50 tenants.

Each run makes others. The seed that they come from stands at the head of a run, and is given to another by
`--randomly-seed`.
"""

from __future__ import annotations

import random
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import environments
from tests.support.recording import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.support.recording import Registration

STACK = "pulumi:pulumi:Stack"
GATEWAY = re.compile(r"gateway:Gateway\$kubernetes:.*-gateway-(config|deployment|network)$")


@pytest.fixture
def by() -> random.Random:
    """What makes the environments: pytest-randomly seeds the module `random` before each test."""
    return random.Random(random.getrandbits(64))  # noqa: S311 -- no secret is made of it


def registered(sections: Mapping[str, Any]) -> dict[str, Registration]:
    recorder, _ = record(environments.read(environments.stack_file(sections)))
    return {urn: one for urn, one in recorder.registrations.items() if STACK not in urn}


def only_adds(
    names: Iterable[str], before: Mapping[str, Registration], after: Mapping[str, Registration]
) -> None:
    """Compare all that the engine is told: what was there stays as it was, what is new carries a name.

    What was there may also come after what is new: a cluster of a canary pool. That is no change of it, as
    tests/engine/test_upgrade_order.py shows. Of a gateway, the map of all tenants and clusters changes, and
    with it its pods and what they may reach.
    """
    new = after.keys() - before.keys()
    kept = {urn: replace(one, dependencies=one.dependencies - new) for urn, one in after.items()}
    changed = [urn for urn, one in before.items() if kept.get(urn) != one]
    assert [urn for urn in changed if not GATEWAY.search(urn)] == []
    named = re.compile(rf"(cluster-)?({'|'.join(map(re.escape, names))})([-.].*)?")
    assert [urn for urn in new if not named.fullmatch(urn.rpartition("::")[2])] == []
    assert new


def added(before: environments.Sections, after: environments.Sections) -> list[str]:
    sections = ("computeClusters", "tenants")
    return [name for section in sections for name in after[section].keys() - before[section].keys()]


@pytest.mark.parametrize("section", ["computeClusters", "tenants"])
@pytest.mark.parametrize(("clusters", "tenants"), [(1, 0), (1, 2), (3, 5)])
def test_an_entry_more_or_less_changes_only_urns_that_carry_its_name(
    section: str, clusters: int, tenants: int, by: random.Random
) -> None:
    before = environments.sections(by, clusters=clusters, tenants=tenants)
    more = environments.with_tenant if section == "tenants" else environments.with_cluster
    after = more(by, before)
    only_adds(added(before, after), registered(before), registered(after))


def test_a_cluster_and_a_tenant_among_many_change_only_urns_that_carry_their_names(by: random.Random) -> None:
    before = environments.sections(by, clusters=12, tenants=30)
    after = environments.with_tenant(by, environments.with_cluster(by, before))
    only_adds(added(before, after), registered(before), registered(after))


def test_the_first_cluster_changes_only_urns_that_carry_its_name(by: random.Random) -> None:
    before = environments.sections(by, clusters=0, tenants=0)
    after = environments.with_cluster(by, before)
    only_adds(added(before, after), registered(before), registered(after))


def test_an_environment_of_the_largest_size_composes(by: random.Random) -> None:
    sections = environments.sections(by, clusters=20, tenants=50)
    urns = registered(sections)
    providers = {urn.rpartition("::")[2] for urn in urns if "pulumi:providers:kubernetes" in urn}
    assert providers >= {f"cluster-{name}" for name in sections["computeClusters"]}
    assert len(providers) == len(sections["computeClusters"]) + 4
    tenants = {
        urn.rpartition("::")[2] for urn in urns if re.search(r"pipeline-service:tenancy:\w*Tenant::", urn)
    }
    assert tenants == sections["tenants"].keys()


@pytest.mark.parametrize(("clusters", "tenants"), [(1, 2), (3, 6)])
def test_the_order_of_entries_changes_nothing(clusters: int, tenants: int, by: random.Random) -> None:
    before = environments.sections(by, clusters=clusters, tenants=tenants)
    assert registered(before) == registered(environments.shuffled(by, before))


@pytest.mark.parametrize(("clusters", "tenants"), [(0, 0), (1, 0), (3, 5), (20, 50)])
def test_settings_written_as_a_stack_file_are_read_as_they_were(
    clusters: int, tenants: int, by: random.Random
) -> None:
    sections = environments.sections(by, clusters=clusters, tenants=tenants)
    first = environments.read(environments.stack_file(sections))
    # What was not given is not written: of an external tenant, much may not stand there.
    written = first.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert environments.read(environments.stack_file(written)) == first
