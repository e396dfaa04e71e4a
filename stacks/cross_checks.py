"""What no single entry of the settings shows.

Every check reads the settings as they stand in the stack file, and takes no more of an entry than it needs:
so it also looks at entries that are wrong in other ways, and everything is told at once.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from components.delivery import Delivery
from stacks import (
    argocd_checks,
    gateway_checks,
    image_checks,
    partial,
    pipelines_as_code_checks,
    quota_checks,
    release_checks,
    tekton_checks,
)
from stacks.partial import active_clusters
from stacks.problems import Problem, key_path, nearest, shown
from stacks.settings import DEFAULT_POOL, TENANTS, KcpSettings
from stacks.tenant_settings import NetworkSettings, TenantSettings
from stacks.vocabulary import (
    RESERVED_NAMESPACES,
    WORKSPACE_PATH_MAX,
    ClusterState,
    Egress,
    repository_identity,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stacks.partial import Entry

_RESERVED_WORKSPACES: Final = (*RESERVED_NAMESPACES, "openshift-")
"""Beginnings of workspaces' names that a tenant's namespaces on its cluster must not have."""

OWNERS_KEYS: Final = ("workspace", "access", "incarnation")
"""Keys of a tenant that are about the inside of a workspace, which an external one's owner decides on."""


def cross_check(sections: Entry) -> list[Problem]:
    """Find what no single entry shows.

    Parameters
    ----------
    sections
        The settings as they stand in the stack file.
    """
    return [
        *_placement(sections),
        *_workspaces(sections),
        *_external(sections),
        *_access(sections),
        *_network(sections),
        *_retired(sections),
        *_homes(sections),
        *_kubeconfigs(sections),
        *_pools(sections),
        *_repositories(sections),
        *gateway_checks.check(sections),
        *argocd_checks.check(sections),
        *image_checks.check(sections),
        *_delivery(sections),
        *quota_checks.check(sections),
        *release_checks.check(sections),
        *tekton_checks.check(sections),
        *pipelines_as_code_checks.check(sections),
    ]


def _delivery(sections: Entry) -> Iterator[Problem]:
    repository = sections.get("gitops") is not None
    argo = partial.section(sections, "argocd").get("enabled") is True
    for name, cluster in sorted(partial.entries(sections, "computeClusters").items()):
        delivery = partial.text(cluster, "delivery", Delivery.DIRECT)
        if delivery not in (Delivery.HANDOVER, Delivery.GITOPS):
            continue
        place, value = key_path(["computeClusters", name, "delivery"]), shown(str(delivery))
        if not repository:
            yield Problem(
                key=place,
                value=value,
                why="there is no section gitops, so no repository from which the cluster could be filled",
                mend="add gitops: {repository: https://…}, or use direct",
            )
        if not argo:
            yield Problem(
                key=place,
                value=value,
                why="argocd.enabled is not true, so the cluster has no Argo CD that fills it",
                mend="set argocd: {enabled: true}, or use direct",
            )


def _placement(sections: Entry) -> Iterator[Problem]:
    clusters = partial.entries(sections, "computeClusters")
    for name, tenant in partial.entries(sections, "tenants").items():
        cluster = partial.text(tenant, "cluster")
        if cluster is not None and cluster not in clusters:
            yield Problem(
                key=key_path(["tenants", name, "cluster"]),
                value=shown(cluster),
                why="there is no such compute cluster",
                mend=nearest(cluster, clusters, what="compute clusters"),
            )


def _workspaces(sections: Entry) -> Iterator[Problem]:
    kcp = partial.section(sections, "kcp")
    parent = partial.text(kcp, "parent", KcpSettings.model_fields["parent"].default)
    workspace = partial.text(kcp, "workspace", KcpSettings.model_fields["workspace"].default)
    service = f"{parent}:{workspace}"
    room = WORKSPACE_PATH_MAX - len(f"{service}:{TENANTS}:")
    if room < 1:
        yield Problem(
            key=key_path(["kcp", "parent"]),
            value=shown(parent),
            why=f"no tenant's workspace below it has a path of {WORKSPACE_PATH_MAX} characters or less",
            mend="use a parent with a shorter path",
        )
    owners: dict[str, str] = {}
    for name, tenant in sorted(partial.entries(sections, "tenants").items()):
        path = partial.text(partial.section(tenant, "external"), "path")
        if path is None:
            leaf = partial.text(tenant, "workspace") or name
            place, value, full = ["tenants", name, "workspace"], leaf, f"{service}:{TENANTS}:{leaf}"
            if 1 <= room < len(leaf):
                yield Problem(
                    key=key_path(place),
                    value=shown(leaf),
                    why=f"its path would have {len(full)} characters, and {WORKSPACE_PATH_MAX} are the limit",
                    mend=f"use a name of {room} at most, or a shorter kcp.parent",
                )
        else:
            leaf = path.rpartition(":")[2]
            place, value, full = ["tenants", name, "external", "path"], path, path
            if path == service or path.startswith(f"{service}:"):
                yield Problem(
                    key=key_path(place),
                    value=shown(path),
                    why="this workspace is the environment's own, and so nobody else's",
                    mend=f"name one outside {service}, or leave external out, so that one is made",
                )
        # With the hyphen that follows it in the names of its namespaces.
        if f"{leaf}-".startswith(_RESERVED_WORKSPACES):
            yield Problem(
                key=key_path(place),
                value=shown(value),
                why="its namespaces on the cluster would have a name that belongs to the platform",
                mend=(
                    "use a workspace whose name doesn't begin with"
                    f" {', '.join(_RESERVED_WORKSPACES)}, and is none of these words alone"
                ),
            )
        if (owner := owners.setdefault(full, name)) != name:
            yield Problem(
                key=key_path(place),
                value=shown(value),
                why=f'tenant "{owner}" has this workspace',
                mend="give each tenant a workspace of its own",
            )


def _external(sections: Entry) -> Iterator[Problem]:
    for name, tenant in partial.entries(sections, "tenants").items():
        if tenant.get("external") is None:
            continue
        given: list[list[str]] = [[key] for key in OWNERS_KEYS if key in tenant]
        if "pipelineRuns" in partial.section(tenant, "quota"):
            given.append(["quota", "pipelineRuns"])
        for keys in given:
            yield Problem(
                key=key_path(["tenants", name, *keys]),
                value="",
                why="the tenant's workspace is external: its owner decides on what is in it",
                mend="take this key out, or take external out so that a workspace is made",
            )


def _access(sections: Entry) -> Iterator[Problem]:
    default = TenantSettings.model_fields["namespaces"].default
    for name, tenant in partial.entries(sections, "tenants").items():
        namespaces = set(partial.texts(tenant, "namespaces", default).values())
        for role, who in partial.entries(tenant, "access").items():
            for place, account in partial.texts(who, "serviceAccounts").items():
                namespace, separator, _ = account.partition("/")
                if separator and namespace not in namespaces:
                    yield Problem(
                        key=key_path(["tenants", name, "access", role, "serviceAccounts", place]),
                        value=shown(account),
                        why="the tenant's entry names no such namespace",
                        mend=nearest(namespace, namespaces, what="namespaces"),
                    )


def _network(sections: Entry) -> Iterator[Problem]:
    for name, tenant in partial.entries(sections, "tenants").items():
        network = partial.section(tenant, "network")
        egress = partial.text(network, "egress", NetworkSettings.model_fields["egress"].default)
        if egress == Egress.OPEN and network.get("allowedEgress"):
            yield Problem(
                key=key_path(["tenants", name, "network", "allowedEgress"]),
                value="",
                why="with egress: open, the tenant's pods reach these networks and all others",
                mend="write egress: closed beside it, or take it out",
            )


def _retired(sections: Entry) -> Iterator[Problem]:
    for name, tenant in partial.entries(sections, "tenants").items():
        retired = tenant.get("retired")
        if not isinstance(retired, Mapping):
            continue
        external, exported = tenant.get("external") is not None, retired.get("export") is not None
        if external == exported:
            yield Problem(
                key=key_path(["tenants", name, "retired", "export"]),
                value="",
                why="the tenant's workspace is external: nothing in it is deleted, and so nothing exported"
                if external
                else "the tenant's workspace goes with its entry, and what is in it hasn't been exported",
                mend="write retired: {}"
                if external
                else f"run .venv/bin/python -m operations tenant retire {name}, which exports it",
            )


def _homes(sections: Entry) -> Iterator[Problem]:
    clusters = partial.entries(sections, "computeClusters")
    tenants = partial.entries(sections, "tenants")
    placed = {name: partial.text(tenant, "cluster") for name, tenant in tenants.items()}
    for name, cluster in clusters.items():
        named = partial.texts(cluster, "homeOf")
        for place, tenant in named.items():
            problem_key = key_path(["computeClusters", name, "homeOf", place])
            if tenant not in tenants:
                yield Problem(
                    key=problem_key,
                    value=shown(tenant),
                    why="there is no such tenant",
                    mend=f"take it out, or correct it ({nearest(tenant, tenants, what='tenants')})",
                )
            elif placed[tenant] not in (None, name):
                yield Problem(
                    key=problem_key,
                    value=shown(tenant),
                    why=f"this tenant is placed on cluster {shown(placed[tenant])}",
                    mend=f"take it out, or write cluster: {name} in the tenant's entry",
                )
        state = partial.text(cluster, "state", ClusterState.ACTIVE)
        if state not in set(ClusterState) - {ClusterState.ACTIVE}:
            continue
        home = {tenant for tenant in named.values() if placed.get(tenant) == name}
        new = sorted({tenant for tenant, where in placed.items() if where == name} - home)
        if new:
            yield Problem(
                key=key_path(["computeClusters", name, "homeOf"]),
                value=_list(sorted(home)),
                why=f"the cluster is {state} and takes no new tenants; placed on it: {', '.join(new)}",
                mend=(
                    f"write homeOf: {_list(sorted(home | set(new)))} if it is their home already,"
                    f" else place them on an active cluster: {active_clusters(clusters, like=cluster)}"
                ),
            )


def _list(names: list[str]) -> str:
    return f"[{', '.join(names)}]"


def _kubeconfigs(sections: Entry) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    for name, cluster in sorted(partial.entries(sections, "computeClusters").items()):
        source = dict(partial.section(cluster, "kubeconfig"))
        if path := partial.text(source, "path"):
            source["path"] = posixpath.normpath(path)
        identity = json.dumps(source, sort_keys=True, default=str)
        if source and (owner := owners.setdefault(identity, name)) != name:
            yield Problem(
                key=key_path(["computeClusters", name, "kubeconfig"]),
                value="",
                why=f'cluster "{owner}" has the very same: both would be one cluster, with two of each part',
                mend="give each cluster the kubeconfig of its own, or take one of the two out",
            )


def _pools(sections: Entry) -> Iterator[Problem]:
    pools = {*partial.section(sections, "pools"), DEFAULT_POOL}
    for name, cluster in partial.entries(sections, "computeClusters").items():
        pool = partial.text(cluster, "pool")
        if pool is not None and pool not in pools:
            yield Problem(
                key=key_path(["computeClusters", name, "pool"]),
                value=shown(pool),
                why="there is no such pool",
                mend=f"correct it, or add the entry pools.{pool} ({nearest(pool, pools, what='pools')})",
            )


def _repositories(sections: Entry) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    for name, tenant in sorted(partial.entries(sections, "tenants").items()):
        for place, url in partial.texts(tenant, "repositories").items():
            identity = repository_identity(url)
            if identity in owners:
                yield Problem(
                    key=key_path(["tenants", name, "repositories", place]),
                    value=shown(url),
                    why=f'tenant "{owners[identity]}" has this repository, and its events go to one cluster',
                    mend="let it stand once, with one tenant",
                )
            owners.setdefault(identity, name)
