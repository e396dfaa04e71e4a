"""What in a tenant's workspace gives somebody rights beside the tenant's entry.

An admin of a tenant may bind its roles to whom they like, in the entry's own bindings as well, and whoever
may write Secrets can have a token made for any service account of their namespace. Neither goes when the
entry takes that person's role.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from components.tenant_manifests import own_content, shared_content
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


_Key: TypeAlias = "tuple[str, str, str]"
"""Kind, namespace and name."""


class Grant(Facts):
    """An object that gives rights, or proves who somebody is, and is not as the entry has it.

    Attributes
    ----------
    object
        The object.
    gives
        The role that a binding gives; empty for a role, and for a token.
    serves
        Whom: subjects of a binding, the service account of a token; none for a role. Of a binding of the
        entry's, only those to whom the entry doesn't give that role.
    since
        When it was made; what is amiss with an object of the entry's came later.
    changed
        Whether it is an object of the entry's, which somebody has changed.
    """

    object: str
    gives: str
    serves: tuple[str, ...]
    since: str
    changed: bool = False

    def __str__(self) -> str:
        """Say it in a line."""
        serves = ", ".join(self.serves) or "nobody"
        if self.changed and self.gives:
            return f"{self.object}: changed, gives {self.gives} to {serves} as well"
        if self.changed:
            return f"{self.object}: changed, a role that allows more than it should"
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
    known = _of_entry(settings, name)
    return tuple(sorted((made for one in found for made in _beyond(one, known)), key=str))


def _beyond(one: Mapping[str, Any], known: Mapping[_Key, Mapping[str, Any]]) -> Iterator[Grant]:
    """Say what an object gives beyond what the entry has."""
    kind, _, name = key = _key(one)
    if (kind, name) in _BY_KCP:
        return
    made, wanted = _grant(one), known.get(key)
    if wanted is None:
        yield made
    elif "roleRef" in one:
        # A roleRef is never changed, but a binding may be made anew, with another.
        same = _role_of(one) == _role_of(wanted)
        due = _grant(wanted).serves if same else ()
        if surplus := tuple(subject for subject in made.serves if subject not in due):
            yield made.model_copy(update={"serves": surplus, "changed": True})
    elif not _rules(one) <= _rules(wanted):
        yield made.model_copy(update={"changed": True})


def _role_of(binding: Mapping[str, Any]) -> tuple[str, str]:
    return binding["roleRef"]["kind"], binding["roleRef"]["name"]


def _rules(role: Mapping[str, Any]) -> set[frozenset[tuple[str, frozenset[str]]]]:
    return {
        frozenset((key, frozenset(values)) for key, values in rule.items() if values)
        for rule in role.get("rules") or []
    }


def _of_entry(settings: EnvironmentSettings, name: str) -> dict[_Key, Mapping[str, Any]]:
    tenant = settings.tenants[name]
    content = own_content(
        tenant=name,
        export=(settings.compute_path, tenant.cluster),
        namespaces=tenant.namespaces,
        access=mapping.tenant_access(tenant.access),
        quota=mapping.tenant_quota(tenant.quota),
        suspended=tenant.inactive,
    )
    shared = shared_content(None, suspended=tenant.inactive)
    return {_key(one): one for one in (*shared, *content)}


def _key(one: Mapping[str, Any]) -> _Key:
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
