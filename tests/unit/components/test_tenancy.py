"""A tenant's roles, suspension and network, as manifests and as what a unit makes of them."""

import ipaddress
from typing import Any

import pytest
import yaml

from components.access import ADMIN, DEVELOPER, VIEWER, Subject, tenant_roles
from components.names import SUSPENDED
from components.suspension import suspension_binding, suspension_policy
from components.tenant_manifests import TenantAccess, TenantQuota, namespace_objects
from components.tenant_network import METADATA, TenantNetwork
from tests.support.fake_kubectl import FakeKubectl
from tests.support.tenants import workspace_content
from tests.unit.units.test_runner import run_apply
from units.manifest import identify

QUOTA = TenantQuota(pipeline_runs=7, cpu="2", memory="4Gi", pods=30, storage="10Gi")
Access = dict[str, tuple[Subject, ...]]

ALICE = Subject(kind="User", name="alice")
BOB = Subject(kind="User", name="bob")
ROBOT = Subject(kind="ServiceAccount", name="robot", namespace="ci")
EVERYWHERE = ["0.0.0.0/0", "::/0"]


def content(access: Access, *, suspended: bool = False) -> list[dict[str, Any]]:
    return workspace_content(
        tenant="demo",
        export=("root:compute", "local-a"),
        namespaces=("ci", "default"),
        access=TenantAccess(**access),
        quota=QUOTA,
        suspended=suspended,
    )


def parts(**more: Any) -> dict[str, dict[str, Any]]:  # noqa: ANN401 -- any of its arguments
    given = {
        "workspace_path": "root:tenants:demo",
        "kcp_namespace": "ci",
        "namespace_name": "demo-ci-x",
        "network": TenantNetwork(),
        **more,
    }
    return namespace_objects(tenant="demo", quota=QUOTA, **given)


def allowed(name: str) -> set[tuple[str, str, str]]:
    [rules] = [one["rules"] for one in tenant_roles({}) if one["metadata"]["name"] == name]
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_each_role_may_do_just_what_its_name_says() -> None:
    tekton = {("tekton.dev", resource) for resource in ("pipelines", "tasks", "pipelineruns")}
    work = tekton | {("pipelinesascode.tekton.dev", "repositories")}
    read = {(*one, verb) for one in work for verb in ("get", "list", "watch")} | {
        ("", resource, verb) for resource in ("events", "resourcequotas") for verb in ("get", "list", "watch")
    }
    assert allowed(VIEWER) == read
    write = ("create", "update", "patch", "delete", "deletecollection")
    assert allowed(DEVELOPER) == read | {(*one, verb) for one in work for verb in write} | {
        ("", resource, verb)
        for resource in ("secrets", "configmaps")
        for verb in ("get", "list", "watch", *write)
    }
    rbac = "rbac.authorization.k8s.io"
    assert allowed(ADMIN) == allowed(DEVELOPER) | {(rbac, "clusterroles", "bind")} | {
        (rbac, "rolebindings", verb) for verb in ("get", "list", "watch", *write)
    }


def test_a_service_account_is_made_and_bound_as_others_are() -> None:
    made = content({"viewers": (ROBOT,)})
    [account] = [one for one in made if one["kind"] == "ServiceAccount"]
    assert (account["metadata"]["namespace"], account["metadata"]["name"]) == ("ci", "robot")
    subject = {"kind": "ServiceAccount", "name": "robot", "namespace": "ci"}
    bound = [one["subjects"] for one in made if one["kind"].endswith("Binding") and "subjects" in one]
    assert bound == [[subject]] * 3


def test_a_suspended_tenants_workspace_has_no_role_and_stores_no_run_but_keeps_all_else() -> None:
    access: Access = {"admins": (ALICE,), "viewers": (ROBOT,)}
    before, after = content(access), content(access, suspended=True)
    gone = {identify(one).kind for one in before} - {identify(one).kind for one in after}
    assert gone == {"ClusterRole", "RoleBinding", "ClusterRoleBinding"}
    [quota] = [one for one in after if one["kind"] == "ResourceQuota"]
    assert quota["spec"]["hard"] == {"count/pipelineruns.tekton.dev": "0"}
    assert [one for one in after if one != quota] == [
        one for one in before if one["kind"] not in {*gone, "ResourceQuota"}
    ]


def applied(*contents: list[dict[str, Any]]) -> FakeKubectl:
    kubectl = FakeKubectl()
    for manifests in contents:
        run_apply(kubectl, *yaml.safe_load_all(yaml.safe_dump_all(manifests)))
    return kubectl


@pytest.mark.parametrize(
    ("before", "after", "gone"),
    [
        (
            {"admins": (ALICE,), "viewers": (BOB,)},
            {"admins": (ALICE,)},
            {f"RoleBinding {namespace}/{VIEWER}" for namespace in ("ci", "default")},
        ),
        (
            {"admins": (ALICE,), "viewers": (ALICE, ROBOT)},
            {"admins": (ALICE,), "viewers": (ALICE,)},
            {"ServiceAccount ci/robot"},
        ),
        ({"viewers": (ALICE, BOB)}, {"viewers": (ALICE,)}, set()),
    ],
    ids=["a role", "a service account", "one of two users"],
)
def test_a_line_less_takes_away_exactly_what_it_made(before: Access, after: Access, gone: set[str]) -> None:
    kubectl = applied(content(before), content(after))
    assert {f"{one.kind} {one.namespace}/{one.name}" for one in kubectl.deleted} == gone
    wanted = {identify(one): one for one in content(after)}
    assert {identity: kubectl.objects[identity] for identity in wanted} == wanted


def test_lifting_a_suspension_restores_everything() -> None:
    access: Access = {"admins": (ALICE,), "viewers": (BOB,)}
    through = applied(content(access), content(access, suspended=True), content(access))
    assert through.objects == applied(content(access)).objects


def test_the_namespaces_of_a_suspended_tenant_are_those_that_the_policy_takes() -> None:
    selector = suspension_policy()["spec"]["matchConstraints"]["namespaceSelector"]["matchLabels"]
    assert selector.items() <= parts(suspended=True)["namespace"]["metadata"]["labels"].items()
    assert SUSPENDED not in parts()["namespace"]["metadata"]["labels"]
    assert suspension_binding()["spec"]["policyName"] == suspension_policy()["metadata"]["name"]


def test_no_pod_starts_for_a_stopped_tenant_and_nothing_else_of_its_quota_changes() -> None:
    going, stopped = (parts(stopped=stop)["quota"]["spec"]["hard"] for stop in (False, True))
    assert {key for key in going if going[key] != stopped[key]} == {"pods"}
    assert stopped["pods"] == "0"


def rules(network: TenantNetwork) -> tuple[list[Any], list[Any]]:
    spec = parts(network=network)["network"]["spec"]
    assert (spec["podSelector"], spec["policyTypes"]) == ({}, ["Ingress", "Egress"])
    return spec["ingress"], spec["egress"]


def test_only_the_tenants_own_pods_come_in() -> None:
    for network in (TenantNetwork(), TenantNetwork(egress=())):
        [rule] = rules(network)[0]
        [own] = rule["from"]
        assert {"to": [own]} in rules(network)[1]
        selected = own["namespaceSelector"]["matchLabels"]
        assert selected["pipeline-service/tenant"] == "demo"
        assert selected.items() <= parts()["namespace"]["metadata"]["labels"].items()


def test_tenants_of_one_name_whose_workspaces_differ_are_apart() -> None:
    [rule] = rules(TenantNetwork())[0]
    selected = rule["from"][0]["namespaceSelector"]["matchLabels"]
    another = parts(workspace_path="root:another:tenants:demo")["namespace"]["metadata"]["labels"]
    assert another["pipeline-service/tenant"] == "demo"
    assert not selected.items() <= another.items()
    sibling = parts(kcp_namespace="other", namespace_name="demo-other-x")["namespace"]["metadata"]["labels"]
    assert selected.items() <= sibling.items()


def blocks(network: TenantNetwork) -> list[dict[str, Any]]:
    return [
        to["ipBlock"]
        for rule in rules(network)[1]
        if "ports" not in rule
        for to in rule["to"]
        if "ipBlock" in to
    ]


@pytest.mark.parametrize("egress", [None, (), ("192.0.2.0/24",), ("168.0.0.0/6", "::/0")])
def test_the_metadata_service_is_out_of_reach_whatever_else_is_allowed(
    egress: tuple[str, ...] | None,
) -> None:
    found = blocks(TenantNetwork(egress=egress))
    assert [block["cidr"] for block in found] == (EVERYWHERE if egress is None else list(egress))
    for address in METADATA:
        for block in found:
            network = ipaddress.ip_network(block["cidr"])
            if network.version == address.version and address.network_address in network:
                assert str(address) in block["except"]


def test_dns_is_always_within_reach_and_only_by_its_ports() -> None:
    [dns] = [rule for rule in rules(TenantNetwork(egress=()))[1] if "ports" in rule]
    assert {(port["protocol"], port["port"]) for port in dns["ports"]} >= {("UDP", 53), ("TCP", 53)}
    assert "kube-system" in str(dns["to"])
    # Google's Cloud DNS answers at the address of the metadata service.
    resolvers = [ipaddress.ip_network(to["ipBlock"]["cidr"]) for to in dns["to"] if "ipBlock" in to]
    for address in ("169.254.20.10", "169.254.169.254", "168.63.129.16"):
        assert any(ipaddress.ip_address(address) in one for one in resolvers)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.23",
        "169.254.169.252",
        "100.100.100.200",
        "168.63.129.16",
        "fd20:ce::254",
    ],
)
def test_every_clouds_metadata_service_is_out_of_reach(address: str) -> None:
    [block] = [
        one
        for one in blocks(TenantNetwork())
        if ipaddress.ip_address(address) in ipaddress.ip_network(one["cidr"])
    ]
    assert any(ipaddress.ip_address(address) in ipaddress.ip_network(one) for one in block["except"])
