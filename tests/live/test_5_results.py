"""A tenant's users read TaskRuns and logs of their own runs: Results with a real database."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import socket
import ssl
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from components.names import tenant_namespace
from components.results_manifests import READER, SERVER, SERVER_PORT
from local.layout import default_layout
from local.network import Network
from local.pki import Authority, Identity
from tests.support.events import output
from tests.support.live import ROOT, in_workspace, kubectl, local, objects, pulumi, run, wait_until
from tests.support.on_demand import ON_DEMAND
from tests.support.postgresql import HOST, start_postgresql
from tests.support.runs import TENANTS, condition, create, finished, pipeline_run, runs, start, without_tenant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = [ON_DEMAND, pytest.mark.timeout(2400)]

STACK_FILE = ROOT / "Pulumi.dev.yaml"
CLUSTERS = ("local-a", "local-b")
CLUSTER = "local-a"
OTHER = "team-r"
RESULTS = "-n=pipeline-service-results"
CLASS = "results-logs"
IMAGE_USER = 65532
SETTINGS = f"""
  pipeline-service:tekton:
    results:
      enabled: true
      tls: {{secret: results-tls}}
      serverTls: {{secret: results-server-tls}}
      logs: {{size: 1Gi, storageClass: {CLASS}}}
"""


@dataclass(frozen=True, kw_only=True)
class Site:
    """What a user needs to ask: by whom the readers' certificates are trusted, and the users' tokens."""

    authority: Path
    tokens: Mapping[str, str]

    def get(self, user: str | None, tenant: str, name: str, what: str = "") -> tuple[int, str]:
        """Ask the reader of a tenant's cluster for a run, as a user."""
        url = output("tenants")[tenant]["resultsUrl"]
        return self.at(user, f"{url}/namespaces/default/pipelineruns/{name}{what}")

    def at(self, user: str | None, url: str) -> tuple[int, str]:
        """Ask for an address as a user; None: without a token."""
        host, _, path = url.removeprefix("https://").partition("/")
        name, _, port = host.partition(":")
        cluster = name.partition(".")[0]
        layout = default_layout()
        address = Network(layout.identity, layout.network).hosts([cluster])[cluster].address
        connection = http.client.HTTPConnection(name, int(port or 443), timeout=60)
        trusting = ssl.create_default_context(cafile=str(self.authority))
        plain = socket.create_connection((address, int(port or 443)), timeout=60)
        connection.sock = trusting.wrap_socket(plain, server_hostname=name)
        headers = {} if user is None else {"Authorization": f"Bearer {self.tokens[user]}"}
        connection.request("GET", f"/{path}", headers=headers)
        with connection.getresponse() as answer:
            return answer.status, answer.read().decode()


def _results_of(cluster: str, number: int, authority: str) -> str:
    block = "".join(f"            {line}\n" for line in authority.splitlines())
    port = 30450 + number
    return f"""
      results:
        host: {cluster}.pipeline-service.test
        port: {port}
        exposure: nodePort
        nodePort: {port}
        database:
          host: {HOST}
          password: {{secret: results-password}}
          certificateAuthority: |
{block}"""


def _with_results(text: str, authority: str) -> str:
    for number, cluster in enumerate(CLUSTERS):
        line = f"      kubeconfig: {{path: .local/{cluster}/kubeconfig}}"
        assert line in text
        text = text.replace(line, line + _results_of(cluster, number, authority).rstrip("\n"))
    return text.rstrip("\n") + "\n" + SETTINGS


def _volume(cluster: str) -> str:
    """Make the folder of a volume on a cluster's node, which is this machine, and the volume."""
    folder = default_layout().cluster(cluster) / "results-logs"
    folder.mkdir(exist_ok=True)
    os.chown(folder, IMAGE_USER, IMAGE_USER)
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": CLASS},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": CLASS,
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder)},
        },
    }
    return json.dumps(volume)


def _encrypted(values: Mapping[str, str]) -> tuple[str, str]:
    """Have the engine encrypt values; return what stands for them at the head and at the end of a stack file.

    The engine writes the whole file anew, in its own way: so it gets the file back as it was.
    """
    before = STACK_FILE.read_text()
    for key, value in values.items():
        run("pulumi", "config", "set", "--secret", key, "--stack", "dev", stdin=value)
    written = yaml.safe_load(STACK_FILE.read_text())
    STACK_FILE.write_text(before)
    salt = "encryptionsalt"
    head = f"{salt}: {written[salt]}\n" if salt in written and salt not in before else ""
    keys = [f"pipeline-service:{key}" for key in values]
    return head, "".join(f"  {key}:\n    secure: {written['config'][key]['secure']}\n" for key in keys)


def _tenant(*arguments: str) -> None:
    verb, *rest = arguments
    run(sys.executable, "-m", "operations", "tenant", verb, *rest, "--stack", "dev")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    before = STACK_FILE.read_text()
    layout = default_layout()
    tokens = {user: secrets.token_urlsafe(24) for user in ("alice", "carol")}
    tokens_file = layout.kcp / "tokens.csv"
    folder = layout.local / "results-pki"
    authority = Authority(folder)
    names = tuple(f"{cluster}.pipeline-service.test" for cluster in CLUSTERS)
    front = authority.issue("front", Identity(common_name="results", names=names))
    server = authority.issue("server", Identity(common_name="server", names=(SERVER,)))
    database = authority.issue("database", Identity(common_name="database", names=(HOST,)))
    password = secrets.token_urlsafe(16)
    local("provide", "tekton-results")
    try:
        for cluster in CLUSTERS:
            start_postgresql(cluster, password, database)
            kubectl(cluster, "apply", "--filename=-", stdin=_volume(cluster))
        tokens_file.write_text("".join(f"{token},{user},{user}\n" for user, token in tokens.items()))
        head, end = _encrypted(
            {
                "results-tls": front.certificate.read_text() + front.key.read_text(),
                "results-server-tls": server.certificate.read_text() + server.key.read_text(),
                "results-password": password,
            }
        )
        _tenant("add", OTHER, "--cluster", CLUSTER, "--developer-user", "carol")
        with_results = _with_results(STACK_FILE.read_text(), authority.pair.certificate.read_text())
        STACK_FILE.write_text(head + with_results + end)
        local("up")
        yield Site(authority=authority.pair.certificate, tokens=tokens)
    finally:
        STACK_FILE.write_text(before)
        tokens_file.unlink(missing_ok=True)
        local("up")
        for cluster in CLUSTERS:
            kubectl(cluster, "delete", "namespace/databases", f"pv/{CLASS}", "--ignore-not-found")
        shutil.rmtree(folder)


def _namespace(tenant: str) -> str:
    return tenant_namespace(f"{TENANTS}:{tenant}", "default")


def _held(namespace: str) -> bool:
    return any(
        "results.tekton.dev" in str(one["metadata"].get("finalizers"))
        for one in _copies()
        if one["metadata"]["namespace"] == namespace
    )


def _copies() -> list[dict[str, Any]]:
    return objects(CLUSTER, "pipelineruns.tekton.dev,taskruns.tekton.dev", "--all-namespaces")


@pytest.fixture(scope="module")
def failed(site: Site) -> str:
    """Name a run of alice's that failed, and whose log is kept."""
    name = start("alice", "demo", "echo why it failed; exit 7")
    assert finished("demo", name) == "Failed"

    def kept() -> bool:
        status, text = site.get("alice", "demo", name, "/logs")
        return status == http.client.OK and "why it failed" in text

    took = wait_until(kept, "kept", lambda: site.get("alice", "demo", name, "/logs"))
    sys.stdout.write(f"the log could be read {took:.1f} s after the run's end was seen\n")
    return name


def test_a_user_sees_why_the_own_run_failed(site: Site, failed: str) -> None:
    status, text = site.get("alice", "demo", failed, "/taskruns")
    assert status == http.client.OK
    (task,) = json.loads(text)["items"]
    assert task["metadata"]["namespace"] == "default"
    assert task["metadata"]["labels"]["tekton.dev/pipelineRun"] == failed
    assert task["status"]["steps"][0]["terminated"]["exitCode"] == 7
    status, text = site.get("alice", "demo", failed)
    assert (status, json.loads(text)["metadata"]["name"]) == (http.client.OK, failed)


def test_another_tenants_user_gets_what_is_said_of_runs_that_there_are_not(site: Site, failed: str) -> None:
    unknown = site.get("alice", "demo", "no-such-run", "/logs")
    assert unknown[0] == http.client.NOT_FOUND
    others = [site.get("carol", "demo", failed, what) for what in ("", "/taskruns", "/logs")]
    # Nor under the own path, where the name is nobody's.
    others += [site.get("carol", OTHER, failed, what) for what in ("", "/taskruns", "/logs")]
    assert set(others) == {unknown}
    own = output("tenants")["demo"]["resultsUrl"]
    elsewhere = own.replace("local-a.", "local-b.").replace(":30450", ":30451")
    assert site.at("alice", f"{elsewhere}/namespaces/default/pipelineruns/{failed}/logs") == unknown
    assert site.get(None, "demo", failed)[0] == http.client.UNAUTHORIZED
    forged = Site(authority=site.authority, tokens={"alice": "made-up"})
    assert forged.get("alice", "demo", failed)[0] == http.client.UNAUTHORIZED


def test_what_is_recorded_outlives_the_run(site: Site, failed: str) -> None:
    in_workspace(f"{TENANTS}:demo", "delete", f"pipelinerun/{failed}", "--timeout=90s", user="alice")
    wait_until(
        lambda: failed not in {one["metadata"]["name"] for one in _copies()}, "gone from the cluster", _copies
    )
    assert failed not in runs("demo")
    status, text = site.get("alice", "demo", failed, "/logs")
    assert status == http.client.OK
    assert "why it failed" in text
    assert site.get("carol", "demo", failed, "/logs")[0] == http.client.NOT_FOUND


def test_a_tenant_can_not_write_into_what_another_one_reads(site: Site, failed: str) -> None:
    _, recorded = site.get("alice", "demo", failed)
    result = f"{_namespace('demo')}/results/{json.loads(recorded)['metadata']['uid']}"
    forged = pipeline_run("echo forged")
    forged["metadata"] |= {
        "generateName": "forged-",
        "annotations": {"results.tekton.dev/result": result},
    }
    made = create("carol", OTHER, forged)
    name = made.out.strip().rpartition("/")[2]
    assert name, made.err
    # kcp takes it, and its cluster doesn't.
    copy = {**forged, "metadata": {**forged["metadata"], "namespace": _namespace(OTHER)}}
    refused = kubectl(
        CLUSTER, "create", "--dry-run=server", "--filename=-", check=False, stdin=json.dumps(copy)
    )
    assert refused.status != 0
    assert "names another namespace" in refused.err
    assert finished(OTHER, start("carol", OTHER)) == "Succeeded"
    assert name not in {one["metadata"]["name"] for one in _copies()}
    assert condition(runs(OTHER)[name]) == ("", "")
    assert site.get("alice", "demo", failed) == (http.client.OK, recorded)
    in_workspace(f"{TENANTS}:{OTHER}", "delete", f"pipelinerun/{name}", "--timeout=90s", user="carol")


ASK = f"""
import ssl, sys, urllib.error, urllib.request
account = "/var/run/secrets/kubernetes.io/serviceaccount"
context = ssl.create_default_context(cafile="/etc/reader-files/results-ca.crt")
context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
server, token = "https://{SERVER}:{SERVER_PORT}", open(f"{{account}}/token").read()
for parent in sys.argv[1:]:
    url = f"{{server}}/apis/results.tekton.dev/v1alpha2/parents/{{parent}}/results/-/records"
    asked = urllib.request.Request(url, headers={{"Authorization": "Bearer " + token}})
    try:
        print(parent, urllib.request.urlopen(asked, context=context).status)
    except urllib.error.HTTPError as error:
        print(parent, error.code)
"""


@pytest.mark.usefixtures("failed")
def test_the_readers_own_account_reads_in_tenants_namespaces_alone() -> None:
    own = _namespace("demo")
    asked = ("exec", "deployment/reader", RESULTS, "--", "python3", "-c", ASK)
    said = kubectl(CLUSTER, *asked, own, "-", "kube-system", "tekton-pipelines").out.split()
    assert dict(zip(said[::2], said[1::2], strict=True)) == {
        own: "200",
        "-": "401",
        "kube-system": "401",
        "tekton-pipelines": "401",
    }
    account = "--as=system:serviceaccount:pipeline-service-results:reader"
    assert kubectl(CLUSTER, "auth", "can-i", "list", "namespaces", account, check=False).out.strip() == "no"
    assert (
        kubectl(CLUSTER, "auth", "can-i", "get", "pods", account, f"-n={own}", check=False).out.strip()
        == "no"
    )


def test_the_readers_say_what_they_answered_and_no_token(site: Site, failed: str) -> None:
    said = kubectl(
        CLUSTER, "logs", "--selector=app.kubernetes.io/name=results-reader", RESULTS, "--tail=-1"
    ).out
    assert f"200 {TENANTS}:demo default {failed} logs" in said
    assert [user for user, token in site.tokens.items() if token in said] == []


def test_a_revoked_user_reads_nothing_any_more_at_once(site: Site) -> None:
    name = start("carol", OTHER)
    assert finished(OTHER, name) == "Succeeded"
    wait_until(
        lambda: site.get("carol", OTHER, name)[0] == http.client.OK,
        "recorded",
        lambda: site.get("carol", OTHER, name),
    )
    _tenant("revoke", OTHER, "developer", "--user", "carol")
    local("up")
    begun = time.monotonic()
    took = wait_until(
        lambda: site.get("carol", OTHER, name)[0] == http.client.NOT_FOUND, "refused", lambda: "", seconds=10
    )
    sys.stdout.write(
        f"refused {took:.1f} s after `up` ({time.monotonic() - begun:.1f} s with the question)\n"
    )


def test_a_tenant_leaves_and_results_go_and_nothing_hangs(site: Site, failed: str) -> None:
    assert _held(_namespace(OTHER))
    STACK_FILE.write_text(without_tenant(STACK_FILE.read_text(), OTHER))
    local("up", seconds=300)
    assert _namespace(OTHER) not in {one["metadata"]["name"] for one in objects(CLUSTER, "namespaces")}
    last = start("alice", "demo")
    assert finished("demo", last) == "Succeeded"
    wait_until(lambda: _held(_namespace("demo")), "held by Results", _copies)
    assert site.get("alice", "demo", failed)[0] == http.client.OK

    # With Results, its finalizers go, and not the runs.
    on, off = ("      enabled: true\n      tls:", "      enabled: false\n      tls:")
    assert on in STACK_FILE.read_text()
    STACK_FILE.write_text(STACK_FILE.read_text().replace(on, off))
    pulumi("up", "--yes", "--skip-preview")
    assert last in {one["metadata"]["name"] for one in _copies()}
    assert not _held(_namespace("demo"))
    assert READER not in {one["metadata"]["name"] for one in objects(CLUSTER, "clusterroles")}
    assert output("tenants")["demo"]["resultsUrl"] is None
    in_workspace(f"{TENANTS}:demo", "delete", f"pipelinerun/{last}", "--timeout=90s", user="alice")
