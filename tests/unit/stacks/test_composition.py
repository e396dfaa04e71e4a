"""What the program registers for an environment."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.names import digest
from stacks.loader import read_stack_file
from stacks.mapping_releases import adaptation
from stacks.wanted_releases import wanted_releases
from tests.support.recording import CREDENTIAL, TOKEN, Recorder, environment, made_up_release, record

PROJECT = Path(__file__).parents[3]

EXTERNAL = {"path": "root:org:team", "binders": {"users": ["erin"], "groups": ["leads"]}}


@cache
def dev() -> Recorder:
    recorder, _ = record(read_stack_file(PROJECT / "Pulumi.dev.yaml"))
    return recorder


def test_there_is_one_provider_per_managed_workspace_and_cluster_and_none_per_tenant() -> None:
    providers = {one.name for one in dev().of_type("pulumi:providers:kubernetes")}
    assert providers == {
        "kcp-parent",
        "kcp-service",
        "kcp-compute",
        "kcp-tenants",
        "cluster-local-a",
        "cluster-local-b",
    }


def test_every_kubernetes_object_goes_through_an_explicit_provider() -> None:
    objects = [one for one in dev().registrations.values() if one.type.startswith("kubernetes:")]
    assert objects
    assert {one.urn for one in objects if "pulumi:providers:kubernetes" not in one.provider} == set()


def test_every_provider_has_a_cluster_identifier_and_a_secret_kubeconfig() -> None:
    for provider in dev().of_type("pulumi:providers:kubernetes"):
        assert provider.inputs["clusterIdentifier"]
        assert provider.inputs["enableServerSideApply"] == "true"
        assert "kubeconfig" in provider.secret_inputs


def test_every_object_has_a_fixed_name() -> None:
    for one in dev().registrations.values():
        if one.type.startswith("kubernetes:"):
            assert one.inputs["metadata"]["name"], one.urn


def test_credentials_stand_only_in_secret_inputs() -> None:
    secrets = (CREDENTIAL, TOKEN, "made-up-token")
    for one in dev().registrations.values():
        plain = json.dumps({key: value for key, value in one.inputs.items() if key not in one.secret_inputs})
        assert not any(secret in plain for secret in secrets), one.urn


def test_commands_get_no_credential_at_all() -> None:
    commands = dev().of_type("command:local:Command")
    assert commands
    for command in commands:
        text = json.dumps(command.inputs)
        assert CREDENTIAL not in text
        assert not command.secret_inputs
        assert "triggers" not in command.inputs


def test_commands_run_constant_scripts() -> None:
    commands = dev().of_type("command:local:Command")
    for key in ("create", "update", "delete"):
        scripts = {command.inputs[key] for command in commands if key in command.inputs}
        assert scripts <= {f".venv/bin/python -m units {verb}" for verb in ("apply", "wait", "delete")}


def test_a_release_is_updated_never_replaced_when_its_manifest_changes() -> None:
    apply = dev().named("local-a-tekton-pipelines-apply")
    adapted = adaptation(read_stack_file(PROJECT / "Pulumi.dev.yaml"), "local-a", "tekton-pipelines")
    release = made_up_release("tekton-pipelines", "v1.6.0", adapted)
    assert apply.inputs["environment"]["UNIT_SHA256"] == release.sha256
    assert apply.inputs["create"] == apply.inputs["update"]
    assert "triggers" not in apply.inputs


def test_a_preview_shows_the_outline_of_a_release_where_it_is_applied_and_only_there() -> None:
    assert dev().named("local-a-tekton-pipelines-apply").inputs["stdin"] == "outline of v1.6.0\n"
    assert "stdin" not in dev().named("local-a-tekton-pipelines-ready").inputs


def test_a_tenants_manifest_stands_in_the_state_once_and_its_digest_repeats_the_wait() -> None:
    apply, ready = (dev().named(f"demo-{part}").inputs for part in ("apply", "ready"))
    assert apply["environment"]["UNIT_SHA256"] == digest(dev().applied("demo"))
    assert "stdin" not in ready
    both = ("UNIT_SHA256", "UNIT_WORKSPACE", "UNIT_LIES_IN", "UNIT_INCARNATION")
    assert {key: ready["environment"][key] for key in both} == {
        key: apply["environment"][key] for key in both
    }


def test_a_tenant_comes_after_its_syncer_and_so_goes_before_it() -> None:
    agent = dev().named("local-a-agent").urn
    other = dev().named("local-b-agent").urn
    for part in ("demo-workspace", "demo.local-a.default-namespace", "demo-apply", "demo-ready"):
        reached = dev().reaches(dev().named(part).urn)
        assert agent in reached
        assert other not in reached


def test_what_lies_inside_a_tenants_workspace_goes_before_workspace_and_namespaces() -> None:
    needed = dev().named("demo-apply").dependencies
    for part in (
        "demo-workspace",
        "demo.local-a.default-namespace",
        "demo.local-a.default-syncer",
        "demo.local-a.default-quota",
    ):
        assert dev().named(part).urn in needed


def test_the_syncer_waits_for_what_it_publishes_and_for_its_rights() -> None:
    reached = dev().reaches(dev().named("local-a-agent").urn)
    for part in (
        "local-a-tekton-pipelines-ready",
        "local-a-api-syncagent-crds-ready",
        "local-a-published-pipelineruns",
        "local-a-export",
        "local-a-kcp-binding",
        "local-a-kcp-access",
        "local-a-kcp-kubeconfig",
        "local-a-syncer-reads",
        "local-a-syncer-states",
    ):
        assert dev().named(part).urn in reached, part


def test_what_depends_on_the_agent_depends_on_all_of_the_syncer() -> None:
    parts = {
        one.urn
        for one in dev().registrations.values()
        if "pipeline-service:syncer:Syncer$" in one.urn
        and not one.type.startswith("pipeline-service:")
        and one.name.startswith("local-a-")
    }
    agent = dev().named("local-a-agent").urn
    assert agent in parts
    assert parts <= dev().reaches(agent) | {agent}
    # The state names few resources for each tenant: docs/performance.md.
    for part in ("demo-workspace", "demo.local-a.default-namespace"):
        assert len(dev().named(part).dependencies & parts) == 2, part
    # What may leave while the agent stays has to be named itself: the engine orders deletions by that alone.
    leaving = dev().named("local-a-published-repositories").urn
    assert leaving in dev().named("demo-workspace").dependencies


def test_content_of_a_workspace_waits_for_the_workspace() -> None:
    assert dev().named("service-workspace").urn in dev().reaches(dev().named("compute-workspace").urn)
    assert dev().named("compute-workspace").urn in dev().reaches(dev().named("local-a-export").urn)
    assert dev().named("tenants-workspace").urn in dev().reaches(dev().named("demo-workspace").urn)


def test_the_agent_owns_the_exports_schemas() -> None:
    export = dev().named("local-a-export")
    assert "spec" not in export.inputs


def test_nobody_but_the_program_may_bind_an_export() -> None:
    role = dev().named("local-a-bind").inputs
    bindings = [one.inputs for one in dev().registrations.values() if "roleRef" in one.inputs]
    assert bindings
    assert role["metadata"]["name"] not in {binding["roleRef"]["name"] for binding in bindings}
    [rule] = role["rules"]
    assert (rule["verbs"], rule["resourceNames"]) == (["bind"], ["local-a"])


def test_workspaces_wait_until_they_are_ready() -> None:
    for one in dev().of_type("kubernetes:tenancy.kcp.io/v1alpha1:Workspace"):
        annotations = one.inputs["metadata"]["annotations"]
        assert annotations["pulumi.com/waitFor"] == "jsonpath={.status.phase}=Ready"


@pytest.mark.parametrize("protected", [True, False])
def test_deletion_protection_covers_workspaces_exports_and_all_of_a_tenant(*, protected: bool) -> None:
    recorder, _ = record(environment({"a": {}}, {"t": {"cluster": "a"}}, deletionProtection=protected))
    found = {one.name for one in recorder.registrations.values() if one.protect}
    expected = {
        "service-workspace",
        "compute-workspace",
        "tenants-workspace",
        "a-export",
        "t-workspace",
        "t.a.default-namespace",
        "t-apply",
    }
    assert found == (expected if protected else set())


UNTOUCHED: dict[str, object] = {"skipUpdateUnreachable": None, "deleteUnreachable": None}


@pytest.mark.parametrize("distribution", ["kubernetes", "openshift"])
@pytest.mark.parametrize(
    ("state", "target", "ignored", "abandoned"),
    [
        ("active", {}, (), None),
        ("cordoned", {}, (), None),
        ("draining", {}, (), None),
        ("unreachable", {"skipUpdateUnreachable": "true"}, ("*",), None),
        ("gone", {"skipUpdateUnreachable": "true", "deleteUnreachable": "true"}, (), "true"),
    ],
)
def test_a_clusters_state_steers_its_own_target_and_units_alone(
    state: str, target: dict[str, str], ignored: tuple[str, ...], abandoned: str | None, distribution: str
) -> None:
    recorder, _ = record(
        environment({"a": {"state": state, "distribution": distribution}, "b": {}}, {"t": {"cluster": "b"}})
    )
    asked = {key: recorder.named("cluster-a").inputs.get(key) for key in UNTOUCHED}
    assert asked == {**UNTOUCHED, **target}
    assert UNTOUCHED.keys() & recorder.named("cluster-b").inputs.keys() == set()
    units = recorder.of_type("command:local:Command")
    of_a = [unit for unit in units if unit.name.startswith("a-")]
    assert len(of_a) == (4 if distribution == "kubernetes" else 6)
    for unit in of_a:
        assert unit.ignore_changes == ignored
        assert unit.inputs["environment"].get("UNIT_ABANDONED") == abandoned
    for unit in (unit for unit in units if unit not in of_a):
        assert unit.ignore_changes == ()
        assert "UNIT_ABANDONED" not in unit.inputs["environment"]


def test_what_lies_in_a_workspace_is_applied_anew_where_the_workspace_was_made_anew() -> None:
    variables = dev().named("demo-apply").inputs["environment"]
    assert variables["UNIT_LIES_IN"] == "uid-of-demo-workspace"


def test_drift_is_changed_back_and_settings_and_credentials_are_updated_in_place() -> None:
    providers = [one for one in dev().registrations.values() if one.type == "pulumi:providers:kubernetes"]
    assert len(providers) == 6
    for provider in providers:
        for setting in ("enablePatchForce", "enableConfigMapMutable", "enableSecretMutable"):
            assert provider.inputs[setting] == "true"


def test_the_smallest_environment_is_kcp_alone() -> None:
    recorder, outputs = record(environment({}))
    assert not recorder.of_type("command:local:Command")
    assert outputs.compute_clusters == {}


def test_a_raised_incarnation_changes_that_clusters_units_alone() -> None:
    before, _ = record(environment({"a": {}, "b": {}}))
    after, _ = record(environment({"a": {"incarnation": 1}, "b": {}}))
    changed = {urn for urn, one in after.registrations.items() if before.registrations[urn] != one}
    assert {urn.rpartition("::")[2] for urn in changed} == {
        "a-tekton-pipelines-apply",
        "a-tekton-pipelines-ready",
        "a-api-syncagent-crds-apply",
        "a-api-syncagent-crds-ready",
    }


def test_the_order_of_subjects_changes_nothing() -> None:
    def of(users: list[str]) -> dict[str, Any]:
        access = {"developers": {"users": users}}
        recorder, _ = record(environment({"a": {}}, {"t": {"cluster": "a", "access": access}}))
        return recorder.named("t-apply").inputs

    assert of(["x", "y"]) == of(["y", "x"])


def test_a_tenants_manifest_stands_on_standard_input_as_readable_yaml() -> None:
    stdin = dev().named("demo-apply").inputs["stdin"]
    kinds = [document["kind"] for document in yaml.safe_load_all(stdin)]
    assert kinds.count("APIBinding") == 1
    assert "\n  name: pipelines\n" in stdin


def test_what_tenants_share_stands_in_a_file_and_is_outlined_to_each_preview() -> None:
    apply = dev().named("demo-apply").inputs
    text = dev().shared[apply["environment"]["UNIT_SHARED"]]
    shared = {f"{one['kind']} {one['metadata']['name']}" for one in yaml.safe_load_all(text)}
    assert "ValidatingAdmissionPolicy pipeline-service-repositories" in shared
    outline = [line for line in apply["stdin"].splitlines() if line.startswith("# ")]
    assert {" ".join(line.split()[1:3]) for line in outline if not line.startswith("#   ")} == shared
    [viewer] = [
        place
        for place, line in enumerate(outline)
        if line.startswith("# ClusterRole pipeline-service:viewer ")
    ]
    assert outline[viewer + 1].startswith("#   allows get, list, watch: ")
    # The state would have it twice for each tenant: docs/performance.md.
    assert len(apply["stdin"]) < len(text)


def test_tenants_share_what_is_the_same_for_them_and_an_external_one_nothing() -> None:
    clusters: dict[str, dict[str, Any]] = {"a": {}, "b": {}}
    external = {"path": "root:org:x", "binders": {"users": ["erin"]}}
    tenants: dict[str, dict[str, Any]] = {
        "one": {"cluster": "a"},
        "two": {"cluster": "b"},
        "rests": {"cluster": "a", "suspended": True},
        "other": {"cluster": "a", "external": external},
    }
    recorder, _ = record(environment(clusters, tenants, pipelinesAsCode={"enabled": True}))
    files = {
        name: recorder.named(f"{name}-apply").inputs["environment"]["UNIT_SHARED"]
        for name in ("one", "two", "rests")
    }
    assert files["one"] == files["two"] != files["rests"]
    assert set(files.values()) == recorder.shared.keys()
    # With nothing to share there is no file.
    recorder, _ = record(environment(clusters, tenants))
    assert "UNIT_SHARED" not in recorder.named("rests-apply").inputs["environment"]
    assert "UNIT_SHARED" in recorder.named("one-apply").inputs["environment"]


def test_no_two_pairs_of_tenant_and_namespace_share_a_urn() -> None:
    # Names joined by hyphens once met: tenant x with namespace y-z, tenant x-y with namespace z.
    recorder, _ = record(
        environment(
            {"c": {}},
            {"x": {"cluster": "c", "namespaces": ["y-z"]}, "x-y": {"cluster": "c", "namespaces": ["z"]}},
        )
    )
    assert len(recorder.of_type("kubernetes:core/v1:LimitRange")) == 2


def test_the_syncers_settings_reach_its_pods() -> None:
    syncer = {"replicas": 2, "cpuRequest": "100m", "memoryRequest": "1Gi", "memoryLimit": "2Gi"}
    recorder, _ = record(environment({"a": {}}, syncer=syncer))
    spec = recorder.named("a-agent").inputs["spec"]
    assert int(spec["replicas"]) == 2
    pod = spec["template"]["spec"]
    assert pod["containers"][0]["resources"] == {
        "requests": {"cpu": "100m", "memory": "1Gi"},
        "limits": {"memory": "2Gi"},
    }
    assert pod["topologySpreadConstraints"]


@pytest.mark.parametrize("stack_file", sorted(PROJECT.glob("Pulumi.*.yaml")), ids=lambda path: path.stem)
def test_every_worked_example_composes_with_a_target_for_each_cluster(stack_file: Path) -> None:
    settings = read_stack_file(stack_file)
    recorder, _ = record(settings)
    targets = {one.name for one in recorder.of_type("pulumi:providers:kubernetes")}
    kcp = {"kcp-parent", "kcp-service", "kcp-compute", "kcp-tenants"}
    assert targets == kcp | {f"cluster-{name}" for name in settings.compute_clusters}


def test_nothing_is_put_into_an_external_workspace() -> None:
    recorder, outputs = record(
        environment({"a": {}}, {"t": {"cluster": "a", "external": EXTERNAL, "namespaces": ["ci"]}})
    )
    of_tenant = [one for one in recorder.registrations.values() if one.name.startswith("t.")]
    assert {one.provider.split("::")[2:4][1] for one in of_tenant} == {"cluster-a", "kcp-compute"}
    commands = recorder.of_type("command:local:Command")
    assert [one.name for one in commands if "UNIT_WORKSPACE" in one.inputs["environment"]] == []
    assert not [one for one in recorder.registrations.values() if one.name == "t-workspace"]
    # The names that the agent makes for that workspace, and what is told to those who build on it.
    assert outputs.tenants["t"].workspace == "root:org:team"
    assert outputs.tenants["t"].url.endswith("/clusters/root:org:team")
    namespace = recorder.named("t.a.ci-namespace").inputs["metadata"]
    assert outputs.tenants["t"].namespaces == {"ci": namespace["name"]}
    assert namespace["annotations"]["pipeline-service/workspace"] == "root:org:team"


def test_an_external_tenants_people_may_bind_its_cluster_once_the_quota_stands_and_no_other() -> None:
    recorder, _ = record(
        environment({"a": {}, "b": {}}, {"t": {"cluster": "a", "external": EXTERNAL, "namespaces": ["ci"]}})
    )
    binders = recorder.named("t.a-binders")
    role = recorder.named("a-bind").inputs["metadata"]["name"]
    assert binders.inputs["roleRef"]["name"] == role
    assert [subject["name"] for subject in binders.inputs["subjects"]] == ["erin", "leads"]
    needed = recorder.reaches(binders.urn)
    for part in ("t.a.ci-quota", "t.a.ci-syncer", "a-bind", "a-agent"):
        assert recorder.named(part).urn in needed, part
    bound = [one.name for one in recorder.registrations.values() if "roleRef" in one.inputs]
    assert [name for name in bound if "bind" in name and "binding" not in name] == ["t.a-binders"]


def test_an_external_tenant_is_in_bounds_on_the_cluster_as_a_managed_one_is() -> None:
    quota = {"cpu": "3", "memory": "5Gi", "pods": 7}
    recorder, _ = record(
        environment(
            {"a": {}},
            {
                "t": {"cluster": "a", "external": EXTERNAL, "quota": quota},
                "u": {"cluster": "a", "quota": quota},
            },
        )
    )

    def parts(tenant: str) -> dict[str, Any]:
        found = {
            one.name.removeprefix(f"{tenant}."): one.inputs.get("spec")
            for one in recorder.registrations.values()
            if one.name.startswith(f"{tenant}.a.")
        }
        # Each lets its own pods in.
        text = json.dumps(found).replace(f'tenant": "{tenant}"', 'tenant": "own"')
        made: dict[str, Any] = json.loads(re.sub('workspace-digest": "[0-9a-f]+"', 'workspace": "own"', text))
        return made

    assert parts("t") == parts("u")
    assert parts("t")["a.default-quota"]["hard"] == {
        "requests.cpu": "3",
        "limits.memory": "5Gi",
        "pods": "7",
        "requests.storage": "20Gi",
    }


def test_tekton_comes_to_openshift_by_its_operator_and_elsewhere_as_a_release() -> None:
    recorder, outputs = record(environment({"a": {"distribution": "openshift"}, "b": {}}))
    names = {one.name for one in recorder.of_type("command:local:Command")}
    assert names == {
        f"{unit}-{verb}"
        for unit in (
            "a-openshift-pipelines-operator-rh",
            "a-tekton-config",
            "a-api-syncagent-crds",
            "b-tekton-pipelines",
            "b-api-syncagent-crds",
        )
        for verb in ("apply", "ready")
    }
    releases = {name: set(cluster.releases) for name, cluster in outputs.compute_clusters.items()}
    assert releases == {
        "a": {"api-syncagent-crds", "openshift-pipelines-operator-rh"},
        "b": {"api-syncagent-crds", "tekton-pipelines"},
    }


def test_an_environment_of_openshift_alone_needs_no_manifest_of_tekton() -> None:
    settings = environment({"a": {"distribution": "openshift"}})
    assert wanted_releases(settings) == {"a": {"api-syncagent-crds": "v0.7.0"}}
    recorder, _ = record(settings)
    assert recorder.named("a-tekton-config-ready").urn in recorder.reaches(recorder.named("a-agent").urn)


def test_on_openshift_the_operator_works_before_its_config_is_made_and_goes_after_it() -> None:
    recorder, _ = record(environment({"a": {"distribution": "openshift"}}))
    config = recorder.named("a-tekton-config-apply")
    assert recorder.named("a-openshift-pipelines-operator-rh-ready").urn in config.dependencies
    assert recorder.named("a-openshift-pipelines-operator-rh-apply").urn in recorder.reaches(config.urn)


def test_openshift_assigns_the_syncers_user_itself() -> None:
    recorder, _ = record(environment({"a": {"distribution": "openshift"}, "b": {}}))
    contexts = {
        name: recorder.named(f"{name}-agent").inputs["spec"]["template"]["spec"]["securityContext"]
        for name in ("a", "b")
    }
    assert {"runAsUser", "runAsGroup"} & contexts["a"].keys() == set()
    assert contexts["a"]["runAsNonRoot"] is True
    assert {"runAsUser", "runAsGroup"} <= contexts["b"].keys()
