"""Events that Pipelines as Code itself takes, on a real API server and with a Git provider to ask."""

from __future__ import annotations

import itertools
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from components.pipelines_as_code import tenant_bindings
from local.demo_event import RUN_FILE, SHA_LABEL, connection, pushed_file
from local.git_provider.hooks import Kind
from local.git_provider.provider import GitProvider
from local.git_provider.server import served
from local.images import BUSYBOX_IMAGE
from releases.pipelines_as_code import APP_SECRET, NAMESPACE
from tests.support.apiserver import control_plane, require_binaries
from tests.support.pac_programs import kubectl, pipelines_as_code_beside
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from local.git_provider.hooks import Hook
    from local.git_provider.repository import Repository
    from tests.support.apiserver import ControlPlane
    from tests.support.pac_programs import PipelinesAsCode

RUNS = "/apis/tekton.dev/v1/namespaces/{}/pipelineruns"


class Scene:
    """A cluster with Pipelines as Code, and a Git provider that it can reach."""

    def __init__(self, plane: ControlPlane, pac: PipelinesAsCode, provider: GitProvider) -> None:
        self.plane, self.pac, self.provider = plane, pac, provider
        self.connected = 0
        self.later: list[dict[str, Any]] = []

    def connect(
        self, kind: Kind = Kind.GITHUB, *, without: str | None = None
    ) -> tuple[Repository, Hook, str]:
        """Connect a repository of a new tenant; return it, its hook and the tenant's namespace.

        An object of a kind can be left out, and made later by `complete`.
        """
        namespace, repository = self.tenant()
        hook = self.provider.add_hook(repository, f"{self.pac.url}/", f"secret-of-{namespace}", kind)
        objects = connection(repository.html_url, self.provider.add_token(repository), hook.secret)
        objects["items"][1]["spec"]["git_provider"] |= {"url": self.provider.api, "type": str(kind)}
        self.later = [one for one in objects["items"] if one["kind"] == without]
        self._apply(namespace, [one for one in objects["items"] if one["kind"] != without])
        return repository, hook, namespace

    def complete(self, namespace: str) -> None:
        """Make what was left out."""
        self._apply(namespace, self.later)

    def _apply(self, namespace: str, items: list[dict[str, Any]]) -> None:
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        kubectl(self.plane, "apply", f"--namespace={namespace}", "--filename=-", stdin=listed)

    def tenant(self) -> tuple[str, Repository]:
        """Make a namespace, in which Pipelines as Code may do what the program lets it, and a repository."""
        self.connected += 1
        namespace = f"tenant-{self.connected}"
        self.plane.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
        for binding in tenant_bindings(namespace, namespace).values():
            self.plane.create(path, dict(binding))
        return namespace, self.provider.add_repository(f"https://git.example.com/{namespace}/app")

    def runs(self, namespace: str, sha: str = "") -> list[dict[str, Any]]:
        selector = f"?labelSelector={SHA_LABEL}={sha}" if sha else ""
        found: list[dict[str, Any]] = self.plane.get(RUNS.format(namespace) + selector)["items"]
        return found

    def unknown(self) -> list[str]:
        """Return what was asked of GitHub's API that isn't served; of Gitea's and GitLab's, nothing is."""
        return [one.path for one in self.provider.unknown if one.path.startswith("/api/v3/")]

    def states(self, sha: str) -> list[str]:
        """Return what the provider was told of a commit, without repetitions."""
        told = [one.state for one in self.provider.statuses if one.sha == sha]
        return [state for state, _ in itertools.groupby(told)]

    def checks(self, sha: str) -> list[str]:
        """Return the states of a commit's checks."""
        return [one["status"] for one in self.provider.check_runs if one["head_sha"] == sha]

    def until(self, holds: Callable[[], bool], what: str) -> None:
        until(holds, what, lambda: self.pac.log.read_text()[-3000:])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    require_binaries("kubectl")
    folder: Path = tmp_path_factory.mktemp("events")
    provider = GitProvider(folder / "git")
    with (
        control_plane(folder) as plane,
        served(provider) as api,
        pipelines_as_code_beside(plane, f"{api}/api/v3") as pac,
    ):
        yield Scene(plane, pac, provider)


def test_a_signed_push_makes_a_run_and_its_end_is_told_to_the_provider(scene: Scene) -> None:
    repository, hook, namespace = scene.connect()
    commit, delivery = scene.provider.push(hook, repository, {RUN_FILE: pushed_file(BUSYBOX_IMAGE)})
    assert (delivery.code, delivery.status) == (202, "OK")
    scene.until(lambda: scene.states(commit.sha) == ["pending"], "told that it runs")
    [run] = scene.runs(namespace, commit.sha)
    step = run["spec"]["pipelineSpec"]["tasks"][0]["taskSpec"]["steps"][0]
    assert step["env"] == [{"name": "REVISION", "value": commit.sha}]

    done = {
        "completionTime": "2026-01-31T12:00:00Z",
        "startTime": "2026-01-31T11:59:00Z",
        "conditions": [{"type": "Succeeded", "status": "True", "reason": "Succeeded", "message": "all done"}],
    }
    path = f"{RUNS.format(namespace)}/{run['metadata']['name']}/status"
    scene.plane.patch(path, {"status": done})
    scene.until(lambda: scene.states(commit.sha) == ["pending", "success"], "told that it succeeded")
    assert scene.unknown() == []


def test_a_push_that_an_app_announces_makes_a_run_and_a_check_with_a_token_of_the_installation(
    scene: Scene,
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": APP_SECRET, "namespace": NAMESPACE},
        "stringData": {
            "github-application-id": "7",
            "github-private-key": pem,
            "webhook.secret": "secret of the App",
        },
    }
    kubectl(scene.plane, "apply", "--server-side", "--filename=-", stdin=json.dumps(secret))
    app = scene.provider.add_app(7, key.public_key(), f"{scene.pac.url}/", "secret of the App")
    namespace, repository = scene.tenant()
    app.installations[70] = {repository.full_name}
    made = {
        "apiVersion": "pipelinesascode.tekton.dev/v1alpha1",
        "kind": "Repository",
        "metadata": {"name": "app", "namespace": namespace},
        "spec": {"url": repository.html_url},
    }
    kubectl(scene.plane, "create", "--filename=-", stdin=json.dumps(made))
    commit, delivery = scene.provider.push(app.hook, repository, {RUN_FILE: pushed_file(BUSYBOX_IMAGE)})
    assert delivery.code == 202
    scene.until(lambda: scene.checks(commit.sha) == ["in_progress"], "checked")
    assert len(scene.runs(namespace, commit.sha)) == 1
    assert scene.unknown() == []

    forged, _ = scene.provider.push(app.hook, repository, {"a": "b"}, secret="guessed")
    assert scene.pac.logged("could not validate payload", forged.sha)
    assert scene.runs(namespace, forged.sha) == []


def test_a_forged_signature_makes_no_run(scene: Scene) -> None:
    repository, hook, namespace = scene.connect()
    commit, delivery = scene.provider.push(
        hook, repository, {RUN_FILE: pushed_file(BUSYBOX_IMAGE)}, secret="guessed"
    )
    assert delivery.code == 202  # it answers before it looks
    assert scene.pac.logged("could not validate payload", commit.sha), scene.pac.log.read_text()[-3000:]
    assert scene.runs(namespace) == []
    assert scene.states(commit.sha) == []
    assert not [one for one in scene.provider.asked if f"/{repository.full_name}/" in f"{one.path}/"]


def test_the_same_event_again_makes_a_second_run_so_redelivery_has_to_be_sparing(scene: Scene) -> None:
    repository, hook, namespace = scene.connect()
    commit, delivery = scene.provider.push(hook, repository, {RUN_FILE: pushed_file(BUSYBOX_IMAGE)})
    scene.until(lambda: len(scene.runs(namespace, commit.sha)) == 1, "run once")
    scene.provider.sender.resend(hook, delivery)
    scene.until(lambda: len(scene.runs(namespace, commit.sha)) == 2, "run twice")


@pytest.mark.parametrize(
    ("late", "said"),
    [("Secret", 'secrets \\"demo-event\\" not found'), ("Repository", "cannot find a repository match")],
)
def test_an_event_before_the_secret_or_the_repository_is_taken_for_nothing_and_once_sent_again_runs(
    scene: Scene, late: str, said: str
) -> None:
    repository, hook, namespace = scene.connect(without=late)
    commit, delivery = scene.provider.push(hook, repository, {RUN_FILE: pushed_file(BUSYBOX_IMAGE)})
    assert delivery.code == 202
    assert scene.pac.logged(said, delivery.guid), scene.pac.log.read_text()[-3000:]
    # It looks for both at each event, and remembers neither: nothing has to be started anew.
    scene.complete(namespace)
    assert scene.runs(namespace) == []
    scene.provider.sender.resend(hook, delivery)
    scene.until(lambda: len(scene.runs(namespace, commit.sha)) == 1, "run once it was sent again")
    scene.until(lambda: scene.states(commit.sha) == ["pending"], "told that it runs")


@pytest.mark.parametrize("kind", [Kind.GITLAB, Kind.GITEA])
def test_pushes_of_other_providers_are_taken_and_recognised(scene: Scene, kind: Kind) -> None:
    repository, hook, _ = scene.connect(kind)
    _, delivery = scene.provider.push(hook, repository, {RUN_FILE: pushed_file(BUSYBOX_IMAGE)})
    assert (delivery.code, json.loads(delivery.answer)["message"]) == (202, "accepted")
    words = (f'"provider":"{kind}"', f'"source-repo-url":"{repository.html_url}"')
    assert scene.pac.logged(*words), scene.pac.log.read_text()[-3000:]


def test_a_push_to_a_repository_that_nobody_has_makes_nothing(scene: Scene) -> None:
    nobody = f"https://git.example.com/nobody-{uuid.uuid4().hex}/app"
    repository = scene.provider.add_repository(nobody)
    hook = scene.provider.add_hook(repository, scene.pac.url, "secret")
    _, delivery = scene.provider.push(hook, repository, {RUN_FILE: pushed_file(BUSYBOX_IMAGE)})
    assert delivery.code == 202
    assert scene.pac.logged(f"cannot find a repository match for {nobody}")
