"""Where a new tenant is placed: on the least-loaded active cluster of its pool, always on the same one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.errors import OperationError
from operations.tenant_placement import place
from stacks.settings import EnvironmentSettings

KUBECONFIG = {"path": "x"}


def environment(
    clusters: dict[str, dict[str, Any]],
    tenants: dict[str, dict[str, Any]],
    capacity: dict[str, Any] | None = None,
) -> EnvironmentSettings:
    return EnvironmentSettings.model_validate(
        {
            "kcp": {"kubeconfig": KUBECONFIG},
            "pools": {"default": {"capacity": capacity or {}}, "gpu": {}},
            "computeClusters": {name: {"kubeconfig": KUBECONFIG, **one} for name, one in clusters.items()},
            "tenants": tenants,
        }
    )


def on(cluster: str, cpu: str = "1", memory: str = "1Gi", **more: object) -> dict[str, Any]:
    return {"cluster": cluster, "quota": {"cpu": cpu, "memory": memory}, **more}


def test_without_a_capacity_the_fewest_tenants_count_and_the_name_decides_between_equals() -> None:
    clusters: dict[str, dict[str, Any]] = {"b": {}, "a": {}, "c": {}}
    assert place(environment(clusters, {}), "default").cluster == "a"
    chosen = place(environment(clusters, {"x": on("a", cpu="1"), "y": on("b", cpu="99")}), "default")
    assert chosen.cluster == "c"
    assert chosen.why == "of pool default's active clusters, it has the fewest tenants (c 0, a 1, b 1)"


def test_with_a_capacity_the_largest_share_of_what_quotas_promise_counts() -> None:
    tenants = {
        "many-1": on("a"),
        "many-2": on("a"),
        "memory": on("b", memory="60Gi"),
        "cpu": on("c", cpu="3", namespaces=["x", "y"]),
    }
    settings = environment({"a": {}, "b": {}, "c": {}}, tenants, {"cpu": "10", "memory": "100Gi"})
    chosen = place(settings, "default")
    assert chosen.cluster == "a"
    assert chosen.why == ("of pool default's capacity, its tenants are promised least (a 20%, b 60%, c 60%)")


def test_only_active_clusters_of_the_pool_come_into_question() -> None:
    clusters = {
        "a": {"state": "cordoned"},
        "b": {"state": "draining"},
        "d": {"state": "gone"},
        "e": {"state": "unreachable"},
        "f": {"pool": "gpu"},
        "z": {},
    }
    settings = environment(clusters, {"x": on("z"), "y": on("z")})
    assert place(settings, "default") == ("z", "it is pool default's only active cluster")
    assert place(settings, "gpu").cluster == "f"


def test_a_pool_without_an_active_cluster_says_what_state_its_clusters_are_in() -> None:
    settings = environment({"a": {"state": "cordoned"}}, {})
    with pytest.raises(OperationError, match=r"no active cluster takes the tenant \(a is cordoned\)"):
        place(settings, "default")
    with pytest.raises(OperationError, match='pool "gpu": it has no cluster'):
        place(settings, "gpu")


@given(st.permutations(["a", "b", "c", "d"]), st.permutations(["1", "2", "3"]))
def test_the_order_of_entries_does_not_matter(clusters: list[str], tenants: list[str]) -> None:
    homes = {"1": "a", "2": "b", "3": "a"}
    settings = environment(
        {name: {} for name in clusters}, {f"t{name}": on(homes[name]) for name in tenants}, {"pods": 1000}
    )
    assert place(settings, "default").cluster == "c"
