"""What is known of a tenant: from the settings, and live from kcp and its cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from components.names import tenant_namespace
from operations.drift import without_answer
from operations.overview import Facts
from operations.tenant_grants import Grant, grants
from stacks.cross_checks import OWNERS_KEYS
from stacks.vocabulary import ClusterState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from operations.api_servers import ApiServers
    from stacks.settings import EnvironmentSettings

_STORED: Final = "stored-runs"
_RUNNING: Final = "running"
"""Names of the ResourceQuotas in the workspace, and in each namespace on the cluster."""


class Usage(Facts):
    """How much of a quota is used.

    Attributes
    ----------
    used
        By resource, as Kubernetes names it.
    hard
        The limit, by resource.
    """

    used: Mapping[str, str]
    hard: Mapping[str, str]


class Live(Facts):
    """What is used now. A quota that isn't there is not deployed yet, or not ours to set.

    Attributes
    ----------
    stored
        PipelineRuns stored in the workspace.
    running
        What runs on the cluster, by namespace of the workspace; None where its entry declares that it gives
        no answer, and it was not asked.
    grants
        What gives rights in the workspace beside the entry; None where that is its owner's.
    """

    stored: Usage | None
    running: Mapping[str, Usage | None] | None
    grants: tuple[Grant, ...] | None = None


class TenantDetails(Facts):
    """A tenant.

    Attributes
    ----------
    name
        Its name.
    workspace
        Path of its workspace.
    pool
        Pool of its cluster.
    cluster_state
        State of its cluster.
    namespaces_on_cluster
        Its namespaces, and the name each has on the cluster.
    settings
        All of its settings, those left at their default among them.
    live
        What is used now; None where that was not asked.
    """

    name: str
    workspace: str
    pool: str
    cluster_state: ClusterState
    namespaces_on_cluster: Mapping[str, str]
    settings: Mapping[str, Any]
    live: Live | None = None


def details(settings: EnvironmentSettings, name: str, servers: ApiServers | None = None) -> TenantDetails:
    """Say what is known of a tenant.

    Parameters
    ----------
    settings
        The environment.
    name
        Name of the tenant.
    servers
        Whom to ask what is used now; None leaves that out.

    Raises
    ------
    OperationError
        kcp or the cluster gives no answer.
    """
    tenant = settings.tenants[name]
    cluster = settings.compute_clusters[tenant.cluster]
    path = settings.tenant_path(name)
    namespaces = {namespace: tenant_namespace(path, namespace) for namespace in tenant.namespaces}
    # Of an external workspace, nothing is decided here.
    owners: dict[str, bool | set[str]] = dict.fromkeys(OWNERS_KEYS, True)
    owners["quota"] = {"pipeline_runs"}
    return TenantDetails(
        name=name,
        workspace=path,
        pool=cluster.pool,
        cluster_state=cluster.state,
        namespaces_on_cluster=namespaces,
        settings=tenant.model_dump(
            mode="json", by_alias=True, exclude_none=True, exclude=owners if tenant.external else None
        ),
        live=None if servers is None else _live(servers, settings, name, namespaces),
    )


def lines(tenant: TenantDetails) -> Iterator[str]:
    """Write a tenant's details for a person.

    Parameters
    ----------
    tenant
        The details.
    """
    yield f"tenant {tenant.name}"
    yield f"  workspace: {tenant.workspace}"
    yield f"  cluster: {tenant.settings['cluster']} (pool {tenant.pool}, {tenant.cluster_state})"
    for key, value in tenant.settings.items():
        if key in ("cluster", "workspace", "namespaces"):
            continue
        if isinstance(value, dict):
            yield f"  {key}:"
            yield from (f"    {name}: {_text(one)}" for name, one in value.items())
        else:
            yield f"  {key}: {_text(value)}"
    yield "  namespaces, and on the cluster:"
    yield from (f"    {namespace}: {there}" for namespace, there in tenant.namespaces_on_cluster.items())
    if tenant.live is not None:
        yield "  used now:"
        if tenant.live.stored is not None:
            yield f"    stored in the workspace: {_usage(tenant.live.stored)}"
        if tenant.live.running is None:
            yield f"    running: cluster {tenant.settings['cluster']} is {tenant.cluster_state}, not asked"
        for namespace, usage in (tenant.live.running or {}).items():
            yield f"    running in {namespace}: {_usage(usage)}"
        if tenant.live.grants is not None:
            yield "  rights in the workspace that its entry doesn't give:"
            yield from (f"    {grant}" for grant in tenant.live.grants or ("none",))


def _live(
    servers: ApiServers, settings: EnvironmentSettings, name: str, namespaces: Mapping[str, str]
) -> Live:
    tenant = settings.tenants[name]
    stored, others = None, None
    if tenant.external is None:
        workspace = servers.workspace(settings.tenant_path(name))
        found = _quotas(workspace.objects("resourcequotas", "--all-namespaces"), _STORED)
        stored = next(iter(found.values()), None)
        others = grants(workspace, settings, name)
    running = None
    if tenant.cluster not in without_answer(settings):
        cluster = servers.cluster(tenant.cluster)
        there = _quotas(
            cluster.objects(
                "resourcequotas", "--all-namespaces", f"--selector=pipeline-service/tenant={name}"
            ),
            _RUNNING,
        )
        running = {kcp: there.get(ours) for kcp, ours in namespaces.items()}
    return Live(stored=stored, running=running, grants=others)


def _quotas(found: list[dict[str, Any]], name: str) -> dict[str, Usage]:
    """Take the ResourceQuotas of a name, by namespace."""
    return {
        one["metadata"]["namespace"]: Usage(
            used=one.get("status", {}).get("used", {}), hard=one["spec"].get("hard", {})
        )
        for one in found
        if one["metadata"]["name"] == name
    }


def _usage(usage: Usage | None) -> str:
    if usage is None:
        return "not deployed yet"
    return ", ".join(f"{key} {usage.used.get(key, '?')} of {most}" for key, most in usage.hard.items())


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(one)}" for key, one in value.items() if one) or "nobody"
    if isinstance(value, list):
        return " ".join(str(one) for one in value) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
