"""What the settings of Pipelines as Code become on clusters and in workspaces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import ValidationError

from components.repository_admission import REPOSITORIES
from releases.catalog import PIPELINES_AS_CODE
from releases.transform import transform
from stacks.cross_checks import cross_check
from stacks.github_app import read_github_app
from stacks.mapping_releases import adaptation
from stacks.notices import notices, remarks
from stacks.pipelines_as_code_settings import PipelinesAsCodeSettings
from tests.support.pipelines_as_code import release
from tests.support.recording import GITHUB_APP, environment, record

APP = {"id": 12, "privateKey": {"secret": "appKey"}, "webhookSecret": {"path": "webhook"}}
DEMO = {
    "cluster": "a",
    "repositories": ["https://git.example.com/Demo/App.git", "https://git.example.com:443/demo/library/"],
}


def installed(**settings: object) -> dict[tuple[str, str], dict[str, Any]]:
    """Transform the made-up release by settings, and give its objects by kind and name."""
    of = environment({"a": {}}, pipelinesAsCode={"enabled": True, **settings})
    made = transform(PIPELINES_AS_CODE, release(), adaptation(of, "a", PIPELINES_AS_CODE))
    return {(one["kind"], one["metadata"]["name"]): one for one in made}


def data(**settings: object) -> dict[str, str]:
    found: dict[str, str] = installed(**settings)["ConfigMap", "pipelines-as-code"]["data"]
    return found


def container(part: str, **settings: object) -> dict[str, Any]:
    made = installed(**settings)["Deployment", f"pipelines-as-code-{part}"]
    found: dict[str, Any] = made["spec"]["template"]["spec"]["containers"][0]
    return found


def test_by_default_runs_are_pruned_and_no_log_leaves_the_cluster() -> None:
    made = data()
    assert (made["default-max-keep-runs"], made["max-keep-run-upper-limit"]) == ("10", "50")
    assert made["error-log-snippet"] == made["error-detection-from-container-logs"] == "false"
    assert made["remember-ok-to-test"] == "false"
    assert made["bitbucket-cloud-check-source-ip"] == "true"
    assert made["secret-auto-create"] == made["remote-tasks"] == "true"


def test_settings_reach_it_in_its_own_words() -> None:
    made = data(
        keptRuns={"runs": 5, "limit": 7},
        remoteTasks={"enabled": False, "hubUrl": "https://hub.example.com"},
        cancelInProgress={"pushes": True},
        bitbucketSources=["192.0.2.0/24", "10.0.0.0/8"],
        console={
            "name": "Ours",
            "url": "https://c.example.com",
            "runUrl": "https://c.example.com/{{ namespace }}",
        },
    )
    assert made["default-max-keep-runs"] == "5"
    assert made["remote-tasks"] == "false"
    assert made["hub-url"] == "https://hub.example.com"
    assert made["enable-cancel-in-progress-on-push"] == "true"
    assert made["bitbucket-cloud-additional-source-ip"] == "10.0.0.0/8,192.0.2.0/24"


@pytest.mark.parametrize(
    ("given", "links"),
    [
        ({}, ["", "", "", ""]),
        ({"url": "https://c.example.com"}, ["https://c.example.com"] * 4),
        (
            {"url": "https://c.example.com", "runUrl": "https://c.example.com/{{ pr }}"},
            [
                "https://c.example.com",
                "https://c.example.com/{{ pr }}",
                "https://c.example.com/{{ pr }}",
                "https://c.example.com",
            ],
        ),
        (
            {
                "url": "https://c.example.com",
                "taskLogUrl": "https://c.example.com/{{ task }}",
                "namespaceUrl": "https://c.example.com/{{ namespace }}",
            },
            [
                "https://c.example.com",
                "https://c.example.com",
                "https://c.example.com/{{ task }}",
                "https://c.example.com/{{ namespace }}",
            ],
        ),
    ],
)
def test_what_has_no_page_at_the_console_leads_to_the_one_above_and_never_to_a_made_up_host(
    given: dict[str, str], links: list[str]
) -> None:
    made = data(**({"console": {"name": "Ours", **given}} if given else {}))
    pages = ("", "-pr-details", "-pr-tasklog", "-namespace")
    assert [made[f"custom-console-url{page}"] for page in pages] == links


@pytest.mark.parametrize("part", ["controller", "watcher"])
def test_the_apps_credentials_are_sent_to_one_api_whatever_an_event_says(part: str) -> None:
    pinned = {"name": "PAC_GIT_PROVIDER_TOKEN_APIURL", "value": "https://api.github.com"}
    assert pinned in container(part, githubApp=APP)["env"]
    assert container(part)["env"] == []
    own = container(part, githubApp={**APP, "apiUrl": "https://github.example.com/api/v3"})["env"]
    assert own == [{**pinned, "value": "https://github.example.com/api/v3"}]


def test_every_pod_has_its_limits() -> None:
    for part in ("controller", "watcher", "webhook"):
        assert container(part)["resources"]["limits"]["memory"]
    assert installed()["Deployment", "pipelines-as-code-controller"]["spec"]["replicas"] == 1
    two = installed(listener={"replicas": 2})["Deployment", "pipelines-as-code-controller"]
    assert two["spec"]["replicas"] == 2


def test_no_tenants_pod_reaches_the_listener_and_it_reaches_no_metadata() -> None:
    made = installed(blockedNetworks=["10.1.0.0/16"])
    [rule] = made["NetworkPolicy", "pipelines-as-code-listener"]["spec"]["ingress"]
    assert rule["from"] == [
        {
            "namespaceSelector": {
                "matchExpressions": [{"key": "pipeline-service/tenant", "operator": "DoesNotExist"}]
            }
        }
    ]
    egress = str(made["NetworkPolicy", "pipelines-as-code"]["spec"]["egress"])
    assert "169.254.0.0/16" in egress
    assert "10.1.0.0/16" in egress


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"keptRuns": {"runs": 9, "limit": 3}}, "runs 9 is more than limit 3"),
        ({"providerUrls": ["http://git.example.com"]}, "not the URL of an API"),
        ({"providerUrls": ["https://me:hunter2@git.example.com"]}, "not the URL of an API"),
        ({"console": {"name": "x", "url": "http://c.example.com"}}, "not a console's URL"),
        ({"applicationName": " x"}, "not a name to show"),
        ({"githubApp": {**APP, "privateKey": {}}}, "one source of the secret is needed"),
        ({"listener": {"memoryRequest": "1Gi"}}, "more than memoryLimit"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        PipelinesAsCodeSettings.model_validate(given)


def test_a_provider_in_the_cluster_needs_no_tls() -> None:
    given = {"providerUrls": ["http://git.demo.svc:3000", "http://git.demo.svc.cluster.local/api"]}
    assert PipelinesAsCodeSettings.model_validate(given).provider_urls == tuple(given["providerUrls"])


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def test_the_app_is_read_from_the_configuration_and_from_files(tmp_path: Path) -> None:
    key = pem(rsa.generate_private_key(65537, 2048))
    (tmp_path / "webhook").write_text("hook\n")
    settings = PipelinesAsCodeSettings.model_validate({"enabled": True, "githubApp": APP})
    app, problems = read_github_app(settings, tmp_path, {"appKey": key})
    assert not problems
    assert app is not None
    assert (app.app_id, app.private_key, app.webhook_secret) == (12, key, "hook")
    assert key not in repr(app)
    off = PipelinesAsCodeSettings.model_validate({"githubApp": APP})
    assert read_github_app(off, tmp_path, {"appKey": key}) == (None, [])


def test_an_app_without_its_secrets_is_refused_and_nothing_is_shown(tmp_path: Path) -> None:
    wrong = pem(ec.generate_private_key(ec.SECP256R1()))
    settings = PipelinesAsCodeSettings.model_validate({"enabled": True, "githubApp": APP})
    app, problems = read_github_app(settings, tmp_path, {"appKey": wrong})
    assert app is None
    told = "\n".join(map(str, problems))
    assert 'githubApp.privateKey.secret: "appKey": what is there is no RSA private key' in told
    assert 'githubApp.webhookSecret.path: "webhook": there is no such file' in told
    assert wrong.splitlines()[1] not in told


def told(**sections: object) -> list[str]:
    tenants = {"demo": DEMO}
    return [
        str(problem)
        for problem in cross_check({"computeClusters": {"a": {}}, "tenants": tenants, **sections})
        if "repositories" in problem.key
    ]


def test_a_gateway_needs_somebody_who_listens() -> None:
    gateway = {"clusters": ["a"], "host": "events.example.com"}
    [problem] = told(gateway=gateway)
    assert "on which nothing listens; write pipelinesAsCode: {enabled: true}" in problem
    assert told(gateway=gateway, pipelinesAsCode={"enabled": True}) == []
    assert told() == []


def test_more_repositories_than_an_annotation_holds_are_refused() -> None:
    many = {
        "demo": {"cluster": "a", "repositories": [f"https://g.example.com/o/{n:0>90}" for n in range(2000)]}
    }
    [problem] = cross_check({"computeClusters": {"a": {}}, "tenants": many})
    assert "more than 200000 characters" in problem.why


def test_that_repositories_are_named_and_nothing_listens_is_told() -> None:
    [line] = notices(environment({"a": {}}, {"demo": DEMO}))
    assert "tenants.*.repositories: without pipelinesAsCode: {enabled: true}" in line
    assert notices(environment({"a": {}}, {"demo": DEMO}, pipelinesAsCode={"enabled": True})) == []


@pytest.mark.parametrize(
    ("clusters", "ours", "told"),
    [
        ({"a": {}}, {"enabled": True}, True),
        ({"a": {}, "o": {"distribution": "openshift"}}, {"enabled": True}, True),
        ({"a": {}}, {"enabled": True, "console": {"name": "C", "url": "https://c.example.com"}}, False),
        ({"o": {"distribution": "openshift"}}, {"enabled": True}, False),
        ({"a": {}}, {"enabled": False}, False),
    ],
)
def test_links_that_lead_nowhere_are_told_where_somebody_asks(
    clusters: dict[str, Any], ours: dict[str, Any], *, told: bool
) -> None:
    lines = remarks(environment(clusters, pipelinesAsCode=ours))
    assert [line.partition(": ")[0] for line in lines] == ["pipeline-service:pipelinesAsCode.console"] * told


def test_it_comes_after_tekton_and_before_the_syncer_which_publishes_its_kind() -> None:
    recorder, outputs = record(environment({"a": {}}, pipelinesAsCode={"enabled": True}))
    apply = recorder.named("a-pipelines-as-code-apply")
    assert recorder.named("a-tekton-pipelines-ready").urn in recorder.reaches(apply.urn)
    published = recorder.named("a-published-repositories")
    # By no way over what stays when it is switched off: the engine deletes by what the state says then, and
    # the definition would go first.
    assert {recorder.named(f"a-pipelines-as-code-{one}").urn for one in ("apply", "ready")} <= (
        published.dependencies
    )
    assert outputs.compute_clusters["a"].releases["pipelines-as-code"] == "v0.37.0"
    let_go = json.loads(apply.inputs["environment"]["UNIT_LET_GO"])
    assert let_go == [
        {"resource": "pipelineruns.tekton.dev", "finalizer": "pipelinesascode.tekton.dev/finalizer"}
    ]


def test_the_apps_secret_is_secret_and_lies_in_the_release_before_its_pods_are_waited_for() -> None:
    recorder, outputs = record(environment({"a": {}}, pipelinesAsCode={"enabled": True, "githubApp": APP}))
    secret = recorder.named("a-pipelines-as-code-github-app")
    assert secret.inputs["metadata"]["name"] == "pipelines-as-code-secret"
    assert secret.inputs["metadata"]["namespace"] == "pipelines-as-code"
    assert secret.inputs["stringData"] == {
        "github-application-id": "12",
        "github-private-key": GITHUB_APP.private_key,
        "webhook.secret": GITHUB_APP.webhook_secret,
    }
    assert "stringData" in secret.secret_inputs
    assert recorder.named("a-pipelines-as-code-apply").urn in secret.dependencies
    assert secret.urn in recorder.named("a-pipelines-as-code-ready").dependencies
    plain = json.dumps([one.inputs for one in recorder.registrations.values() if one is not secret])
    for value in (GITHUB_APP.private_key, GITHUB_APP.webhook_secret):
        assert value not in plain
        assert value not in outputs.model_dump_json()


@pytest.mark.parametrize("delivery", ["direct", "gitops"])
def test_a_tenants_namespaces_name_its_repositories_and_let_it_in(delivery: str) -> None:
    more: dict[str, Any] = {
        "argocd": {"enabled": True},
        "gitops": {"repository": "https://git.example.com/sre/clusters"},
    }
    settings = environment(
        {"a": {"delivery": delivery}}, {"demo": DEMO}, pipelinesAsCode={"enabled": True}, **more
    )
    recorder, _ = record(settings)
    workspace = list(yaml.safe_load_all(recorder.applied("demo")))
    [home] = [one for one in workspace if one["kind"] == "Namespace" and one["metadata"]["name"] == "default"]
    named = "git.example.com/demo/app git.example.com/demo/library"
    assert home["metadata"]["annotations"] == {REPOSITORIES: named}
    [binding] = [one for one in workspace if one["kind"] == "APIBinding"]
    claimed = {one["resource"] for one in binding["spec"]["permissionClaims"]}
    assert claimed == {"events", "logicalclusters", "namespaces", "secrets"}
    assert [one["metadata"]["name"] for one in workspace if one["kind"] == "ValidatingAdmissionPolicy"] == [
        "pipeline-service-repositories",
        "pipeline-service-repository-runs",
    ]
    if delivery == "gitops":
        return
    on_cluster = recorder.named("demo.a.default-namespace")
    assert on_cluster.inputs["metadata"]["annotations"][REPOSITORIES] == named
    for account in ("controller", "watcher"):
        bound = recorder.named(f"demo.a.default-pac-{account}").inputs
        assert bound["roleRef"]["name"] == f"pipelines-as-code-{account}-in-tenants"
        assert [(one["namespace"], one["name"]) for one in bound["subjects"]] == [
            ("pipelines-as-code", f"pipelines-as-code-{account}")
        ]


def test_without_it_nothing_of_it_is_there() -> None:
    recorder, _ = record(environment({"a": {}}, {"demo": DEMO}))
    names = [one.name for one in recorder.registrations.values()]
    assert not [name for name in names if "as-code" in name or "repositor" in name or "pac-" in name]
    content = recorder.applied("demo")
    assert "secrets" not in {
        one["resource"]
        for binding in yaml.safe_load_all(content)
        if binding["kind"] == "APIBinding"
        for one in binding["spec"]["permissionClaims"]
    }
    assert REPOSITORIES not in content


def test_on_openshift_the_operator_brings_it_set_up_as_elsewhere() -> None:
    given = {"enabled": True, "githubApp": APP, "keptRuns": {"runs": 3, "limit": 3}}
    settings = environment(
        {"o": {"distribution": "openshift"}}, {"demo": {**DEMO, "cluster": "o"}}, pipelinesAsCode=given
    )
    recorder, outputs = record(settings)
    config = yaml.safe_load(recorder.named("o-tekton-config-apply").inputs["stdin"])
    ours = config["spec"]["platforms"]["openshift"]["pipelinesAsCode"]
    assert ours["enable"] is True
    of_release = data(**{key: value for key, value in given.items() if key != "enabled"})
    assert ours["settings"].items() <= of_release.items()
    assert ours["settings"]["auto-configure-new-github-repo"] == "false"
    [container] = ours["options"]["deployments"]["pipelines-as-code-controller"]["spec"]["template"]["spec"][
        "containers"
    ]
    assert container["env"] == [{"name": "PAC_GIT_PROVIDER_TOKEN_APIURL", "value": "https://api.github.com"}]
    secret = recorder.named("o-github-app")
    assert secret.inputs["metadata"]["namespace"] == "openshift-pipelines"
    assert "stringData" in secret.secret_inputs
    assert recorder.named("o-tekton-config-ready").urn in secret.dependencies
    assert "openshift-pipelines" in str(recorder.named("o-repositories").inputs["spec"]["matchConditions"])
    # The operator gives it its rights.
    assert not [one for one in recorder.registrations.values() if "pac-" in one.name]
    assert "pipelines-as-code" not in outputs.compute_clusters["o"].releases


def test_the_agent_copies_repositories_and_named_secrets_and_writes_them_in_tenants_namespaces_alone() -> (
    None
):
    recorder, _ = record(environment({"a": {}}, {"demo": DEMO}, pipelinesAsCode={"enabled": True}))
    spec = recorder.named("a-published-repositories").inputs["spec"]
    assert spec["naming"]["name"] == "{{ .Object.metadata.name }}"
    assert {one["object"]["reference"]["path"] for one in spec["related"]} == {
        "spec.git_provider.secret.name",
        "spec.git_provider.webhook_secret.name",
        "spec.incoming.#.secret.name",
        "spec.params.#.secret_ref.name",
    }
    for one in spec["related"]:
        assert (one["origin"], one["resource"]) == ("kcp", "secrets")
        # Without it a changed token would not come.
        assert one["watch"] == {"bySelector": {}}

    def writes(role: str) -> set[str]:
        return {
            resource
            for rule in recorder.named(role).inputs["rules"]
            if set(rule["verbs"]) & {"create", "update", "patch", "delete"}
            for resource in rule["resources"]
        }

    assert {"repositories", "secrets"} <= writes("a-syncer-writer")
    assert not {"repositories", "secrets"} & writes("a-syncer-reader")
    bound = [
        one.name
        for one in recorder.registrations.values()
        if one.inputs.get("roleRef", {}).get("name") == "pipeline-service-syncer-writer"
    ]
    assert bound == ["demo.a.default-syncer"]


@pytest.mark.parametrize("enabled", [True, False])
def test_a_tenant_that_goes_takes_its_repositories_and_secrets_while_the_agent_lives(
    *, enabled: bool
) -> None:
    # Where it is off, it may have been on: what it left would hold up the workspace.
    recorder, _ = record(environment({"a": {}}, {"demo": DEMO}, pipelinesAsCode={"enabled": enabled}))
    drained = json.loads(recorder.named("demo-apply").inputs["environment"]["UNIT_DRAIN"])
    assert drained[-2:] == ["repositories.pipelinesascode.tekton.dev", "secrets"]
    waited = recorder.named("demo-ready").inputs["environment"]["UNIT_WAIT"]
    assert ("repositories" in waited) is enabled


def test_an_external_tenants_owner_reads_off_the_outputs_what_the_agent_asks_for() -> None:
    def asked(**more: object) -> tuple[set[str], tuple[str, ...]]:
        _, outputs = record(environment({"a": {}}, {"demo": DEMO}, **more))
        export = outputs.compute_clusters["a"].api_export
        return {one.resource for one in export.permission_claims}, export.resources

    assert asked() == ({"events", "logicalclusters"}, ("pipelineruns", "pipelines", "tasks"))
    claimed, bound = asked(pipelinesAsCode={"enabled": True})
    assert claimed == {"events", "logicalclusters", "namespaces", "secrets"}
    assert bound[-1] == "repositories"
