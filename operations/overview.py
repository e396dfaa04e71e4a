"""What an environment would contain, read off its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from components.names import tenant_namespace
from stacks.quota_checks import Dimension, demands, written
from stacks.settings import DEFAULT_POOL, PoolSettings
from stacks.vocabulary import ClusterState, Distribution, amount

if TYPE_CHECKING:
    from stacks.quota_checks import Demands
    from stacks.settings import CapacitySettings, EnvironmentSettings


class Facts(BaseModel):
    """A part of a report: immutable, camelCase in JSON."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, validate_by_name=True)


class Resources(Facts):
    """How much of what pods need.

    Attributes
    ----------
    cpu
        Cores, as a Kubernetes quantity; None where it is not stated.
    memory
        Bytes, as a Kubernetes quantity; None where it is not stated.
    pods
        Number of pods; None where it is not stated.
    """

    cpu: str | None = None
    memory: str | None = None
    pods: int | None = None
    storage: str | None = None


class PoolFacts(Facts):
    """A pool.

    Attributes
    ----------
    name
        Its name.
    description
        What it is for.
    clusters
        Names of its clusters.
    tenants
        How many tenants are on them.
    promised
        Sum of these tenants' quotas.
    limit
        What that may come to: capacity times overcommit.
    """

    name: str
    description: str
    clusters: tuple[str, ...]
    tenants: int
    promised: Resources
    limit: Resources


class ClusterFacts(Facts):
    """A compute cluster.

    Attributes
    ----------
    name
        Its name.
    pool
        Name of its pool.
    state
        What may happen on it.
    distribution
        The kind of Kubernetes it is.
    tenants
        Names of the tenants on it.
    promised
        Sum of these tenants' quotas.
    """

    name: str
    pool: str
    state: ClusterState
    distribution: Distribution
    tenants: tuple[str, ...]
    promised: Resources


class TenantFacts(Facts):
    """A tenant.

    Attributes
    ----------
    name
        Its name.
    workspace
        Path of its workspace.
    external
        Whether someone else owns the workspace.
    cluster
        Name of its cluster.
    namespaces
        Its namespaces, and the name each has on the cluster.
    """

    name: str
    workspace: str
    external: bool
    cluster: str
    namespaces: Mapping[str, str]


class Overview(Facts):
    """An environment.

    Attributes
    ----------
    workspace
        Path of the service's workspace in kcp.
    pools
        Its pools, by name.
    clusters
        Its compute clusters, by name.
    tenants
        Its tenants, by name.
    """

    workspace: str
    pools: tuple[PoolFacts, ...]
    clusters: tuple[ClusterFacts, ...]
    tenants: tuple[TenantFacts, ...]


def overview(settings: EnvironmentSettings) -> Overview:
    """Say what an environment would contain.

    Parameters
    ----------
    settings
        Its settings.
    """
    demanded = demands(settings.model_dump(by_alias=True))
    tenants = settings.tenants
    pool_of = {name: cluster.pool for name, cluster in settings.compute_clusters.items()}
    clusters: dict[str, ClusterFacts] = {}
    for name, cluster in sorted(settings.compute_clusters.items()):
        here = tuple(sorted(tenant for tenant in tenants if tenants[tenant].cluster == name))
        clusters[name] = ClusterFacts(
            name=name,
            pool=cluster.pool,
            state=cluster.state,
            distribution=cluster.distribution,
            tenants=here,
            promised=_promised(demanded, cluster.pool, here),
        )
    pools: list[PoolFacts] = []
    for name, pool in sorted({DEFAULT_POOL: PoolSettings(), **settings.pools}.items()):
        inside = sorted(tenant for tenant in tenants if pool_of[tenants[tenant].cluster] == name)
        pools.append(
            PoolFacts(
                name=name,
                description=pool.description,
                clusters=tuple(cluster for cluster in clusters if pool_of[cluster] == name),
                tenants=len(inside),
                promised=_promised(demanded, name, inside),
                limit=_limit(pool.capacity, Decimal(str(pool.overcommit))),
            )
        )
    return Overview(
        workspace=settings.service_path,
        pools=tuple(pools),
        clusters=tuple(clusters.values()),
        tenants=tuple(
            TenantFacts(
                name=name,
                workspace=(path := settings.tenant_path(name)),
                external=tenant.external is not None,
                cluster=tenant.cluster,
                namespaces={namespace: tenant_namespace(path, namespace) for namespace in tenant.namespaces},
            )
            for name, tenant in sorted(tenants.items())
        ),
    )


def _promised(demanded: Demands, pool: str, tenants: Sequence[str]) -> Resources:
    sums = {
        dimension: sum((parts.get(tenant, Decimal()) for tenant in tenants), Decimal())
        for dimension, parts in demanded.get(pool, {}).items()
    }
    return Resources(
        cpu=written(sums.get(Dimension.CPU, Decimal()), Dimension.CPU),
        memory=written(sums.get(Dimension.MEMORY, Decimal()), Dimension.MEMORY),
        pods=int(sums.get(Dimension.PODS, 0)),
        storage=written(sums.get(Dimension.STORAGE, Decimal()), Dimension.STORAGE),
    )


def _limit(capacity: CapacitySettings, overcommit: Decimal) -> Resources:
    cpu, memory, storage = (
        None if quantity is None else written(amount(quantity) * overcommit, dimension)
        for dimension, quantity in (
            (Dimension.CPU, capacity.cpu),
            (Dimension.MEMORY, capacity.memory),
            (Dimension.STORAGE, capacity.storage),
        )
    )
    pods = None if capacity.pods is None else int(capacity.pods * overcommit)
    return Resources(cpu=cpu, memory=memory, pods=pods, storage=storage)
