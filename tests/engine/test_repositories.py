"""Tenants' Repository objects on a real API server and a real kcp: each names its own."""

from __future__ import annotations

import json
import operator
from typing import TYPE_CHECKING, Any

import pytest

from components.access import REPOSITORY_GROUP, Subject
from components.names import SYNCER_GROUP, tenant_namespace
from components.pipelines_as_code import RepositoryRules
from components.repository_admission import policies
from components.tenant_manifests import (
    TenantAccess,
    TenantQuota,
    TenantRepositories,
    namespace_objects,
)
from components.tenant_network import TenantNetwork
from stacks.vocabulary import repository_identity
from tests.support.apiserver import control_plane, require_binaries
from tests.support.kcp import READY_SECONDS, KcpClient, kcp_server
from tests.support.tenants import workspace_content
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.apiserver import ControlPlane

PAC = "pipelines-as-code"
RULES = RepositoryRules(
    namespace=PAC, provider_urls=("http://git.demo.svc:3000", "https://api.example.org/v3")
)
URLS = {
    "team-a": ("https://git.example.com/Team-A/App", "https://git.example.com:8443/team-a/other"),
    "team-b": ("https://git.example.com/team-b/app",),
    "team-c": (),
}
HOMES = {tenant: tenant_namespace(f"root:tenants:{tenant}", "default") for tenant in URLS}
QUOTA = TenantQuota(pipeline_runs=100, cpu="2", memory="4Gi", pods=10, storage="10Gi")
MERGE = "application/merge-patch+json"
CONTROLLER = f"system:serviceaccount:{PAC}:pipelines-as-code-controller"
WATCHER = f"system:serviceaccount:{PAC}:pipelines-as-code-watcher"
SYNCER = "system:serviceaccount:pipeline-service-syncer:syncer"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"

OWN = (
    "https://git.example.com/team-a/app",
    "https://git.example.com/Team-A/App",
    "HTTPS://GIT.EXAMPLE.COM/TEAM-A/APP",
    "https://git.example.com/team-a/app/",
    "https://git.example.com/team-a/app.git",
    "https://git.example.com/team-a/app.git/",
    "https://git.example.com:443/team-a/app",
    "https://git.example.com:8443/team-a/other",
)
OTHERS = (
    "https://git.example.com/team-b/app",
    "https://git.example.com/TEAM-B/App.git/",
    "https://git.example.com/team-a/app2",
    "https://git.example.com/team-a/app.git.git",
    "https://git.example.com/team-a",
    "https://git.example.com/team-a/other",
    "https://git.example.com:8444/team-a/other",
    "https://git.example.com.evil.com/team-a/app",
    "https://evil.com/git.example.com/team-a/app",
    "https://me@git.example.com/team-a/app",
    "https://git.example.com/team-a/app?x=1",
    "https://git.example.com/team-a/app#x",
    "https://git.example.com/team-a/app ",
    "https://git.example.com/team-a\\app",
    "http://git.example.com/team-a/app",
    "git@git.example.com:team-a/app",
    "git.example.com/team-a/app",
    "https://",
    "",
)


COPY = f"{SYNCER_GROUP}/remote-object-cluster"
"""By this label the agent finds its copies (v0.7.0, internal/sync/syncer.go)."""


def repositories_of(tenant: str, rules: RepositoryRules = RULES) -> TenantRepositories:
    return TenantRepositories(
        identities=tuple(sorted(repository_identity(url) for url in URLS[tenant])), rules=rules
    )


def definition(group: str, version: str, kind: str, plural: str) -> dict[str, Any]:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    served = {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", "annotations": {"api-approved.kubernetes.io": "test"}},
        "spec": {
            "group": group,
            "names": {"plural": plural, "kind": kind, "singular": kind.lower(), "listKind": f"{kind}List"},
            "scope": "Namespaced",
            "versions": [served],
        },
    }


DEFINITIONS = (
    definition(REPOSITORY_GROUP, "v1alpha1", "Repository", "repositories"),
    definition("tekton.dev", "v1", "PipelineRun", "pipelineruns"),
)


def repository(url: str | None, name: str = "app", **spec: Any) -> dict[str, Any]:  # noqa: ANN401 -- any part
    return {
        "apiVersion": f"{REPOSITORY_GROUP}/v1alpha1",
        "kind": "Repository",
        "metadata": {"name": name},
        "spec": {**({} if url is None else {"url": url}), **spec},
    }


def run(**metadata: Any) -> dict[str, Any]:  # noqa: ANN401 -- any part
    named = {"generateName": "r-"} | metadata
    return {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": named, "spec": {}}


class Place:
    """A cluster with three tenants' namespaces, that of Pipelines as Code, and one that is nobody's."""

    def __init__(self, api: ControlPlane) -> None:
        self.api = api
        for one in DEFINITIONS:
            api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", one)
        for tenant, home in HOMES.items():
            made = namespace_objects(
                tenant=tenant,
                workspace_path=f"root:tenants:{tenant}",
                kcp_namespace="default",
                namespace_name=home,
                quota=QUOTA,
                network=TenantNetwork(),
                repositories=repositories_of(tenant),
            )
            api.create("/api/v1/namespaces", made["namespace"])
        for name in (PAC, "elsewhere"):
            api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        for manifest in policies(RULES).values():
            bound = "policyName" in manifest["spec"]
            plural = f"validatingadmissionpolic{'ybindings' if bound else 'ies'}"
            api.create(f"{ADMISSION}/{plural}", manifest)

    def refusal(
        self, manifest: dict[str, Any], home: str = HOMES["team-a"], user: str = SYNCER
    ) -> str | None:
        """Create an object, dry; give what was said where it was refused."""
        status, answer = self.api.request(
            "POST", f"{self.path(manifest, home)}?dryRun=All", manifest, user=user
        )
        assert status in {201, 403, 422}, answer
        return None if status == 201 else str(answer["message"])

    def path(self, manifest: dict[str, Any], home: str) -> str:
        plural = "repositories" if manifest["kind"] == "Repository" else "pipelineruns"
        return f"/apis/{manifest['apiVersion']}/namespaces/{home}/{plural}"

    def made(self, manifest: dict[str, Any], home: str = HOMES["team-a"], user: str = SYNCER) -> str:
        """Create an object and give its path."""
        status, answer = self.api.request("POST", self.path(manifest, home), manifest, user=user)
        assert status == 201, answer
        return f"{self.path(manifest, home)}/{answer['metadata']['name']}"

    def change(self, path: str, patch: dict[str, Any], user: str = SYNCER) -> str | None:
        """Change an object; give what was said where it was refused."""
        status, answer = self.api.request("PATCH", path, patch, MERGE, user=user)
        assert status in {200, 403, 422}, answer
        return None if status == 200 else str(answer["message"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    require_binaries("etcd", "kube-apiserver", "kube-controller-manager")
    with control_plane(tmp_path_factory.mktemp("repositories")) as api:
        made = Place(api)
        marked = run(annotations={f"{REPOSITORY_GROUP}/state": "started"})

        def refused(manifest: dict[str, Any]) -> bool:
            path = f"{made.path(manifest, HOMES['team-a'])}?dryRun=All"
            return api.request("POST", path, manifest)[0] in {403, 422}

        # A policy comes into force a moment after it is there, and a definition is served a moment later.
        until(lambda: refused(repository(OTHERS[0])) and refused(marked), "in force")
        yield made


@pytest.mark.parametrize("url", OWN)
def test_a_tenant_names_its_own_repositories_in_every_spelling(place: Place, url: str) -> None:
    assert place.refusal(repository(url)) is None


@pytest.mark.parametrize("url", OTHERS)
def test_a_tenant_names_nobody_elses_repository_and_is_told_which_are_its_own(place: Place, url: str) -> None:
    said = place.refusal(repository(url))
    assert said is not None
    assert f'spec.url "{url}" is none of the repositories of tenant "team-a"' in said
    assert "(git.example.com/team-a/app, git.example.com:8443/team-a/other)" in said


def test_a_repository_without_a_url_or_of_a_tenant_without_any_is_refused(place: Place) -> None:
    assert 'spec.url "" is none' in str(place.refusal(repository(None)))
    # A message with a line break in it would not be shown.
    assert "spec.url is none of the tenant's" in str(place.refusal(repository(f"{OWN[0]}\n")))
    assert "(it has none)" in str(place.refusal(repository(OWN[0]), HOMES["team-c"]))


def test_the_very_same_url_is_one_tenants_alone(place: Place) -> None:
    assert place.refusal(repository(OTHERS[0]), HOMES["team-b"]) is None
    assert 'tenant "team-b"' in str(place.refusal(repository(OWN[0]), HOMES["team-b"]))


def test_only_the_services_own_namespace_holds_another(place: Place) -> None:
    assert place.refusal(repository(None), PAC) is None
    assert place.refusal(repository(OWN[0]), "elsewhere") is not None


def test_a_repository_is_not_turned_to_anothers_and_can_be_changed_otherwise(place: Place) -> None:
    path = place.made(repository(OWN[0]))
    assert 'spec.url "https://git.example.com/team-b/app" is none' in str(
        place.change(path, {"spec": {"url": OTHERS[0]}})
    )
    assert place.change(path, {"spec": {"url": OWN[1], "concurrency_limit": 2}}) is None
    place.api.delete(path)


def test_a_repository_that_was_withdrawn_is_left_as_it_is_and_can_be_deleted(place: Place) -> None:
    held = {"finalizers": ["syncagent.kcp.io/cleanup"]}
    made = repository(OWN[0])
    path = place.made({**made, "metadata": {**made["metadata"], **held}})
    home = f"/api/v1/namespaces/{HOMES['team-a']}"
    annotations = place.api.get(home)["metadata"]["annotations"]
    other = "git.example.com:8443/team-a/other"
    try:
        place.api.patch(home, {"metadata": {"annotations": {"pipeline-service/repositories": other}}})
        until(lambda: place.refusal(repository(OWN[0], "second")) is not None, "withdrawn")
        # What the watcher writes of its runs, as they end.
        assert place.change(path, {"pipelinerun_status": [{"pipelineRunName": "r"}]}, WATCHER) is None
        refused = place.refusal(
            run(annotations={f"{REPOSITORY_GROUP}/repo-url": OWN[0], f"{REPOSITORY_GROUP}/state": "started"}),
            user=CONTROLLER,
        )
        assert "is no longer one of tenant" in str(refused)
        place.api.delete(path)
        assert place.change(path, {"metadata": {"finalizers": None}}) is None
        assert not place.api.exists(path)
    finally:
        place.api.patch(home, {"metadata": {"annotations": annotations}})
        until(lambda: place.refusal(repository(OWN[0])) is None, "given back")


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.com",
        "https://GIT.example.com/api/v3",
        "https://api.git.example.com/2.0",
        "https://git.example.com:443/",
        "http://git.demo.svc:3000",
        "http://git.demo.svc:3000/api/v1",
        "https://api.example.org/v3",
    ],
)
def test_a_provider_is_on_the_repositorys_host_or_one_that_the_settings_name(place: Place, url: str) -> None:
    assert place.refusal(repository(OWN[0], git_provider={"url": url, "type": "github"})) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.com",
        "https://git.example.com.evil.com",
        "https://git.example.com@evil.com/",
        "https://git.example.com\\@evil.com/",
        "https://git.example.com:8443",
        "https://evil.com/https://git.example.com",
        "https://evil.com#git.example.com",
        "http://git.example.com",
        "git.example.com",
        "http://169.254.169.254/latest",
        "http://git.demo.svc:30000",
        "https://api.example.org/v30",
        "https://api.example.org",
    ],
)
def test_a_token_is_sent_nowhere_else(place: Place, url: str) -> None:
    said = place.refusal(repository(OWN[0], git_provider={"url": url, "type": "github"}))
    assert said is not None
    assert f'spec.git_provider.url "{url}" is not on the host of the repository' in said
    assert "pipelinesAsCode.providerUrls in the settings" in said
    assert "https://git.example.com or https://api.git.example.com" in said


INCOMING = {"incoming": [{"type": "webhook-url", "secret": {"name": "hook"}, "targets": ["main"]}]}
HOOK = {"webhook_secret": {"name": "hook"}}
OWN_TOKEN = {"git_provider": {"type": "gitlab", "secret": {"name": "token"}, **HOOK}}


def test_a_repository_for_incoming_has_a_name_that_no_other_tenant_can_have(place: Place) -> None:
    named = repository(OWN[0], "team-a.app", **INCOMING, **OWN_TOKEN)
    assert place.refusal(named) is None
    said = str(place.refusal(repository(OWN[0], "app", **INCOMING, **OWN_TOKEN)))
    assert 'name it "team-a.NAME"' in said
    # Without incoming either, or it would be found first.
    assert 'name it "team-b.NAME"' in str(place.refusal(repository(OTHERS[0], "team-a.app"), HOMES["team-b"]))
    assert place.refusal(repository(OTHERS[0], "team-b.app"), HOMES["team-b"]) is None


def test_incoming_goes_by_a_token_of_the_tenants_own(place: Place) -> None:
    said = place.refusal(repository(OWN[0], "team-a.app", **INCOMING))
    assert "spec.incoming needs a token of your own" in str(said)


@pytest.mark.parametrize("kind", ["github", "gitlab", "bitbucket-datacenter", "bitbucket-cloud"])
def test_events_are_signed_where_the_provider_can_sign(place: Place, kind: str) -> None:
    provider: dict[str, Any] = {"type": kind, "secret": {"name": "token"}}
    said = place.refusal(repository(OWN[0], git_provider=provider))
    if kind == "bitbucket-cloud":
        assert said is None
    else:
        assert "write spec.git_provider.webhook_secret" in str(said)
    assert place.refusal(repository(OWN[0], git_provider={**provider, **HOOK})) is None


def test_gitea_is_refused_since_nobody_checks_its_signatures(place: Place) -> None:
    provider = {"type": "gitea", "secret": {"name": "token"}, **HOOK}
    said = place.refusal(repository(OWN[0], git_provider=provider))
    assert "only where the settings say pipelinesAsCode.acceptUnsignedGitea" in str(said)


def test_a_token_of_the_app_is_not_widened(place: Place) -> None:
    settings = {"github_app_token_scope_repos": ["team-b/app"]}
    said = place.refusal(repository(OWN[0], settings=settings))
    assert "github_app_token_scope_repos is refused" in str(said)
    assert place.refusal(repository(OWN[0], settings={"policy": {"ok_to_test": ["x"]}})) is None


@pytest.mark.parametrize(
    "spec",
    [
        {"git_provider": {"type": "github", "secret": {"name": "pipeline-service-pull"}, **HOOK}},
        {"git_provider": {"type": "github", "webhook_secret": {"name": "pipeline-service-pull"}}},
        {
            "params": [
                {"name": "x", "secret_ref": {"name": "pipeline-service-pull"}},
                {"name": "y", "value": "z"},
            ]
        },
    ],
)
def test_the_services_own_secrets_are_not_overwritten_by_a_tenants(
    place: Place, spec: dict[str, Any]
) -> None:
    said = place.refusal(repository(OWN[0], **spec))
    assert "a Secret whose name begins with pipeline-service is the service's" in str(said)
    own = json.loads(json.dumps(spec).replace("pipeline-service-pull", "own"))
    assert place.refusal(repository(OWN[0], **own)) is None


@pytest.mark.parametrize("user", [SYNCER, "alice"])
@pytest.mark.parametrize("where", ["labels", "annotations"])
@pytest.mark.parametrize("mark", ["state", "execution-order"])
def test_nobody_passes_a_run_off_as_one_of_pipelines_as_code(
    place: Place, user: str, where: str, mark: str
) -> None:
    marked = {where: {f"{REPOSITORY_GROUP}/{mark}": "started"}}
    assert "only Pipelines as Code marks runs" in str(place.refusal(run(**marked), user=user))
    path = place.made(run())
    assert "only Pipelines as Code marks runs" in str(place.change(path, {"metadata": marked}, user))
    # As it stands in Git, and somebody may apply it by hand.
    harmless = {"annotations": {f"{REPOSITORY_GROUP}/on-event": "[push]"}}
    assert place.refusal(run(**harmless), user=user) is None
    assert place.change(path, {"metadata": harmless, "spec": {"status": "Cancelled"}}, user) is None
    place.api.delete(path)


def test_pipelines_as_code_marks_its_runs_which_nobody_else_redirects(place: Place) -> None:
    marks = {f"{REPOSITORY_GROUP}/state": "started", f"{REPOSITORY_GROUP}/repo-url": OWN[0]}
    path = place.made(
        run(annotations=marks, labels={f"{REPOSITORY_GROUP}/state": "started"}), user=CONTROLLER
    )
    for key in ("repo-url", "installation-id"):
        redirected = {"metadata": {"annotations": {f"{REPOSITORY_GROUP}/{key}": "other"}}}
        assert "leave its runs as they are" in str(place.change(path, redirected))
    # What Tekton's controller writes.
    assert place.change(path, {"metadata": {"labels": {"tekton.dev/pipeline": "p"}}}) is None
    completed = {"metadata": {"annotations": {f"{REPOSITORY_GROUP}/state": "completed"}}}
    assert place.change(path, completed, WATCHER) is None
    place.api.delete(path)


def test_pipelines_as_code_makes_runs_of_a_tenants_own_repositories_alone(place: Place) -> None:
    def of(url: str) -> dict[str, Any]:
        return run(annotations={f"{REPOSITORY_GROUP}/repo-url": url, f"{REPOSITORY_GROUP}/state": "started"})

    assert place.refusal(of(OWN[0]), user=CONTROLLER) is None
    assert "is no longer one of tenant" in str(place.refusal(of(OTHERS[0]), user=CONTROLLER))
    assert place.refusal(of(OTHERS[0]), HOMES["team-b"], CONTROLLER) is None


def test_no_run_from_git_passes_for_a_copy_of_the_syncers(place: Place) -> None:
    copy = {COPY: "2abc"}
    marks = {f"{REPOSITORY_GROUP}/repo-url": OWN[0], f"{REPOSITORY_GROUP}/state": "started"}
    said = place.refusal(run(annotations=marks, labels=copy), user=CONTROLLER)
    assert "is no copy of the syncer's" in str(said)
    assert place.refusal(run(annotations=marks, labels={"app": "x"}), user=CONTROLLER) is None
    assert place.refusal(run(labels=copy)) is None


def test_the_syncer_cant_take_a_run_from_git_for_its_copy_of_one_with_its_name(place: Place) -> None:
    state = {f"{REPOSITORY_GROUP}/state": "started"}
    marks = {f"{REPOSITORY_GROUP}/repo-url": OWN[0], **state}
    made = place.made(run(annotations=marks, labels=state), user=CONTROLLER)
    said = place.change(made, {"metadata": {"labels": {COPY: "2abc"}}})
    assert "name the one in the workspace otherwise" in str(said)
    assert place.change(made, {"metadata": {"labels": {"app": "x"}}}) is None


def test_no_run_from_git_is_kept_from_tekton(place: Place) -> None:
    marks = {f"{REPOSITORY_GROUP}/repo-url": OWN[0], f"{REPOSITORY_GROUP}/state": "started"}
    kept = {**run(annotations=marks), "spec": {"managedBy": "nobody.example.com"}}
    assert "spec.managedBy keeps Tekton from the run" in str(place.refusal(kept, user=CONTROLLER))


@pytest.mark.parametrize("name", ["pipeline-service-repositories", "pipeline-service-repository-runs"])
def test_the_api_server_finds_nothing_odd_in_the_policies(place: Place, name: str) -> None:
    path = f"{ADMISSION}/validatingadmissionpolicies/{name}"
    until(lambda: "typeChecking" in place.api.get(path).get("status", {}), "looked at")
    assert place.api.get(path)["status"]["typeChecking"] == {}


def test_the_settings_can_limit_runs_at_a_time_and_let_gitea_in(place: Place) -> None:
    limited = RepositoryRules(namespace=PAC, concurrency_limit=3, unsigned_gitea=True)
    made = policies(limited)["repositories"]
    path = f"{ADMISSION}/validatingadmissionpolicies/{made['metadata']['name']}"
    place.api.patch(path, {"spec": {"validations": made["spec"]["validations"]}})
    try:
        until(lambda: place.refusal(repository(OWN[0])) is not None, "limited")
        assert "is 3 at most" in str(place.refusal(repository(OWN[0], concurrency_limit=4)))
        gitea = {"type": "gitea", "secret": {"name": "token"}, **HOOK}
        assert place.refusal(repository(OWN[0], concurrency_limit=3, git_provider=gitea)) is None
    finally:
        before = policies(RULES)["repositories"]["spec"]["validations"]
        place.api.patch(path, {"spec": {"validations": before}})
        # Other tests share the place: none starts before what was is in force again.
        until(lambda: place.refusal(repository(OWN[0])) is None, "without limit")


def test_in_its_workspace_a_tenant_is_refused_at_once_and_cant_take_the_refusal_away(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with kcp_server(tmp_path_factory.mktemp("kcp"), ("alice",)) as server:
        home = KcpClient(server, tmp_path_factory.mktemp("clients"), ("alice",))
        home.make_workspaces("team-a")
        path = "root:team-a"
        home.apply(path, *DEFINITIONS)
        for one in DEFINITIONS:
            crd = f"crd/{one['metadata']['name']}"
            home.run(path, "wait", crd, "--for=condition=Established", f"--timeout={READY_SECONDS}s")
        content = workspace_content(
            tenant="team-a",
            export=("root:compute", "east"),
            namespaces=("ci",),
            access=TenantAccess(admins=(Subject(kind="User", name="alice"),)),
            quota=QUOTA,
            repositories=repositories_of("team-a"),
        )
        # No agent and no export are needed for what is tried here.
        home.apply(path, *(one for one in content if one["kind"] not in ("APIBinding", "ResourceQuota")))

        def apply(manifest: dict[str, Any], *more: str) -> str:
            asked = ("apply", "--namespace=ci", "--filename=-", *more)
            done = home.kubectl(path, *asked, stdin=json.dumps(manifest), user="alice")
            return "" if done.returncode == 0 else done.stderr

        marked = run(name="r", annotations={f"{REPOSITORY_GROUP}/state": "started"})
        del marked["metadata"]["generateName"]

        def told() -> list[str]:
            return [apply(one, "--dry-run=server") for one in (repository(OTHERS[0]), marked)]

        theirs, marks = "none of the repositories", "only Pipelines as Code marks runs"
        until(lambda: all(map(operator.contains, told(), (theirs, marks))), "refused", told)
        assert 'tenant "team-a" (git.example.com/team-a/app, git.example.com:8443/team-a/other)' in told()[0]
        assert apply(repository(OWN[0])) == ""
        assert theirs in apply(repository(OTHERS[0]))
        assert marks in apply(marked)
        for what in (
            ("delete", "validatingadmissionpolicybinding", "--all"),
            ("annotate", "namespace", "ci", "--overwrite", "pipeline-service/repositories=evil.com/x/y"),
        ):
            assert home.kubectl(path, *what, user="alice").returncode != 0
