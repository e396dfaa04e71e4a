"""On which cluster a new tenant belongs: the least-loaded active one of its pool."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from operations.errors import OperationError
from stacks.problems import nearest
from stacks.quota_checks import demands
from stacks.settings import DEFAULT_POOL
from stacks.vocabulary import ClusterState, amount

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stacks.settings import EnvironmentSettings


class Placement(NamedTuple):
    """Where a tenant is placed.

    Attributes
    ----------
    cluster
        Name of the cluster.
    why
        Why there, in one line.
    """

    cluster: str
    why: str


class _Load(NamedTuple):
    """What is on a cluster; the least compares as the smallest, and the name decides between equals."""

    share: Decimal
    tenants: int
    cluster: str


def place(settings: EnvironmentSettings, pool: str) -> Placement:
    """Choose the least-loaded active cluster of a pool; the same settings give the same one.

    A cluster's load is what the quotas of its tenants promise, as a share of the pool's capacity: the largest
    of the shares of what the capacity states. Where it states nothing, the number of tenants counts.

    Parameters
    ----------
    settings
        The environment.
    pool
        Name of the pool.

    Raises
    ------
    OperationError
        There is no such pool, or no active cluster in it.
    """
    inside = {name: one for name, one in settings.compute_clusters.items() if one.pool == pool}
    if not inside:
        pools = {DEFAULT_POOL, *settings.pools}
        if pool in pools:
            raise OperationError(f'pool "{pool}": it has no cluster; add one to computeClusters')
        raise OperationError(f'pool "{pool}": there is none; {nearest(pool, pools, what="pools")}')
    active = sorted(name for name, one in inside.items() if one.state is ClusterState.ACTIVE)
    if not active:
        states = ", ".join(f"{name} is {one.state}" for name, one in sorted(inside.items()))
        raise OperationError(
            f'pool "{pool}": no active cluster takes the tenant ({states}); add one, or choose another pool'
        )
    capacity = _capacity(settings, pool)
    loads = _loads(settings, pool, active, capacity)
    least = loads[0]
    if len(loads) == 1:
        return Placement(least.cluster, f"it is pool {pool}'s only active cluster")
    if capacity:
        shown = ", ".join(f"{load.cluster} {load.share:.0%}" for load in loads)
        return Placement(
            least.cluster, f"of pool {pool}'s capacity, its tenants are promised least ({shown})"
        )
    shown = ", ".join(f"{load.cluster} {load.tenants}" for load in loads)
    return Placement(least.cluster, f"of pool {pool}'s active clusters, it has the fewest tenants ({shown})")


def _capacity(settings: EnvironmentSettings, pool: str) -> Mapping[str, Decimal]:
    entry = settings.pools.get(pool)
    stated = {} if entry is None else entry.capacity.model_dump(by_alias=True, exclude_none=True)
    return {
        dimension: amount(value) if isinstance(value, str) else Decimal(value)
        for dimension, value in stated.items()
    }


def _loads(
    settings: EnvironmentSettings, pool: str, clusters: Sequence[str], capacity: Mapping[str, Decimal]
) -> list[_Load]:
    """List clusters, the least-loaded first."""
    promised = demands(settings.model_dump(by_alias=True)).get(pool, {})
    loads = []
    for cluster in clusters:
        tenants = [name for name, tenant in settings.tenants.items() if tenant.cluster == cluster]
        shares = [
            sum((parts[tenant] for tenant in tenants), Decimal()) / capacity[dimension]
            for dimension, parts in promised.items()
            if capacity.get(dimension)
        ]
        loads.append(_Load(max(shares, default=Decimal()), len(tenants), cluster))
    return sorted(loads)
