"""The reader of results asks a real kcp, as the user, who may see a run."""

from __future__ import annotations

import base64
import json
import ssl
from functools import partial
from typing import TYPE_CHECKING

import pytest

from components.access import Subject
from components.results_lookup import Reader, Refusal, Route, Server, trusting
from components.tenant_manifests import TenantAccess, TenantQuota
from tests.support.kcp import KcpClient, kcp_server
from tests.support.tenants import workspace_content
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USERS = ("alice", "bob", "carol")
OK, NO_TOKEN, NOT_FOUND = 200, 401, 404
ROLES = {"Namespace", "ClusterRole", "ClusterRoleBinding", "RoleBinding", "ServiceAccount"}


def user(name: str) -> Subject:
    return Subject(kind="User", name=name)


class Kcp(KcpClient):
    """A kcp with two tenants' workspaces."""

    def give(self, tenant: str, **access: tuple[Subject, ...]) -> None:
        """Make access in a tenant's workspace, as the program does; what is there stays."""
        content = workspace_content(
            tenant=tenant,
            export=("root:compute", "east"),
            namespaces=["default"],
            access=TenantAccess(**access),
            quota=TenantQuota(pipeline_runs=1, cpu="1", memory="1Gi", pods=1, storage="1Gi"),
        )
        self.apply(f"root:{tenant}", *(one for one in content if one["kind"] in ROLES))

    def reader(self) -> Reader:
        """Return a reader that only knows kcp."""
        entry = json.loads(self.server.kubeconfig("root"))["clusters"][0]["cluster"]
        authority = self.folder / "ca.crt"
        authority.write_bytes(base64.b64decode(entry["certificate-authority-data"]))
        context = trusting(authority)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        nowhere = Server("https://127.0.0.1:1", context)
        one = Server(self.server.server, context)
        return Reader(kcp=one, cluster=nowhere, results=nowhere, account=authority)

    def status(self, token: str, workspace: str = "root:team-a", namespace: str = "default") -> int:
        """Return what the reader answers before it looks anything up: 200 where it goes on."""
        try:
            self.reader().check(Route(workspace=workspace, namespace=namespace, run="r", what=""), token)
        except Refusal as refusal:
            return refusal.status
        return OK

    def allows(self, token: str) -> bool:
        """Tell whether a token's user may see runs of the first tenant."""
        return self.status(token) == OK


@pytest.fixture(scope="module")
def kcp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kcp]:
    folder: Path = tmp_path_factory.mktemp("kcp")
    with kcp_server(folder, users=USERS) as server:
        client = Kcp(server, tmp_path_factory.mktemp("clients"), USERS)
        client.make_workspaces("team-a", "team-b")
        robot = Subject(kind="ServiceAccount", name="robot", namespace="default")
        give_team_a(client)
        client.give("team-b", developers=(user("bob"),), viewers=(robot,))
        until(lambda: client.status("bob-token", "root:team-b") == OK, "bob's right")
        yield client


def give_team_a(kcp: Kcp) -> None:
    """Give alice and carol their roles, and wait until they are in force."""
    kcp.give("team-a", admins=(user("alice"),), viewers=(user("carol"),))
    for token in ("alice-token", "carol-token"):
        until(partial(kcp.allows, token), token)


def test_whoever_has_a_role_in_the_namespace_sees_its_runs_and_nobody_else(kcp: Kcp) -> None:
    assert kcp.status("alice-token") == OK
    assert kcp.status("carol-token") == OK
    assert kcp.status("bob-token", "root:team-b") == OK
    assert kcp.status("bob-token") == NOT_FOUND
    assert kcp.status("alice-token", "root:team-b") == NOT_FOUND
    assert kcp.status("alice-token", namespace="other") == NOT_FOUND


def test_a_workspace_that_there_is_not_is_answered_like_one_of_others(kcp: Kcp) -> None:
    assert kcp.status("alice-token", "root:team-x") == NOT_FOUND
    assert kcp.status("alice-token", "root:team-a:below") == NOT_FOUND


def test_who_is_not_known_is_told_so_wherever_they_ask(kcp: Kcp) -> None:
    for workspace in ("root:team-a", "root:team-x"):
        assert kcp.status("made-up", workspace) == NO_TOKEN


def test_a_service_account_of_one_tenant_sees_nothing_of_another(kcp: Kcp) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": "robot",
            "namespace": "default",
            "annotations": {"kubernetes.io/service-account.name": "robot"},
        },
    }
    kcp.apply("root:team-b", secret)

    def token() -> str:
        found = kcp.run("root:team-b", "get", "secret", "robot", "-n=default", "-o=jsonpath={.data.token}")
        return base64.b64decode(found).decode()

    until(lambda: token() != "", "a token")
    until(lambda: kcp.status(token(), "root:team-b") == OK, "the right of the token's account")
    assert kcp.status(token()) in (NO_TOKEN, NOT_FOUND)


def test_who_is_revoked_sees_nothing_from_then_on(kcp: Kcp) -> None:
    binding = "rolebinding/pipeline-service:viewer"
    kcp.run("root:team-a", "delete", binding, "--namespace=default")
    try:
        until(lambda: kcp.status("carol-token") == NOT_FOUND, "the end of carol's right")
        assert kcp.status("alice-token") == OK
    finally:
        give_team_a(kcp)
