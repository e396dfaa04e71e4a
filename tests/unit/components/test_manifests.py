"""The manifests that the components are made of."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components import kcp_identity
from components import syncer_manifests as syncer
from components.access import ADMIN, DEVELOPER, VIEWER, Subject, tenant_roles
from components.compute_cluster import observer_role
from components.kcp_workspace import tenant_workspace_type
from components.kubernetes_object import type_token
from components.names import TENANT_NAMESPACE_TEMPLATE, tenant_namespace
from components.tenant_manifests import (
    CLAIMS,
    TenantAccess,
    TenantQuota,
    namespace_objects,
)
from components.tenant_network import TenantNetwork
from components.unit import UnitArgs, environment, to_yaml, wait_environment
from tests.support.go_template import render
from tests.support.tenants import workspace_content

LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
PATH = st.lists(LABEL, min_size=1, max_size=4).map(":".join)
QUOTA = TenantQuota(pipeline_runs=7, cpu="2", memory="4Gi", pods=30, storage="10Gi")
AGENT = syncer.AgentPods(
    image="image:v1",
    replicas=1,
    cpu_request="50m",
    memory_request="128Mi",
    memory_limit="512Mi",
    user=65532,
)


@given(path=PATH, namespace=LABEL)
def test_the_agents_template_and_the_program_make_the_same_name(path: str, namespace: str) -> None:
    data = {"ClusterPath": path, "Object": {"metadata": {"namespace": namespace}}}
    name = tenant_namespace(path, namespace)
    assert render(TENANT_NAMESPACE_TEMPLATE, data) == name
    assert len(name) <= 63
    assert name.strip("-") == name


def test_a_name_as_api_syncagent_made_it() -> None:
    # Seen on a cluster with api-syncagent v0.7.0.
    assert tenant_namespace("root:pipeline-service:tenants:demo", "default") == "demo-default-68c57225e906"


@given(one=st.tuples(PATH, LABEL), other=st.tuples(PATH, LABEL))
def test_no_two_namespaces_share_a_name(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (tenant_namespace(*one) == tenant_namespace(*other)) == (one == other)


@pytest.mark.parametrize(
    ("api_version", "kind", "token"),
    [
        ("v1", "Namespace", "kubernetes:core/v1:Namespace"),
        ("apps/v1", "Deployment", "kubernetes:apps/v1:Deployment"),
        ("tenancy.kcp.io/v1alpha1", "Workspace", "kubernetes:tenancy.kcp.io/v1alpha1:Workspace"),
    ],
)
def test_type_tokens_are_those_of_pulumi_kubernetes(api_version: str, kind: str, token: str) -> None:
    assert type_token(api_version, kind) == token


def _rules(manifests: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    [rules] = [one["rules"] for one in manifests if one["metadata"]["name"] == name]
    return list(rules)


def _allows(rules: list[dict[str, Any]], verb: str, resource: str) -> bool:
    return any(verb in rule["verbs"] and resource in rule["resources"] for rule in rules)


def test_viewers_look_developers_work_admins_grant() -> None:
    roles = tenant_roles({})
    viewer, developer, admin = (_rules(roles, name) for name in (VIEWER, DEVELOPER, ADMIN))
    assert _allows(viewer, "get", "pipelineruns")
    assert not any(_allows(viewer, verb, "pipelineruns") for verb in ("create", "update", "patch", "delete"))
    assert _allows(developer, "create", "pipelineruns")
    assert not _allows(developer, "create", "rolebindings")
    assert _allows(admin, "create", "rolebindings")
    assert [_allows(rules, "get", "secrets") for rules in (viewer, developer, admin)] == [False, True, True]


def test_admins_can_hand_out_no_role_but_the_tenants() -> None:
    binds = [rule for rule in _rules(tenant_roles({}), ADMIN) if "bind" in rule["verbs"]]
    assert [rule["resourceNames"] for rule in binds] == [[ADMIN, DEVELOPER, VIEWER]]


def test_no_role_allows_everything() -> None:
    texts = [tenant_roles({}), [observer_role()], list(syncer.cluster_objects().values())]
    for rule in (rule for manifests in texts for one in manifests for rule in one.get("rules", ())):
        assert "*" not in rule["verbs"]
        assert "*" not in rule["apiGroups"]
        assert "escalate" not in rule["verbs"]


def content(**access: tuple[Subject, ...]) -> list[dict[str, Any]]:
    return workspace_content(
        tenant="demo",
        export=("root:compute", "local-a"),
        namespaces=("default", "ci"),
        access=TenantAccess(**access),
        quota=QUOTA,
    )


def _kinds(manifests: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in manifests if one["kind"] == kind]


def test_everybody_with_a_role_may_enter_and_nobody_else() -> None:
    alice, bob = Subject(kind="User", name="alice"), Subject(kind="Group", name="bob")
    [access] = _kinds(content(admins=(alice,), viewers=(bob, alice)), "ClusterRoleBinding")
    assert access["roleRef"]["name"] == "system:kcp:workspace:access"
    assert [subject["name"] for subject in access["subjects"]] == ["bob", "alice"]
    assert _kinds(content(), "ClusterRoleBinding") == []


def test_roles_hold_in_the_tenants_namespaces_and_not_in_the_programs_own() -> None:
    bindings = _kinds(content(admins=(Subject(kind="User", name="alice"),)), "RoleBinding")
    assert {one["metadata"]["namespace"] for one in bindings} == {"default", "ci"}


def test_a_role_without_subjects_is_not_bound() -> None:
    bindings = _kinds(content(admins=(Subject(kind="User", name="alice"),)), "RoleBinding")
    assert {one["roleRef"]["name"] for one in bindings} == {ADMIN}


def test_the_binding_names_the_tenants_cluster_and_accepts_what_the_agent_claims() -> None:
    [binding] = _kinds(content(), "APIBinding")
    assert binding["spec"]["reference"]["export"] == {"path": "root:compute", "name": "local-a"}
    claims = binding["spec"]["permissionClaims"]
    assert [(claim["group"], claim["resource"]) for claim in claims] == list(CLAIMS)
    assert {claim["state"] for claim in claims} == {"Accepted"}


def test_the_quota_of_stored_runs_is_out_of_the_tenants_reach() -> None:
    [quota] = _kinds(content(), "ResourceQuota")
    assert quota["metadata"]["namespace"] == "admin"
    # Anywhere else kcp doesn't heed the annotation: used stayed 0, and nothing was refused.
    assert quota["metadata"]["annotations"] == {"experimental.quota.kcp.io/cluster-scoped": "true"}
    assert quota["spec"]["hard"] == {"count/pipelineruns.tekton.dev": "7"}


def test_a_tenants_workspace_can_hold_no_other_workspace() -> None:
    spec = tenant_workspace_type()["spec"]
    assert spec["limitAllowedChildren"] == {"none": True}
    assert "extend" not in spec


def test_a_tenants_namespace_has_all_that_keeps_it_in_bounds() -> None:
    parts = namespace_objects(
        tenant="demo",
        workspace_path="root:tenants:demo",
        kcp_namespace="default",
        namespace_name="demo-default-x",
        quota=QUOTA,
        network=TenantNetwork(),
    )
    assert next(iter(parts)) == "namespace"
    labels = parts["namespace"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "baseline"
    assert parts["quota"]["spec"]["hard"] == {
        "requests.cpu": "2",
        "limits.memory": "4Gi",
        "pods": "30",
        "requests.storage": "10Gi",
    }
    # What the quota counts must have a default, or a step that states nothing is refused.
    [limits] = parts["limits"]["spec"]["limits"]
    assert "cpu" in limits["defaultRequest"]
    assert "memory" in limits["default"]
    assert parts["account"]["metadata"]["name"] == "pipeline"
    assert parts["account"]["automountServiceAccountToken"] is False
    namespaces = {part["metadata"].get("namespace") for name, part in parts.items() if name != "namespace"}
    assert namespaces == {"demo-default-x"}


def test_the_agent_writes_only_in_tenants_namespaces_and_secrets_only_in_its_own() -> None:
    objects = syncer.cluster_objects()
    reader = objects["syncer-reader"]["rules"]
    writes = {"create", "update", "patch", "delete"}
    written = {resource for rule in reader if writes & set(rule["verbs"]) for resource in rule["resources"]}
    assert written == {"publishedresources/status", "events"}
    bound = [one["roleRef"]["name"] for one in objects.values() if one["kind"] == "ClusterRoleBinding"]
    assert bound == [syncer.READER]
    assert objects["syncer-state"]["metadata"]["namespace"] == "pipeline-service-syncer"
    assert syncer.writer_binding("demo-default-x", "demo")["roleRef"]["name"] == syncer.WRITER


def test_the_agents_rights_in_kcp_reach_no_other_export() -> None:
    rules = syncer.kcp_rights("local-a")["role"]["rules"]
    for rule in rules:
        if set(rule["resources"]) & {"apiexports", "apiexports/content"}:
            assert rule["resourceNames"] == ["local-a"]


def test_published_objects_keep_their_names() -> None:
    for one in syncer.published_resources("local-a").values():
        spec = one["spec"]
        assert spec["naming"]["name"] == "{{ .Object.metadata.name }}"
        assert spec["resource"]["versions"] == ["v1"]
        assert spec["enableWorkspacePaths"] is True
    kinds = {one["spec"]["resource"]["kind"] for one in syncer.published_resources("local-a").values()}
    assert kinds == {"Pipeline", "PipelineRun", "Task"}


def test_the_agents_kubeconfig_names_the_workspace_of_the_export() -> None:
    token = base64.b64encode(b"made-up").decode()
    document = json.loads(
        kcp_identity.kubeconfig("https://kcp/clusters/root:compute", "Q0E=", "syncer", token)
    )
    assert document["clusters"][0]["cluster"] == {
        "server": "https://kcp/clusters/root:compute",
        "certificate-authority-data": "Q0E=",
    }
    assert document["users"][0]["user"] == {"token": "made-up"}


def test_the_agents_pod_meets_the_restricted_pod_security_level() -> None:
    pod = syncer.deployment("local-a", AGENT, "x")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {"readinessProbe", "livenessProbe", "resources"} <= set(container)


def test_a_changed_kubeconfig_restarts_the_agent() -> None:
    one, other = (syncer.deployment("local-a", AGENT, digest)["spec"]["template"] for digest in ("x", "y"))
    assert one != other


def unit(**more: Any) -> UnitArgs:  # noqa: ANN401 -- any of its fields
    return UnitArgs(unit="x", sha256="0" * 64, kubeconfig=".run/k", **more)


def test_a_units_environment_is_text_and_has_no_empty_values() -> None:
    for variables in (environment(unit()), wait_environment(unit(wait_for=[{"resource": "a", "for": "b"}]))):
        assert all(isinstance(value, str) and value for value in variables.values())
    assert "UNIT_WORKSPACE" not in environment(unit())
    assert environment(unit(version="v1"))["UNIT_VERSION"] == "v1"
    assert "UNIT_VERSION" not in environment(unit())
    assert environment(unit(state="gone"))["UNIT_ABANDONED"] == "true"
    assert environment(unit(drain=["a.b"]))["UNIT_DRAIN"] == '["a.b"]'
    assert environment(unit(cancel=["a.b"]))["UNIT_CANCEL"] == '["a.b"]'
    assert environment(unit(leftovers=[{"resource": "a.b"}]))["UNIT_LEFTOVERS"] == '[{"resource": "a.b"}]'


def test_manifests_survive_being_written_as_yaml() -> None:
    manifests = content(admins=(Subject(kind="User", name="alice"),))
    assert list(yaml.safe_load_all(to_yaml(manifests))) == manifests


def test_components_know_nothing_of_stacks() -> None:
    for path in (Path(__file__).parents[3] / "components").glob("*.py"):
        assert "stacks" not in [
            line.split()[1].split(".")[0]
            for line in path.read_text().splitlines()
            if line.startswith(("from ", "import "))
        ], path.name


def test_the_token_of_a_secret_that_was_never_made_is_empty_but_one_not_filled_in_is_an_error() -> None:
    assert kcp_identity.token(None) == ""
    assert kcp_identity.token({"token": "dA=="}) == "dA=="
    with pytest.raises(KeyError):
        kcp_identity.token({})
