"""What tenants' quotas add up to in a pool, held against its capacity."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from decimal import ROUND_CEILING, Context, Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from stacks import partial
from stacks.problems import Problem, key_path, shown
from stacks.settings import DEFAULT_POOL, PoolSettings
from stacks.tenant_settings import QuotaSettings, TenantSettings
from stacks.vocabulary import COUNT_MAX, OVERCOMMIT_MAX, ClusterState, amount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stacks.partial import Entry

_BIGGEST: Final = 3
"""How many tenants a problem names."""


_EXACT: Final = Context(prec=100)
"""More digits than any sum has: with the usual 28, an absurd but well-formed quantity would be an error."""


class Dimension(StrEnum):
    """What is counted, by its key in a quota and in a capacity."""

    CPU = "cpu"
    MEMORY = "memory"
    PODS = "pods"
    STORAGE = "storage"


Demands: TypeAlias = Mapping[str, Mapping[Dimension, Mapping[str, Decimal]]]
"""By pool and dimension: each tenant's part, in cores, bytes or pods."""


def demands(sections: Entry) -> Demands:
    """Add up what the quotas of the tenants in each pool promise.

    A quota holds for each namespace, so a tenant's part is its quota times the number of its namespaces.

    Parameters
    ----------
    sections
        The settings as they stand in the stack file, or `EnvironmentSettings.model_dump(by_alias=True)`.
    """
    clusters = partial.entries(sections, "computeClusters")
    found: dict[str, dict[Dimension, dict[str, Decimal]]] = defaultdict(lambda: defaultdict(dict))
    for name, tenant in sorted(partial.entries(sections, "tenants").items()):
        cluster = clusters.get(partial.text(tenant, "cluster") or "")
        pool = None if cluster is None else partial.text(cluster, "pool", DEFAULT_POOL)
        # Nothing runs on a cluster that is gone.
        if cluster is None or pool is None or partial.text(cluster, "state") == ClusterState.GONE:
            continue
        namespaces = partial.texts(tenant, "namespaces", TenantSettings.model_fields["namespaces"].default)
        quota = partial.section(tenant, "quota")
        for dimension in Dimension:
            default = QuotaSettings.model_fields[dimension].default
            each = _amount(quota.get(dimension, default))
            if each is not None:
                found[pool][dimension][name] = each * len(namespaces)
    return found


def written(value: Decimal, dimension: Dimension) -> str:
    """Write an amount as a stack file does.

    Parameters
    ----------
    value
        Cores, bytes or pods.
    dimension
        Which of them.

    Returns
    -------
    str
        Bytes in Gi, or in Mi where it is less than one; rounded up to two digits after the point.
    """
    unit, suffix = Decimal(1), ""
    if dimension in (Dimension.MEMORY, Dimension.STORAGE):
        unit, suffix = (Decimal(2**30), "Gi") if value >= 2**30 else (Decimal(2**20), "Mi")
    return f"{_rounded_up(_EXACT.divide(value, unit))}{suffix}"


def check(sections: Entry) -> Iterator[Problem]:
    """Find the pools whose tenants are promised more than there is.

    Parameters
    ----------
    sections
        The settings as they stand in the stack file.
    """
    demanded = demands(sections)
    for name, pool in partial.entries(sections, "pools").items():
        factor = pool.get("overcommit", PoolSettings.model_fields["overcommit"].default)
        if (
            isinstance(factor, bool)
            or not isinstance(factor, int | float)
            or not 1 <= factor <= OVERCOMMIT_MAX
        ):
            continue
        for dimension, given in partial.section(pool, "capacity").items():
            capacity = _amount(given)
            parts = (
                demanded.get(name, {}).get(Dimension(dimension), {}) if dimension in set(Dimension) else {}
            )
            total = sum(parts.values(), Decimal())
            if capacity is None or total <= capacity * Decimal(str(factor)):
                continue
            yield Problem(
                key=key_path(["pools", name, "capacity", dimension]),
                value=shown(given),
                why=_excess(Dimension(dimension), parts, capacity, factor),
                mend="lower quotas, place tenants in another pool, or add a cluster and raise this to the sum"
                + _overcommit(total, capacity),
            )


def _overcommit(total: Decimal, capacity: Decimal) -> str:
    """Propose an overcommit with which the total fits, where there is one."""
    if total > capacity * OVERCOMMIT_MAX:
        return ""
    return f"; or set overcommit: {_rounded_up(_EXACT.divide(total, capacity))}"


def _excess(dimension: Dimension, parts: Mapping[str, Decimal], capacity: Decimal, overcommit: float) -> str:
    biggest = sorted(parts.items(), key=lambda part: (-part[1], part[0]))
    named = ", ".join(f"{tenant} {written(part, dimension)}" for tenant, part in biggest[:_BIGGEST])
    more = f" and {len(parts) - _BIGGEST} more" if len(parts) > _BIGGEST else ""
    total = written(sum(parts.values(), Decimal()), dimension)
    allowed = written(capacity * Decimal(str(overcommit)), dimension)
    return (
        f"its tenants' quotas, each times its namespaces, add up to {total} ({named}{more}),"
        f" and capacity times overcommit {overcommit:g} is {allowed}"
    )


def _rounded_up(value: Decimal) -> str:
    """Write a number with two digits after the point at most."""
    return f"{_EXACT.normalize(value.quantize(Decimal('0.01'), rounding=ROUND_CEILING, context=_EXACT)):f}"


def _amount(given: object) -> Decimal | None:
    """Read a quantity or a number; None where it is neither."""
    if isinstance(given, int) and not isinstance(given, bool):
        return Decimal(given) if 1 <= given <= COUNT_MAX else None
    if not isinstance(given, str):
        return None
    try:
        return amount(given)
    except ValueError:
        return None
