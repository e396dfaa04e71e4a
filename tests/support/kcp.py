"""A real kcp for tests, with embedded etcd, on loopback."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from components.kcp_workspace import UNIVERSAL, workspace
from tests.support.apiserver import require_binaries
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

START_SECONDS = 240.0
STOP_SECONDS = 30.0
STARTS = 3
READY_SECONDS = 60
KUBECTL_SECONDS = 120
NO_GROUPS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass
class KcpServer:
    """A running kcp.

    Attributes
    ----------
    directory : Path
        Its files and log.
    server : str
        Its URL, without a workspace.
    """

    directory: Path
    server: str

    def _admin(self) -> dict[str, Any]:
        # kcp makes the file before it writes it: an empty one has no keys yet, which _ready waits for.
        return dict(yaml.safe_load((self.directory / "admin.kubeconfig").read_text()) or {})

    def kubeconfig(self, workspace: str) -> str:
        """Return a kubeconfig of the administrator for a workspace, which need not exist yet."""
        document = self._admin()
        entry = document["clusters"][0]
        entry["cluster"]["server"] = f"{self.server}/clusters/{workspace}"
        user = next(item for item in document["users"] if item["name"] == "kcp-admin")
        context = {"name": "test", "context": {"cluster": entry["name"], "user": user["name"]}}
        config = {"clusters": [entry], "users": [user], "contexts": [context], "current-context": "test"}
        return json.dumps({"apiVersion": "v1", "kind": "Config", **config})

    def get(self, workspace: str, path: str) -> tuple[int, dict[str, Any]]:
        """Return status and JSON answer of a request as administrator."""
        return self._request("GET", workspace, path)

    def _request(
        self, method: str, workspace: str, path: str, body: object = None
    ) -> tuple[int, dict[str, Any]]:
        document = yaml.safe_load(self.kubeconfig(workspace))
        authority = base64.b64decode(
            document["clusters"][0]["cluster"]["certificate-authority-data"]
        ).decode()
        tls = ssl.create_default_context(cadata=authority)
        tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
        host, port = self.server.removeprefix("https://").split(":")
        connection = http.client.HTTPSConnection(host, int(port), context=tls, timeout=30)
        headers = {
            "Authorization": f"Bearer {document['users'][0]['user']['token']}",
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        with contextlib.closing(connection):
            data = None if body is None else json.dumps(body)
            connection.request(method, f"/clusters/{workspace}{path}", data, headers)
            response = connection.getresponse()
            text = response.read()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, {"message": text.decode(errors="replace")}

    def _ready(self) -> bool:
        """Tell whether a workspace could be made: /readyz can be ok, and its type be there, before that."""
        spec = {"type": {"name": "universal", "path": "root"}}
        probe = {
            "apiVersion": "tenancy.kcp.io/v1alpha1",
            "kind": "Workspace",
            "metadata": {"name": "probe"},
            "spec": spec,
        }
        path = "/apis/tenancy.kcp.io/v1alpha1/workspaces?dryRun=All"
        try:
            made = self._request("POST", "root", path, probe)[0] == 201
            return made and self.get("root", "/openapi/v3")[0] == 200
        except (
            OSError,
            http.client.HTTPException,
            KeyError,
            StopIteration,
        ):  # nothing listens yet, or the kubeconfig is not written yet
            return False


class KcpClient:
    """Kubectl against a kcp, as its administrator or one of its users.

    Parameters
    ----------
    server : KcpServer
        The kcp.
    folder : Path
        For kubeconfigs.
    users : sequence of str
        The users beside the administrator, as `kcp_server` was given them.
    """

    def __init__(self, server: KcpServer, folder: Path, users: Sequence[str]) -> None:
        self.server = server
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(server.kubeconfig("root"))
        for name in users:
            self.add_user(name, f"{name}-token")

    def add_user(self, name: str, token: str) -> None:
        """Know a user, or a service account, by its token."""
        document = json.loads(self.server.kubeconfig("root"))
        document["users"][0]["user"] = {"token": token}
        (self.folder / name).write_text(json.dumps(document))

    def kubectl(
        self, path: str, *arguments: str, stdin: str = "", user: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl in a workspace."""
        # Not by impersonation: kcp confines an impersonated user to the workspace of the request.
        kubeconfig = self.kubeconfig if user is None else self.folder / user
        address = f"--server={self.server.server}/clusters/{path}"
        return subprocess.run(
            ["kubectl", f"--kubeconfig={kubeconfig}", address, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=KUBECTL_SECONDS,
        )

    def run(self, path: str, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as administrator, which must succeed; return its output."""
        result = self.kubectl(path, *arguments, stdin=stdin)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def apply(self, path: str, *manifests: dict[str, Any]) -> None:
        """Apply objects as administrator."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.run(path, "apply", "--server-side", "--filename=-", stdin=json.dumps(items))

    def make_workspaces(self, *names: str) -> None:
        """Make workspaces below the root and wait until they are ready."""
        for name in names:
            wanted = json.dumps(workspace(name, UNIVERSAL, "test"))
            deadline = time.monotonic() + READY_SECONDS
            # kcp can serve a workspace's type before its admission knows of it.
            while (
                made := self.kubectl("root", "apply", "--server-side", "--filename=-", stdin=wanted)
            ).returncode and time.monotonic() < deadline:
                time.sleep(1)
            assert made.returncode == 0, made.stderr
        for name in names:
            phase = "--for=jsonpath={.status.phase}=Ready"
            self.run("root", "wait", f"workspace/{name}", phase, f"--timeout={READY_SECONDS}s")


@contextlib.contextmanager
def kcp_server(
    directory: Path, users: Sequence[str] = (), groups: Mapping[str, str] = NO_GROUPS
) -> Iterator[KcpServer]:
    """Run a kcp.

    Parameters
    ----------
    directory : Path
        For its files and log.
    users : sequence of str
        Users beside the administrator; the token of each is its name with "-token".
    groups : mapping of str to str
        The group of those of them that are in one.

    Yields
    ------
    KcpServer
        Ready to use; stopped afterwards.
    """
    require_binaries("kcp")
    port = free_port()
    server = KcpServer(directory, f"https://127.0.0.1:{port}")
    log = directory / "kcp.log"
    tokens = directory / "tokens.csv"
    tokens.write_text("".join(f"{user}-token,{user},{user},{groups.get(user, '')}\n" for user in users))

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                [
                    "kcp",
                    "start",
                    f"--root-directory={directory}",
                    "--bind-address=127.0.0.1",
                    f"--secure-port={port}",
                    "--external-hostname=127.0.0.1",
                    f"--embedded-etcd-client-port={etcd_port}",
                    f"--embedded-etcd-peer-port={etcd_peer_port}",
                    *([f"--token-auth-file={tokens}"] if users else []),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # For its data races, as in the embedded environment (docs/adr/0004-embedded-environment.md).
                env={**os.environ, "GOMAXPROCS": "1"},
            )

    etcd_port, etcd_peer_port = free_port(), free_port()
    process = start()
    starts = 1
    try:
        deadline = time.monotonic() + START_SECONDS
        while not server._ready():
            # Two threads of kcp 0.28.1 write one map when it first describes its API, and now and then it
            # dies of that: it is started again, as the embedded environment does.
            died = process.poll() is not None
            if (died and starts == STARTS) or time.monotonic() > deadline:
                pytest.fail(f"kcp did not become ready: {log.read_text(errors='replace')[-2000:]}")
            if died:
                process = start()
                starts += 1
            time.sleep(0.5)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
