"""kube-router enforces NetworkPolicies with a credential of its own that only reads."""

from __future__ import annotations

from local.environment import NODE
from local.firewall import access
from local.preflight import NODE_PACKAGES
from local.toolchain.catalog import KUBE_ROUTER, SIMULATED, WITH_NODES


def test_kube_routers_certificate_may_only_read_and_no_secret() -> None:
    role, binding = access()
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    resources = {resource for rule in role["rules"] for resource in rule["resources"]}
    assert not resources & {"*", "secrets", "configmaps", "serviceaccounts"}
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [subject["kind"] for subject in binding["subjects"]] == ["User"]


def test_nodes_that_run_pods_have_a_firewall_and_what_it_calls() -> None:
    assert KUBE_ROUTER in WITH_NODES
    assert KUBE_ROUTER not in SIMULATED
    assert "kube-router" in NODE
    assert {"iptables", "ipset"} <= NODE_PACKAGES.keys()
