"""The right to bind, asked of a real kcp: what an external tenant's people can do with it, and what not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from components.access import Subject, cluster_role_binding
from components.api_export import api_export, bind_role
from components.external_tenant import binders
from components.tenant_manifests import api_binding
from tests.support.apiserver import require_binaries
from tests.support.kcp import KcpClient, KcpServer, kcp_server
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWNERS = ("erin", "mallory")


class Kcp(KcpClient):
    """A kcp with the workspace `compute` and a workspace `team`, which belongs to erin and mallory alone."""

    def __init__(self, server: KcpServer, folder: Path) -> None:
        super().__init__(server, folder, OWNERS)
        self.make_workspaces("compute", "team")
        owners = [Subject(kind="User", name=name) for name in OWNERS]
        self.apply("root:team", cluster_role_binding("owners", "cluster-admin", owners, {}))
        for cluster in ("east", "west"):
            self.apply("root:compute", api_export(cluster), bind_role(cluster))

    def bind(self, user: str, cluster: str) -> str:
        """Make, as a user in the workspace `team`, a binding to a cluster's export; give what was refused."""
        binding = api_binding(("root:compute", cluster), {})
        binding["metadata"]["name"] = f"{user}-{cluster}"
        asked = ("apply", "--server-side", "--filename=-")
        return self.kubectl("root:team", *asked, stdin=json.dumps(binding), user=user).stderr


@pytest.fixture(scope="module")
def kcp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kcp]:
    require_binaries("kubectl")
    with kcp_server(tmp_path_factory.mktemp("kcp"), OWNERS) as server:
        yield Kcp(server, tmp_path_factory.mktemp("client"))


def test_the_right_to_bind_is_enough_holds_for_one_cluster_and_opens_nothing_else(kcp: Kcp) -> None:
    kcp.apply("root:compute", binders("team", "east", [Subject(kind="User", name="erin")]))
    # kcp knows of a right a moment after it is granted.
    until(lambda: kcp.bind("erin", "east") == "", "bound", lambda: kcp.bind("erin", "east"))
    assert "no permission to bind" in kcp.bind("erin", "west")
    assert "forbidden" in kcp.kubectl("root:compute", "get", "apiexports", user="erin").stderr


def test_whoever_owns_a_workspace_may_not_bind_without_the_right(kcp: Kcp) -> None:
    # Before kcp knows that she owns it, she is refused for another reason.
    until(
        lambda: "no permission to bind" in kcp.bind("mallory", "east"),
        "refused for want of the right",
        lambda: kcp.bind("mallory", "east"),
    )
