"""The output contract."""

import json
import re
from pathlib import Path

from components.names import tenant_namespace
from stacks.loader import read_stack_file
from stacks.outputs import ComputeClusterOutputs, exported
from stacks.settings import EnvironmentSettings
from stacks.vocabulary import ClusterState, Distribution
from tests.support.recording import CREDENTIAL, record

PROJECT = Path(__file__).parents[3]

CONTRACT = {
    "schemaVersion",
    "environment",
    "kcp",
    "computeClusters",
    "tenants",
    "gateway",
    "signing",
}


def test_the_contract_has_exactly_its_groups() -> None:
    _, outputs = record(read_stack_file(PROJECT / "Pulumi.dev.yaml"))
    plain = exported(outputs)
    assert set(plain) == CONTRACT
    assert plain["schemaVersion"] == 1
    assert set(plain["kcp"]) == {"url", "workspace", "computeWorkspace", "tenantsWorkspace"}
    assert set(plain["computeClusters"]["local-a"]) == {
        "pool",
        "state",
        "distribution",
        "apiExport",
        "eventsUrl",
        "resultsUrl",
        "releases",
    }
    assert set(plain["tenants"]["demo"]) == {
        "workspace",
        "url",
        "cluster",
        "namespaces",
        "eventsUrl",
        "resultsUrl",
    }


def test_a_tenant_is_described_so_that_it_can_be_used() -> None:
    _, outputs = record(read_stack_file(PROJECT / "Pulumi.dev.yaml"))
    demo = exported(outputs)["tenants"]["demo"]
    path = "root:pipeline-service:tenants:demo"
    assert demo["workspace"] == path
    assert demo["url"] == f"https://kcp:6443/clusters/{path}"
    assert demo["namespaces"] == {"default": tenant_namespace(path, "default")}


def test_an_external_tenant_is_described_like_any_other() -> None:
    path = "root:team-b:builds"
    settings = read_stack_file(PROJECT / "Pulumi.dev.yaml").model_dump(by_alias=True, exclude_unset=True)
    external = {"path": path, "binders": {"users": ["bea"]}}
    settings["tenants"] = {"team-b": {"cluster": "local-b", "external": external, "namespaces": ["builds"]}}
    _, outputs = record(EnvironmentSettings.model_validate(settings))
    assert exported(outputs)["tenants"]["team-b"] == {
        "workspace": path,
        "url": f"https://kcp:6443/clusters/{path}",
        "cluster": "local-b",
        "namespaces": {"builds": tenant_namespace(path, "builds")},
        "eventsUrl": "http://local-a.pipeline-service.test:30080/tenants/team-b",
        "resultsUrl": None,
    }


def test_the_contract_names_every_state_and_distribution() -> None:
    fields = ComputeClusterOutputs.model_fields
    for name, words in (("state", ClusterState), ("distribution", Distribution)):
        described = set(re.findall(r"\w+", fields[name].description or ""))
        assert described >= {str(word) for word in words}


def test_plain_outputs_hold_no_credential() -> None:
    _, outputs = record(read_stack_file(PROJECT / "Pulumi.dev.yaml"))
    assert CREDENTIAL not in json.dumps(exported(outputs))
