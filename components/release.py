"""A third-party release on a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pulumi

from components.delivery import Delivery
from components.image_repository import pull_secret
from components.kubernetes_object import KubernetesObject
from components.unit import ClusterUnitArgs, UnitArgs, register_unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.kubernetes_object import Manifest
    from releases.prepare import PreparedRelease

WAIT_SECONDS: Final = 600
"""How long a release's workloads may take to become available, image pulls included."""


@dataclass(frozen=True, kw_only=True)
class ReleaseArgs(ClusterUnitArgs):
    """What a Release needs.

    Attributes
    ----------
    release
        What is installed.
    adopt
        Whether it is taken over where somebody else has installed it.
    cluster
        The cluster's API server.
    pull_secret
        With what its images are pulled: a `.docker/config.json`, base64; None: without.
    objects
        Secrets that its pods need beside it, in namespaces of its own, by the rest of their names.
    supplied
        Namespaces that have the pull secret from another release of the cluster already.
    let_go
        Finalizers that its controllers put on objects of others, `{resource, finalizer}`.
    """

    release: PreparedRelease
    adopt: bool = False
    cluster: pulumi.ProviderResource = field(repr=False)
    pull_secret: pulumi.Input[str] | None = field(default=None, repr=False)
    objects: Mapping[str, Manifest] = field(default_factory=dict, repr=False)
    let_go: Sequence[Mapping[str, str]] = ()
    supplied: frozenset[str] = frozenset()


class Release(pulumi.ComponentResource):
    """A release on a cluster: applied, then waited for.

    Whoever needs the release to work depends on this component, and so on both of its commands.

    Parameters
    ----------
    name
        Name of the compute cluster and of the release.
    args
        What it needs.
    opts
        Pulumi's options.
    """

    def __init__(self, name: str, args: ReleaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pipeline-service:release:Release", name, None, opts)
        if args.delivery is Delivery.GITOPS:
            # The repository holds none. What they lie in is Argo CD's.
            self._secrets(name, args, args.after)
        else:
            self._register(name, args)
        self.register_outputs({"version": args.release.version})

    def _register(self, name: str, args: ReleaseArgs) -> None:
        register_unit(
            name,
            UnitArgs(
                unit=args.release.unit,
                version=args.release.version,
                sha256=args.release.sha256,
                kubeconfig=args.kubeconfig,
                manifest_file=str(args.release.manifest),
                outline="".join(f"{line}\n" for line in args.release.contents.outline),
                incarnation=args.incarnation,
                adopt=args.adopt,
                wait_seconds=WAIT_SECONDS,
                let_go=args.let_go,
                state=args.state,
                retain=args.delivery is Delivery.HANDOVER,
                # Argo CD may have applied it: it is taken as it is, and what differs is taken back.
                force=args.delivery is Delivery.HANDOVER,
            ),
            parent=self,
            depends_on=args.after,
            between=lambda apply: self._secrets(name, args, [apply]),
        )

    def _secrets(
        self, name: str, args: ReleaseArgs, after: Sequence[pulumi.Resource]
    ) -> list[pulumi.Resource]:
        """Register the Secrets: after the namespaces they lie in, and before pods are waited for."""
        made = dict(args.objects)
        if args.pull_secret is not None:
            made = {
                f"{namespace}-pull-secret": pull_secret(
                    namespace, args.pull_secret, "release", release=args.release.name
                )
                for namespace in args.release.contents.pod_namespaces
                if namespace not in args.supplied
            } | made
        return [
            KubernetesObject(f"{name}-{part}", manifest, provider=args.cluster, parent=self, depends_on=after)
            for part, manifest in made.items()
        ]
