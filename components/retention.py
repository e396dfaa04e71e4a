"""Retention of finished PipelineRuns: pruned in kcp, as on the cluster they would come back and run again.

Each cluster prunes what its own export holds, with an identity of its own; each tenant has its policy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi

from components import kcp_identity
from components import retention_manifests as manifests
from components.kubernetes_object import KubernetesObject, register_object, register_objects
from components.names import labels

if TYPE_CHECKING:
    from components.retention_prune import Policy


@dataclass(frozen=True, kw_only=True)
class RetentionArgs:
    """What a Retention needs.

    Attributes
    ----------
    cluster_name
        Name of the compute cluster, and of its API export.
    compute
        The workspace `compute`.
    compute_url
        Address of the workspace `compute`, as seen from the cluster's pods.
    certificate_authority
        kcp's certificate authority (base64 of PEM), or None where the system's is to be used.
    cluster
        The cluster's API server.
    pods
        Its pods.
    after
        What must be there before it, and stay until it is gone: the syncer, which takes the copies of deleted
        runs away.
    """

    cluster_name: str
    compute: pulumi.ProviderResource = field(repr=False)
    compute_url: str
    certificate_authority: str | None
    cluster: pulumi.ProviderResource = field(repr=False)
    pods: manifests.RetentionPods
    after: tuple[pulumi.Resource, ...] = field(default=(), repr=False)


class Retention(pulumi.ComponentResource):
    """What prunes the finished runs of a compute cluster's tenants.

    Parameters
    ----------
    name
        Name of the compute cluster.
    args
        What it needs.
    opts
        Pulumi's options.
    """

    def __init__(self, name: str, args: RetentionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pipeline-service:retention:Retention", name, None, opts)
        cluster = args.cluster_name
        token = kcp_identity.register_identity(
            f"{name}-retention-kcp",
            kcp_identity.service_account(
                manifests.kcp_account_name(cluster), labels("retention", cluster=cluster)
            ),
            manifests.kcp_rights(cluster),
            compute=args.compute,
            parent=self,
        )
        kubeconfig = token.apply(
            lambda encoded: kcp_identity.base64_text(
                kcp_identity.kubeconfig(args.compute_url, args.certificate_authority, "retention", encoded)
            )
        )
        ground = register_objects(
            name,
            manifests.ground(kubeconfig, args.pods.pull_secret),
            provider=args.cluster,
            parent=self,
            depends_on=args.after,
        )
        register_object(
            f"{name}-retention-job",
            manifests.job(cluster, args.pods),
            provider=args.cluster,
            parent=self,
            depends_on=ground,
        )
        self.register_outputs({})


@dataclass(frozen=True, kw_only=True)
class RetentionPolicyArgs:
    """What a RetentionPolicy needs.

    Attributes
    ----------
    compute
        The workspace `compute`.
    cluster_name
        Name of the compute cluster on which the tenant's pipelines run.
    path
        Path of the tenant's workspace.
    policy
        How long its finished runs are kept.
    """

    compute: pulumi.ProviderResource = field(repr=False)
    cluster_name: str
    path: str
    policy: Policy


class RetentionPolicy(pulumi.ComponentResource):
    """How long a tenant's finished runs are kept, whoever owns its workspace.

    Parameters
    ----------
    name
        Name of the tenant.
    args
        What it needs.
    opts
        Pulumi's options.
    """

    def __init__(
        self, name: str, args: RetentionPolicyArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("pipeline-service:retention:RetentionPolicy", name, None, opts)
        KubernetesObject(
            f"{name}-retention",
            manifests.policy_map(args.cluster_name, args.path, args.policy),
            provider=args.compute,
            parent=self,
        )
        self.register_outputs({})
