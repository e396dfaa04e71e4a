"""One compute cluster of the embedded environment: its control plane, and how to talk to it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local.commands import run
from local.errors import LocalError
from local.network import Host
from local.pki import Authority, Identity, KeyPair, kubeconfig
from local.processes import Daemon, assert_running, start, wait_until
from local.registry import Registry
from local.toolchain.build import Toolchain
from local.toolchain.catalog import ETCD, KUBERNETES
from releases.files import write_atomic

DOMAIN = "cluster.local"
HOSTS_DOMAIN = "pipeline-service.test"
"""Below it, each embedded cluster has a name, which the pods of all of them find by their DNS."""

_START_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Ports:
    """TCP ports of a control plane on its host's address or loopback."""

    api: int = 6443
    etcd: int = 2379
    etcd_peer: int = 2380
    controller_manager: int = 10257
    scheduler: int = 10259


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A compute cluster.

    Parameters
    ----------
    owner
        The checkout it belongs to (`Layout.identity`).
    name
        Its name in the stack, which is also its node's.
    folder
        Its folder under ``.local/``.
    address
        IPv4 address of its API server.
    index
        Its number; the ranges of pod and service addresses derive from it.
    host
        Its network namespace; None where all runs on the machine's own loopback (simulated nodes).
    toolchain
        The programs.
    ports
        Its ports.
    registry
        Where its node pulls all images from; None: they are imported.
    """

    owner: str
    name: str
    folder: Path
    address: str
    index: int
    host: Host | None
    toolchain: Toolchain
    ports: Ports
    registry: Registry | None = None

    @property
    def host_name(self) -> str:
        """Name by which pods of every embedded cluster reach it."""
        return f"{self.name}.{HOSTS_DOMAIN}"

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{self.address}:{self.ports.api}"

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of its administrator."""
        return self.folder / "kubeconfig"

    @property
    def pod_range(self) -> str:
        """Addresses of its pods."""
        return f"10.84.{self.index}.0/24"

    @property
    def service_range(self) -> str:
        """Addresses of its Services."""
        return f"10.85.{self.index}.0/24"

    @property
    def dns_address(self) -> str:
        """Address of its DNS Service."""
        return f"10.85.{self.index}.10"

    def image(self, name: str) -> str:
        """Name an image as its node knows it."""
        return name if self.registry is None else self.registry.image(name)

    def program(self, name: str) -> str:
        """Return the path of a Kubernetes program."""
        return str(self.toolchain.program(KUBERNETES, name))

    def authority(self) -> Authority:
        """Return its certificate authority."""
        return Authority(self.folder / "pki")

    def component_kubeconfig(self, name: str, identity: Identity, *, path: Path | None = None) -> Path:
        """Write the kubeconfig of a component and return its path, ``<name>.kubeconfig`` unless given."""
        authority = self.authority()
        content = kubeconfig(
            server=self.server,
            authority=authority.pair.certificate.read_bytes(),
            user=identity.common_name,
            credential=authority.issue(name, identity).credential,
        )
        path = path or self.folder / f"{name}.kubeconfig"
        write_atomic(path, content, mode=0o600)
        return path

    def daemon(self, name: str, command: tuple[str, ...], *, inputs: tuple[Path, ...] = ()) -> Daemon:
        """Return a daemon of this cluster, inside its network namespace where it has one."""
        return Daemon(
            owner=self.owner,
            name=f"{self.name}/{name}",
            command=self.host.enter(*command) if self.host else command,
            log=self.folder / "log" / f"{name}.log",
            inputs=inputs,
        )

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = 60) -> str:
        """Run kubectl as its administrator and return the output; `LocalError` has kubectl's words."""
        return run(
            [self.program("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments],
            what=f"{self.name}: kubectl {arguments[0]}",
            stdin=stdin,
            environment={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder)},
            seconds=seconds,
        )

    def apply(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Apply Kubernetes objects; what somebody else changed of them is taken back."""
        self.kubectl(
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=pipeline-service-local",
            "--filename=-",
            stdin=yaml.safe_dump_all(objects),
        )

    def ready(self) -> bool:
        """Return whether the API server answers that it is ready."""
        try:
            return self.kubectl("get", "--raw=/readyz", seconds=10).strip() == "ok"
        except LocalError:
            return False


def _etcd(cluster: Cluster) -> Daemon:
    ports = cluster.ports
    client, peer = f"http://127.0.0.1:{ports.etcd}", f"http://127.0.0.1:{ports.etcd_peer}"
    return cluster.daemon(
        "etcd",
        (
            str(cluster.toolchain.program(ETCD, "etcd")),
            f"--name={cluster.name}",
            f"--data-dir={cluster.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster={cluster.name}={peer}",
            # What a crash of the machine may lose here is not worth the wait for the disk.
            "--unsafe-no-fsync",
            "--log-level=warn",
        ),
    )


def _api_server(cluster: Cluster, tokens: Path) -> Daemon:
    authority = cluster.authority()
    service = cluster.service_range.replace(".0/24", ".1")
    server = authority.issue(
        "kube-apiserver",
        Identity(
            common_name="kube-apiserver",
            names=(
                cluster.address,
                service,
                "127.0.0.1",
                "localhost",
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                f"kubernetes.default.svc.{DOMAIN}",
            ),
        ),
    )
    kubelet: KeyPair = authority.issue(
        "kube-apiserver-kubelet-client",
        Identity(common_name="kube-apiserver-kubelet-client", groups=("system:masters",)),
    )
    on_loopback = cluster.host is None
    return cluster.daemon(
        "kube-apiserver",
        (
            cluster.program("kube-apiserver"),
            f"--etcd-servers=http://127.0.0.1:{cluster.ports.etcd}",
            f"--bind-address={'127.0.0.1' if on_loopback else '0.0.0.0'}",  # noqa: S104 - all of its own namespace
            f"--secure-port={cluster.ports.api}",
            f"--advertise-address={cluster.address}",
            # Endpoints may not hold a loopback address.
            f"--endpoint-reconciler-type={'none' if on_loopback else 'lease'}",
            f"--service-cluster-ip-range={cluster.service_range}",
            f"--client-ca-file={authority.pair.certificate}",
            f"--tls-cert-file={server.certificate}",
            f"--tls-private-key-file={server.key}",
            f"--kubelet-certificate-authority={authority.pair.certificate}",
            f"--kubelet-client-certificate={kubelet.certificate}",
            f"--kubelet-client-key={kubelet.key}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
            f"--service-account-key-file={tokens}",
            f"--service-account-signing-key-file={tokens}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            "--profiling=false",
        ),
        inputs=(server.certificate, kubelet.certificate, authority.pair.certificate),
    )


def _controller_manager(cluster: Cluster, tokens: Path) -> Daemon:
    authority = cluster.authority()
    config = cluster.component_kubeconfig(
        "kube-controller-manager", Identity(common_name="system:kube-controller-manager")
    )
    return cluster.daemon(
        "kube-controller-manager",
        (
            cluster.program("kube-controller-manager"),
            f"--kubeconfig={config}",
            "--bind-address=127.0.0.1",
            f"--secure-port={cluster.ports.controller_manager}",
            f"--root-ca-file={authority.pair.certificate}",
            f"--service-account-private-key-file={tokens}",
            f"--cluster-signing-cert-file={authority.pair.certificate}",
            f"--cluster-signing-key-file={authority.pair.key}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--profiling=false",
        ),
        inputs=(config,),
    )


def _scheduler(cluster: Cluster) -> Daemon:
    config = cluster.component_kubeconfig("kube-scheduler", Identity(common_name="system:kube-scheduler"))
    return cluster.daemon(
        "kube-scheduler",
        (
            cluster.program("kube-scheduler"),
            f"--kubeconfig={config}",
            "--bind-address=127.0.0.1",
            f"--secure-port={cluster.ports.scheduler}",
            "--leader-elect=false",
            "--profiling=false",
        ),
        inputs=(config,),
    )


def start_control_plane(cluster: Cluster) -> bool:
    """Start what is not running of etcd, API server, controller manager and scheduler; wait until ready.

    Returns
    -------
    bool
        Whether anything was started.
    """
    cluster.folder.mkdir(parents=True, exist_ok=True)
    cluster.folder.chmod(0o700)
    tokens = cluster.authority().signing_key("service-accounts")
    administrator = Identity(common_name="kubernetes-admin", groups=("system:masters",))
    cluster.component_kubeconfig("admin", administrator, path=cluster.kubeconfig)
    daemons = [
        _etcd(cluster),
        _api_server(cluster, tokens),
        _controller_manager(cluster, tokens),
        _scheduler(cluster),
    ]
    started = [start(daemon) for daemon in daemons]
    if not wait_until(cluster.ready, seconds=_START_SECONDS):
        for daemon in daemons:
            assert_running(daemon)
        raise LocalError(
            f"{cluster.name}: API server not ready after {_START_SECONDS:.0f} s: see {daemons[1].log}"
        )
    return any(started)


def node_ready(cluster: Cluster) -> bool:
    """Return whether a node of ``cluster`` is registered and Ready."""
    try:
        nodes = json.loads(cluster.kubectl("get", "nodes", "--output=json"))["items"]
    except LocalError:
        return False
    conditions = (c for node in nodes for c in node.get("status", {}).get("conditions", ()))
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
