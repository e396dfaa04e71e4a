"""What in a tenant's workspace gives somebody rights beside the tenant's entry.

An admin of a tenant may bind its roles to whom they like, and whoever may write Secrets can have a token made
for any service account of their namespace. Neither goes when the entry takes that person's role.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from components.tenant_manifests import workspace_content
from operations.overview import Facts
from stacks import mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from operations.api_servers import ApiServer
    from stacks.settings import EnvironmentSettings

_RIGHTS: Final = "rolebindings,roles,clusterrolebindings,clusterroles"
_TOKEN: Final = "kubernetes.io/service-account-token"  # noqa: S105 -- a type of Secrets
_OF_ACCOUNT: Final = "kubernetes.io/service-account.name"

_BY_KCP: Final = {("ClusterRoleBinding", "workspace-admin")}
"""What kcp makes for whoever makes a workspace, which is this program; no tenant's role reaches it."""


class Grant(Facts):
    """An object that gives rights, or proves who somebody is, and is not the entry's.

    Attributes
    ----------
    object
        The object.
    gives
        The role that a binding gives; empty for a role, and for a token.
    serves
        Whom: subjects of a binding, the service account of a token; none for a role.
    since
        When it was made.
    """

    object: str
    gives: str
    serves: tuple[str, ...]
    since: str

    def __str__(self) -> str:
        """Say it in a line."""
        serves = ", ".join(self.serves) or "nobody"
        if self.gives:
            return f"{self.object}: gives {self.gives} to {serves}, since {self.since}"
        if self.serves:
            return f"{self.object}: a token of {serves}, since {self.since}"
        return f"{self.object}: a role, since {self.since}"


def grants(server: ApiServer, settings: EnvironmentSettings, name: str) -> tuple[Grant, ...]:
    """List what gives rights in a tenant's workspace and doesn't follow from its entry, tokens included.

    Parameters
    ----------
    server
        The workspace.
    settings
        The environment.
    name
        Name of the tenant, which is not external.

    Raises
    ------
    OperationError
        Not everything could be read.
    """
    found = server.objects(_RIGHTS, "--all-namespaces")
    found += server.objects("secrets", "--all-namespaces", f"--field-selector=type={_TOKEN}")
    # By their names, not by their labels: a label is soon written.
    known = {*_of_entry(settings, name), *((kind, "", one) for kind, one in _BY_KCP)}
    return tuple(sorted((_grant(one) for one in found if _key(one) not in known), key=str))


def _of_entry(settings: EnvironmentSettings, name: str) -> Iterator[tuple[str, str, str]]:
    tenant = settings.tenants[name]
    content = workspace_content(
        tenant=name,
        export=(settings.compute_path, tenant.cluster),
        namespaces=tenant.namespaces,
        access=mapping.tenant_access(tenant.access),
        quota=mapping.tenant_quota(tenant.quota),
        suspended=tenant.inactive,
    )
    return (_key(one) for one in content)


def _key(one: Mapping[str, Any]) -> tuple[str, str, str]:
    return one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]


def _grant(one: Mapping[str, Any]) -> Grant:
    kind, namespace, name = _key(one)
    subjects: tuple[str, ...] = tuple(_subject(subject, namespace) for subject in one.get("subjects") or [])
    if kind == "Secret":
        account = (one["metadata"].get("annotations") or {}).get(_OF_ACCOUNT, "unknown")
        subjects = (f"service account {namespace}/{account}",)
    return Grant(
        object=f"{kind} {f'{namespace}/' if namespace else ''}{name}",
        gives=one.get("roleRef", {}).get("name", ""),
        serves=subjects,
        since=one["metadata"].get("creationTimestamp", "unknown"),
    )


def _subject(subject: Mapping[str, Any], namespace: str) -> str:
    if subject["kind"] == "ServiceAccount":
        return f"service account {subject.get('namespace') or namespace}/{subject['name']}"
    return f"{subject['kind'].lower()} {subject['name']}"
