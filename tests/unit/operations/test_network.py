"""`python -m operations check network`: what pods' results mean, and that nothing is left behind."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from components import openshift_pipelines
from operations import network
from operations.__main__ import app
from operations.api_servers import ApiServers
from operations.errors import OperationError
from operations.network import Kind, Meaning, Target, Verdict, judge
from operations.network_pods import COMPONENT
from operations.pulumi_cli import PulumiCli

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STACK_FILE = """\
config:
  pipeline-service:kcp:
    kubeconfig: {path: kcp.kubeconfig}
  pipeline-service:computeClusters:
    east: {kubeconfig: {path: east}}
    west: {kubeconfig: {path: west}, distribution: openshift}
    lost: {kubeconfig: {path: lost}, state: unreachable}
  pipeline-service:tenants:
    a: {cluster: east, namespaces: [work, build]}
    b: {cluster: east}
    c: {cluster: east}
    idle: {cluster: east, suspended: true, onSuspension: stop}
    only: {cluster: west}
"""

Answers = dict[str, str]


class Cluster:
    """A cluster in memory on which pods start at once, and tell what `reach` says of (tenant, target)."""

    name = "cluster east"

    def __init__(self) -> None:
        self.pods: dict[str, dict[str, Any]] = {}
        self.namespaces: dict[str, dict[str, Any]] = {}
        self.made: list[dict[str, Any]] = []
        self.refuse: dict[str, str] = {}
        self.sticky = False
        self.dead: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda _: None
        self.reach: Callable[[str, dict[str, Any]], str] = lambda _, tried: (
            "answered" if tried["kind"] in {"own", "dns"} else "blocked"
        )

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        match arguments:
            case ("create", "--filename=-"):
                made = json.loads(stdin)
                for reason in [text for kind, text in self.refuse.items() if kind == made["kind"]]:
                    raise OperationError(reason)
                self.made.append(made)
                if made["kind"] == "Namespace":
                    self.namespaces[made["metadata"]["name"]] = made
                if made["kind"] == "Pod":
                    key = f"{made['metadata']['namespace']}/{made['metadata']['name']}"
                    self.pods[key] = made | {"status": self._status(made)}
            case ("delete", ("pods" | "namespaces") as plural, *rest):
                assert f"--selector=app.kubernetes.io/component={COMPONENT}" in rest
                if self.sticky and self.made:
                    raise OperationError(f"cluster east: kubectl delete failed ({plural} stay)")
                getattr(self, plural).clear()
            case _:
                raise AssertionError(arguments)
        return ""

    def objects(self, resources: str, *arguments: str) -> list[dict[str, Any]]:
        assert resources == "pods"
        assert "--all-namespaces" in arguments
        [(key, value)] = re.findall(r"--selector=(.*)=(.*)", " ".join(arguments))
        return [pod for pod in self.pods.values() if pod["metadata"]["labels"][key] == value]

    def _status(self, pod: dict[str, Any]) -> dict[str, Any]:
        if (status := self.dead(pod)) is not None:
            return status
        [container] = pod["spec"]["containers"]
        match container["command"][3:]:
            case ["serve", _]:
                ip = f"10.0.0.{len(self.pods) + 1}"
                return {
                    "phase": "Running",
                    "podIPs": [{"ip": ip}],
                    "conditions": [{"type": "Ready", "status": "True"}],
                }
            case ["probe", targets, _]:
                namespace = pod["metadata"]["namespace"]
                results = [[self.reach(namespace, tried), ""] for tried in json.loads(targets)]
                ended = {"exitCode": 0, "message": json.dumps(results)}
                return {"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": ended}}]}
            case other:
                raise AssertionError(other)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(ApiServers, "cluster", lambda *_: made)
    monkeypatch.setattr(network, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(network, "_CLIENT_SECONDS", 0)
    return made


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., Result]:
    (tmp_path / "Pulumi.yaml").write_text("name: p\nruntime: python\n")
    (tmp_path / "Pulumi.s.yaml").write_text(STACK_FILE)

    def run(*arguments: str) -> Result:
        options = ("--stack=s", f"--project={tmp_path}", "--seconds=1")
        return CliRunner().invoke(app, ["check", "network", *options, *arguments])

    return run


def found(result: Result, cluster: str) -> dict[str, Any]:
    [one] = [one for one in json.loads(result.stdout)["clusters"] if one["cluster"] == cluster]
    assert isinstance(one, dict)
    return one


def test_two_tenants_are_isolated_and_nothing_is_left(cluster: Cluster, check: Callable[..., Result]) -> None:
    result = check("--json")
    assert result.exit_code == 0, result.output
    east, west = found(result, "east"), found(result, "west")
    assert east["verdict"] == "isolated"
    assert {one["tenant"] for one in east["findings"]} == {"a", "b"}
    assert west["verdict"] is None
    assert "--namespaces" in west["problem"]
    assert "lost" not in result.stdout
    assert len(cluster.made) == 4
    assert cluster.pods == {}


def test_what_answers_another_tenant_ends_with_3_and_stands_in_the_table(
    cluster: Cluster, check: Callable[..., Result]
) -> None:
    cluster.reach = lambda _, tried: "blocked" if tried["kind"] == "metadata" else "answered"
    result = check("--cluster=east")
    assert result.exit_code == 3
    assert "cluster east: not isolated" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["a", "other", "b", "answered", "open"] in rows
    assert ["a", "metadata", "7", "addresses", "of", "clouds", "blocked", "fine"] in rows


def test_a_metadata_service_that_answers_ends_with_3(cluster: Cluster, check: Callable[..., Result]) -> None:
    cluster.reach = lambda _, tried: (
        "answered" if tried["kind"] in {"own", "dns"} or tried["port"] == 988 else "blocked"
    )
    result = check("--cluster=east")
    assert result.exit_code == 3
    assert "169.254.169.252 port 988" in result.stdout


@pytest.mark.parametrize(("answer", "status"), [("answered", 3), ("blocked", 1)])
def test_a_cluster_without_a_credential_is_unknown_and_hides_nothing_of_the_others(
    cluster: Cluster,
    check: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    status: int,
) -> None:
    def reached(_: ApiServers, name: str) -> Cluster:
        if name == "west":
            raise OperationError("west: no credential")
        return cluster

    monkeypatch.setattr(ApiServers, "cluster", reached)
    cluster.reach = lambda _, tried: {"other": answer, "metadata": "blocked"}.get(tried["kind"], "answered")
    result = check("--namespaces", "--json")
    assert result.exit_code == status
    assert found(result, "east")["verdict"] == ("not isolated" if status == 3 else "isolated")
    assert found(result, "west")["verdict"] == "unknown"
    assert found(result, "west")["problem"] == "west: no credential"
    assert cluster.pods == {}
    lines = check("--namespaces").stdout.splitlines()
    assert lines[-2:] == ["cluster west: unknown", "  west: no credential"]


@pytest.mark.parametrize("silent", ["own", "dns"])
def test_where_nothing_answers_at_all_nothing_is_known(
    cluster: Cluster, check: Callable[..., Result], silent: str
) -> None:
    cluster.reach = lambda _, tried: "answered" if tried["kind"] in {"own", "dns"} - {silent} else "blocked"
    result = check("--cluster=east", "--json")
    assert result.exit_code == 1
    east = found(result, "east")
    assert east["verdict"] == "unknown"
    assert {"own": "don't reach each other", "dns": "no answer from DNS"}[silent] in east["problem"]


def test_a_refusal_says_something_only_where_both_tenants_own_pods_answer() -> None:
    def results(own: str, *, address: str = "10.0.0.1") -> network.Results:
        there = Target(kind=Kind.OTHER, name="b", address="10.0.0.2")
        return [(Target(kind=Kind.OWN, name="a", address=address), own, ""), (there, "blocked", "")]

    def meaning(mine: str, theirs: str, address: str = "10.0.0.1") -> Meaning:
        findings = judge({"a": results(mine, address=address), "b": results(theirs)[:1]})
        [one] = [one for one in findings if one.kind is Kind.OTHER]
        return one.meaning

    assert meaning("answered", "answered") is Meaning.FINE
    assert meaning("blocked", "answered") is Meaning.UNKNOWN
    assert meaning("answered", "blocked") is Meaning.UNKNOWN
    assert meaning("answered", "strange") is Meaning.UNKNOWN
    # That pods answer by IPv6 says nothing about IPv4.
    assert meaning("answered", "answered", "fd00::1") is Meaning.UNKNOWN


def test_something_else_that_takes_the_connection_is_no_isolation() -> None:
    def tried(kind: Kind, name: str, result: str) -> tuple[Target, str, str]:
        return Target(kind=kind, name=name, address="10.0.0.1"), result, ""

    report = network.report(
        "east",
        {
            "a": [tried(Kind.OWN, "a", "answered"), tried(Kind.OTHER, "b", "strange")],
            "b": [tried(Kind.OWN, "b", "answered")],
        },
    )
    assert report.verdict is Verdict.UNKNOWN
    assert "something else" in str(report.problem)


def test_pods_fit_the_strictest_pod_security_level_and_a_small_quota_and_end_by_themselves(
    cluster: Cluster, check: Callable[..., Result]
) -> None:
    assert check("--cluster=east", "--tenant=c", "--tenant=a").exit_code == 0
    assert len({pod["metadata"]["namespace"] for pod in cluster.made}) == 2
    for pod in cluster.made:
        spec = pod["spec"]
        [container] = spec["containers"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["serviceAccountName"] == "pipeline"
        assert spec["activeDeadlineSeconds"] == 600
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["resources"]["limits"] == {"memory": "64Mi"}
        assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == COMPONENT


def test_made_up_tenants_have_the_network_policy_of_tenants_and_go_with_it(
    cluster: Cluster, check: Callable[..., Result]
) -> None:
    result = check("--cluster=west", "--namespaces", "--image=example.test/python:3")
    assert result.exit_code == 0, result.output
    policies = [one for one in cluster.made if one["kind"] == "NetworkPolicy"]
    assert len(policies) == 2
    for policy in policies:
        [home] = [one for one in cluster.made if one["metadata"]["name"] == policy["metadata"]["namespace"]]
        [source] = policy["spec"]["ingress"][0]["from"]
        assert source["namespaceSelector"]["matchLabels"].items() <= home["metadata"]["labels"].items()
    for pod in [one for one in cluster.made if one["kind"] == "Pod"]:
        assert pod["spec"]["containers"][0]["image"] == "example.test/python:3"
        # OpenShift assigns the user.
        assert "runAsUser" not in pod["spec"]["securityContext"]
    assert cluster.namespaces == {}


def test_the_image_comes_from_the_mirror_that_the_settings_name(
    cluster: Cluster, check: Callable[..., Result], tmp_path: Path
) -> None:
    set_images(tmp_path, "{mirrors: {docker.io: mirror.example.com/hub}}")
    assert check("--cluster=east").exit_code == 0
    images = {pod["spec"]["containers"][0]["image"] for pod in cluster.made}
    assert images == {"mirror.example.com/hub/library/python:3.11-slim-bookworm"}


def set_images(folder: Path, settings: str) -> None:
    path = folder / "Pulumi.s.yaml"
    path.write_text(f"{path.read_text()}  pipeline-service:imageRepository: {settings}\n")


@pytest.mark.parametrize("arguments", [(), ("--namespaces",)])
def test_an_image_that_the_policy_refuses_is_told_before_anything_is_made(
    cluster: Cluster, check: Callable[..., Result], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    set_images(tmp_path, "{allowedRegistries: [ghcr.io/team]}")
    result = check(*arguments)
    assert result.exit_code == 1
    said = " ".join(result.stderr.split())
    assert "pipeline-service:imageRepository.allowedRegistries: ghcr.io/team: tenants' namespaces on" in said
    assert "east, west refuse docker.io/library/python:3.11-slim-bookworm" in said
    assert "by --image" in said
    assert cluster.made == []
    assert check("--image=ghcr.io/team/python:3", "--cluster=east", *arguments).exit_code == 0


def test_an_operators_images_are_allowed_where_openshift_runs_it(
    check: Callable[..., Result], cluster: Cluster, tmp_path: Path
) -> None:
    set_images(tmp_path, "{allowedRegistries: [ghcr.io/team]}")
    image = f"--image={openshift_pipelines.REPOSITORIES[0]}/python:3"
    assert check(image, "--cluster=west", "--namespaces").exit_code == 0
    cluster.made.clear()
    refused = check(image, "--namespaces")
    assert refused.exit_code == 1
    assert "on east refuse" in " ".join(refused.stderr.split())
    assert cluster.made == []


def test_made_up_tenants_pull_with_the_pull_secret_and_real_ones_with_their_accounts(
    cluster: Cluster, check: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encrypted = "pipeline-service:credentials: {secure: 'v1:made:up'}"
    set_images(tmp_path, f"{{pullSecret: {{secret: credentials}}}}\n  {encrypted}")
    auths = {"auths": {"ghcr.io": {"auth": "bWFkZTp1cA=="}}}

    def secret(pulumi: PulumiCli, key: str) -> str:
        assert (pulumi.root, pulumi.stack, key) == (tmp_path, "s", "credentials")
        return json.dumps(auths)

    with monkeypatch.context() as patched:
        patched.setattr(PulumiCli, "secret", secret)
        result = check("--namespaces", "--cluster=east")
    assert result.exit_code == 0, result.output
    assert "bWFkZTp1cA==" not in result.output
    held = [one for one in cluster.made if one["kind"] == "Secret"]
    assert {one["metadata"]["namespace"] for one in held} == {
        one["metadata"]["name"] for one in cluster.made if one["kind"] == "Namespace"
    }
    for one in held:
        assert json.loads(base64.b64decode(one["data"][".dockerconfigjson"])) == auths
    pods = [one for one in cluster.made if one["kind"] == "Pod"]
    assert len(pods) == 4
    for pod in pods:
        assert pod["spec"]["imagePullSecrets"] == [{"name": held[0]["metadata"]["name"]}]
    # Nobody needs to decrypt anything for the pods of real tenants.
    cluster.made.clear()
    assert check("--cluster=east").exit_code == 0
    assert not any("imagePullSecrets" in pod["spec"] for pod in cluster.made)


def test_pods_that_are_refused_leave_nothing_known_and_nothing_behind(
    cluster: Cluster, check: Callable[..., Result]
) -> None:
    cluster.refuse["Pod"] = "cluster east: kubectl create failed (exceeded quota: running)"
    result = check("--cluster=east")
    assert result.exit_code == 1
    assert "cluster east: unknown\n  cluster east: kubectl create failed (exceeded quota" in result.stdout


def test_pods_that_do_not_start_are_told_with_the_reason(
    cluster: Cluster, check: Callable[..., Result]
) -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    cluster.dead = lambda _: {"phase": "Pending", "containerStatuses": [{"state": waiting}]}
    result = check("--cluster=east")
    assert result.exit_code == 1
    assert "a: ImagePullBackOff: no such image" in result.stdout
    assert cluster.pods == {}


def test_a_client_that_fails_is_told_at_once(cluster: Cluster, check: Callable[..., Result]) -> None:
    failed = {"terminated": {"reason": "Error", "message": "Traceback\nNameError"}}
    cluster.dead = lambda pod: (
        {"phase": "Failed", "containerStatuses": [{"state": failed}]}
        if pod["metadata"]["name"].endswith("client")
        else None
    )
    result = check("--cluster=east", "--seconds=500")
    assert result.exit_code == 1
    assert "Error: Traceback NameError" in result.stdout


def test_what_an_earlier_check_left_is_removed_first(cluster: Cluster, check: Callable[..., Result]) -> None:
    cluster.pods["x/left"] = {"metadata": {"labels": {}}}
    cluster.refuse["Pod"] = "no"
    check("--cluster=east")
    assert cluster.pods == {}


def test_what_can_not_be_removed_is_told_with_its_label(
    cluster: Cluster, check: Callable[..., Result]
) -> None:
    cluster.sticky = True
    result = check("--cluster=east")
    assert result.exit_code == 1
    assert f"left behind, with the label app.kubernetes.io/component={COMPONENT}" in result.stdout
    assert "cluster east: isolated" in result.stdout


@pytest.mark.parametrize("signalled", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_check_removes_its_pods(
    cluster: Cluster, check: Callable[..., Result], signalled: signal.Signals
) -> None:
    before = signal.getsignal(signalled)

    def interrupted(_: str, __: dict[str, Any]) -> str:
        assert cluster.pods
        os.kill(os.getpid(), signalled)
        return "blocked"

    cluster.reach = interrupted
    result = check("--cluster=east")
    assert result.exit_code != 0
    assert "isolated" not in result.stdout
    assert cluster.pods == {}
    assert signal.getsignal(signalled) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--cluster=eats",), 'there is no cluster "eats"; did you mean "east"?'),
        (("--cluster=lost",), "cluster lost is unreachable, as its entry says"),
        (("--tenant=a", "--tenant=bb"), 'there is no tenant "bb"'),
        (("--tenant=a", "--tenant=only"), "name tenants of one cluster"),
        (("--tenant=a", "--tenant=b", "--cluster=west"), "name tenants of one cluster"),
        (("--tenant=a",), "1 given; name 2 to 8"),
        (("--tenant=a", "--tenant=idle"), "tenant idle is stopped"),
        (("--tenant=a", "--tenant=b", "--namespaces"), "either --tenant or --namespaces"),
    ],
)
def test_what_can_not_be_meant_is_refused_before_anything_is_made(
    cluster: Cluster, check: Callable[..., Result], arguments: tuple[str, ...], told: str
) -> None:
    result = check(*arguments)
    assert result.exit_code == 1
    assert told in result.stderr
    assert cluster.made == []


def test_results_of_the_most_tenants_fit_into_a_pods_status() -> None:
    names = [f"tenant-{number}" for number in range(network.MOST_TENANTS)]
    addresses = {name: ["10.100.100.100", "fd00:1234:5678:9abc::1234"] for name in names}
    targets = network._targets(names[0], addresses, dict.fromkeys(names, "word"))
    results = [["blocked", "ECONNREFUSED, but not in the first 15 s"] for _ in targets]
    assert len(json.dumps(results)) <= 4096
