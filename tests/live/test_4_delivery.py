"""A cluster is handed over to a real Argo CD and back, and nothing on it is made anew."""

from __future__ import annotations

import json
import secrets
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from components.delivery import ARGO_MANAGER, ARGO_PREFIX
from components.names import OPERATOR_NAMESPACE, SYNCER_NAMESPACE
from local.layout import default_layout
from local.network import Network
from local.pki import Authority, Identity
from tests.support.git_server import GitServer, git, git_server
from tests.support.live import ROOT, STACK, kubectl, local, pulumi, run, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STACK_FILE = ROOT / f"Pulumi.{STACK}.yaml"
CLUSTER = "local-a"
INTERVAL_SECONDS = 30
TOKEN_KEY = "git-token"
APPLICATION = ("application.argoproj.io/pipeline-service", "--namespace=argocd")
HEALED = ("deployment", "tekton-events-controller", "--namespace=tekton-pipelines")
KEPT = "namespaces,customresourcedefinitions,deployments,cronjobs,secrets,configmaps,clusterroles"


def status() -> dict[str, Any]:
    found = kubectl(CLUSTER, "get", *APPLICATION, "--ignore-not-found", "--output=json").out
    status_there: dict[str, Any] = json.loads(found).get("status", {}) if found else {}
    return status_there


def shown() -> str:
    """Tell in short how far Argo CD is."""
    there = status()
    operation = there.get("operationState", {})
    resources = [one for one in there.get("resources", []) if is_behind(one)]
    return json.dumps(
        {
            "sync": there.get("sync", {}).get("status"),
            "health": there.get("health"),
            "conditions": there.get("conditions"),
            "operation": {key: operation.get(key) for key in ("phase", "message", "retryCount")},
            "behind": resources[:20],
        },
        indent=1,
    )


def is_behind(resource: dict[str, Any]) -> bool:
    return resource.get("status") != "Synced" or resource.get("health", {}).get("status") not in (
        None,
        "Healthy",
    )


def is_settled(commit: str) -> bool:
    """Tell whether Argo CD has applied a commit, and all of it is well."""
    there = status()
    sync = there.get("sync", {})
    return (sync.get("revision"), sync.get("status"), there.get("health", {}).get("status")) == (
        commit,
        "Synced",
        "Healthy",
    )


@dataclass(frozen=True, kw_only=True)
class Site:
    """Stack dev, whose clusters read a repository of ours.

    Attributes
    ----------
    given
        The stack file's content, the repository and its token included.
    server
        Serves the repository.
    checkout
        A checkout of it.
    clusters
        Names of all clusters.
    objects
        What Argo CD is to apply, in JSON, as a list for kubectl.
    """

    given: dict[str, Any]
    server: GitServer
    checkout: Path
    clusters: tuple[str, ...]
    objects: Path
    uids: dict[str, str] = field(default_factory=dict)

    def set(self, delivery: str) -> None:
        content = json.loads(json.dumps(self.given))
        content["config"]["pipeline-service:computeClusters"][CLUSTER]["delivery"] = delivery
        STACK_FILE.write_text(yaml.safe_dump(content, sort_keys=False))

    def up(self, delivery: str) -> None:
        self.set(delivery)
        pulumi("up", "--yes", "--skip-preview")
        pulumi("preview", "--expect-no-changes")

    def render(self) -> str:
        """Write and push the repository as its user does; give the commit."""
        run(sys.executable, "-m", "operations", "render", "--stack", STACK, "--out", str(self.checkout))
        git("add", "--all", directory=self.checkout)
        git("commit", "--quiet", "--message=rendered", directory=self.checkout)
        git("push", "--quiet", "origin", "HEAD", directory=self.checkout)
        return git("rev-parse", "HEAD", directory=self.checkout).strip()

    def list_objects(self) -> None:
        files = sorted((self.checkout / "clusters" / CLUSTER).rglob("*.yaml"))
        items = [yaml.safe_load(path.read_text()) for path in files]
        # The tenant's place is among them.
        assert [one for one in items if one["kind"] == "ResourceQuota"]
        self.objects.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    def delivered(self) -> list[dict[str, Any]]:
        """Get what Argo CD applies, as it stands on the cluster."""
        found: list[dict[str, Any]] = json.loads(
            kubectl(
                CLUSTER,
                "get",
                "--ignore-not-found",
                "--show-managed-fields",
                "--output=json",
                f"--filename={self.objects}",
            ).out
        )["items"]
        return found

    def now(self) -> dict[str, str]:
        """Tell the uid of all that must stay, on all clusters, and how often its pods were started anew."""
        found = {f"{CLUSTER} {named(one)}": identity(one) for one in self.delivered()}
        for cluster in self.clusters:
            listed = json.loads(kubectl(cluster, "get", KEPT, "--all-namespaces", "--output=json").out)
            found |= {f"{cluster} {named(one)}": identity(one) for one in listed["items"]}
        return found

    def assert_kept(self, when: str) -> None:
        now = self.now()
        other = {name: now.get(name, "gone") for name, uid in self.uids.items() if now.get(name) != uid}
        assert not other, f"{when}: deleted, made or started anew: {other}"


def named(one: dict[str, Any]) -> str:
    metadata = one["metadata"]
    return f"{one['kind']} {metadata.get('namespace', '')}/{metadata['name']}"


def identity(one: dict[str, Any]) -> str:
    # It counts how often the pods were started anew.
    revision = one["metadata"].get("annotations", {}).get("deployment.kubernetes.io/revision")
    return f"{one['metadata']['uid']}{f' revision {revision}' if revision else ''}"


def recorded() -> str:
    """Tell the delivery that the cluster is in."""
    return kubectl(
        CLUSTER,
        "get",
        "configmap",
        "delivery",
        f"--namespace={OPERATOR_NAMESPACE}",
        "--ignore-not-found",
        "--output=jsonpath={.data.delivery}",
    ).out


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Give the stack a repository to read; put it back as it was in the end, the way round that is safe."""
    local("provide", "argo-cd")
    before = STACK_FILE.read_text()
    layout = default_layout()
    address = Network(layout.identity, layout.network).machine()
    authority = Authority(tmp_path / "pki")
    pair = authority.issue("git", Identity(common_name="git", names=(address,)))
    token = secrets.token_hex()
    with git_server(tmp_path / "git", address=address, credential=("git", token), identity=pair) as server:
        url = server.repository("sre/clusters", {"README.md": "The clusters of stack dev.\n"})
        checkout = tmp_path / "checkout"
        git("clone", "--quiet", str(server.path("sre/clusters")), str(checkout))
        try:
            run("pulumi", "config", "set", "--secret", TOKEN_KEY, "--stack", STACK, stdin=token)
            given = yaml.safe_load(STACK_FILE.read_text())
            given["config"] |= {
                "pipeline-service:argocd": {"enabled": True, "syncIntervalSeconds": INTERVAL_SECONDS},
                "pipeline-service:gitops": {
                    "repository": url,
                    "credentials": {"secret": TOKEN_KEY},
                    "certificateAuthority": authority.pair.certificate.read_text(),
                },
            }
            made = Site(
                given=given,
                server=server,
                checkout=checkout,
                clusters=tuple(sorted(given["config"]["pipeline-service:computeClusters"])),
                objects=tmp_path / "objects.json",
            )
            try:
                yield made
            finally:
                for delivery in {"gitops": ("handover", "direct"), "handover": ("direct",)}.get(
                    recorded(), ()
                ):
                    made.set(delivery)
                    pulumi("up", "--yes", "--skip-preview")
        finally:
            STACK_FILE.write_text(before)
            pulumi("up", "--yes", "--skip-preview")


def marked(one: dict[str, Any]) -> bool:
    """Tell whether an object carries anything of Argo CD's."""
    metadata = one["metadata"]
    keys = [*metadata.get("annotations", {}), *metadata.get("labels", {})]
    owners = [entry["manager"] for entry in metadata["managedFields"]]
    return ARGO_MANAGER in owners or any(key.startswith(ARGO_PREFIX) for key in keys)


def of_the_engine(one: dict[str, Any]) -> bool:
    """Tell whether this program owns a field of an object."""
    owners = [entry["manager"] for entry in one["metadata"]["managedFields"] if not entry.get("subresource")]
    return any(name == "pipeline-service" or name.startswith("pulumi-") for name in owners)


def uid(*what: str) -> str:
    return kubectl(CLUSTER, "get", *what, "--ignore-not-found", "--output=jsonpath={.metadata.uid}").out


def assert_healed() -> None:
    before = uid(*HEALED)
    kubectl(CLUSTER, "delete", *HEALED)
    took = wait_until(lambda: uid(*HEALED) not in ("", before), "healed", shown)
    assert took <= INTERVAL_SECONDS


def test_a_cluster_goes_to_argo_cd_and_back_while_tenants_work(site: Site) -> None:
    site.set("handover")
    commit = site.render()
    site.list_objects()
    there = site.now()
    assert f"{CLUSTER} Deployment {SYNCER_NAMESPACE}/api-syncagent" in there, sorted(there)
    site.uids.update(there)

    site.up("handover")
    site.assert_kept("handover")
    wait_until(lambda: is_settled(commit), "synced and healthy", shown)
    site.assert_kept("synced")
    # Argo CD has applied all of it, and changed nothing for the pods that run.
    assert all(marked(one) for one in site.delivered())

    site.up("gitops")
    site.assert_kept("gitops")
    assert not [named(one) for one in site.delivered() if of_the_engine(one)]
    wait_until(lambda: is_settled(commit), "still synced and healthy", shown)
    assert "Succeeded" in local("demo").out
    assert_healed()
    wait_until(lambda: is_settled(commit), "healthy again", shown)
    # It was deleted by hand, and so is another one.
    site.uids.update({name: uid_ for name, uid_ in site.now().items() if HEALED[1] in name})

    site.up("handover")
    site.assert_kept("back in handover")
    site.up("direct")
    site.assert_kept("direct")
    assert not uid(*APPLICATION)
    assert not [named(one) for one in site.delivered() if marked(one)]
    assert "Succeeded" in local("demo").out


def test_afterwards_the_stack_is_as_before() -> None:
    pulumi("preview", "--expect-no-changes")
    assert kubectl(CLUSTER, "get", "namespace", "argocd", check=False).status != 0
