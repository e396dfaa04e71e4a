"""Argo CD really runs with its narrow rights, follows a repository, heals, prunes, and lets nobody in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from components.access import READ, Subject, cluster_role, cluster_role_binding, rule
from local.layout import default_layout
from local.network import Network
from releases.adaptation import Adaptation
from releases.catalog import ARGO_CD
from releases.fetch import Directory
from releases.prepare import prepare
from tests.support.git_server import GitServer, git_server
from tests.support.live import ROOT, kubectl, local, wait_until
from tests.support.pulumi_project import PulumiProject

if TYPE_CHECKING:
    from collections.abc import Iterator

CLUSTER = "local-a"
PLACE = "delivered"
FOLDER = f"clusters/{CLUSTER}"
TOKEN = "made-up-token"
INTERVAL_SECONDS = 15
CONTROLLER = "argocd-application-controller"
APPLICATION = ("application.argoproj.io/pipeline-service", "--namespace=argocd")
SERVER = "/api/v1/namespaces/argocd/services/https:argocd-server:443/proxy"

PROGRAM = """
from components.argocd import ArgoCd, ArgoCdArgs
from components.argocd_manifests import GitSource
from components.release import ReleaseArgs
from releases.prepare import PreparedRelease

release = PreparedRelease(
    name="argo-cd", version=values["version"], sha256=values["sha256"], manifest=Path(values["manifest"])
)
cluster = k8s.Provider("cluster", kubeconfig=Path("kubeconfig").read_text(), enable_server_side_apply=True)
ArgoCd(
    "local-a",
    ArgoCdArgs(
        release=ReleaseArgs(
            release=release, cluster=cluster, kubeconfig="kubeconfig", incarnation=0, state="active"
        ),
        source=GitSource(
            repository=values["repository"],
            branch="main",
            path=values["path"],
            token=pulumi.Output.secret(values["token"]),
        ),
        content=values["content"],
    ),
)
"""


def placed(api_version: str, kind: str, name: str, **more: object) -> dict[str, Any]:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": PLACE},
        **more,
    }


def content() -> dict[str, dict[str, Any]]:
    labels = {"app": "web"}
    container = {"name": "web", "image": "docker.io/library/busybox:1.36", "command": ["sleep", "3600"]}
    return {
        "place.yaml": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}},
        "web.yaml": placed(
            "apps/v1",
            "Deployment",
            "web",
            spec={
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
                },
            },
        ),
        "settings.yaml": placed("v1", "ConfigMap", "settings", data={"a": "b"}),
        "account.yaml": placed("v1", "ServiceAccount", "runner"),
        # As Tekton's controllers have it, so that Argo CD holds these rights, too.
        "role.yaml": cluster_role(
            "delivered-runner", [rule("tekton.dev", ("pipelineruns",), (*READ, "delete"))], {}
        ),
        "binding.yaml": cluster_role_binding(
            "delivered-runner",
            "delivered-runner",
            [Subject(kind="ServiceAccount", name="runner", namespace=PLACE)],
            {},
        ),
    }


@dataclass(frozen=True, kw_only=True)
class Followed:
    """The repository that the cluster's Argo CD follows."""

    server: GitServer

    def commit(self, **files: dict[str, Any] | None) -> None:
        self.server.commit(
            "clusters",
            {
                f"{FOLDER}/{name}.yaml": None if manifest is None else yaml.safe_dump(manifest)
                for name, manifest in files.items()
            },
        )


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    """Argo CD on a cluster by its component, following a repository that only its token opens."""
    local("provide", ARGO_CD)
    layout = default_layout()
    folder = tmp_path_factory.mktemp("argocd")
    project = PulumiProject(folder / "project")
    for part in (".venv", "components", "releases", "units"):
        (project.directory / part).symlink_to(ROOT / part)
    (project.directory / "kubeconfig").write_text((ROOT / f".local/{CLUSTER}/kubeconfig").read_text())
    release = prepare(
        ARGO_CD,
        adaptation=Adaptation(
            config_maps={
                "argocd-cm": {
                    "timeout.reconciliation": f"{INTERVAL_SECONDS}s",
                    "timeout.reconciliation.jitter": "0s",
                }
            }
        ),
        source=Directory(path=ROOT / ".local/releases"),
        root=project.directory,
        folder=Path("manifests"),
    )
    address = Network(layout.identity, layout.network).machine()
    with git_server(folder / "git", address=address, credential=("git", TOKEN)) as server:
        files = {f"{FOLDER}/{name}": yaml.safe_dump(manifest) for name, manifest in content().items()}
        url = server.repository("clusters", files)
        values = {
            "version": release.version,
            "sha256": release.sha256,
            "manifest": str(release.manifest),
            "repository": url,
            "path": FOLDER,
            "token": TOKEN,
            "content": list(content().values()),
        }
        project.write(PROGRAM, values)
        try:
            project.up()
            assert project.changes() == {}
            wait_until(lambda: status() == ("Synced", "Healthy"), "synced and healthy", application)
            yield Followed(server=server)
        finally:
            project.destroy()
            # What it delivered it leaves, and heals no more.
            left = kubectl(CLUSTER, "get", "deployment", "web", f"--namespace={PLACE}", check=False)
            kubectl(CLUSTER, "delete", "clusterrole/delivered-runner", "clusterrolebinding/delivered-runner")
            kubectl(CLUSTER, "delete", "namespace", PLACE)
    assert left.status == 0, left.err
    assert kubectl(CLUSTER, "get", "namespace", "argocd", check=False).status != 0


def application() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl(CLUSTER, "get", *APPLICATION, "--output=json").out)
    return dict(found.get("status", {}))


def status() -> tuple[str, str]:
    found = application()
    return found.get("sync", {}).get("status", ""), found.get("health", {}).get("status", "")


def uid(kind: str, name: str) -> str:
    return kubectl(
        CLUSTER,
        "get",
        kind,
        name,
        f"--namespace={PLACE}",
        "--ignore-not-found",
        "--output=jsonpath={.metadata.uid}",
    ).out


def test_a_deleted_deployment_comes_back_within_the_sync_interval(followed: Followed) -> None:
    assert followed.server.requests
    before = uid("deployment", "web")
    kubectl(CLUSTER, "delete", "deployment", "web", f"--namespace={PLACE}")
    took = wait_until(lambda: uid("deployment", "web") not in ("", before), "healed", application)
    assert took <= INTERVAL_SECONDS
    wait_until(lambda: status() == ("Synced", "Healthy"), "healthy again", application)


def test_what_leaves_the_repository_leaves_the_cluster(followed: Followed) -> None:
    followed.commit(settings=None)
    try:
        wait_until(lambda: uid("configmap", "settings") == "", "pruned", application)
    finally:
        followed.commit(settings=content()["settings.yaml"])
    wait_until(lambda: uid("configmap", "settings") != "", "there", application)


def test_what_is_not_the_clusters_content_is_not_delivered(followed: Followed) -> None:
    service = placed("v1", "Service", "more", spec={"ports": [{"port": 80}]})
    followed.commit(more=service)

    def refused() -> bool:
        # It can't even look whether there is one, and so applies nothing at all of such a commit.
        told = [one["message"] for one in application().get("conditions", [])]
        return any('services "more" is forbidden' in one for one in told)

    try:
        wait_until(refused, "refused", application)
        assert uid("service", "more") == ""
    finally:
        followed.commit(more=None)
    wait_until(lambda: status() == ("Synced", "Healthy"), "synced again", application)


def test_neither_strangers_nor_the_usual_administrator_get_in(followed: Followed) -> None:
    assert followed
    seen = kubectl(CLUSTER, "get", "--raw", f"{SERVER}/api/v1/applications", check=False)
    assert seen.status != 0
    # Argo CD's 401, in kubectl's words.
    assert "must be logged in" in seen.err
    for name in ("admin", "alice"):
        session = json.dumps({"username": name, "password": "made-up-password"})
        login = kubectl(
            CLUSTER, "create", "--raw", f"{SERVER}/api/v1/session", "--filename=-", stdin=session, check=False
        )
        assert login.status != 0
        assert "token" not in login.out
    # A password that could be found out was never made.
    assert kubectl(
        CLUSTER, "get", "secret", "argocd-initial-admin-secret", "--namespace=argocd", check=False
    ).status


def test_its_controller_touches_no_tenants_run(followed: Followed, tmp_path: Path) -> None:
    assert followed
    run = {
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {"name": "untouchable", "namespace": "default"},
        "spec": {"status": "PipelineRunPending", "pipelineRef": {"name": "none"}},
    }
    kubectl(CLUSTER, "create", "--filename=-", stdin=json.dumps(run))
    try:
        token = kubectl(CLUSTER, "create", "token", CONTROLLER, "--namespace=argocd").out.strip()
        config = json.loads(kubectl(CLUSTER, "config", "view", "--minify", "--raw", "--output=json").out)
        config["users"][0]["user"] = {"token": token}
        (tmp_path / "controller").write_text(json.dumps(config))
        as_controller = (f"--kubeconfig={tmp_path}/controller", "--namespace=default")
        refused = kubectl(CLUSTER, "delete", "pipelinerun", "untouchable", *as_controller, check=False)
        assert refused.status != 0
        assert "never uses it" in refused.err
    finally:
        kubectl(CLUSTER, "delete", "pipelinerun", "untouchable", "--namespace=default")
