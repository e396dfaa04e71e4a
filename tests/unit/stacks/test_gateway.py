"""The gateway in an environment: where it stands, what it is told, and where its secrets are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from components.gateway_config import REPOSITORIES, TENANTS
from components.haproxy import CONFIGURATION
from components.haproxy_pods import CONFIG_DIGEST, SECRET_DIGEST
from components.names import EVENTS_NAMESPACE, GATEWAY_NAMESPACE, digest
from operations.gateway_certificates import make_bundle
from stacks import rendering
from stacks.gateway_checks import check
from stacks.gateway_sources import GatewaySources, read_gateway
from stacks.mutual_tls import read_bundle
from stacks.notices import notices
from stacks.outputs import exported
from tests.support.recording import GITHUB_APP, Recorder, environment, loaded, record

if TYPE_CHECKING:
    from pathlib import Path

    from stacks.settings import EnvironmentSettings

PAC: dict[str, Any] = {"enabled": True}
GATEWAY: dict[str, Any] = {"clusters": ["a"], "host": "events.example.com", "mutualTls": {"secret": "events"}}
CLUSTERS: dict[str, dict[str, Any]] = {
    "a": {},
    "b": {"events": {"host": "b.example.com"}},
    "lost": {"state": "gone", "homeOf": ["on-lost"], "events": {"host": "lost.example.com"}},
    "o": {"distribution": "openshift", "events": {"host": "o.example.com", "exposure": "route"}},
}
TENANTS_OF: dict[str, dict[str, Any]] = {
    "on-a": {"cluster": "a", "repositories": ["https://Git.example.com:443/A/App.git"]},
    "on-b": {"cluster": "b", "repositories": ["https://git.example.com/b/app", "https://g.io/b/lib"]},
    "on-o": {"cluster": "o"},
    "on-lost": {"cluster": "lost", "repositories": ["https://git.example.com/lost/app"]},
    "away": {"cluster": "b", "suspended": True, "repositories": ["https://git.example.com/away/app"]},
}
APP: dict[str, Any] = {"id": 12, "privateKey": {"secret": "key"}, "webhookSecret": {"secret": "webhook"}}


def settings(on: dict[str, Any] | None = None, **gateway: object) -> EnvironmentSettings:
    return environment(
        CLUSTERS if on is None else on,
        TENANTS_OF if on is None else {},
        gateway={**GATEWAY, **gateway},
        pipelinesAsCode=PAC,
    )


def data(recorder: Recorder, name: str) -> dict[str, str]:
    made: dict[str, str] = recorder.named(name).inputs["data"]
    return made


def test_each_tenant_leads_to_its_one_cluster() -> None:
    recorder, _ = record(settings())
    found = data(recorder, "a-gateway-config")
    assert found[REPOSITORIES].splitlines() == [
        "g.io/b/lib on-b",
        "git.example.com/a/app on-a",
        "git.example.com/away/app away",
        "git.example.com/b/app on-b",
        "git.example.com/lost/app on-lost",
    ]
    assert found[TENANTS].splitlines() == [
        "away answer_tenant-suspended",
        "on-a cluster_a",
        "on-b cluster_b",
        "on-lost answer_cluster-unreached",
        "on-o cluster_o",
    ]
    text = found[CONFIGURATION]
    # Its own cluster's listener it reaches as it is, those of others by mutual TLS.
    assert (
        "server listener pipelines-as-code-controller.pipelines-as-code.svc.cluster.local:8080 resol" in text
    )
    assert "server listener b.example.com:443 resolvers names init-addr none ssl verify required" in text
    assert "sni str(o.example.com)" in text
    assert "lost.example.com" not in text


@pytest.mark.parametrize("accepted", [False, True])
def test_events_of_gitea_are_refused_unless_the_settings_accept_them(accepted: bool) -> None:  # noqa: FBT001 -- a case
    pipelines_as_code = {**PAC, "acceptUnsignedGitea": accepted}
    given = environment(CLUSTERS, TENANTS_OF, gateway=GATEWAY, pipelinesAsCode=pipelines_as_code)
    text = data(record(given)[0], "a-gateway-config")[CONFIGURATION]
    assert ("str(unsigned-gitea)" in text) is not accepted


def test_a_gateway_and_events_listeners_stand_where_they_are_needed() -> None:
    recorder, outputs = record(settings())
    kinds = {
        one.type: sorted(made.name for made in recorder.of_type(one.type))
        for one in recorder.registrations.values()
        if one.type.startswith(("pipeline-service:gateway", "pipeline-service:events"))
    }
    assert kinds == {
        "pipeline-service:gateway:Gateway": ["a"],
        "pipeline-service:events:EventsListener": ["b", "lost", "o"],
    }
    told = exported(outputs)
    assert told["gateway"] == {"url": "http://events.example.com"}
    assert told["tenants"]["on-b"]["eventsUrl"] == "http://events.example.com/tenants/on-b"
    urls = {name: one["eventsUrl"] for name, one in told["computeClusters"].items()}
    assert urls == {
        "a": None,
        "b": "https://b.example.com:443",
        "lost": "https://lost.example.com:443",
        "o": "https://o.example.com:443",
    }
    # On OpenShift, Pipelines as Code is where the operator brings it.
    place = "pipelines-as-code-controller.openshift-pipelines.svc"
    assert place in data(recorder, "o-events-config")[CONFIGURATION]


def test_without_clusters_there_is_no_gateway_and_no_listener() -> None:
    recorder, outputs = record(settings(clusters=[]))
    assert not [urn for urn in recorder.registrations if "gateway" in urn or "-events-" in urn]
    assert exported(outputs)["gateway"] == {"url": None}


@pytest.mark.parametrize(
    ("gateway", "url"),
    [
        ({"exposure": "nodePort", "nodePort": 30080}, "http://events.example.com:30080"),
        ({"tls": {"secret": "certificate"}}, "https://events.example.com"),
        ({"exposure": "ingress", "trustedProxies": ["10.0.0.0/8"]}, "https://events.example.com"),
    ],
)
def test_the_url_is_that_by_which_it_is_reached(gateway: dict[str, Any], url: str) -> None:
    assert exported(record(settings(**gateway))[1])["gateway"] == {"url": url}


@pytest.mark.parametrize(
    ("gateway", "warned"),
    [
        ({}, True),
        ({"tls": {"secret": "certificate"}}, False),
        ({"exposure": "clusterIP"}, False),
        ({"trustedProxies": ["192.0.2.0/24"]}, False),
        ({"exposure": "nodePort", "nodePort": 30080}, False),
        ({"clusters": []}, False),
    ],
)
def test_a_load_balancer_that_takes_plain_http_is_warned_of(gateway: dict[str, Any], *, warned: bool) -> None:
    lines = notices(settings(**gateway))
    assert [line.partition(": ")[0] for line in lines] == ["pipeline-service:gateway.tls"] * warned
    assert not warned or "plain HTTP" in lines[0]


def test_secrets_stand_in_secrets_alone() -> None:
    given = environment(
        CLUSTERS,
        TENANTS_OF,
        gateway={**GATEWAY, "tls": {"secret": "certificate"}},
        pipelinesAsCode={**PAC, "githubApp": APP},
    )
    recorder, outputs = record(given)
    secrets = [one for one in recorder.registrations.values() if one.type == "kubernetes:core/v1:Secret"]
    names = {one.inputs["metadata"]["name"] for one in secrets}
    assert names >= {"gateway-tls", "gateway-mutual-tls", "github-webhook", "events-listener-tls"}
    for one in secrets:
        assert "data" not in one.inputs or "data" in one.secret_inputs, one.urn
    plain = json.dumps(
        [one.inputs for one in recorder.registrations.values() if one not in secrets], default=str
    )
    for secret in ("made-up-private-gateway", "made-up-private-listener", "made-up-private-tls"):
        assert secret not in plain
    assert "made-up-app-secret" not in data(recorder, "a-gateway-config")[CONFIGURATION]
    assert "made-up" not in json.dumps(exported(outputs)["gateway"])


def pod(recorder: Recorder, name: str) -> dict[str, Any]:
    template = recorder.named(name).inputs["spec"]["template"]
    made: dict[str, Any] = {**template["spec"], "annotations": template["metadata"]["annotations"]}
    return made


@pytest.mark.parametrize("name", ["a-gateway-deployment", "b-events-deployment"])
def test_pods_have_no_right_they_dont_need_and_end_without_losing_an_event(name: str) -> None:
    recorder, _ = record(settings())
    spec = recorder.named(name).inputs["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    found = pod(recorder, name)
    (container,) = found["containers"]
    assert found["automountServiceAccountToken"] is False
    assert found["securityContext"]["runAsNonRoot"] is True
    assert found["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    # The pause, and what HAProxy waits for its last events (hard-stop-after), fit into what it is given.
    (_, seconds) = container["lifecycle"]["preStop"]["exec"]["command"]
    text = data(recorder, name.replace("deployment", "config"))[CONFIGURATION]
    (line,) = [one for one in text.splitlines() if "hard-stop-after" in one]
    drain = int(line.split()[1].removesuffix("s"))
    assert int(seconds) + drain < found["terminationGracePeriodSeconds"]
    assert "limits" in container["resources"]
    assert {"readinessProbe", "livenessProbe"} <= container.keys()
    budget = recorder.named(name.replace("deployment", "budget")).inputs["spec"]
    assert budget["selector"] == spec["selector"]


def test_where_the_cluster_assigns_users_the_pods_name_none() -> None:
    found = pod(record(settings())[0], "o-events-deployment")
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & found["securityContext"].keys()


def test_a_changed_map_and_a_changed_secret_start_new_pods_and_nothing_else_does() -> None:
    first = pod(record(settings())[0], "a-gateway-deployment")["annotations"]
    assert pod(record(settings())[0], "a-gateway-deployment")["annotations"] == first
    moved = {**TENANTS_OF, "on-a": {**TENANTS_OF["on-a"], "cluster": "b"}}
    other = environment(CLUSTERS, moved, gateway=GATEWAY, pipelinesAsCode=PAC)
    second = pod(record(other)[0], "a-gateway-deployment")["annotations"]
    assert second[CONFIG_DIGEST] != first[CONFIG_DIGEST]
    assert second[SECRET_DIGEST] == first[SECRET_DIGEST]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("a-gateway", {"config", "tls", "mutual-tls", "webhook"}),
        ("b-events", {"config", "certificates"}),
    ],
)
def test_pods_start_anew_only_when_what_they_read_has_changed(name: str, read: set[str]) -> None:
    """Both once changed side by side: where the map's change failed, new pods kept the old one for good."""
    given = environment(
        CLUSTERS,
        TENANTS_OF,
        gateway={**GATEWAY, "tls": {"secret": "certificate"}},
        pipelinesAsCode={**PAC, "githubApp": APP},
    )
    recorder, _ = record(given)
    after = recorder.named(f"{name}-deployment").dependencies
    assert {recorder.named(f"{name}-{part}").urn for part in read} <= after


def test_a_secret_starts_anew_the_pods_that_read_it_and_its_digest_gives_it_to_nobody() -> None:
    given = environment(CLUSTERS, TENANTS_OF, gateway=GATEWAY, pipelinesAsCode={**PAC, "githubApp": APP})
    recorder, _ = record(given)
    without, _ = record(settings())
    digests = {
        name: [pod(one, name)["annotations"][SECRET_DIGEST] for one in (without, recorder)]
        for name in ("a-gateway-deployment", "b-events-deployment")
    }
    # The webhook's secret is read by the gateway alone.
    assert digests["a-gateway-deployment"][0] != digests["a-gateway-deployment"][1]
    assert digests["b-events-deployment"][0] == digests["b-events-deployment"][1]
    # Where it is the only one, who guesses it still doesn't see that it is right.
    alone = environment(
        {"a": {}},
        {},
        gateway={**GATEWAY, "mutualTls": None},
        pipelinesAsCode={**PAC, "githubApp": APP},
    )
    found = pod(record(alone)[0], "a-gateway-deployment")["annotations"][SECRET_DIGEST]
    assert found != digest(GITHUB_APP.webhook_secret)


def test_policies_let_the_gateway_reach_dns_and_listeners_alone() -> None:
    recorder, _ = record(settings())
    spec = recorder.named("a-gateway-network").inputs["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    dns, own, others = spec["egress"]
    assert {port["port"] for port in dns["ports"]} == {53, 5353}
    assert own["to"][0]["namespaceSelector"] == {
        "matchLabels": {"kubernetes.io/metadata.name": "pipelines-as-code"}
    }
    assert [port["port"] for port in others["ports"]] == [443]
    assert len(recorder.named("b-events-network").inputs["spec"]["egress"]) == 2


@pytest.mark.parametrize(
    ("gateway", "kind", "expected"),
    [
        ({}, "Service", {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}),
        ({"exposure": "clusterIP"}, "Service", {"type": "ClusterIP"}),
        ({"exposure": "nodePort", "nodePort": 30080}, "Service", {"type": "NodePort"}),
        (
            {"exposure": "ingress", "ingressClass": "nginx", "tls": {"issuer": "ca"}},
            "Ingress",
            {
                "ingressClassName": "nginx",
                "tls": [{"hosts": ["events.example.com"], "secretName": "gateway-tls"}],
            },
        ),
        (
            {"exposure": "httpRoute", "parentGateway": {"namespace": "edge", "name": "public"}},
            "HTTPRoute",
            {"parentRefs": [{"namespace": "edge", "name": "public"}], "hostnames": ["events.example.com"]},
        ),
        (
            {"exposure": "ingress", "tls": {"issuer": "ca"}},
            "Certificate",
            {"secretName": "gateway-tls", "dnsNames": ["events.example.com"]},
        ),
    ],
)
def test_each_exposure_makes_what_leads_to_the_gateway(
    gateway: dict[str, Any], kind: str, expected: dict[str, Any]
) -> None:
    gateway = {"trustedProxies": ["10.0.0.0/8"], **gateway}
    recorder, _ = record(settings({"a": {}}, **gateway))
    (one,) = [
        made
        for made in recorder.registrations.values()
        if made.type.endswith(f":{kind}")
        and made.inputs["metadata"].get("namespace") == GATEWAY_NAMESPACE
        and made.inputs["metadata"]["name"] == "gateway"
    ]
    assert one.inputs["spec"].items() >= expected.items()
    if kind in ("Service", "Ingress"):
        # Nobody promises an address, and no update may hang for want of one.
        assert one.inputs["metadata"]["annotations"]["pulumi.com/skipAwait"] == "true"


def test_a_route_of_openshift_ends_tls_at_the_router() -> None:
    gateway = {
        "exposure": "route",
        "trustedProxies": ["10.0.0.0/8"],
        "clusters": ["o"],
        "tls": {"issuer": "ca"},
    }
    recorder, outputs = record(settings({"o": {"distribution": "openshift"}}, **gateway))
    spec = recorder.named("o-gateway-route").inputs["spec"]
    assert spec["host"] == "events.example.com"
    assert spec["tls"] == {
        "termination": "edge",
        "insecureEdgeTerminationPolicy": "None",
        "externalCertificate": {"name": "gateway-tls"},
    }
    assert recorder.named("o-gateway-router").inputs["rules"][0]["resourceNames"] == ["gateway-tls"]
    assert exported(outputs)["gateway"] == {"url": "https://events.example.com"}


@pytest.mark.parametrize(("tenants", "fits"), [(5_000, True), (9_000, False)])
def test_more_than_the_gateways_configmap_holds_is_refused(tenants: int, fits: bool) -> None:  # noqa: FBT001 -- a case
    """The map of tenants, and the configuration itself, lie in it beside the map of repositories."""
    clusters = {f"cluster-{number}": {"events": {"host": "events.example.com"}} for number in range(100)}
    sections = {
        "computeClusters": clusters,
        "tenants": {
            f"a-tenant-with-number-{number}": {
                "cluster": f"cluster-{number % 100}",
                "repositories": [f"https://git.example.com/the-organisation/repository-{number}"],
            }
            for number in range(tenants)
        },
        "gateway": {
            "clusters": ["cluster-0"],
            "host": "events.example.com",
            "mutualTls": {"secret": "events"},
        },
    }
    problems = list(check(sections))
    assert [one.key for one in problems] == ([] if fits else ["pipeline-service:tenants.*.repositories"])


def test_what_is_rendered_for_argo_cd_holds_no_secret() -> None:
    gitops = {"repository": "https://git.example.com/sre/clusters"}
    clusters = {name: {**one, "delivery": "gitops"} for name, one in CLUSTERS.items() if name in "ab"}
    given = environment(
        clusters,
        {name: one for name, one in TENANTS_OF.items() if one["cluster"] in clusters},
        gateway={**GATEWAY, "tls": {"secret": "certificate"}},
        pipelinesAsCode=PAC,
        argocd={"enabled": True},
        gitops=gitops,
    )
    of_stack = loaded(given)
    folders = {name: rendering.own_objects(of_stack, name) for name in clusters}
    assert "gateway" in folders["a"]
    assert "events" in folders["b"]
    every = [one for folder in folders.values() for objects in folder.values() for one in objects]
    assert not [one for one in every if one["kind"] == "Secret"]
    assert "made-up-private" not in json.dumps(every)
    recorder, _ = record(given)
    registered = {
        (one.type.rpartition(":")[2], one.inputs["metadata"]["name"])
        for one in recorder.registrations.values()
        if one.inputs.get("metadata", {}).get("namespace") in (GATEWAY_NAMESPACE, EVENTS_NAMESPACE)
    }
    assert registered == {
        ("Secret", "gateway-tls"),
        ("Secret", "gateway-mutual-tls"),
        ("Secret", "events-listener-tls"),
    }


def test_the_bundle_is_read_from_where_the_settings_say_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    given = settings(mutualTls={"path": "events.pem"})
    file = tmp_path / "events.pem"
    file.write_text(make_bundle(["o.example.com"]))
    sources, problems = read_gateway(given, tmp_path, {})
    assert problems == []
    assert sources.mutual_tls is not None
    assert sources.warnings() == []
    file.write_text(make_bundle())
    _, (problem,) = read_gateway(given, tmp_path, {})
    assert (problem.key, problem.value) == ("pipeline-service:gateway.mutualTls", '"events.pem"')
    assert "o.example.com" in problem.why
    file.unlink()
    _, (problem,) = read_gateway(given, tmp_path, {})
    assert "there is no such file" in problem.why


def test_a_preview_warns_of_certificates_that_end_soon() -> None:
    (line,) = GatewaySources(mutual_tls=read_bundle(make_bundle(days=20))).warnings()
    assert line.startswith("gateway.mutualTls: a certificate ends")


def certificate(*blocks: int, host: str = "events.example.com") -> str:
    """Take blocks of a certificate for a host: 0 is its key, 1 the certificate, 2 another key."""
    bundle = make_bundle([host])
    read, other = read_bundle(bundle), read_bundle(make_bundle())
    end = "-----END CERTIFICATE-----\n"
    made, key = read.listener.split(end)
    texts = [key, made + end, other.listener.split(end)[1]]
    return "".join(texts[number] for number in blocks)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (certificate(1, 0), None),
        (certificate(0, 1), None),
        (certificate(1), "no private key"),
        (certificate(0), "no certificate"),
        (certificate(1, 2), "not its first certificate's"),
        (certificate(1, 0, host="other.example.org"), "has not the name events.example.com"),
        ("", "no private key"),
    ],
)
def test_the_gateways_own_certificate_is_checked(text: str, why: str | None, tmp_path: Path) -> None:
    given = settings({"a": {}}, tls={"secret": "certificate"}, mutualTls=None)
    sources, problems = read_gateway(given, tmp_path, {"certificate": text})
    if why is None:
        assert problems == []
        assert sources.certificate is not None
        assert sources.certificate[0].startswith("-----BEGIN CERTIFICATE-----")
        assert "PRIVATE KEY" in sources.certificate[1]
    else:
        (problem,) = problems
        assert why in problem.why
        assert problem.key == "pipeline-service:gateway.tls.secret"
