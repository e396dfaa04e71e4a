"""The demonstration of events: who does what, what its exit code says, and that it cleans up after itself."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from rich.console import Console

from components.names import tenant_namespace
from local import demo, demo_event
from local.demo_event import PROVIDER_API, PROVIDER_NAMESPACE, run_demo_event
from local.errors import LocalError
from tests.support.receiver import Event, receiver

WORKSPACE = "root:pipeline-service:tenants:demo"
NAMESPACE = tenant_namespace(WORKSPACE, "default")
REPOSITORY = "https://git.example.com/demo/app"
EVENTS_URL = "https://gateway.example.com:30080/tenants/demo"
STACK_FILE = """\
config:
  pipeline-service:kcp:
    kubeconfig: {path: .local/kcp/admin.kubeconfig}
  pipeline-service:computeClusters:
    local-a:
      kubeconfig: {path: .local/local-a/kubeconfig}
  pipeline-service:pipelinesAsCode:
    enabled: true
    providerUrls: ["PROVIDER"]
  pipeline-service:gateway:
    clusters: [local-a]
    host: gateway.example.com
    exposure: nodePort
    nodePort: 30080
  pipeline-service:tenants:
    demo:
      cluster: local-a
      access:
        developers: {users: [alice]}
      repositories: [https://git.example.com/demo/app]
""".replace("PROVIDER", PROVIDER_API)


class Cluster:
    """What kubectl and the engine would answer, and Pipelines as Code, which asks the provider's API."""

    def __init__(self, *, succeeds: bool, reports: list[str]) -> None:
        self.succeeds, self.reports = succeeds, reports
        self.commands: list[str] = []
        self.api = ""
        self.token = ""
        self.started: list[str] = []
        self.events_url: str | None = EVENTS_URL

    def run(self, command: list[str], *, what: str, stdin: str | None = None, directory: Path) -> str:
        assert what
        assert directory.is_absolute()
        words = " ".join(command)
        self.commands.append(words)
        assert self.token not in words or not self.token
        if command[0] == "pulumi":
            return json.dumps({name: self._output(name) for name in ("demo", "team", "plain")})
        if " apply " in words:
            return self._apply(json.loads(stdin or ""))
        return "" if " delete " in words else json.dumps(self._got(words))

    def _output(self, name: str) -> dict[str, str | None]:
        workspace = f"{WORKSPACE.removesuffix('demo')}{name}"
        url = f"https://kcp.example/clusters/{workspace}"
        events_url = self.events_url and self.events_url.replace("/demo", f"/{name}")
        return {"url": url, "workspace": workspace, "eventsUrl": events_url}

    def _got(self, words: str) -> dict[str, Any]:
        if "repository.pipelinesascode.tekton.dev/demo-event" in words:
            return {"kind": "List", "items": [{}, {}]}
        if "get pipelineruns" in words:
            sha = words.partition("--selector=pipelinesascode.tekton.dev/sha=")[2].split()[0]
            return {"items": [self._run()] if sha in self.started else []}
        if "get pipelinerun " in words:
            return self._run()
        assert "get pods" in words, words
        return {"items": []}

    def _apply(self, given: dict[str, Any]) -> str:
        for one in given["items"]:
            if one["kind"] == "Secret":
                self.token = one["stringData"]["provider.token"]
            if one["kind"] == "EndpointSlice":
                self.api = f"http://{one['endpoints'][0]['addresses'][0]}:{one['ports'][0]['port']}"
        return json.dumps(given)

    def _run(self) -> dict[str, Any]:
        status = {"type": "Succeeded", "status": str(self.succeeds), "reason": "Done", "message": ""}
        return {"metadata": {"name": "demo-event-x"}, "status": {"conditions": [status]}}

    def on_event(self, event: Event) -> None:
        sha = json.loads(event.body)["after"]
        self.started.append(sha)
        for state in self.reports:
            answer = urllib3.request(
                "POST",
                f"{self.api}/api/v3/repos/{json.loads(event.body)['repository']['full_name']}/statuses/{sha}",
                headers={"Authorization": f"Bearer {self.token}"},
                json={"state": state},
            )
            assert answer.status == 201


Play = Callable[..., tuple[int, str, Cluster]]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    (tmp_path / ".local/users").mkdir(parents=True)
    (tmp_path / ".local/users/alice.kubeconfig").write_text("kubeconfig")
    (tmp_path / ".local/local-a").mkdir(parents=True)
    kubeconfig = {"clusters": [{"cluster": {"server": "https://127.0.0.1:6443"}}]}
    (tmp_path / ".local/local-a/kubeconfig").write_text(yaml.safe_dump(kubeconfig))

    def started(
        *,
        succeeds: bool = True,
        reports: tuple[str, ...] = ("pending", "success"),
        answer: int = 202,
        events_url: str | None = EVENTS_URL,
        name: str = "demo",
    ) -> tuple[int, str, Cluster]:
        cluster = Cluster(succeeds=succeeds, reports=list(reports))
        out = io.StringIO()
        with receiver(answer, on_event=cluster.on_event if answer == 202 else None) as gateway:
            port = gateway.url.rpartition(":")[2]
            (tmp_path / "Pulumi.dev.yaml").write_text(STACK_FILE.replace("30080", port))
            cluster.events_url = events_url and events_url.replace("30080", port)
            for module in (demo, demo_event):
                monkeypatch.setattr(module, "run", cluster.run)
                monkeypatch.setattr(module, "sleep", lambda _seconds: None)
            monkeypatch.setattr(demo_event, "_SYNC_SECONDS", 2.0)
            monkeypatch.setattr(demo_event, "_STATUS_SECONDS", 2.0)
            code = run_demo_event(
                tmp_path,
                "dev",
                tmp_path / "git",
                "127.0.0.1",
                Console(file=out, width=200),
                name=name,
                seconds=2,
            )
            cluster.received = gateway.received  # type: ignore[attr-defined]
        return code, out.getvalue(), cluster

    return started


def cleaned_up(cluster: Cluster) -> bool:
    deleted = [words for words in cluster.commands if " delete " in words]
    return any("alice.kubeconfig" in words and "--filename=-" in words for words in deleted) and any(
        f"namespace/{PROVIDER_NAMESPACE}" in words for words in deleted
    )


def test_it_succeeds_where_the_run_did_and_the_provider_was_told(play: Play) -> None:
    code, printed, cluster = play()
    assert code == 0, printed
    assert "pending, then success" in printed
    assert "PipelineRun demo-event-x made on local-a" in printed
    assert cleaned_up(cluster)
    [event] = cluster.received  # type: ignore[attr-defined]
    assert event.path == "/tenants/demo"
    assert event.headers["Host"].startswith("gateway.example.com:")
    assert json.loads(event.body)["repository"]["html_url"] == REPOSITORY
    assert any(f"--namespace={NAMESPACE} delete pipelineruns" in words for words in cluster.commands)


@pytest.mark.parametrize(
    ("succeeds", "reports"), [(False, ("pending", "failure")), (True, ("failure",)), (False, ("success",))]
)
def test_it_fails_where_either_says_so(play: Play, *, succeeds: bool, reports: tuple[str, ...]) -> None:
    code, _, cluster = play(succeeds=succeeds, reports=reports)
    assert code == 1
    assert cleaned_up(cluster)


def test_a_status_that_never_comes_is_an_error_and_all_is_cleaned_up(play: Play) -> None:
    with pytest.raises(LocalError, match="waited 2 s for the status at the Git provider in vain"):
        play(reports=("pending",))


def test_an_event_that_is_not_taken_is_told_with_the_gateways_answer(play: Play) -> None:
    code, printed, cluster = play(answer=503)
    assert code == 1
    assert "503 Invalid HTTP Response: 503" in printed
    assert cleaned_up(cluster)


OTHER = """\
    team:
      cluster: local-a
      access:
        developers: {users: [alice]}
      repositories: [https://git.example.com/team/site]
"""


def test_another_tenant_of_the_stack_can_be_named(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "STACK_FILE", STACK_FILE + OTHER)
    code, printed, cluster = play(name="team")
    assert code == 0, printed
    assert "tenant team: user alice, cluster local-a" in printed
    [event] = cluster.received  # type: ignore[attr-defined]
    assert event.path == "/tenants/team"
    assert json.loads(event.body)["repository"]["html_url"] == "https://git.example.com/team/site"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("teem", r'settings have no tenant `teem`: .*did you mean "team"\?'),
        ("plain", r"tenants\.plain\.repositories: empty"),
        ("new", r"output `tenants` has no tenant `new` yet: run `make up`"),
    ],
)
def test_a_tenant_that_is_not_there_or_has_no_repository_is_told(
    play: Play, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    without = OTHER.partition("      repositories")[0]
    more = OTHER + without.replace("team", "plain") + without.replace("team", "new")
    monkeypatch.setitem(globals(), "STACK_FILE", STACK_FILE + more)
    with pytest.raises(LocalError, match=words) as caught:
        play(name=name)
    assert "\n" not in str(caught.value)


GATEWAY = STACK_FILE[
    STACK_FILE.index("  pipeline-service:gateway") : STACK_FILE.index("  pipeline-service:tenants")
]
PIPELINES_AS_CODE = STACK_FILE[
    STACK_FILE.index("  pipeline-service:pipelinesAsCode") : STACK_FILE.index("  pipeline-service:gateway")
]


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ((GATEWAY, PIPELINES_AS_CODE), "pipelinesAsCode.enabled: false"),
        (("      repositories: [https://git.example.com/demo/app]\n",), "repositories: empty"),
        ((f'    providerUrls: ["{PROVIDER_API}"]\n',), f"providerUrls: has no {PROVIDER_API}"),
    ],
)
def test_what_is_missing_is_one_line_that_says_how_to_mend_it(
    play: Play, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], words: str
) -> None:
    left = STACK_FILE
    for part in missing:
        assert part in left
        left = left.replace(part, "")
    monkeypatch.setitem(globals(), "STACK_FILE", left)
    with pytest.raises(LocalError, match=words) as caught:
        play()
    assert "\n" not in str(caught.value)


def test_a_stack_without_a_gateway_is_told(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "STACK_FILE", STACK_FILE.replace(GATEWAY, ""))
    with pytest.raises(LocalError, match="there is no gateway: name a cluster"):
        play(events_url=None)
