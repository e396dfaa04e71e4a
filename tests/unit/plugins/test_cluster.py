"""Requests to API servers that misbehave in ways a real one does only now and then."""

from __future__ import annotations

import http.server
import json
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from local.plugins.kubernetes import operations
from local.plugins.kubernetes.client import ApiError, UnreachableError
from local.plugins.kubernetes.cluster import Cluster, NoSuchKindError
from local.plugins.kubernetes.objects import Kind
from local.plugins.kubernetes.settings import Settings
from local.plugins.protocol.errors import ProviderError
from local.plugins.protocol.lifetime import Lifetime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONFIG_MAP = Kind("v1", "ConfigMap")
DISCOVERY = {"resources": [{"name": "configmaps", "kind": "ConfigMap", "namespaced": True}]}
OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}}

Answer = tuple[int, dict[str, Any]]


def status(code: int, reason: str = "", message: str = "no") -> Answer:
    return code, {"kind": "Status", "reason": reason, "message": message}


class ScriptedServer:
    """Answers each path with what is scripted for it, one after the other; the last answer stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[str] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                key = f"{self.command} {self.path.partition('?')[0]}"
                server.requests.append(key)
                script = server.answers.get(key, [status(404, "NotFound", f"no script for {key}")])
                code, body = script.pop(0) if len(script) > 1 else script[0]
                data = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                del format, args

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def cluster(self, path: str = "", *, skip: bool = False, drop: bool = False) -> Cluster:
        kubeconfig = {
            "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "x"}}],
            "clusters": [
                {"name": "x", "cluster": {"server": f"http://127.0.0.1:{self.http.server_port}{path}"}}
            ],
        }
        lifetime = Lifetime("127.0.0.1:1", os.getppid())
        settings = Settings(
            kubeconfig=json.dumps(kubeconfig), skip_update_unreachable=skip, delete_unreachable=drop
        )
        return Cluster(settings, lifetime)


class SilentReporter:
    """Takes messages and shows none."""

    def __init__(self) -> None:
        self.statuses: list[str] = []
        self.secrets: tuple[str, ...] = ()

    def status(self, message: str) -> None:
        self.statuses.append(message)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    yield scripted
    scripted.http.shutdown()
    scripted.http.server_close()


def create(cluster: Cluster, *, dry_run: bool = False) -> tuple[dict[str, Any], list[str]]:
    reporter: Any = SilentReporter()
    return operations.create(
        cluster, operations.Creation(obj=OBJECT, dry_run=dry_run), reporter
    ), reporter.statuses


def test_kind_is_asked_for_once(server: ScriptedServer) -> None:
    server.answers["GET /api/v1"] = [(200, DISCOVERY)]
    cluster = server.cluster()
    assert cluster.resource(CONFIG_MAP).path("n", "a") == "/api/v1/namespaces/n/configmaps/a"
    assert cluster.scope(CONFIG_MAP) == cluster.resource(CONFIG_MAP)
    assert server.requests == ["GET /api/v1"]


def test_kind_that_is_not_served_is_asked_for_again(server: ScriptedServer) -> None:
    server.answers["GET /api/v1"] = [(200, {"resources": []}), (200, DISCOVERY)]
    cluster = server.cluster()
    with pytest.raises(NoSuchKindError, match="v1/ConfigMap"):
        cluster.resource(CONFIG_MAP)
    assert cluster.scope(CONFIG_MAP) is not None


def test_scope_of_many_kinds_costs_one_probe_of_a_server_that_is_down(server: ScriptedServer) -> None:
    server.answers["GET /version"] = [status(503)]
    cluster = server.cluster()
    assert [cluster.scope(Kind("v1", name)) for name in ("ConfigMap", "Secret", "Pod")] == [None] * 3
    assert server.requests == ["GET /version"]


def test_namespace_that_is_being_created_is_waited_for(server: ScriptedServer) -> None:
    server.answers["GET /api/v1"] = [(200, DISCOVERY)]
    path = "POST /api/v1/namespaces/n/configmaps"
    server.answers[path] = [status(404, "NotFound", 'namespaces "n" not found'), (201, OBJECT)]
    created, statuses = create(server.cluster())
    assert created == OBJECT
    assert statuses == ['trying again: namespaces "n" not found']


def test_workspace_that_is_being_created_is_waited_for(server: ScriptedServer) -> None:
    base = "/clusters/root:team"
    server.answers[f"GET {base}/api/v1"] = [status(403, "Forbidden", "access denied"), (200, DISCOVERY)]
    path = f"POST {base}/api/v1/namespaces/n/configmaps"
    server.answers[path] = [status(403, "Forbidden", "not yet"), (201, OBJECT)]
    assert create(server.cluster(base))[0] == OBJECT
    assert server.requests.count(path) == 2


def test_missing_right_on_a_cluster_fails_at_once(server: ScriptedServer) -> None:
    server.answers["GET /api/v1"] = [(200, DISCOVERY)]
    path = "POST /api/v1/namespaces/n/configmaps"
    server.answers[path] = [status(403, "Forbidden", "eve may not")]
    with pytest.raises(ApiError, match="eve may not"):
        create(server.cluster())
    assert server.requests.count(path) == 1


@pytest.mark.parametrize(
    "answer", [status(404, "NotFound"), status(403, "Forbidden"), status(409, "AlreadyExists")]
)
def test_preview_is_content_with_what_is_not_there_yet(server: ScriptedServer, answer: Answer) -> None:
    server.answers["GET /api/v1"] = [(200, DISCOVERY)]
    server.answers["POST /api/v1/namespaces/n/configmaps"] = [answer]
    with pytest.raises(operations.PreviewImpossibleError):
        create(server.cluster(), dry_run=True)


def test_preview_reports_what_the_server_finds_wrong(server: ScriptedServer) -> None:
    server.answers["GET /api/v1"] = [(200, DISCOVERY)]
    server.answers["POST /api/v1/namespaces/n/configmaps"] = [status(422, "Invalid", "data: Invalid value")]
    with pytest.raises(ApiError, match="Invalid value"):
        create(server.cluster(), dry_run=True)


def test_overload_is_waited_out(server: ScriptedServer) -> None:
    server.answers["GET /api/v1"] = [(200, DISCOVERY)]
    server.answers["POST /api/v1/namespaces/n/configmaps"] = [status(429), status(503), (201, OBJECT)]
    assert create(server.cluster())[0] == OBJECT


def test_any_answer_shows_that_a_server_is_there(server: ScriptedServer) -> None:
    server.answers["GET /version"] = [status(403, "Forbidden")]
    assert server.cluster().unreachable(patient=False) is None


def test_unaccepted_credential_counts_as_unreachable(server: ScriptedServer) -> None:
    server.answers["GET /version"] = [status(401, "Unauthorized")]
    error = server.cluster().unreachable(patient=True)
    assert error is not None
    assert "401" in str(error)
    assert server.requests == ["GET /version"]  # no use in trying again


def test_unreachable_server_is_not_tried_again_for_a_while(server: ScriptedServer) -> None:
    server.answers["GET /version"] = [status(503)]
    cluster = server.cluster()
    assert cluster.unreachable(patient=False) is not None
    assert cluster.unreachable(patient=False) is not None
    assert server.requests == ["GET /version"]


@pytest.mark.parametrize(("skip", "drop"), [(True, False), (False, True)])
def test_there_is_no_patience_with_a_cluster_declared_unreachable(
    server: ScriptedServer, *, skip: bool, drop: bool
) -> None:
    server.answers["GET /version"] = [status(503)]
    assert server.cluster(skip=skip, drop=drop).unreachable(patient=True) is not None
    assert server.requests == ["GET /version"]


def test_starting_server_is_given_time(server: ScriptedServer) -> None:
    server.answers["GET /version"] = [status(503), status(503), (200, {})]
    assert server.cluster().unreachable(patient=True) is None


def test_refused_connection_is_told_with_the_address(server: ScriptedServer) -> None:
    cluster = server.cluster()
    server.http.shutdown()
    server.http.server_close()
    error = cluster.unreachable(patient=False)
    assert isinstance(error, UnreachableError)
    assert str(server.http.server_port) in str(error)
    assert "refused" in str(error)


def test_answer_that_is_no_json_is_an_error(server: ScriptedServer) -> None:
    server.answers["GET /api/v1"] = [(502, {"proxy": "in between"})]
    with pytest.raises(ApiError, match="proxy") as caught:
        server.cluster().resource(CONFIG_MAP)
    assert caught.value.status == 502


def delete(cluster: Cluster, **metadata: Any) -> None:  # noqa: ANN401
    reporter: Any = SilentReporter()
    live = {**OBJECT, "metadata": {**OBJECT["metadata"], **metadata}}  # type: ignore[dict-item]
    lifetime = Lifetime("127.0.0.1:1", os.getppid())
    operations.delete(cluster, live, live, requested=1, reporter=reporter, lifetime=lifetime)


def gone(server: ScriptedServer, answer: Answer) -> Callable[[], None]:
    server.answers["GET /api/v1"] = [(200, DISCOVERY)]
    server.answers["DELETE /api/v1/namespaces/n/configmaps/a"] = [answer]
    return lambda: delete(server.cluster())


def test_deleting_what_is_gone_is_no_error(server: ScriptedServer) -> None:
    gone(server, status(404, "NotFound"))()


def test_deleting_an_object_whose_kind_is_gone_is_no_error(server: ScriptedServer) -> None:
    server.answers["GET /api/v1"] = [(200, {"resources": []})]
    delete(server.cluster())


def test_deleting_in_a_workspace_that_hides_itself_is_an_error(server: ScriptedServer) -> None:
    server.answers["GET /clusters/root:team/api/v1"] = [status(403, "Forbidden", "access denied")]
    with pytest.raises(ProviderError, match="access denied"):
        delete(server.cluster("/clusters/root:team"))


def test_object_of_the_same_name_made_meanwhile_does_not_hold_the_deletion(server: ScriptedServer) -> None:
    remove = gone(server, (200, {**OBJECT, "metadata": {"uid": "old"}}))
    server.answers["GET /api/v1/namespaces/n/configmaps/a"] = [(200, {**OBJECT, "metadata": {"uid": "new"}})]
    remove()
