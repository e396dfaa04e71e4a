"""Argo CD on a compute cluster: an instance of its own, which delivers what that cluster's folder says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import pulumi

from components import argocd_manifests
from components.kubernetes_object import KubernetesObject
from components.names import digest
from components.release import Release, ReleaseArgs
from components.unit import UnitArgs, register_unit, to_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.argocd_manifests import GitSource
    from components.kubernetes_object import Manifest

PROJECTS_UNIT: Final = "argocd-projects"
"""Unit of the AppProjects and the Application: their kinds come with the release."""


@dataclass(frozen=True, kw_only=True)
class ArgoCdArgs:
    """What an ArgoCd needs.

    Attributes
    ----------
    release
        Argo CD's release on the cluster.
    source
        What it follows; None: nothing, since this program applies everything itself.
    content
        The objects that it delivers, with a source.
    ignore_differences
        What others fill in of these objects, as an Application states it.
    client_secret
        Its password at the identity provider; None where it has none.
    """

    release: ReleaseArgs
    source: GitSource | None = None
    content: Sequence[Manifest] = field(default=(), repr=False)
    ignore_differences: Sequence[dict[str, Any]] = ()
    client_secret: pulumi.Input[str] | None = field(default=None, repr=False)


class ArgoCd(pulumi.ComponentResource):
    """Argo CD on a compute cluster, running.

    On the way down the Application goes first, and what it delivered stays: Argo CD heals nothing while
    others delete.

    Parameters
    ----------
    name
        Name of the compute cluster.
    args
        What it needs.
    opts
        Pulumi's options.
    """

    def __init__(self, name: str, args: ArgoCdArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pipeline-service:argocd:ArgoCd", name, None, opts)

        def register(
            manifests: Mapping[str, Manifest], after: Sequence[pulumi.Resource]
        ) -> list[pulumi.Resource]:
            return [
                KubernetesObject(
                    f"{name}-argocd-{part}",
                    manifest,
                    provider=args.release.cluster,
                    parent=self,
                    depends_on=after,
                )
                for part, manifest in manifests.items()
            ]

        source = args.source
        # It never runs without its guard, and has its rights when it first looks round.
        before = register(argocd_manifests.guard(args.content), args.release.after)
        if source is not None:
            before += register(argocd_manifests.rights(args.content), args.release.after)
        release = Release(
            f"{name}-{args.release.release.unit}",
            replace(args.release, after=(*args.release.after, *before)),
            pulumi.ResourceOptions(parent=self),
        )
        secrets: dict[str, Manifest] = {}
        if args.client_secret is not None:
            secrets["oidc"] = argocd_manifests.oidc_secret(args.client_secret)
        if source is not None and source.token is not None:
            secrets["repository"] = argocd_manifests.repository_secret(source, source.token)
        known = register(secrets, [release])
        applied = [argocd_manifests.closed_project()]
        if source is not None:
            applied += [
                argocd_manifests.project(source, args.content),
                argocd_manifests.application(source, args.ignore_differences),
            ]
        self._apply(name, args, to_yaml(applied), after=[release, *known])
        self.register_outputs({"version": args.release.release.version})

    def _apply(self, name: str, args: ArgoCdArgs, content: str, *, after: Sequence[pulumi.Resource]) -> None:
        register_unit(
            f"{name}-{PROJECTS_UNIT}",
            UnitArgs(
                unit=PROJECTS_UNIT,
                sha256=digest(content),
                kubeconfig=args.release.kubeconfig,
                manifest=content,
                incarnation=args.release.incarnation,
                state=args.release.state,
                # Argo CD makes its project "default" by itself, and its server changes what people ask it to.
                force=True,
            ),
            parent=self,
            depends_on=after,
        )
