"""Rights in a tenant's workspace that its entry doesn't give: what is listed, and how it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from components.access import tenant_roles
from operations.tenant_grants import grants
from operations.tenant_show import Live, details, lines
from stacks import mapping
from tests.support.recording import environment
from tests.support.tenants import workspace_content

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
        # What stands in an API server is one object for each name: the last one is what somebody made of it.
        self.found = list({_place(one): one for one in self.found}.values())

    def objects(self, resources: str, *arguments: str) -> list[dict[str, Any]]:
        found = [one for one in self.found if f"{one['kind'].lower()}s" in resources.split(",")]
        [selected] = [one for one in arguments if "selector" in one] or [""]
        kind = selected.partition("type=")[2]
        return [one for one in found if not kind or one.get("type") == kind]


def _place(one: dict[str, Any]) -> tuple[str, ...]:
    return one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]


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


ALICE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}
MALLORY = {**ALICE, "name": "mallory"}


def bound(role: str, *subjects: dict[str, Any], kind: str = "ClusterRole") -> dict[str, Any]:
    return made(
        "RoleBinding",
        "pipeline-service:admin",
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        subjects=list(subjects),
    )


@pytest.mark.parametrize(
    ("binding", "lines"),
    [
        (bound("pipeline-service:admin", ALICE), []),
        (bound("pipeline-service:admin"), []),
        (
            bound("pipeline-service:admin", MALLORY, ALICE, {"kind": "ServiceAccount", "name": "alice"}),
            ["gives pipeline-service:admin to user mallory, service account default/alice as well"],
        ),
        (
            bound("pipeline-service:admin", {**ALICE, "kind": "Group"}),
            ["gives pipeline-service:admin to group alice as well"],
        ),
        # Made anew, with another role: then the entry gives nobody that.
        (
            bound("pipeline-service:developer", ALICE),
            ["gives pipeline-service:developer to user alice as well"],
        ),
        (
            bound("pipeline-service:admin", ALICE, kind="Role"),
            ["gives pipeline-service:admin to user alice as well"],
        ),
    ],
)
def test_who_was_put_into_the_entrys_own_bindings_is_listed(
    binding: dict[str, Any], lines: list[str]
) -> None:
    assert told(binding) == [f"RoleBinding default/pipeline-service:admin: changed, {one}" for one in lines]


def test_a_role_of_the_programs_that_allows_more_is_listed() -> None:
    [viewer] = [one for one in tenant_roles({}) if one["metadata"]["name"] == "pipeline-service:viewer"]
    # Neither another order nor less is more.
    told_apart = [{key: values[::-1] for key, values in rule.items()} for rule in viewer["rules"]]
    assert told({**viewer, "rules": told_apart[::-1]}) == []
    assert told({**viewer, "rules": viewer["rules"][1:]}) == []
    assert told({**viewer, "rules": None}) == []
    for more in ({"verbs": ["get", "delete"]}, {"apiGroups": ["*"]}, {"resources": ["secrets"]}):
        changed = {**viewer, "rules": [*viewer["rules"], {**viewer["rules"][0], **more}]}
        assert told(changed) == [
            "ClusterRole pipeline-service:viewer: changed, a role that allows more than it should"
        ]


def test_show_live_tells_them() -> None:
    shown = details(SETTINGS, "team", cast("ApiServers", _Servers(made("Role", "theirs"))))
    assert isinstance(shown.live, Live)
    text = list(lines(shown))
    place = text.index("  rights in the workspace that its entry doesn't give:")
    assert text[place + 1 :] == ["    Role default/theirs: a role, since 2026-05-04T09:12:33Z"]
    none = list(lines(details(SETTINGS, "team", cast("ApiServers", _Servers()))))
    assert none[-1] == "    none"


@pytest.mark.parametrize("state", ["unreachable", "gone"])
def test_show_live_does_not_wait_for_a_cluster_that_is_declared_to_give_no_answer(state: str) -> None:
    settings = environment({"east": {"state": state}, "west": {}}, {"team": ENTRY})
    shown = details(settings, "team", cast("ApiServers", _WithoutCluster()))
    assert shown.live is not None
    assert shown.live.running is None
    text = list(lines(shown))
    assert f"    running: cluster east is {state}, not asked" in text
    assert text[-1] == "    none"


class _Servers:
    def __init__(self, *more: dict[str, Any]) -> None:
        self.more = more

    def workspace(self, path: str) -> Workspace:
        assert path == SETTINGS.tenant_path("team")
        return Workspace(*self.more)

    def cluster(self, _name: str) -> Workspace:
        return Workspace()


class _WithoutCluster(_Servers):
    def cluster(self, name: str) -> Workspace:
        raise AssertionError(f"{name} was asked")
