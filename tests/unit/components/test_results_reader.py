"""The reader of results, over real HTTP, before servers that say what kcp, a cluster and Results say."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import subprocess
import sys
import threading
import urllib.parse
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from components.names import KCP_NAMESPACE_NAME, SUSPENDED, WORKSPACE_PATH, tenant_namespace
from components.results_lookup import Reader, Server, route, trusting
from components.results_manifests import program
from components.results_reader import Front
from local.pki import Authority, Identity, KeyPair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKSPACE = "root:service:tenants:a"
HOME = tenant_namespace(WORKSPACE, "default")
RUN = f"/clusters/{WORKSPACE}/namespaces/default/pipelineruns/build"
BEGUN = "2026-05-01T00:00:00Z"
ACCOUNT = "the-readers-own-token"
ALICE = "token-of-alice"
OK, NO_TOKEN, NOT_FOUND, NO_ANSWER = 200, 401, 404, 502


def pipeline_run(
    name: str = "build", uid: str = "u1", created: str = "2026-05-02T00:00:00Z"
) -> dict[str, Any]:
    return {
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {
            "name": name,
            "namespace": HOME,
            "uid": uid,
            "creationTimestamp": created,
            "managedFields": [{"manager": "somebody"}],
        },
    }


def task_run(name: str, uid: str, owner: str = "u1") -> dict[str, Any]:
    made = pipeline_run(name, uid)
    made["kind"] = "TaskRun"
    made["metadata"] |= {
        "ownerReferences": [{"kind": "PipelineRun", "uid": owner}],
        "labels": {"tekton.dev/pipelineTask": name.removeprefix("build-")},
    }
    return made


@dataclass
class World:
    """What the three servers say, and what they were asked."""

    allowed: set[tuple[str, str, str, str]] = field(
        default_factory=lambda: {(ALICE, WORKSPACE, "default", "build")}
    )
    known: set[str] = field(default_factory=lambda: {ALICE, "token-of-bob"})
    namespace: dict[str, Any] | None = field(
        default_factory=lambda: {
            "metadata": {
                "name": HOME,
                "creationTimestamp": BEGUN,
                "annotations": {WORKSPACE_PATH: WORKSPACE, KCP_NAMESPACE_NAME: "default"},
            }
        }
    )
    records: list[tuple[str, dict[str, Any]]] = field(
        default_factory=lambda: [
            ("r1", pipeline_run()),
            ("r1", task_run("build-compile", "t1")),
            ("r1", task_run("build-test", "t2")),
            ("r1", task_run("other-task", "t3", owner="u9")),
        ]
    )
    logs: dict[str, str] = field(default_factory=lambda: {"t1": "compiling\n"})
    broken: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    page: int = 2

    def answer(self, path: str, token: str, body: Any) -> tuple[int, Any]:  # noqa: ANN401 -- JSON
        url = urllib.parse.urlsplit(path)
        self.asked.append((url.path, token))
        if url.path.startswith("/clusters/"):
            return self._kcp(url.path.split("/")[2], token, body)
        assert token == ACCOUNT, "only kcp gets to see a user's token"
        if url.path.startswith("/api/v1/namespaces/"):
            if "cluster" in self.broken:
                return 500, {}
            mine = self.namespace is not None and url.path == f"/api/v1/namespaces/{HOME}"
            return (OK, self.namespace) if mine else (403, {})
        if "results" in self.broken:
            return 503, {}
        parts = url.path.removeprefix("/apis/results.tekton.dev/v1alpha2/parents/").split("/")
        assert parts[:2] == [HOME, "results"], "nothing else is ever asked for"
        if parts[3] == "logs":
            return (OK, self.logs[parts[4]]) if parts[4] in self.logs else (NOT_FOUND, {})
        return OK, self._records(parts[2], dict(urllib.parse.parse_qsl(url.query)))

    def _kcp(self, workspace: str, token: str, body: Any) -> tuple[int, Any]:  # noqa: ANN401 -- JSON
        if "kcp" in self.broken:
            return 500, {}
        if token not in self.known:
            return NO_TOKEN, {}
        wanted = body["spec"]["resourceAttributes"]
        assert (wanted["group"], wanted["resource"], wanted["verb"]) == ("tekton.dev", "pipelineruns", "get")
        if workspace != WORKSPACE:
            return 403, {}
        asked = (token, workspace, wanted["namespace"], wanted["name"])
        return 201, {"status": {"allowed": asked in self.allowed}}

    def _records(self, result: str, query: dict[str, str]) -> dict[str, Any]:
        kind = "PipelineRun" if "PipelineRun" in query["filter"] else "TaskRun"
        found = [
            {
                "name": f"{HOME}/results/{of}/records/{one['metadata']['uid']}",
                "data": {
                    "type": f"tekton.dev/v1.{one['kind']}",
                    "value": base64.b64encode(json.dumps(one).encode()).decode(),
                },
            }
            for of, one in self.records
            if result in ("-", of) and one["kind"] == kind
        ]
        start = int(query.get("page_token") or 0)
        more = {"next_page_token": str(start + self.page)} if len(found) > start + self.page else {}
        return {"records": found[start : start + self.page], **more}


class _Handler(BaseHTTPRequestHandler):
    world: World

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: Any) -> None:  # noqa: ANN401 -- JSON
        token = self.headers["Authorization"].removeprefix("Bearer ")
        status, content = self.world.answer(self.path, token, body)
        text = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 -- the base class's name
        pass


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def own(pair: KeyPair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


@dataclass(frozen=True)
class Place:
    """The reader, running."""

    world: World
    port: int
    authority: Path

    def ask(
        self, path: str = RUN, token: str | None = ALICE, method: str = "GET", header: str | None = None
    ) -> tuple[int, str]:
        context = ssl.create_default_context(cafile=str(self.authority))
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=10, context=context)
        value = header if header is not None else f"Bearer {token}"
        connection.request(method, path, headers={} if token is None else {"Authorization": value})
        with connection.getresponse() as answer:
            return answer.status, answer.read().decode()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeyPair, KeyPair]:
    authority = Authority(tmp_path_factory.mktemp("pki"))
    return authority.pair, authority.issue("all", Identity(common_name="all", names=("localhost",)))


@pytest.fixture
def place(pair: tuple[KeyPair, KeyPair], tmp_path: Path) -> Iterator[Place]:
    authority, server = pair
    world = World()
    account = tmp_path / "token"
    account.write_text(f"{ACCOUNT}\n")
    fake = ThreadingHTTPServer(("127.0.0.1", 0), type("_Of", (_Handler,), {"world": world}))
    fake.socket = own(server).wrap_socket(fake.socket, server_side=True)
    with serving(fake) as port:
        one = Server(f"https://localhost:{port}", trusting(authority.certificate))
        front = Front(0, Reader(kcp=one, cluster=one, results=one, account=account), own(server))
        with serving(front) as at:
            yield Place(world, at, authority.certificate)


def test_a_user_who_may_get_the_run_reads_it_and_its_task_runs_and_logs(place: Place) -> None:
    status, text = place.ask()
    assert status == OK
    # As kcp knows it, not as the cluster does.
    assert json.loads(text)["metadata"]["namespace"] == "default"
    assert "managedFields" not in text
    status, text = place.ask(f"{RUN}/taskruns")
    assert [one["metadata"]["name"] for one in json.loads(text)["items"]] == ["build-compile", "build-test"]
    assert place.ask(f"{RUN}/logs") == (
        OK,
        "==> task compile (build-compile)\ncompiling\n==> task test (build-test)\n(no log is kept)\n",
    )


@pytest.mark.parametrize("what", ["", "/taskruns", "/logs"])
def test_what_may_not_be_seen_is_answered_as_what_there_is_not(place: Place, what: str) -> None:
    unknown = place.ask(f"{RUN.removesuffix('build')}unknown{what}")
    assert unknown[0] == NOT_FOUND
    assert place.ask(RUN + what, token="token-of-bob") == unknown
    assert place.ask(RUN.replace("tenants:a", "tenants:b") + what) == unknown
    # Allowed, and never run.
    place.world.allowed.add((ALICE, WORKSPACE, "default", "never"))
    assert place.ask(f"{RUN.removesuffix('build')}never{what}") == unknown
    place.world.allowed.clear()
    assert place.ask(RUN + what) == unknown


def test_nobody_is_asked_for_whom_kcp_does_not_let_in(place: Place) -> None:
    place.ask(token="token-of-bob")
    assert place.world.asked == [
        (f"/clusters/{WORKSPACE}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "token-of-bob")
    ]


@pytest.mark.parametrize(
    "header", ["", "Basic YTpi", "Bearer", "Bearer a b", "Bearer a\tb", f"Bearer {'a' * 20_000}"]
)
def test_without_a_token_nobody_is_asked(place: Place, header: str) -> None:
    assert place.ask(header=header)[0] == NO_TOKEN
    assert place.ask(token=None)[0] == NO_TOKEN
    assert place.world.asked == []


def test_a_token_that_kcp_does_not_know_is_told_so(place: Place) -> None:
    assert place.ask(token="made-up")[0] == NO_TOKEN


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/clusters/*/namespaces/default/pipelineruns/build",
        f"{RUN}/",
        f"{RUN}/pods",
        f"{RUN}%22",
        f'{RUN}"||true',
        RUN.replace("default", "..%2f"),
        RUN.replace("default", ".."),
        RUN.replace("default", "De"),
        RUN.replace(":a/", ":a:/"),
        RUN.replace("root", "-root"),
        RUN.replace("build", "a" * 3_000),
    ],
)
def test_a_path_that_is_none_of_those_there_are_reaches_nobody(place: Place, path: str) -> None:
    assert route(path.partition("?")[0]) is None
    assert place.ask(path)[0] == NOT_FOUND
    assert place.world.asked == []


def test_a_query_changes_nothing(place: Place) -> None:
    assert place.ask(f"{RUN}?filter=true&parent=-") == place.ask()


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_nothing_can_be_changed(place: Place, method: str) -> None:
    assert place.ask(method=method)[0] == 501
    assert place.world.asked == []


@pytest.mark.parametrize("change", ["gone", "another workspace's", "another namespace's", "suspended"])
def test_a_namespace_that_is_not_the_tenants_is_none(place: Place, change: str) -> None:
    there = place.world.namespace
    assert there is not None
    if change == "gone":
        place.world.namespace = None
    elif change == "another workspace's":
        there["metadata"]["annotations"][WORKSPACE_PATH] = "root:service:tenants:b"
    elif change == "another namespace's":
        there["metadata"]["annotations"][KCP_NAMESPACE_NAME] = "ci"
    else:
        there["metadata"]["labels"] = {SUSPENDED: "true"}
    assert place.ask()[0] == NOT_FOUND
    assert not [path for path, _ in place.world.asked if "results.tekton.dev" in path]


def test_what_an_earlier_tenant_of_the_path_left_is_not_shown(place: Place) -> None:
    place.world.records = [("r0", pipeline_run(uid="u0", created="2026-04-30T23:59:59Z"))]
    assert place.ask()[0] == NOT_FOUND


def test_of_runs_with_one_name_the_newest_is_shown(place: Place) -> None:
    place.world.records += [
        ("r2", pipeline_run(uid="u2", created="2026-05-04T00:00:00Z")),
        ("r3", pipeline_run(uid="u3", created="2026-05-03T00:00:00Z")),
        ("r2", task_run("build-new", "t9", owner="u2")),
    ]
    assert json.loads(place.ask()[1])["metadata"]["uid"] == "u2"
    names = [one["metadata"]["name"] for one in json.loads(place.ask(f"{RUN}/taskruns")[1])["items"]]
    assert names == ["build-new"]


def test_what_was_recorded_of_another_namespace_is_not_shown(place: Place) -> None:
    forged = pipeline_run(uid="u2", created="2026-05-04T00:00:00Z")
    forged["metadata"]["namespace"] = "somebody-elses"
    place.world.records.append(("r1", forged))
    assert json.loads(place.ask()[1])["metadata"]["uid"] == "u1"


@pytest.mark.parametrize("what", ["kcp", "cluster", "results"])
def test_where_there_is_no_answer_it_is_said_so_and_no_run_is_denied(
    place: Place, what: str, capfd: pytest.CaptureFixture[str]
) -> None:
    place.world.broken.add(what)
    assert place.ask(f"{RUN}/logs")[0] == NO_ANSWER
    said = capfd.readouterr()
    assert ALICE not in said.out + said.err
    assert ACCOUNT not in said.out + said.err


def test_each_request_is_told_without_its_token(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.ask(f"{RUN}/logs?token={ALICE}")
    place.ask(token="token-of-bob")
    said = capfd.readouterr().out
    assert f"200 {WORKSPACE} default build logs " in said
    assert f"404 {WORKSPACE} default build run " in said
    assert "token" not in said


def test_many_ask_at_once_and_who_never_begins_holds_up_nobody(place: Place) -> None:
    idle = [http.client.HTTPConnection("localhost", place.port) for _ in range(20)]
    for one in idle:
        one.connect()
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(place.ask()[0])) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in idle:
        one.close()
    assert answers == [OK] * 20


def test_the_mounted_program_starts_with_the_standard_library_alone(tmp_path: Path) -> None:
    for path, text in program().items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    command = [sys.executable, "-I", "-S", "-B", str(tmp_path), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--results" in done.stdout
