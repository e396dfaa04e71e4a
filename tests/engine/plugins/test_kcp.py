"""Workspaces of a real kcp: made, filled and removed in one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.kcp import KcpServer, kcp_server
from tests.support.on_demand import STAND_INS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.pulumi_project import PulumiProject

pytestmark = STAND_INS

PROGRAM = """
providers = {
    path: pulumi.ResourceOptions(provider=k8s.Provider(path, kubeconfig=config, cluster_identifier=path))
    for path, config in values["kubeconfigs"].items()
}
service = k8s.apiextensions.CustomResource("service", api_version="tenancy.kcp.io/v1alpha1", kind="Workspace",
    metadata={"name": "service", "annotations": {"pulumi.com/waitFor": "jsonpath={.status.phase}=Ready"}},
    spec={"type": {"name": "universal", "path": "root"}}, opts=providers["root"])


def inside(*dependencies):
    return pulumi.ResourceOptions.merge(providers["root:service"], pulumi.ResourceOptions(
        depends_on=[service, *dependencies]))


account = k8s.core.v1.ServiceAccount("account", metadata={"name": "syncer", "namespace": "default"},
    opts=inside())
token = k8s.core.v1.Secret("token", type="kubernetes.io/service-account-token",
    metadata={"name": "syncer-token", "namespace": "default",
              "annotations": {"kubernetes.io/service-account.name": "syncer"}}, opts=inside(account))
k8s.rbac.v1.ClusterRole("role", metadata={"name": "access", "labels": values.get("labels", {})},
    rules=[{"nonResourceURLs": ["/"], "verbs": ["access"]}], opts=inside())
k8s.apiextensions.CustomResource("export", api_version="apis.kcp.io/v1alpha2", kind="APIExport",
    metadata={"name": "local-a"}, spec={}, opts=inside())
k8s.apiextensions.CustomResource("tenants", api_version="tenancy.kcp.io/v1alpha1", kind="Workspace",
    metadata={"name": "tenants", "annotations": {"pulumi.com/waitFor": "jsonpath={.status.phase}=Ready"}},
    spec={"type": {"name": "universal", "path": "root"}}, opts=inside())
pulumi.export("url", service.spec.apply(lambda spec: spec.get("URL")))  # a dry run does not know it yet
pulumi.export("token", token.data["token"])
"""


@pytest.fixture(scope="module")
def kcp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KcpServer]:
    with kcp_server(tmp_path_factory.mktemp("kcp")) as running:
        yield running


@pytest.fixture
def project(project: PulumiProject) -> Iterator[PulumiProject]:
    """A project whose workspaces go also where a test fails: their kcp is there for its second try, too."""
    yield project
    if project.names():
        project.destroy()


def test_workspace_and_its_content_are_made_changed_and_removed_in_one_run_each(
    kcp: KcpServer, project: PulumiProject
) -> None:
    kubeconfigs = {path: kcp.kubeconfig(path) for path in ("root", "root:service")}
    project.write(PROGRAM, {"kubeconfigs": kubeconfigs})
    changes = project.changes()  # the workspace does not exist yet, which is no error
    assert set(changes) >= {"service", "account", "token", "role", "export", "tenants"}
    assert set(changes.values()) == {"create"}

    project.up()
    assert project.outputs()["url"].startswith(kcp.server)
    assert len(project.outputs()["token"]) > 100
    assert kcp.get("root:service", "/apis/apis.kcp.io/v1alpha2/apiexports/local-a")[0] == 200
    assert kcp.get("root:service:tenants", "/api/v1/namespaces")[0] == 200
    assert project.changes() == {}
    project.run("refresh", "--yes", "--skip-preview")
    assert project.changes() == {}

    project.set_values({"kubeconfigs": kubeconfigs, "labels": {"a": "1"}})
    assert project.changes() == {"role": "update"}
    project.up()
    role = kcp.get("root:service", "/apis/rbac.authorization.k8s.io/v1/clusterroles/access")[1]
    assert role["metadata"]["labels"] == {"a": "1"}

    project.destroy()
    assert project.names() == set()
    assert kcp.get("root", "/apis/tenancy.kcp.io/v1alpha1/workspaces/service")[0] == 404
