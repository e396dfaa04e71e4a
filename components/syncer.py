"""The syncer of a compute cluster: api-syncagent, its identity in kcp, its rights, and what it publishes.

Why this syncer, and what its rights rest on: docs/adr/0003-syncer.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pulumi

from components import kcp_identity
from components import syncer_manifests as manifests
from components.kubernetes_object import KubernetesObject, register_object, register_objects
from components.names import digest, labels
from components.release import Release, ReleaseArgs


@dataclass(frozen=True, kw_only=True)
class SyncerArgs:
    """What a Syncer needs.

    Attributes
    ----------
    cluster_name
        Name of the compute cluster, of its API export, and of the agent.
    compute
        The workspace `compute`.
    compute_url
        Address of the workspace `compute`, as seen from the cluster's pods.
    certificate_authority
        kcp's certificate authority (base64 of PEM), or None where the system's is to be used.
    cluster
        The cluster's API server.
    crds
        The agent's CustomResourceDefinitions, as a release on the cluster.
    pods
        The agent's pods.
    repositories
        Whether it copies Repository objects, and the Secrets that they name.
    after
        What must be there before it, and stay until it is gone: what it publishes, for one.
    """

    cluster_name: str
    compute: pulumi.ProviderResource = field(repr=False)
    compute_url: str
    certificate_authority: str | None
    cluster: pulumi.ProviderResource = field(repr=False)
    crds: ReleaseArgs
    pods: manifests.AgentPods
    repositories: bool = False
    after: tuple[pulumi.Resource, ...] = field(default=(), repr=False)


class Syncer(pulumi.ComponentResource):
    """The syncer of a compute cluster, running.

    Parameters
    ----------
    name
        Name of the compute cluster.
    args
        What it needs.
    opts
        Pulumi's options.
    """

    def __init__(self, name: str, args: SyncerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pipeline-service:syncer:Syncer", name, None, opts)
        account = kcp_identity.service_account(
            manifests.kcp_account_name(args.cluster_name), labels("syncer", cluster=args.cluster_name)
        )
        token = kcp_identity.register_identity(
            f"{name}-kcp",
            account,
            manifests.kcp_rights(args.cluster_name),
            compute=args.compute,
            parent=self,
        )
        crds = Release(f"{name}-{args.crds.release.name}", args.crds, pulumi.ResourceOptions(parent=self))
        kubeconfig = token.apply(
            lambda encoded: kcp_identity.kubeconfig(
                args.compute_url, args.certificate_authority, "syncer", encoded
            )
        )
        ground = register_objects(
            name,
            manifests.cluster_objects(args.pods.pull_secret, repositories=args.repositories),
            provider=args.cluster,
            parent=self,
            depends_on=args.after,
        )
        secret = KubernetesObject(
            f"{name}-kcp-kubeconfig",
            manifests.kubeconfig_secret(kubeconfig.apply(kcp_identity.base64_text)),
            provider=args.cluster,
            parent=self,
            depends_on=ground,
        )
        published: dict[str, KubernetesObject] = {}
        for part, manifest in manifests.published_resources(
            args.cluster_name, repositories=args.repositories
        ).items():
            # Each names what brings its kind: where that goes from a cluster that stays, only an order that
            # doesn't lead over others holds, and the agent has to let a kind be before its definition goes.
            for one in register_object(
                f"{name}-{part}",
                manifest,
                provider=args.cluster,
                parent=self,
                depends_on=[*args.after, crds],
            ):
                published[part] = one
        self.credential: pulumi.Output[str] = pulumi.Output.unsecret(kubeconfig.apply(digest))
        """Digest of the agent's kubeconfig: where it changes, the agent has to start anew."""
        agent = register_object(
            f"{name}-agent",
            manifests.deployment(args.cluster_name, args.pods, self.credential),
            provider=args.cluster,
            parent=self,
            depends_on=[secret, *ground, *published.values()],
        )
        leaving = [one for part, one in published.items() if part == manifests.PUBLISHED_REPOSITORIES]
        self.running: tuple[pulumi.Resource, ...] = (*agent, *leaving) if agent else (self,)
        """For others to depend on: the agent, which needs all the rest, and of that what may leave while it
        stays; where Argo CD runs the agent, the component.

        A dependency on a component names each of its resources in the state, for every tenant anew."""
        self.register_outputs({"agent": args.cluster_name})
