"""What the embedded environment must run: read off the stack's settings and the variables of the shell."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import PurePosixPath
from typing import TypeVar

from local.assembled import Release, modules_of
from local.errors import LocalError
from local.layout import NOT_CLUSTERS
from releases.catalog import ARGO_CD_HA
from stacks.backends import is_local
from stacks.sections import SubjectsSettings
from stacks.settings import EnvironmentSettings
from stacks.wanted_releases import wanted_releases


class Nodes(StrEnum):
    """Whether the clusters' nodes run pods."""

    REAL = "real"
    SIMULATED = "simulated"


class Images(StrEnum):
    """How a cluster gets the images that it runs."""

    IMPORTED = "imported"
    REGISTRY = "registry"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What shall run.

    Parameters
    ----------
    clusters
        Names of the compute clusters.
    users
        Names of the users who get a credential for kcp.
    nodes
        Real nodes, or simulated ones.
    releases
        The third-party releases that the clusters run, in order.
    images
        Whether images are imported, or pulled from a registry.
    """

    clusters: tuple[str, ...]
    users: tuple[str, ...]
    nodes: Nodes
    releases: tuple[Release, ...] = ()
    images: Images = Images.IMPORTED


_Choice = TypeVar("_Choice", bound=StrEnum)


def choice(variable: str, default: _Choice) -> _Choice:
    """Return the choice that an environment variable names, among those of ``default``'s kind.

    Raises
    ------
    LocalError
        The variable's value is none of them.
    """
    kind = type(default)
    value = os.environ.get(variable, default)
    try:
        return kind(value)
    except ValueError as error:
        raise LocalError(
            f"{variable}={value} is unknown: use {' or '.join(kind)}, or leave it out"
        ) from error


def wanted_of(settings: EnvironmentSettings, nodes: Nodes) -> Wanted:
    """Return what must run for ``settings``.

    A compute cluster is the embedded environment's own where its kubeconfig is
    ``.local/<its name>/kubeconfig``. Every user whom a tenant names gets a credential for kcp.

    Raises
    ------
    LocalError
        A cluster's folder would be one that holds something else (it would be removed with the cluster), its
        kubeconfig is below ``.local/`` where nothing makes one, or it wants a release that is not made, or
        can't run, here.
    """
    clusters = tuple(
        name
        for name, cluster in sorted(settings.compute_clusters.items())
        if cluster.kubeconfig.path is not None
        and PurePosixPath(cluster.kubeconfig.path) == PurePosixPath(".local", name, "kubeconfig")
    )
    refused = [
        f"pipeline-service:computeClusters.{name}: an embedded cluster can't have this name, since "
        f".local/{name} holds what is not the cluster's; "
        f"name it otherwise, e.g. local-{name}, with the kubeconfig .local/local-{name}/kubeconfig"
        for name in clusters
        if name in NOT_CLUSTERS
    ]
    refused += [
        f'pipeline-service:computeClusters.{name}.kubeconfig.path: "{path}": no embedded cluster has it; '
        f"write .local/{name}/kubeconfig for an embedded cluster of this name, or a path outside .local/"
        for name, cluster in sorted(settings.compute_clusters.items())
        if name not in clusters and (path := cluster.kubeconfig.path) is not None and is_local(path)
    ]
    if refused:
        raise LocalError("\n".join(refused))
    roles: Iterable[SubjectsSettings] = chain.from_iterable(
        (
            (tenant.external.binders,)
            if tenant.external
            else (tenant.access.admins, tenant.access.developers, tenant.access.viewers)
        )
        for tenant in settings.tenants.values()
    )
    users = {user for role in roles for user in role.users}
    by_cluster = wanted_releases(settings)
    releases = {release for name in clusters for release in by_cluster[name].items()}
    modules_of(releases)
    if any(name == ARGO_CD_HA for name, _ in releases):
        raise LocalError(
            f"{ARGO_CD_HA}: its three Redis servers want three nodes, and an embedded cluster has one; "
            "leave high availability off for clusters below .local/"
        )
    return Wanted(
        clusters=clusters, users=tuple(sorted(users)), nodes=nodes, releases=tuple(sorted(releases))
    )
