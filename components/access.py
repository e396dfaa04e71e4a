"""Who may do what: roles and bindings as plain manifests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.kubernetes_object import Manifest

RBAC: Final = "rbac.authorization.k8s.io"

ADMIN: Final = "pipeline-service:admin"
DEVELOPER: Final = "pipeline-service:developer"
VIEWER: Final = "pipeline-service:viewer"

WORKSPACE_ACCESS: Final = "system:kcp:workspace:access"
"""ClusterRole that kcp has in every workspace: whoever is bound to it may enter."""

PIPELINE_KINDS: Final = {"Pipeline": "pipelines", "PipelineRun": "pipelineruns", "Task": "tasks"}
"""Kinds of tekton.dev/v1 that tenants work with in kcp, and their resources."""

PIPELINE_RESOURCES: Final = tuple(sorted(PIPELINE_KINDS.values()))

REPOSITORY_GROUP: Final = "pipelinesascode.tekton.dev"

READ: Final = ("get", "list", "watch")
WRITE: Final = ("create", "update", "patch", "delete", "deletecollection")

Rule = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A user, a group or a ServiceAccount.

    Attributes
    ----------
    kind
        What it is.
    name
        Its name.
    namespace
        Namespace of a ServiceAccount.
    """

    kind: Literal["User", "Group", "ServiceAccount"]
    name: str
    namespace: str | None = None

    def manifest(self) -> Manifest:
        """Make the entry of a binding."""
        if self.kind == "ServiceAccount":
            return {"kind": self.kind, "name": self.name, "namespace": self.namespace}
        return {"apiGroup": RBAC, "kind": self.kind, "name": self.name}


def rule(group: str, resources: Sequence[str], verbs: Sequence[str], names: Sequence[str] = ()) -> Rule:
    """Make a rule of a role.

    Parameters
    ----------
    group
        API group; an empty text for the core group.
    resources
        Resources of the group.
    verbs
        What may be done with them.
    names
        Names of the objects it is limited to; none means all.
    """
    made: Rule = {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
    return {**made, "resourceNames": list(names)} if names else made


def cluster_role(name: str, rules: Sequence[Rule], labels: Mapping[str, str]) -> Manifest:
    """Make a ClusterRole.

    Parameters
    ----------
    name
        Its name.
    rules
        What it allows.
    labels
        Its labels.
    """
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": dict(labels)},
        "rules": list(rules),
    }


def role(name: str, namespace: str, rules: Sequence[Rule], labels: Mapping[str, str]) -> Manifest:
    """Make a Role.

    Parameters
    ----------
    name
        Its name.
    namespace
        Its namespace.
    rules
        What it allows.
    labels
        Its labels.
    """
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "Role",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "rules": list(rules),
    }


def cluster_role_binding(
    name: str, cluster_role: str, subjects: Sequence[Subject], labels: Mapping[str, str]
) -> Manifest:
    """Bind a ClusterRole everywhere.

    Parameters
    ----------
    name
        Name of the binding.
    cluster_role
        Name of the ClusterRole.
    subjects
        Who gets it.
    labels
        Labels of the binding.
    """
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name, "labels": dict(labels)},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": cluster_role},
        "subjects": [subject.manifest() for subject in subjects],
    }


def role_binding(  # noqa: PLR0913 -- a binding has that many parts
    name: str,
    namespace: str,
    bound: str,
    subjects: Sequence[Subject],
    labels: Mapping[str, str],
    *,
    kind: Literal["ClusterRole", "Role"] = "ClusterRole",
) -> Manifest:
    """Bind a role within a namespace.

    Parameters
    ----------
    name
        Name of the binding.
    namespace
        Where it holds.
    bound
        Name of the role.
    subjects
        Who gets it.
    labels
        Labels of the binding.
    kind
        Whether the role is a ClusterRole or a Role of this namespace.
    """
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": bound},
        "subjects": [subject.manifest() for subject in subjects],
    }


def tenant_roles(labels: Mapping[str, str]) -> list[Manifest]:
    """Define the roles of a tenant's workspace.

    They are bound namespace by namespace, never for the whole workspace: so nobody of the tenant can reach
    this program's own namespace, nor make namespaces that have no counterpart on the cluster.

    Parameters
    ----------
    labels
        Labels of the roles.
    """
    look = [
        rule("tekton.dev", PIPELINE_RESOURCES, READ),
        rule(REPOSITORY_GROUP, ("repositories",), READ),
        rule("", ("events", "resourcequotas"), READ),
    ]
    work = [
        *look,
        rule("tekton.dev", PIPELINE_RESOURCES, WRITE),
        rule(REPOSITORY_GROUP, ("repositories",), WRITE),
        rule("", ("secrets", "configmaps"), (*READ, *WRITE)),
    ]
    grant = [
        rule(RBAC, ("rolebindings",), (*READ, *WRITE)),
        # Admins may hand out these roles and no other: without "bind" on a role, binding it is refused as
        # escalation.
        rule(RBAC, ("clusterroles",), ("bind",), (ADMIN, DEVELOPER, VIEWER)),
    ]
    return [
        cluster_role(ADMIN, [*work, *grant], labels),
        cluster_role(DEVELOPER, work, labels),
        cluster_role(VIEWER, look, labels),
    ]
