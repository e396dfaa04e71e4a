"""A tenant's Repository on a real cluster: with its Secrets it follows kcp, and its events are worked on."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import re
import subprocess
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from components.names import tenant_namespace
from tests.support.live import ROOT, TENANT_WORKSPACE, Done, in_workspace, kubectl, objects, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

CLUSTER = "local-a"
NAMESPACE = tenant_namespace(TENANT_WORKSPACE, "default")
PAC = "pipelines-as-code"
URL = "https://git.example.com/demo/app"
OTHER = "https://git.example.com/somebody/else"
PARTS = ("controller", "watcher", "webhook")


def repository(url: str = URL, name: str = "app", **spec: Any) -> str:  # noqa: ANN401 -- any part of it
    provider = {
        "type": "github",
        "url": "https://git.example.com",
        "secret": {"name": "app-token"},
        "webhook_secret": {"name": "app-hook"},
    }
    return json.dumps(
        {
            "apiVersion": "pipelinesascode.tekton.dev/v1alpha1",
            "kind": "Repository",
            "metadata": {"name": name},
            "spec": {"url": url, "git_provider": provider, **spec},
        }
    )


def secret(name: str, **values: str) -> str:
    named = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    return json.dumps(
        {**named, "stringData": {key.replace("_", "."): value for key, value in values.items()}}
    )


def as_alice(*arguments: str, stdin: str | None = None, check: bool = True) -> Done:
    return in_workspace(
        TENANT_WORKSPACE, *arguments, "--namespace=default", user="alice", stdin=stdin, check=check
    )


def apply(*manifests: str) -> None:
    for one in manifests:
        as_alice("apply", "--filename=-", stdin=one)


def on_cluster(kind: str) -> dict[str, dict[str, Any]]:
    found = objects(CLUSTER, kind, f"--namespace={NAMESPACE}")
    return {one["metadata"]["name"]: one for one in found}


def logs(part: str) -> str:
    return kubectl(CLUSTER, "logs", f"deployment/{PAC}-{part}", f"--namespace={PAC}", "--tail=-1").out


def refused(part: str) -> list[str]:
    """List what the cluster refused to a part, but for namespaces that are gone, and its rights with them."""
    there = {one["metadata"]["name"] for one in objects(CLUSTER, "namespaces")}
    lines = [line for line in logs(part).splitlines() if "forbidden" in line.lower()]
    places = [re.search(r'in the namespace \\*"([^"\\]+)', line) for line in lines]
    return [line for line, place in zip(lines, places, strict=True) if place is None or place[1] in there]


@pytest.fixture(autouse=True)
def _tidied() -> Iterator[None]:
    yield
    for one in ("repository/app", "secret/app-token", "secret/app-hook"):
        as_alice("delete", one, "--ignore-not-found", "--timeout=90s")


def test_its_parts_run_with_the_rights_they_have() -> None:
    deployments = {
        one["metadata"]["name"]: one for one in objects(CLUSTER, "deployments", f"--namespace={PAC}")
    }
    for part in PARTS:
        assert deployments[f"{PAC}-{part}"]["status"]["availableReplicas"] == 1
        assert refused(part) == []
    assert "Starting Pipelines as Code version: v0.37.0" in logs("controller")


def test_a_repository_and_the_secrets_it_names_follow_kcp() -> None:
    apply(secret("app-token", provider_token="one"), repository())
    wait_until(lambda: {"app-token"} <= on_cluster("secrets").keys(), "copied", lambda: on_cluster("secrets"))
    assert on_cluster("repositories")["app"]["spec"]["url"] == URL

    # One that comes later, and one that changes.
    apply(secret("app-hook", webhook_secret="hook"), secret("app-token", provider_token="two"))

    def token() -> str:
        data = on_cluster("secrets")["app-token"]["data"]["provider.token"]
        return base64.b64decode(data).decode()

    wait_until(lambda: token() == "two", "changed", token)
    wait_until(lambda: "app-hook" in on_cluster("secrets"), "copied", lambda: on_cluster("secrets").keys())
    # One that nothing names stays where it is.
    apply(secret("not-named", x="y"))

    as_alice("delete", "repository/app", "--timeout=90s")
    assert "app" not in on_cluster("repositories")
    left = on_cluster("secrets")
    assert not {"app-token", "app-hook", "not-named"} & left.keys()
    # In the workspace they are still the tenant's, and nothing holds them.
    for name in ("app-token", "not-named"):
        found = json.loads(as_alice("get", "secret", name, "--output=json").out)
        assert not found["metadata"].get("finalizers")
    as_alice("delete", "secret/not-named", "--timeout=30s")


def test_a_tenant_that_names_anothers_repository_is_told_so_in_its_workspace() -> None:
    refused = as_alice("apply", "--filename=-", stdin=repository(OTHER), check=False)
    assert refused.status != 0
    assert f'spec.url "{OTHER}" is none of the repositories of tenant "demo"' in refused.err
    assert "(git.example.com/demo/app)" in refused.err


def test_on_the_cluster_nobody_puts_anothers_repository_into_its_namespace() -> None:
    arguments = ("apply", f"--namespace={NAMESPACE}", "--filename=-", "--dry-run=server")
    refused = kubectl(CLUSTER, *arguments, stdin=repository(OTHER), check=False)
    assert refused.status != 0
    assert "is none of the repositories of tenant" in refused.err
    kubectl(CLUSTER, *arguments, stdin=repository(f"{URL}.git", "another"))


@pytest.fixture
def listener() -> Iterator[int]:
    """Give the port on loopback that leads to the listener."""
    command = ["kubectl", f"--context={CLUSTER}", f"--namespace={PAC}", "port-forward"]
    process = subprocess.Popen(
        [*command, f"service/{PAC}-controller", ":8080"], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert found
        yield int(found[1])
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


def push(port: int, key: str) -> str:
    """Send a push event as GitHub sends it, signed with a key; give its id."""
    delivery = str(uuid.uuid4())
    commit = {"id": "1" * 40, "message": "made up", "url": f"{URL}/commit/1"}
    body = json.dumps(
        {
            "ref": "refs/heads/main",
            "before": "0" * 40,
            "after": commit["id"],
            "head_commit": commit,
            "commits": [commit],
            "repository": {
                "name": "app",
                "full_name": "demo/app",
                "html_url": URL,
                "default_branch": "main",
                "owner": {"login": "demo", "name": "demo"},
            },
            "pusher": {"name": "alice"},
            "sender": {"login": "alice"},
        }
    ).encode()
    signature = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/", body, headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    assert response.status == 202
    return delivery


def said_of(delivery: str) -> str:
    return "\n".join(line for line in logs("controller").splitlines() if delivery in line)


def test_an_event_is_worked_on_by_the_tenants_secrets_and_a_forged_one_refused(listener: int) -> None:
    apply(
        secret("app-token", provider_token="made-up-token"),
        secret("app-hook", webhook_secret="made-up-hook"),
        repository(),
    )
    wanted = {"app-token", "app-hook"}
    wait_until(lambda: wanted <= on_cluster("secrets").keys(), "copied", lambda: on_cluster("secrets"))
    forged = push(listener, "guessed")
    wait_until(lambda: "could not validate payload" in said_of(forged), "refused", lambda: said_of(forged))

    # Past the signature it asks the Git server, which there is none of here.
    signed = push(listener, "made-up-hook")
    wait_until(lambda: "git.example.com" in said_of(signed), "asked", lambda: said_of(signed))
    assert "token-secret=app-token" in said_of(signed)
    wait_until(lambda: "lookup git.example.com" in said_of(signed), "asked", lambda: said_of(signed))
    assert "could not validate payload" not in said_of(signed)
    assert "forbidden" not in said_of(signed)
    for text in ("made-up-token", "made-up-hook"):
        assert text not in logs("controller")
