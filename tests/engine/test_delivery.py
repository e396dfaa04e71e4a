"""Handing a cluster over to Argo CD and back, on a real engine and API server: no object is made anew.

Argo CD itself is played by kubectl here: it applies the rendered files on the server's side, under Argo CD's
name as field manager.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from releases.contents import Contents
from releases.prepare import PreparedRelease
from stacks.gateway_sources import GatewaySources
from stacks.github_app import GitHubApp
from stacks.image_sources import Images
from stacks.kubeconfigs import parse
from stacks.loader import LoadedEnvironment
from stacks.rendering import cluster_content, render
from stacks.settings import EnvironmentSettings
from tests.support.apiserver import control_plane, require_binaries
from tests.support.pulumi_project import ROOT, PulumiProject
from units.manifest import Identity, identify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.apiserver import ControlPlane

# The parts of stacks/environment.py that need no kcp and wait for no pod, wired as there.
PROGRAM = """
from components import retention_manifests, syncer_manifests
from components.cluster_delivery import ClusterDelivery, ClusterPlaces
from components.compute_cluster import ComputeCluster, ComputeClusterArgs
from components.delivery import Delivery
from components.gateway import Gateway, GatewayArgs
from components.kubernetes_object import KubernetesObject, register_object, register_objects
from components.release import Release
from components.tenant_place import register_namespaces
from stacks import mapping, mapping_delivery, mapping_gateway, targets
from tests.engine.test_delivery import loaded


class Part(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("test:index:Part", name)


environment = loaded(values["settings"], values["kubeconfig"])
delivery = environment.settings.compute_clusters["east"].delivery
before = ()
if delivery is Delivery.DIRECT:
    before = (ClusterDelivery("east", mapping_delivery.delivery(environment, "east")),)
cluster = targets.compute_cluster("east", environment, after=before)
ground = ComputeCluster("east", ComputeClusterArgs(cluster=cluster))
before = (ground,)
if places := mapping_delivery.places(environment, "east"):
    before += (ClusterPlaces("east", places, mapping_delivery.delivery(environment, "east", after=before)),)
releases = [
    Release(f"east-{name}", mapping.release_args(environment, "east", name, cluster, after=before))
    for name in ("tekton-pipelines", "api-syncagent-crds")
]
for args in mapping.beside_pipelines(environment, "east", cluster, after=(*before, releases[0])):
    releases.append(Release(f"east-{args.release.name}", args))
part = Part("east")
after = [ground, *releases]
syncer = register_objects(
    "east", syncer_manifests.cluster_objects(), provider=cluster, parent=part, depends_on=after
)
KubernetesObject(
    "east-kcp-kubeconfig",
    syncer_manifests.kubeconfig_secret("c2VjcmV0"),
    provider=cluster,
    parent=part,
    depends_on=syncer,
)
register_objects(
    "east", syncer_manifests.published_resources("east"), provider=cluster, parent=part, depends_on=after
)
register_objects(
    "east", retention_manifests.ground("c2VjcmV0"), provider=cluster, parent=part, depends_on=after
)
if objects := mapping_gateway.gateway(environment, "east"):
    Gateway("east", GatewayArgs(cluster=cluster, objects=objects, after=tuple(after)))
place = mapping.tenant_place(environment, "demo", cluster, after=tuple(after))
register_namespaces("demo", place, parent=part)
if delivery is not Delivery.DIRECT:
    args = mapping_delivery.delivery(
        environment, "east", credential=values["credential"], after=(ground, *releases, part)
    )
    ClusterDelivery("east", args)
"""


def definition(group: str, kind: str, scope: str) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", "annotations": {"api-approved.kubernetes.io": "test"}},
        "spec": {
            "group": group,
            "names": {"plural": plural, "kind": kind, "singular": kind.lower()},
            "scope": scope,
            "versions": [
                {
                    "name": "v1alpha1" if group.startswith("syncagent.") else "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


RELEASES: dict[str, list[dict[str, Any]]] = {
    "api-syncagent-crds": [definition("syncagent.kcp.io", "PublishedResource", "Cluster")],
    "tekton-pipelines": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tekton-pipelines"}},
        definition("tekton.dev", "PipelineRun", "Namespaced"),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "feature-flags", "namespace": "tekton-pipelines"},
            "data": {"enable-api-fields": "stable"},
        },
        # Its controller fills it.
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "webhook-certs", "namespace": "tekton-pipelines"},
        },
    ],
    # Wanted where the settings say so; its controller isn't tried here.
    "tekton-chains": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tekton-chains"}},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "chains-config", "namespace": "tekton-chains"},
        },
    ],
    # As above.
    "pipelines-as-code": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "pipelines-as-code"}},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "pipelines-as-code", "namespace": "pipelines-as-code"},
        },
    ],
}
WEBHOOK_SECRET = "made-up-webhook-secret"
PRIVATE_KEY = "made-up-private-key"


def settings(
    delivery: str, *, chains: bool = False, pulls: bool = False, events: bool = False
) -> dict[str, Any]:
    app = {"id": 12, "privateKey": {"secret": "appKey"}, "webhookSecret": {"secret": "appHook"}}
    gateway = {"clusters": ["east"], "host": "events.example.com", "tls": {"secret": "gatewayCertificate"}}
    return {
        "pipelinesAsCode": {"enabled": True, "githubApp": app} if events else {},
        "gateway": gateway if events else {},
        "kcp": {"kubeconfig": {"path": "kcp"}},
        "computeClusters": {"east": {"kubeconfig": {"path": "east"}, "delivery": delivery}},
        "tekton": {"chains": {"enabled": chains, "signingKey": {"secret": "key"}}},
        "tenants": {"demo": {"cluster": "east", "namespaces": ["default", "ci"]}},
        "imageRepository": {"pullSecret": {"secret": "pull"}} if pulls else {},
        "argocd": {"enabled": True},
        "gitops": {"repository": "https://git.example.com/sre/clusters"},
    }


def loaded(given: dict[str, Any], kubeconfig: str) -> LoadedEnvironment:
    """Load made-up settings with made-up releases; their files are written to the working directory."""
    folder = Path(".run/test")
    prepared = {}
    releases = dict(RELEASES)
    if not given["tekton"]["chains"]["enabled"]:
        del releases["tekton-chains"]
    events = bool(given["gateway"])
    if not events:
        del releases["pipelines-as-code"]
    for name, manifests in releases.items():
        text = "".join(f"{json.dumps(one)}\n" for one in manifests)
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        digest = hashlib.sha256(text.encode()).hexdigest()
        prepared[name] = PreparedRelease(
            name=name,
            version="v1",
            sha256=digest,
            manifest=path,
            contents=Contents(pod_namespaces=("tekton-pipelines",) if name == "tekton-pipelines" else ()),
        )
    environment = LoadedEnvironment(
        stack="test",
        settings=EnvironmentSettings.model_validate(given),
        kubeconfigs={"east": parse(kubeconfig, Path())},
        prepared={"east": prepared},
        folder=folder,
        images=Images(pull_secret='{"auths": {}}' if given["imageRepository"] else None),
        gateway=GatewaySources(certificate=(PRIVATE_KEY, PRIVATE_KEY) if events else None),
        github_app=GitHubApp(app_id=12, private_key=PRIVATE_KEY, webhook_secret=WEBHOOK_SECRET)
        if events
        else None,
    )
    file = environment.kubeconfig_file("east")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(environment.kubeconfigs["east"].render())
    return environment


class Cluster:
    """A cluster, the project that fills it, and what plays its Argo CD."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self.project = PulumiProject(folder / "project")
        self.project.environment["PYTHONPATH"] = str(ROOT)
        for name in (".venv", "units"):
            (self.project.directory / name).symlink_to(ROOT / name)
        self.project.write(PROGRAM)
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(plane.kubeconfig())
        self.repository = folder / "repository"

    def set(self, delivery: str, credential: str = "one", **more: bool) -> None:
        self.project.set_values(
            {
                "settings": settings(delivery, **more),
                "kubeconfig": self.plane.kubeconfig(),
                "credential": credential,
            }
        )

    def up(self, delivery: str, *arguments: str, fails: bool = False, **more: Any) -> str:  # noqa: ANN401 -- fields of `set`
        self.set(delivery, **more)
        said = self.project.up(*arguments, fails=fails)
        if not fails:
            assert self.project.changes() == {}, f"{delivery}: not settled"
        return said

    def kubectl(self, *arguments: str) -> str:
        command = ["kubectl", f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def files(self, monkeypatch: pytest.MonkeyPatch, **more: bool) -> dict[Path, dict[str, Any]]:
        """Render what the repository holds."""
        with monkeypatch.context() as patched:
            patched.chdir(self.project.directory)
            environment = loaded(settings("handover", **more), self.plane.kubeconfig())
            texts = render(cluster_content(environment, "east", self.project.directory))
        written = {}
        for name, text in texts.items():
            path = self.repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            written[path] = yaml.safe_load(text)
        return written

    def sync(self) -> None:
        """Do what Argo CD does: apply all files on the server's side, by force, wave after wave."""
        documents = [yaml.safe_load(path.read_text()) for path in sorted(self.repository.rglob("*.yaml"))]
        waves: dict[int, list[dict[str, Any]]] = {}
        for one in documents:
            one["metadata"].setdefault("annotations", {})["argocd.argoproj.io/tracking-id"] = (
                "pipeline-service:x"
            )
            wave = one["metadata"]["annotations"].get("argocd.argoproj.io/sync-wave", "0")
            waves.setdefault(int(wave), []).append(one)
        for _, wave in sorted(waves.items()):
            file = self.repository / "wave.json"
            file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": wave}))
            self.kubectl(
                "apply",
                "--server-side",
                "--force-conflicts",
                "--field-manager=argocd-controller",
                f"--filename={file}",
            )
            file.unlink()

    def live(self, objects: list[dict[str, Any]]) -> dict[Identity, dict[str, Any]]:
        file = self.repository.parent / "asked.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        text = self.kubectl(
            "get", "--show-managed-fields", "--ignore-not-found", "--output=json", f"--filename={file}"
        )
        found: dict[str, Any] = json.loads(text) if text.strip() else {"kind": "List", "items": []}
        items = found["items"] if found["kind"] == "List" else [found]
        return {identify(one): one for one in items}


def uids(live: dict[Identity, dict[str, Any]]) -> dict[Identity, str]:
    return {identity: one["metadata"]["uid"] for identity, one in live.items()}


def managers(one: dict[str, Any]) -> set[str]:
    """Name who owns fields of an object, but for what its controllers write into the status."""
    entries = one["metadata"]["managedFields"]
    return {entry["manager"] for entry in entries if not entry.get("subresource")}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    require_binaries("kubectl", "pulumi")
    (tmp_path / "plane").mkdir()
    with control_plane(tmp_path / "plane") as plane:
        yield Cluster(plane, tmp_path)


class Story:
    """A cluster whose objects must stay the same ones, whatever becomes of its delivery."""

    def __init__(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cluster = cluster
        cluster.up("direct")
        self.objects = list(cluster.files(monkeypatch).values())
        # What waits for pods is not a part of the program here; Argo CD brings it.
        ours = [one for one in self.objects if one["kind"] not in {"CronJob", "Deployment"}]
        self.first = uids(cluster.live(ours))
        assert len(self.first) == len(ours)

    def ours(self) -> dict[Identity, dict[str, Any]]:
        found = self.cluster.live(self.objects)
        return {identity: one for identity, one in found.items() if identity in self.first}

    def up(self, delivery: str, *flags: str, refused: str = "") -> None:
        said = self.cluster.up(delivery, *flags, fails=bool(refused))
        assert refused in said
        assert not refused or "deleting" not in said
        assert uids(self.ours()) == self.first, f"{delivery}: an object was deleted or made anew"


def test_a_cluster_goes_to_argo_cd_and_back_and_no_object_is_made_anew(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story(cluster, monkeypatch)
    jump = 'computeClusters.east.delivery: "{}": the cluster is in delivery {}'
    # A jump is refused, and nothing is deleted, even where the engine is told to go on.
    story.up("gitops", refused=jump.format("gitops", "direct"))
    story.up("gitops", "--continue-on-error", refused=jump.format("gitops", "direct"))
    story.up("handover")
    # Nor does it go on before Argo CD has applied everything.
    story.up("gitops", "--continue-on-error", refused="Argo CD has not synced yet")
    cluster.sync()
    story.up("handover")
    story.up("gitops")
    assert_all_is_argo_cds(story)
    assert_what_leaves_the_repository_goes(cluster)
    assert_a_rotated_credential_starts_the_agent_anew(story)
    story.up("direct", refused=jump.format("direct", "gitops"))
    story.up("handover")
    cluster.sync()
    story.up("direct")
    ours = story.ours().values()
    assert not [one for one in ours if "argocd-controller" in managers(one)]
    assert not [one for one in ours if "argocd" in json.dumps(one["metadata"].get("annotations", {}))]
    assert not [one for one in ours if not managers(one)]


def assert_all_is_argo_cds(story: Story) -> None:
    live = story.cluster.live(story.objects)
    assert len(live) == len(story.objects)
    for identity, one in live.items():
        assert "argocd-controller" in managers(one), identity
        assert not [name for name in managers(one) if name == "pipeline-service" or "pulumi" in name], (
            identity
        )
    kept = story.cluster.project.names()
    assert {"east-namespace", "east-kcp-kubeconfig"} <= kept
    assert not {name for name in kept if name.startswith("demo") or name.endswith(("-apply", "-ready"))}


def assert_what_leaves_the_repository_goes(cluster: Cluster) -> None:
    namespace = next(path for path in cluster.repository.rglob("namespace.demo-ci-*.yaml"))
    text = namespace.read_text()
    cut = yaml.safe_load(text)
    del cut["metadata"]["labels"]["pod-security.kubernetes.io/warn"]
    namespace.write_text(yaml.safe_dump(cut))
    cluster.sync()
    [found] = cluster.live([cut]).values()
    assert "pod-security.kubernetes.io/warn" not in found["metadata"]["labels"]
    namespace.write_text(text)
    cluster.sync()


def assert_a_rotated_credential_starts_the_agent_anew(story: Story) -> None:
    """The repository doesn't know the credential, and yet its Argo CD leaves the digest alone."""
    [agent] = [one for one in story.objects if one["kind"] == "Deployment"]

    def digest() -> str:
        [found] = story.cluster.live([agent]).values()
        annotations = found["spec"]["template"]["metadata"]["annotations"]
        return str(annotations["pipeline-service/kubeconfig-digest"])

    assert digest() == "one"
    story.cluster.up("gitops", credential="two")
    story.cluster.sync()
    assert digest() == "two"


def test_destroying_a_cluster_that_argo_cd_fills_takes_what_is_ours_and_says_what_stays(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    # From the start: nothing has to be handed over, and Argo CD comes when it comes.
    cluster.up("gitops")
    objects = list(cluster.files(monkeypatch).values())
    cluster.sync()
    cluster.up("gitops")
    before = uids(cluster.live(objects))
    said = cluster.project.destroy()
    assert "what Argo CD has applied stays on the cluster" in said
    left = uids(cluster.live(objects))
    assert left.items() <= before.items()
    gone = {str(one) for one in before.keys() - left.keys()}
    # What lies in this program's namespaces goes with them.
    assert gone
    assert all(" pipeline-service" in one for one in gone)
    assert cluster.project.names() == set()


CHAINS = "chains.tekton.dev/pipelinerun"
WATCHER = "pipelinesascode.tekton.dev/finalizer"


def test_what_chains_and_pipelines_as_code_held_is_let_go_once_argo_cd_has_taken_them_away(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.up("gitops", chains=True, events=True)
    cluster.files(monkeypatch)
    cluster.sync()
    runs = "/apis/tekton.dev/v1/namespaces/default/pipelineruns"
    metadata = {"name": "signed", "finalizers": [CHAINS, WATCHER, "example.com/others"]}
    cluster.plane.create(
        runs, {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": metadata, "spec": {}}
    )

    def finalizers() -> list[str]:
        return list(cluster.plane.get(f"{runs}/signed")["metadata"]["finalizers"])

    cluster.up("gitops", chains=True, events=True, credential="two")
    assert finalizers() == metadata["finalizers"]
    cluster.up("gitops", events=True)
    assert finalizers() == [WATCHER, "example.com/others"]
    cluster.up("gitops")
    assert finalizers() == ["example.com/others"]


def test_what_no_repository_holds_is_there_before_argo_cd_has_come(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The pull secrets and the App's, too: the first `up` failed, since their namespaces are Argo CD's.
    cluster.up("gitops", pulls=True, events=True)
    cluster.kubectl("get", "--namespace=tekton-pipelines", "secret/webhook-certs")
    cluster.kubectl("get", "--namespace=pipeline-service-syncer", "secret/kcp-kubeconfig")
    cluster.kubectl("get", "--namespace=pipelines-as-code", "secret/pipelines-as-code-secret")
    of_the_gateway = ("gateway-tls", "github-webhook", "pipeline-service-pull")
    cluster.kubectl("get", "--namespace=pipeline-service-gateway", "secret", *of_the_gateway)
    objects = list(cluster.files(monkeypatch, pulls=True, events=True).values())
    assert not [one for one in objects if one["kind"] == "Secret"]
    for text in (WEBHOOK_SECRET, PRIVATE_KEY):
        assert text not in json.dumps(objects)
        assert base64.b64encode(text.encode()).decode() not in json.dumps(objects)
    of_tenants = [
        one["metadata"]["name"]
        for one in objects
        if one["kind"] == "Namespace" and one["metadata"]["name"].startswith("demo-")
    ]
    assert len(of_tenants) == 2
    for namespace in ("tekton-pipelines", *of_tenants):
        cluster.kubectl("get", f"--namespace={namespace}", "secret/pipeline-service-pull")
    namespaces = [one for one in objects if one["kind"] == "Namespace"]
    before = uids(cluster.live(namespaces))

    cluster.sync()
    cluster.up("gitops", pulls=True, events=True)
    cluster.kubectl("get", "--namespace=pipeline-service-gateway", "configmap/gateway", "deployment/gateway")
    live = cluster.live(namespaces)
    assert uids(live).items() >= before.items()
    for one in live.values():
        if one["metadata"]["name"] in of_tenants:
            assert "pod-security.kubernetes.io/enforce" in one["metadata"]["labels"]
            assert "argocd-controller" in managers(one)
