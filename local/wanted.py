"""What the embedded environment must run for a stack: read off its settings."""

from __future__ import annotations

from itertools import chain
from pathlib import PurePosixPath

from local.environment import Nodes, Wanted
from stacks.settings import EnvironmentSettings


def wanted_of(settings: EnvironmentSettings, nodes: Nodes) -> Wanted:
    """Return what must run for ``settings``.

    A compute cluster is the embedded environment's own where its kubeconfig is
    ``.local/<its name>/kubeconfig``. Every user whom a tenant names gets a credential for kcp.
    """
    clusters = tuple(
        name
        for name, cluster in sorted(settings.compute_clusters.items())
        if cluster.kubeconfig.path is not None
        and PurePosixPath(cluster.kubeconfig.path) == PurePosixPath(".local", name, "kubeconfig")
    )
    roles = chain.from_iterable(
        (tenant.access.admins, tenant.access.developers, tenant.access.viewers)
        for tenant in settings.tenants.values()
    )
    users = sorted({user for role in roles for user in role.users})
    return Wanted(clusters=clusters, users=dict.fromkeys(users, ()), nodes=nodes)
