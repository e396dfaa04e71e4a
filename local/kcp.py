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

READY = (("--raw=/readyz",), ("workspacetypes.tenancy.kcp.io", "universal"))
"""What kcp's administrator can get of the root workspace once it serves.

``/readyz`` alone can be ok before kcp's own RBAC objects are there, so a listing must succeed too.
"""

_START_SECONDS = 180.0
_ADMINISTRATOR = Identity(common_name="kcp-admin", groups=("system:kcp:admin",))


@dataclass(frozen=True, kw_only=True)
class Kcp:
    """The kcp server.

    Parameters
    ----------
    owner
        The checkout it belongs to (`Layout.identity`).
    folder
        Its folder.
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
        """Kubeconfig of its administrator, by a client certificate.

        kcp makes another token for its administrator at each start: one would be void after a restart.
        """
        return self.folder / "admin.kubeconfig"

    @property
    def own_kubeconfig(self) -> Path:
        """Kubeconfig that kcp itself writes at each start."""
        return self.folder / "kcp.kubeconfig"

    def certificate_authority(self) -> bytes | None:
        """Return the authority of its serving certificate (PEM); None until it has written its kubeconfig."""
        # kcp makes the file before it writes it.
        text = self.own_kubeconfig.read_text() if self.own_kubeconfig.exists() else ""
        for entry in (yaml.safe_load(text) or {}).get("clusters", []):
            if urlsplit(entry["cluster"]["server"]).path == "":
                return base64.b64decode(entry["cluster"]["certificate-authority-data"])
        return None

    @property
    def tokens(self) -> Path:
        """Users' bearer tokens beside their certificates (`token,user,uid`), where somebody puts it."""
        return self.folder / "tokens.csv"

    def authority(self) -> Authority:
        """Return the authority whose client certificates kcp accepts as users."""
        return Authority(self.folder / "users-pki")

    def daemon(self) -> Daemon:
        """Return the server's process."""
        program = str(self.toolchain.program(KCP, "kcp"))
        clients = self.authority().pair.certificate
        client_port, peer_port = self.etcd_ports
        tokens = (self.tokens,) if self.tokens.exists() else ()
        command = (
            program,
            "start",
            f"--root-directory={self.folder}",
            f"--kubeconfig-path={self.own_kubeconfig}",
            f"--bind-address={self.address}",
            f"--secure-port={self.port}",
            f"--external-hostname={self.address}",
            f"--client-ca-file={clients}",
            f"--embedded-etcd-client-port={client_port}",
            f"--embedded-etcd-peer-port={peer_port}",
            "--profiling=false",
            *(f"--token-auth-file={path}" for path in tokens),
        )
        return Daemon(
            owner=self.owner,
            name="kcp/kcp",
            command=self.host.enter(*command) if self.host else command,
            log=self.folder / "log" / "kcp.log",
            inputs=(clients, *tokens),
            # kcp 0.28.1 has a data race that ends it under load (docs/adr/0003-syncer.md): with one thread at
            # work at a time it hardly ever shows, and where it does kcp is started again.
            variables={"GOMAXPROCS": "1"},
            restarted=True,
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
        """Return whether kcp serves its root workspace to its administrator."""
        if not self.kubeconfig.exists():
            return False
        try:
            for what in READY:
                self.kubectl("get", *what, seconds=10)
        except LocalError:
            return False
        return True


def start_kcp(kcp: Kcp) -> bool:
    """Start kcp where it does not run, and wait until it serves; returns whether it was started."""
    kcp.folder.mkdir(parents=True, exist_ok=True)
    kcp.folder.chmod(0o700)
    daemon = kcp.daemon()
    started = start(daemon)
    if not wait_until(lambda: _let_in(kcp) and kcp.ready(), seconds=_START_SECONDS, interval=1.0):
        assert_running(daemon)
        raise LocalError(
            f"kcp does not serve its root workspace after {_START_SECONDS:.0f} s: see {daemon.log}"
        )
    return started


def _let_in(kcp: Kcp) -> bool:
    """Write the administrator's kubeconfig, once kcp has said by what authority it is known."""
    if kcp.certificate_authority() is None:
        return False
    kcp.own_kubeconfig.chmod(0o600)
    _write(kcp, _ADMINISTRATOR, f"{kcp.server}/clusters/root", kcp.kubeconfig)
    return True


def write_user(kcp: Kcp, user: str, path: Path) -> None:
    """Write a kubeconfig for ``user`` at kcp, without a workspace path in its server."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    _write(kcp, Identity(common_name=user), kcp.server, path)


def _write(kcp: Kcp, identity: Identity, server: str, path: Path) -> None:
    authority = kcp.certificate_authority()
    if authority is None:
        raise LocalError(f"{kcp.own_kubeconfig}: kcp has not written it; see {kcp.daemon().log}")
    who = "user" if identity.groups == () else "administrator"
    pair = kcp.authority().issue(f"{who}-{quote(identity.common_name, safe='@')}", identity)
    content = kubeconfig(
        server=server, authority=authority, user=identity.common_name, credential=pair.credential
    )
    write_atomic(path, content, mode=0o600)
