"""Pipelines as Code's release made what is installed: without the rights that it needs nowhere here.

Pure functions over the objects of release.k8s.yaml of v0.37. What each change is for:
docs/adr/0011-pipelines-as-code.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from releases.errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Manifest = dict[str, Any]
Rule = dict[str, Any]
Right = tuple[str, str, str]
"""API group, resource and verb."""

NAMESPACE: Final = "pipelines-as-code"
"""Namespace of Pipelines as Code where its release brings it."""

CONTROLLER: Final = "pipelines-as-code-controller"
WATCHER: Final = "pipelines-as-code-watcher"
WEBHOOK: Final = "pipelines-as-code-webhook"
"""Its Deployments, their ServiceAccounts and their Services."""

SETTINGS: Final = "pipelines-as-code"
"""ConfigMap with its settings; it reads them anew when they change."""

APP_SECRET: Final = "pipelines-as-code-secret"  # noqa: S105 -- the name of a Secret
"""Secret with the credentials of the GitHub App."""

CONFIG: Final[Mapping[str, Mapping[str, str]]] = {
    SETTINGS: {
        # It would make namespaces, and Repository objects in them, of whatever the App is installed on.
        "auto-configure-new-github-repo": "false",
        # A run's token of the App would reach every repository of the installation, other tenants' too.
        "secret-github-app-token-scoped": "true",
        "secret-github-app-scope-extra-repos": "",
        # Bitbucket Cloud signs nothing: without this anybody could send events in its name.
        "bitbucket-cloud-check-source-ip": "true",
    },
}
"""By ConfigMap: what is set whatever the settings are."""

_AGGREGATE: Final = "pipelines-as-code-aggregate"
"""ClusterRole that would let every editor of a namespace make Repository objects there."""

_TLS_SECRET: Final = "pipelines-as-code-tls-secret"  # noqa: S105 -- the name of a Secret

_GROUP: Final = "pipelinesascode.tekton.dev"
_CLUSTER_SCOPED: Final = ("ClusterRole", "ClusterRoleBinding")
_OPENSHIFT: Final = "openshift.io/"


def _rule(group: str, resource: str, *verbs: str) -> Rule:
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}


_CLUSTER_ROLES: Final[Mapping[str, tuple[Rule, ...]]] = {
    "pipeline-as-code-controller-clusterrole": (_rule(_GROUP, "repositories", "get", "list"),),
    "pipeline-as-code-watcher-clusterrole": (
        _rule(_GROUP, "repositories", "get", "list", "watch"),
        _rule("tekton.dev", "pipelineruns", "get", "list", "watch"),
    ),
}
"""What is left of these for the whole cluster: what they look for, wherever it is."""

TENANT_RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    CONTROLLER: (
        _rule("", "secrets", "get", "create", "update", "delete"),
        _rule("tekton.dev", "pipelineruns", "get", "list", "create", "patch"),
        _rule("", "events", "create"),
    ),
    WATCHER: (
        _rule("", "secrets", "get", "delete"),
        _rule(_GROUP, "repositories", "update"),
        _rule("tekton.dev", "pipelineruns", "delete", "update", "patch"),
        _rule("tekton.dev", "taskruns", "get", "list"),
        _rule("", "pods/log", "get"),
        _rule("", "events", "create", "update", "patch"),
    ),
}
"""By ServiceAccount: what it may do in the namespaces of tenants, and nowhere else."""

_NEEDLESS: Final[Mapping[str, frozenset[Right]]] = {
    # For repositories that are configured by themselves.
    CONTROLLER: frozenset({("", "namespaces", "create"), (_GROUP, "repositories", "create")}),
    WATCHER: frozenset(),
}


def finish(name: str, objects: Iterable[Manifest]) -> list[Manifest]:
    """Make its objects those that are installed, once its ConfigMaps are set.

    Parameters
    ----------
    name
        Name of the release.
    objects
        Its objects; they are changed.

    Raises
    ------
    ReleaseError
        Something that must be changed is not what this function knows.
    """
    found = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    left_out = _there(name, found, "ClusterRole", _AGGREGATE)
    kept = [one for one in found.values() if one is not left_out]
    for one in kept:
        if one["kind"] in _CLUSTER_SCOPED:
            # Published with one, which the API server drops.
            one["metadata"].pop("namespace", None)
        if one["kind"] == "Deployment":
            for container in one["spec"]["template"]["spec"]["containers"]:
                # Its tags name versions, so there is nothing to look for anew; offline nobody would answer.
                container["imagePullPolicy"] = "IfNotPresent"
    for account, part in ((CONTROLLER, "controller"), (WATCHER, "watcher")):
        role = f"pipeline-as-code-{part}-clusterrole"
        _narrow(name, _there(name, found, "ClusterRole", role), account)
        own = _there(name, found, "Role", f"{account}-role")
        own["rules"] = [*own["rules"], _own_secrets(), _rule("", "events", "create", "update", "patch")]
    _close(_there(name, found, "Namespace", NAMESPACE))
    return [*kept, *tenant_roles()]


def tenant_roles() -> list[Manifest]:
    """Make the ClusterRoles that are bound in tenants' namespaces."""
    return [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {
                "name": tenant_role(account),
                "labels": {"app.kubernetes.io/part-of": "pipelines-as-code"},
            },
            "rules": [dict(rule) for rule in rules],
        }
        for account, rules in TENANT_RULES.items()
    ]


def tenant_role(account: str) -> str:
    """Name the ClusterRole that a ServiceAccount is bound to in tenants' namespaces.

    Parameters
    ----------
    account
        The ServiceAccount.
    """
    return f"{account}-in-tenants"


def _narrow(name: str, role: Manifest, account: str) -> None:
    """Leave in a ClusterRole what is for the whole cluster; the rest is bound in tenants' namespaces."""
    everywhere = _CLUSTER_ROLES[role["metadata"]["name"]]
    known = {*_rights(everywhere), *_rights(TENANT_RULES[account])} | _NEEDLESS[account]
    given = set(_rights(role["rules"]))
    if strange := given ^ known:
        group, resource, verb = min(strange)
        what = "a further right" if min(strange) in given else "no right"
        raise _unknown(
            name, f"{what} of {account} to {verb} {resource}{f'.{group}' if group else ''} over the cluster"
        )
    role["rules"] = [dict(rule) for rule in everywhere]


def _rights(rules: Iterable[Rule]) -> Iterator[Right]:
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    yield group, resource, verb


def _own_secrets() -> Rule:
    return {**_rule("", "secrets", "get"), "resourceNames": [APP_SECRET, _TLS_SECRET]}


def _close(namespace: Manifest) -> None:
    labels = namespace["metadata"]["labels"]
    for key in [key for key in labels if key.startswith(_OPENSHIFT)]:
        del labels[key]
    labels["pod-security.kubernetes.io/enforce"] = "restricted"
    labels["pod-security.kubernetes.io/warn"] = "restricted"


def _there(name: str, objects: Mapping[tuple[str, str], Manifest], kind: str, one: str) -> Manifest:
    if (kind, one) not in objects:
        raise _unknown(name, f"no {kind} {one}")
    return objects[kind, one]


def _unknown(name: str, what: str) -> ReleaseError:
    return ReleaseError(f"{name} has {what}", "use a manifest of a version the catalog supports")
