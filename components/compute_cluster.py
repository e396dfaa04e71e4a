"""What every compute cluster has before anything is installed on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pulumi

from components.access import READ, REPOSITORY_GROUP, Subject, cluster_role, cluster_role_binding, rule
from components.image_repository import (
    ImagePolicy,
    policy,
    policy_binding,
    resolution_policy,
    resolution_policy_binding,
)
from components.kubernetes_object import register_object
from components.names import OPERATOR_NAMESPACE, SYNCER_GROUP, labels
from components.repository_admission import policies as repository_policies
from components.suspension import suspension_binding, suspension_policy

if TYPE_CHECKING:
    from components.kubernetes_object import Manifest
    from components.pipelines_as_code import RepositoryRules

OBSERVER: Final = "pipeline-service:observer"
"""ClusterRole, and group of users, of SREs who look into incidents on a compute cluster."""


def namespace(name: str, component: str, pod_security: str = "restricted", **more: str) -> Manifest:
    """Make a Namespace.

    Parameters
    ----------
    name
        Its name.
    component
        Which part of the service it belongs to.
    pod_security
        Pod Security level that is enforced in it: `restricted`, `baseline` or `privileged`.
    **more
        Further labels of the prefix `pipeline-service/`.
    """
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {
                **labels(component, **more),
                "pod-security.kubernetes.io/enforce": pod_security,
                "pod-security.kubernetes.io/warn": "restricted",
            },
        },
    }


def observer_role() -> Manifest:
    """Make the ClusterRole of those who look into incidents: everything that matters, but no Secret."""
    return cluster_role(
        OBSERVER,
        [
            rule("", ("pods", "pods/log", "events", "namespaces", "nodes", "services", "configmaps"), READ),
            rule("", ("resourcequotas", "limitranges", "serviceaccounts", "persistentvolumeclaims"), READ),
            rule("apps", ("deployments", "replicasets", "statefulsets"), READ),
            rule("tekton.dev", ("*",), READ),
            rule(REPOSITORY_GROUP, ("repositories",), READ),
            rule(SYNCER_GROUP, ("publishedresources",), READ),
            rule("apiextensions.k8s.io", ("customresourcedefinitions",), READ),
        ],
        labels("access"),
    )


def observer_binding() -> Manifest:
    """Bind the observers' ClusterRole to the group of their name."""
    return cluster_role_binding(OBSERVER, OBSERVER, [Subject(kind="Group", name=OBSERVER)], labels("access"))


def ground(images: ImagePolicy | None, repositories: RepositoryRules | None = None) -> dict[str, Manifest]:
    """Make a cluster's ground: our namespace, read access for incidents, what tenants' work is held to.

    Parameters
    ----------
    images
        Which images tenants' pods may use; None, or an empty one: all.
    repositories
        What tenants' Repository objects are held to; None where there are none.
    """
    made = {
        "namespace": namespace(OPERATOR_NAMESPACE, "operator"),
        "observer": observer_role(),
        "observers": observer_binding(),
        "suspension": suspension_policy(),
        "suspensions": suspension_binding(),
    }
    if images:
        made |= {"images": policy(images), "images-binding": policy_binding()}
        if images.keeps_secret:
            made |= {"resolutions": resolution_policy(), "resolutions-binding": resolution_policy_binding()}
    return made | repository_policies(repositories)


@dataclass(frozen=True, kw_only=True)
class ComputeClusterArgs:
    """What a ComputeCluster needs.

    Attributes
    ----------
    cluster
        The cluster's API server.
    images
        Which images tenants' pods may use.
    repositories
        What tenants' Repository objects are held to; None where there are none.
    """

    cluster: pulumi.ProviderResource = field(repr=False)
    images: ImagePolicy = field(default_factory=ImagePolicy)
    repositories: RepositoryRules | None = None


class ComputeCluster(pulumi.ComponentResource):
    """A compute cluster's ground: our namespace, read access for incidents, admission of tenants' work.

    Parameters
    ----------
    name
        Name of the compute cluster.
    args
        What it needs.
    opts
        Pulumi's options.
    """

    def __init__(
        self, name: str, args: ComputeClusterArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("pipeline-service:compute:ComputeCluster", name, None, opts)
        for part, manifest in ground(args.images, args.repositories).items():
            register_object(f"{name}-{part}", manifest, provider=args.cluster, parent=self)
        self.register_outputs({})
