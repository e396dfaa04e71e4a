"""Rights in a tenant's workspace that its entry doesn't give: what is listed, and how it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from components.tenant_manifests import workspace_content
from operations.tenant_grants import grants
from operations.tenant_show import Live, details, lines
from stacks import mapping
from tests.support.recording import environment

if TYPE_CHECKING:
    from operations.api_servers import ApiServer, ApiServers

ENTRY: dict[str, Any] = {
    "cluster": "east",
    "access": {"admins": {"users": ["alice"]}, "viewers": {"groups": ["team"]}},
}
SETTINGS = environment({"east": {}}, {"team": ENTRY})


def made(kind: str, name: str, namespace: str = "default", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    metadata: dict[str, Any] = {"name": name, "creationTimestamp": "2026-05-04T09:12:33Z"}
    # Anybody may write our label.
    metadata |= {"labels": {"app.kubernetes.io/part-of": "pipeline-service"}}
    if namespace:
        metadata["namespace"] = namespace
    return {"kind": kind, "metadata": {**metadata, **more.pop("metadata", {})}, **more}


class Workspace:
    """A workspace with what the entry gives, and more."""

    def __init__(self, *more: dict[str, Any]) -> None:
        tenant = SETTINGS.tenants["team"]
        self.found = [
            *workspace_content(
                tenant="team",
                export=("root:compute", "east"),
                namespaces=tenant.namespaces,
                access=mapping.tenant_access(tenant.access),
                quota=mapping.tenant_quota(tenant.quota),
            ),
            made("ClusterRoleBinding", "workspace-admin", "", roleRef={"name": "cluster-admin"}),
            *more,
        ]

    def objects(self, resources: str, *arguments: str) -> list[dict[str, Any]]:
        found = [one for one in self.found if f"{one['kind'].lower()}s" in resources.split(",")]
        [selected] = [one for one in arguments if "selector" in one] or [""]
        kind = selected.partition("type=")[2]
        return [one for one in found if not kind or one.get("type") == kind]


def told(*more: dict[str, Any]) -> list[str]:
    return [str(one) for one in grants(cast("ApiServer", Workspace(*more)), SETTINGS, "team")]


def test_what_the_entry_gives_is_not_listed() -> None:
    assert told() == []


def test_everything_else_that_gives_rights_is_listed_with_whom_it_serves_whatever_its_labels() -> None:
    token = "kubernetes.io/service-account-token"
    assert told(
        made(
            "RoleBinding",
            "mine",
            roleRef={"name": "x"},
            subjects=[
                {"kind": "User", "name": "dave"},
                {"kind": "ServiceAccount", "name": "ci"},
                {"kind": "ServiceAccount", "name": "ci", "namespace": "other"},
            ],
        ),
        # The name of one of the entry's, in a namespace of which the entry says nothing.
        made("RoleBinding", "pipeline-service:admin", "other", roleRef={"name": "x"}),
        made("ClusterRole", "theirs", ""),
        made(
            "Secret",
            "ci-token",
            type=token,
            metadata={"annotations": {"kubernetes.io/service-account.name": "ci"}},
            data={"token": "c2VjcmV0"},
        ),
        made("Secret", "password", type="Opaque"),
    ) == [
        "ClusterRole theirs: a role, since 2026-05-04T09:12:33Z",
        (
            "RoleBinding default/mine: gives x to user dave, service account default/ci,"
            " service account other/ci, since 2026-05-04T09:12:33Z"
        ),
        "RoleBinding other/pipeline-service:admin: gives x to nobody, since 2026-05-04T09:12:33Z",
        "Secret default/ci-token: a token of service account default/ci, since 2026-05-04T09:12:33Z",
    ]


def test_show_live_tells_them() -> None:
    shown = details(SETTINGS, "team", cast("ApiServers", _Servers(made("Role", "theirs"))))
    assert isinstance(shown.live, Live)
    text = list(lines(shown))
    place = text.index("  rights in the workspace that its entry doesn't give:")
    assert text[place + 1 :] == ["    Role default/theirs: a role, since 2026-05-04T09:12:33Z"]
    none = list(lines(details(SETTINGS, "team", cast("ApiServers", _Servers()))))
    assert none[-1] == "    none"


class _Servers:
    def __init__(self, *more: dict[str, Any]) -> None:
        self.more = more

    def workspace(self, path: str) -> Workspace:
        assert path == SETTINGS.tenant_path("team")
        return Workspace(*self.more)

    def cluster(self, _name: str) -> Workspace:
        return Workspace()
