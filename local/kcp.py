"""kcp of the embedded environment: one process with embedded etcd, in a network namespace of its own."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import yaml

from local.commands import run
from local.errors import LocalError
from local.network import Host
from local.pki import Authority, Identity, kubeconfig
from local.processes import Daemon, assert_running, start, wait_until
from local.toolchain.build import Toolchain
from local.toolchain.catalog import KCP, KUBERNETES
from releases.files import write_atomic

_START_SECONDS = 180.0


@dataclass(frozen=True, kw_only=True)
class Kcp:
    """The kcp server.

    Parameters
    ----------
    owner
        The checkout it belongs to (`Layout.identity`).
    folder
        Its folder; kcp writes ``admin.kubeconfig`` there.
    address
        IPv4 address it serves on.
    host
        Its network namespace; None where it runs on the machine's own loopback.
    toolchain
        The programs.
    port
        TCP port of its API.
    etcd_ports
        TCP ports of the embedded etcd (clients, peers) on loopback.
    """

    owner: str
    folder: Path
    address: str
    host: Host | None
    toolchain: Toolchain
    port: int
    etcd_ports: tuple[int, int]

    @property
    def server(self) -> str:
        """URL of kcp without a workspace path."""
        return f"https://{self.address}:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of its administrator."""
        return self.folder / "admin.kubeconfig"

    def authority(self) -> Authority:
        """Return the authority whose client certificates kcp accepts as users."""
        return Authority(self.folder / "users-pki")

    def daemon(self) -> Daemon:
        """Return the server's process."""
        program = str(self.toolchain.program(KCP, "kcp"))
        clients = self.authority().pair.certificate
        client_port, peer_port = self.etcd_ports
        command = (
            program,
            "start",
            f"--root-directory={self.folder}",
            f"--bind-address={self.address}",
            f"--secure-port={self.port}",
            f"--external-hostname={self.address}",
            f"--client-ca-file={clients}",
            f"--embedded-etcd-client-port={client_port}",
            f"--embedded-etcd-peer-port={peer_port}",
            "--profiling=false",
        )
        return Daemon(
            owner=self.owner,
            name="kcp/kcp",
            command=self.host.enter(*command) if self.host else command,
            log=self.folder / "log" / "kcp.log",
            inputs=(clients,),
        )

    def kubectl(self, *arguments: str, seconds: float = 60) -> str:
        """Run kubectl as the administrator of the root workspace and return the output."""
        program = str(self.toolchain.program(KUBERNETES, "kubectl"))
        return run(
            [program, f"--kubeconfig={self.kubeconfig}", *arguments],
            what=f"kcp: kubectl {arguments[0]}",
            environment={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder)},
            seconds=seconds,
        )

    def ready(self) -> bool:
        """Return whether kcp serves its root workspace to its administrator.

        ``/readyz`` alone can be ok before kcp's own RBAC objects are there, so a listing must succeed too.
        """
        if not self.kubeconfig.exists():
            return False
        try:
            self.kubectl("get", "--raw=/readyz", seconds=10)
            self.kubectl("get", "workspacetypes.tenancy.kcp.io", "universal", seconds=10)
        except LocalError:
            return False
        return True


def start_kcp(kcp: Kcp) -> bool:
    """Start kcp where it does not run, and wait until it serves; returns whether it was started."""
    kcp.folder.mkdir(parents=True, exist_ok=True)
    kcp.folder.chmod(0o700)
    daemon = kcp.daemon()
    started = start(daemon)
    if not wait_until(kcp.ready, seconds=_START_SECONDS, interval=1.0):
        assert_running(daemon)
        raise LocalError(
            f"kcp does not serve its root workspace after {_START_SECONDS:.0f} s: see {daemon.log}"
        )
    kcp.kubeconfig.chmod(0o600)
    return started


def write_user(kcp: Kcp, user: str, path: Path) -> None:
    """Write a kubeconfig for ``user`` at kcp, without a workspace path in its server."""
    administrator = yaml.safe_load(kcp.kubeconfig.read_text())
    cluster = next(
        c["cluster"] for c in administrator["clusters"] if urlsplit(c["cluster"]["server"]).path == ""
    )
    pair = kcp.authority().issue(f"user-{quote(user, safe='@')}", Identity(common_name=user))
    content = kubeconfig(
        server=kcp.server,
        authority=base64.b64decode(cluster["certificate-authority-data"]),
        user=user,
        credential=pair.credential,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    write_atomic(path, content, mode=0o600)
