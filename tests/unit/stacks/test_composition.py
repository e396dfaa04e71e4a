"""What the program registers for an environment."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stacks.loader import read_stack_file
from stacks.settings import EnvironmentSettings
from tests.support.recording import CREDENTIAL, TOKEN, Recorder, record

PROJECT = Path(__file__).parents[3]


@cache
def dev() -> Recorder:
    recorder, _ = record(read_stack_file(PROJECT / "Pulumi.dev.yaml"))
    return recorder


def environment(
    clusters: dict[str, dict[str, Any]], tenants: dict[str, dict[str, Any]] | None = None, **more: object
) -> EnvironmentSettings:
    return EnvironmentSettings.model_validate(
        {
            "kcp": {"kubeconfig": {"path": "kcp"}},
            "computeClusters": {
                name: {"kubeconfig": {"path": name}, **entry} for name, entry in clusters.items()
            },
            "tenants": tenants or {},
            **more,
        }
    )


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
    assert apply.inputs["environment"]["UNIT_SHA256"] == "a" * 64
    assert apply.inputs["create"] == apply.inputs["update"]
    assert "triggers" not in apply.inputs


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


def test_an_unreachable_cluster_is_left_as_it_is() -> None:
    recorder, _ = record(environment({"a": {"state": "unreachable"}, "b": {}}))
    assert recorder.named("cluster-a").inputs["skipUpdateUnreachable"] == "true"
    assert "skipUpdateUnreachable" not in recorder.named("cluster-b").inputs
    assert recorder.named("a-tekton-pipelines-apply").ignore_changes == ("*",)
    assert recorder.named("b-tekton-pipelines-apply").ignore_changes == ()


def test_what_lies_in_a_workspace_is_applied_anew_where_the_workspace_was_made_anew() -> None:
    variables = dev().named("demo-apply").inputs["environment"]
    assert variables["UNIT_LIES_IN"] == "uid-of-demo-workspace"


def test_drift_is_changed_back_and_credentials_are_replaced_in_place() -> None:
    providers = [one for one in dev().registrations.values() if one.type == "pulumi:providers:kubernetes"]
    assert len(providers) == 6
    for provider in providers:
        assert (provider.inputs["enablePatchForce"], provider.inputs["enableSecretMutable"]) == (
            "true",
            "true",
        )


def test_a_lost_clusters_resources_are_forgotten_not_deleted() -> None:
    recorder, _ = record(environment({"a": {"state": "gone"}, "b": {}}))
    assert recorder.named("cluster-a").inputs["deleteUnreachable"] == "true"
    assert recorder.named("a-tekton-pipelines-apply").inputs["environment"]["UNIT_ABANDONED"] == "true"
    assert "deleteUnreachable" not in recorder.named("cluster-b").inputs
    assert "UNIT_ABANDONED" not in recorder.named("b-tekton-pipelines-apply").inputs["environment"]


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


NAMES = st.sets(st.from_regex(r"[a-z][a-z0-9]{0,2}(-[a-z0-9]{1,2})?", fullmatch=True), max_size=3)


def _strip(recorder: Recorder) -> dict[str, Any]:
    return {urn: one for urn, one in recorder.registrations.items() if "pulumi:pulumi:Stack" not in urn}


@settings(max_examples=6, deadline=None)
@given(names=NAMES, extra=st.from_regex(r"[a-z][a-z0-9]{0,2}(-[a-z0-9]{1,2})?", fullmatch=True))
def test_a_cluster_more_or_less_changes_only_urns_with_its_name(names: set[str], extra: str) -> None:
    names -= {"kcp"}
    names.discard(extra)
    if extra == "kcp":
        return
    few, _ = record(environment({name: {} for name in names}))
    many, _ = record(environment({name: {} for name in {*names, extra}}))
    assert {
        urn for urn in _strip(many).keys() ^ _strip(few).keys() if extra not in urn.rpartition("::")[2]
    } == set()
    assert {urn for urn, one in _strip(few).items() if _strip(many)[urn] != one} == set()


@settings(max_examples=6, deadline=None)
@given(names=NAMES, extra=st.from_regex(r"[a-z][a-z0-9]{0,2}(-[a-z0-9]{1,2})?", fullmatch=True))
def test_a_tenant_more_or_less_changes_only_urns_with_its_name(names: set[str], extra: str) -> None:
    names.discard(extra)

    def tenants(of: set[str]) -> dict[str, dict[str, Any]]:
        return {name: {"cluster": "c", "namespaces": ["default", "y"]} for name in of}

    few, _ = record(environment({"c": {}}, tenants(names)))
    many, _ = record(environment({"c": {}}, tenants({*names, extra})))
    assert {
        urn for urn in _strip(many).keys() ^ _strip(few).keys() if extra not in urn.rpartition("::")[2]
    } == set()
    assert {urn for urn, one in _strip(few).items() if _strip(many)[urn] != one} == set()


def test_no_two_pairs_of_tenant_and_namespace_share_a_urn() -> None:
    # Names joined by hyphens once met: tenant x with namespace y-z, tenant x-y with namespace z.
    recorder, _ = record(
        environment(
            {"c": {}},
            {"x": {"cluster": "c", "namespaces": ["y-z"]}, "x-y": {"cluster": "c", "namespaces": ["z"]}},
        )
    )
    assert len(recorder.of_type("kubernetes:core/v1:LimitRange")) == 2
