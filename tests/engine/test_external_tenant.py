"""The right to bind, asked of a real kcp: what an external tenant's people can do with it, and what not."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from components.access import Subject, cluster_role_binding
from components.api_export import api_export, bind_role
from components.external_tenant import binders
from components.kcp_workspace import UNIVERSAL, workspace
from components.tenant_manifests import api_binding
from tests.support.apiserver import require_binaries
from tests.support.kcp import KcpServer, kcp_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = 60
OWNERS = ("erin", "mallory")


class Kcp:
    """A kcp with the workspace `compute` and a workspace `team`, which belongs to erin and mallory alone."""

    def __init__(self, server: KcpServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(server.kubeconfig("root"))
        for name in OWNERS:
            document = json.loads(server.kubeconfig("root"))
            document["users"][0]["user"] = {"token": f"{name}-token"}
            (folder / name).write_text(json.dumps(document))
        self.apply("root", workspace("compute", UNIVERSAL, "test"), workspace("team", UNIVERSAL, "test"))
        for name in ("compute", "team"):
            phase = "--for=jsonpath={.status.phase}=Ready"
            self.run("root", "wait", f"workspace/{name}", phase, f"--timeout={SECONDS}s")
        owners = [Subject(kind="User", name=name) for name in OWNERS]
        self.apply("root:team", cluster_role_binding("owners", "cluster-admin", owners, {}))
        for cluster in ("east", "west"):
            self.apply("root:compute", api_export(cluster), bind_role(cluster))

    def kubectl(
        self, path: str, *arguments: str, stdin: str = "", user: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        # Not by impersonation: kcp confines an impersonated user to the workspace of the request.
        kubeconfig = self.kubeconfig if user is None else self.folder / user
        address = f"--server={self.server.server}/clusters/{path}"
        return subprocess.run(
            ["kubectl", f"--kubeconfig={kubeconfig}", address, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * SECONDS,
        )

    def run(self, path: str, *arguments: str, stdin: str = "") -> None:
        result = self.kubectl(path, *arguments, stdin=stdin)
        assert result.returncode == 0, result.stderr

    def apply(self, path: str, *manifests: dict[str, Any]) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.run(path, "apply", "--server-side", "--filename=-", stdin=json.dumps(items))

    def bind(self, user: str, cluster: str) -> str:
        """Make, as a user in the workspace `team`, a binding to a cluster's export; give what was refused."""
        binding = api_binding(("root:compute", cluster), {})
        binding["metadata"]["name"] = f"{user}-{cluster}"
        result = self.kubectl("root:team", "create", "--filename=-", stdin=json.dumps(binding), user=user)
        return result.stderr


@pytest.fixture(scope="module")
def kcp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kcp]:
    require_binaries("kubectl")
    with kcp_server(tmp_path_factory.mktemp("kcp"), OWNERS) as server:
        yield Kcp(server, tmp_path_factory.mktemp("client"))


def test_the_right_to_bind_is_enough_holds_for_one_cluster_and_opens_nothing_else(kcp: Kcp) -> None:
    kcp.apply("root:compute", binders("team", "east", [Subject(kind="User", name="erin")]))
    assert kcp.bind("erin", "east") == ""
    assert "no permission to bind" in kcp.bind("erin", "west")
    assert "forbidden" in kcp.kubectl("root:compute", "get", "apiexports", user="erin").stderr


def test_whoever_owns_a_workspace_may_not_bind_without_the_right(kcp: Kcp) -> None:
    assert "no permission to bind" in kcp.bind("mallory", "east")
