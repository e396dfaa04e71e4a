"""The API servers the program talks to: one Provider per kcp workspace it manages and per compute cluster.

The engine starts a plugin process for each Provider, so there is none per tenant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi_kubernetes import Provider

from components.cluster_provider import ClusterProvider
from components.delivery import Delivery
from stacks.vocabulary import ClusterState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stacks.loader import LoadedEnvironment


def kcp_workspace(
    name: str, environment: LoadedEnvironment, path: str, *, after: Sequence[pulumi.Resource] = ()
) -> Provider:
    """Address a workspace of kcp.

    Parameters
    ----------
    name
        What the workspace is for: `parent`, `service`, `compute` or `tenants`.
    environment
        The environment.
    path
        Path of the workspace.
    after
        What makes the workspace: it must be there before anything is put into it.
    """
    kubeconfig = environment.kcp.at_workspace(path)
    return Provider(
        f"kcp-{name}",
        # Without an identifier of its own, a new address or certificate could replace everything behind it.
        cluster_identifier=f"kcp:{path}",
        kubeconfig=pulumi.Output.secret(kubeconfig.render()),
        enable_server_side_apply=True,
        # What somebody else changed of our objects is changed back; else it would be a conflict …
        enable_patch_force=True,
        # … and a changed setting or credential is written over the old one: no gap between delete and create.
        enable_config_map_mutable=True,
        enable_secret_mutable=True,
        opts=pulumi.ResourceOptions(depends_on=list(after)),
    )


def compute_cluster(
    name: str, environment: LoadedEnvironment, *, after: Sequence[pulumi.Resource] = ()
) -> ClusterProvider:
    """Address a compute cluster.

    Parameters
    ----------
    name
        Its name.
    environment
        The environment.
    after
        What must be done before anything on it is touched.
    """
    entry = environment.settings.compute_clusters[name]
    state = entry.state
    return ClusterProvider(
        f"cluster-{name}",
        delivery=entry.delivery,
        cluster_identifier=f"cluster:{name}",
        kubeconfig=pulumi.Output.secret(environment.kubeconfigs[name].render()),
        enable_server_side_apply=True,
        # What somebody else changed of our objects is changed back; else it would be a conflict …
        enable_patch_force=True,
        # … and a changed setting or credential is written over the old one: no gap between delete and create.
        enable_config_map_mutable=True,
        enable_secret_mutable=True,
        # A dead cluster must not hold up the others …
        skip_update_unreachable=True if state in (ClusterState.UNREACHABLE, ClusterState.GONE) else None,
        # … and one that never comes back must not hold up its own removal.
        delete_unreachable=True if state is ClusterState.GONE else None,
        # What Argo CD has applied exists, and is taken into the state.
        upsert_existing_objects=True if entry.delivery is Delivery.HANDOVER else None,
        opts=pulumi.ResourceOptions(depends_on=list(after)) if after else None,
    )
