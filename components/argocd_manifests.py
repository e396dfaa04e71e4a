"""The manifests beside Argo CD's release: its rights, its guard, its project and its one Application.

The fields are those of argoproj.io/v1alpha1 in Argo CD v3.2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from components.access import Subject, cluster_role, cluster_role_binding
from components.argocd_rights import (
    NEVER_DELIVERED,
    delivered_kinds,
    handed_on,
    namespaces,
    read_rules,
    sync_rules,
)
from components.names import OPERATOR_NAMESPACE, labels
from releases.argocd import CONTROLLER, NAMESPACE, SERVER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pulumi

    from components.kubernetes_object import Manifest

PROJECT: Final = "pipeline-service"
APPLICATION: Final = "pipeline-service"
"""Names of the one AppProject and the one Application."""

OIDC_SECRET: Final = "argocd-oidc"  # noqa: S105 -- the name of a Secret
OIDC_SECRET_KEY: Final = "clientSecret"  # noqa: S105 -- the name of its key
"""Where Argo CD finds its password at the identity provider: `$argocd-oidc:clientSecret` in its settings."""

_IN_CLUSTER: Final = "https://kubernetes.default.svc"
_GUARD: Final = "pipeline-service-argocd"
_ADMISSION: Final = "admissionregistration.k8s.io/v1"
_GROUP: Final = "argoproj.io/v1alpha1"
_ACCOUNTS: Final = f"system:serviceaccount:{NAMESPACE}:"


@dataclass(frozen=True, kw_only=True)
class GitSource:
    """What a cluster's Argo CD follows.

    Attributes
    ----------
    repository
        URL of the repository.
    branch
        Its branch.
    path
        The cluster's folder in it.
    username
        User with whose token it is read.
    token
        The token, or None where anybody may read it.
    """

    repository: str
    branch: str
    path: str
    username: str = "git"
    token: pulumi.Input[str] | None = field(default=None, repr=False)


def rights(content: Sequence[Manifest]) -> dict[str, Manifest]:
    """Make Argo CD's rights on its cluster, beside those in its own namespace.

    Parameters
    ----------
    content
        The objects that it delivers there.
    """
    marked = labels("argocd")
    made: dict[str, Manifest] = {}
    for part, account, rules in (
        ("controller", CONTROLLER, sync_rules(content)),
        ("server", SERVER, read_rules(content)),
    ):
        name = f"{_GUARD}-{part}"
        subjects = [Subject(kind="ServiceAccount", name=account, namespace=NAMESPACE)]
        made[part] = cluster_role(name, rules, marked)
        made[f"{part}-binding"] = cluster_role_binding(name, name, subjects, marked)
    return made


def guard(content: Sequence[Manifest]) -> dict[str, Manifest]:
    """Make the admission policy that keeps Argo CD from using rights it only hands on.

    Tekton's controllers may write runs, and so Argo CD, which makes their role, may too. What it must never
    do, whatever the repository says, is to touch a tenant's run.

    Parameters
    ----------
    content
        The objects that it delivers.
    """
    groups = handed_on(content)
    # Whatever the content is, and however the roles in it spell their resources.
    for group, always in (("", ("pods", "pods/*", "secrets")), ("tekton.dev", ("*/*",))):
        groups[group] = [*groups.get(group, ()), *always]
    delivered = [f"{one.group}/{one.resource}" for one in delivered_kinds(content)]
    marked = labels("argocd")
    return {
        "guard": {
            "apiVersion": _ADMISSION,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": _GUARD, "labels": marked},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    # In its own namespace it keeps what it needs.
                    "namespaceSelector": {
                        "matchExpressions": [
                            {
                                "key": "kubernetes.io/metadata.name",
                                "operator": "NotIn",
                                "values": [NAMESPACE],
                            }
                        ]
                    },
                    "resourceRules": [
                        {
                            "apiGroups": [group],
                            "apiVersions": ["*"],
                            "operations": ["*"],
                            "resources": _covering(resources),
                        }
                        for group, resources in sorted(groups.items())
                    ],
                },
                "matchConditions": [
                    {
                        "name": "argocd",
                        "expression": f"request.userInfo.username.startsWith({json.dumps(_ACCOUNTS)})",
                    }
                ],
                "validations": [
                    {
                        "expression": (
                            "(request.resource.group + '/' + request.resource.resource)"
                            f" in {json.dumps(delivered)}"
                            " && (!has(request.subResource) || request.subResource == '')"
                        ),
                        "message": "Argo CD holds this right to hand it on, and never uses it",
                        "reason": "Forbidden",
                    }
                ],
            },
        },
        "guard-binding": {
            "apiVersion": _ADMISSION,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": _GUARD, "labels": marked},
            "spec": {"policyName": _GUARD, "validationActions": ["Deny"]},
        },
    }


def _covering(resources: Iterable[str]) -> list[str]:
    """Leave out what others of the list cover, as the API server demands of a rule."""
    listed = set(resources)
    if listed & {"*", "*/*"}:
        return ["*/*"]
    return sorted(
        one
        for one in listed
        if one.endswith("/*") or f"{one.partition('/')[0]}/*" not in listed or "/" not in one
    )


def project(source: GitSource, content: Sequence[Manifest]) -> Manifest:
    """Make the AppProject: one repository, this cluster, and of it what is delivered.

    Parameters
    ----------
    source
        What Argo CD follows.
    content
        The objects that it delivers.
    """
    kinds = delivered_kinds(content)
    places = sorted({OPERATOR_NAMESPACE, *namespaces(content)} - {NAMESPACE})

    def listed(*, namespaced: bool) -> list[dict[str, str]]:
        return [{"group": one.group, "kind": one.kind} for one in kinds if one.namespaced is namespaced]

    return {
        "apiVersion": _GROUP,
        "kind": "AppProject",
        "metadata": {"name": PROJECT, "namespace": NAMESPACE, "labels": labels("argocd")},
        "spec": {
            "description": "What Pipeline Service delivers to this cluster",
            "sourceRepos": [source.repository],
            "destinations": [{"server": _IN_CLUSTER, "namespace": place} for place in places],
            "clusterResourceWhitelist": listed(namespaced=False),
            "namespaceResourceWhitelist": listed(namespaced=True),
            "namespaceResourceBlacklist": [
                {"group": "*", "kind": kind}
                for kind in sorted({*NEVER_DELIVERED, "Application", "AppProject"})
            ],
        },
    }


def closed_project() -> Manifest:
    """Make the AppProject `default` closed: Argo CD makes it by itself, and lets it do anything anywhere."""
    return {
        "apiVersion": _GROUP,
        "kind": "AppProject",
        "metadata": {"name": "default", "namespace": NAMESPACE, "labels": labels("argocd")},
        "spec": {
            "description": "Closed: what is delivered here belongs to Pipeline Service",
            "sourceRepos": [],
            "destinations": [],
            "clusterResourceWhitelist": [],
            "namespaceResourceWhitelist": [],
        },
    }


def application(source: GitSource, ignore_differences: Sequence[dict[str, Any]] = ()) -> Manifest:
    """Make the Application: the cluster's folder, applied, healed and pruned.

    It has no finalizer: where it is deleted, what it delivered stays.

    Parameters
    ----------
    source
        What Argo CD follows.
    ignore_differences
        What others fill in of the delivered objects.
    """
    return {
        "apiVersion": _GROUP,
        "kind": "Application",
        "metadata": {
            "name": APPLICATION,
            "namespace": NAMESPACE,
            "labels": labels("argocd"),
            # What the API server makes of an object is no difference.
            "annotations": {"argocd.argoproj.io/compare-options": "ServerSideDiff=true"},
        },
        "spec": {
            "project": PROJECT,
            "source": {
                "repoURL": source.repository,
                "targetRevision": source.branch,
                "path": source.path,
                "directory": {"recurse": True},
            },
            "destination": {"server": _IN_CLUSTER, "namespace": OPERATOR_NAMESPACE},
            "syncPolicy": {
                # An empty folder is a mistake, never the wish to delete everything.
                "automated": {"prune": True, "selfHeal": True, "allowEmpty": False},
                "syncOptions": [
                    "CreateNamespace=false",
                    "FailOnSharedResource=true",
                    "PruneLast=true",
                    "RespectIgnoreDifferences=true",
                    "ServerSideApply=true",
                ],
                # For ever: what failed may wait for an update of its rights, or for a webhook.
                "retry": {"limit": -1, "backoff": {"duration": "5s", "factor": 2, "maxDuration": "2m"}},
            },
            "ignoreDifferences": list(ignore_differences),
            "revisionHistoryLimit": 10,
        },
    }


def repository_secret(source: GitSource, token: pulumi.Input[str]) -> Manifest:
    """Make the Secret with which Argo CD reads the repository, for its project alone.

    Parameters
    ----------
    source
        What Argo CD follows.
    token
        The token.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "pipeline-service-repository",
            "namespace": NAMESPACE,
            "labels": {**labels("argocd"), "argocd.argoproj.io/secret-type": "repository"},
        },
        "type": "Opaque",
        "stringData": {
            "type": "git",
            "url": source.repository,
            "project": PROJECT,
            "username": source.username,
            "password": token,
        },
    }


def oidc_secret(client_secret: pulumi.Input[str]) -> Manifest:
    """Make the Secret with Argo CD's password at the identity provider.

    Parameters
    ----------
    client_secret
        The password.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": OIDC_SECRET,
            "namespace": NAMESPACE,
            # Argo CD reads no other Secret that its settings refer to.
            "labels": {**labels("argocd"), "app.kubernetes.io/part-of": "argocd"},
        },
        "type": "Opaque",
        "stringData": {OIDC_SECRET_KEY: client_secret},
    }
