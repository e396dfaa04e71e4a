"""Checks before anything is started; each that fails is one line: what is wrong, and how to mend it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from local.errors import LocalError

_GIB = 1024**3
_DISK_COLD = 20 * _GIB  # a cold build: Go's module and build caches, the programs and images
_DISK_WARM = 4 * _GIB  # the clusters' data and unpacked images
_MEMORY_BASE = 2 * _GIB  # kcp, the engine and its plugins
_MEMORY_CLUSTER = 2 * _GIB  # a control plane, a node, and what the program deploys there
_INOTIFY_CLUSTER = 20  # counted: kubelet 6, controller manager 5, API server 3, the rest 1 each
_INOTIFY_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")

NODE_PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ipset": "ipset",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "/bin/busybox": "busybox-static",
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
    "/usr/bin/tini-static": "tini",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "git": "git",
}
"""Debian package of each program, or file, that a node and its images need."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a start needs.

    Parameters
    ----------
    clusters
        Number of clusters that are not running yet.
    kcp
        Whether kcp is to be started.
    cold
        Whether tools have to be built.
    ports
        (address, TCP port, what for) of each socket to be opened on the machine's own network.
    """

    clusters: int
    kcp: bool
    cold: bool
    ports: tuple[tuple[str, int, str], ...]


def missing_packages() -> list[str]:
    """Return the Debian packages whose programs are missing for a node."""
    return sorted(
        {
            package
            for name, package in NODE_PACKAGES.items()
            if not (Path(name).is_file() if name.startswith("/") else shutil.which(name))
        }
    )


def install_packages(packages: list[str]) -> None:
    """Install Debian packages without a question; where that is not possible, say what to install.

    Raises
    ------
    LocalError
        There is no apt-get, or it failed.
    """
    mend = f"install these packages and run this again: {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise LocalError(f"nodes need programs that are missing here; {mend}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    commands = (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    )
    for command in commands:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, stdin=subprocess.DEVNULL
        )
        if done.returncode != 0:
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise LocalError(
                f"`{' '.join(command[:2])}` failed: {lines[-1] if lines else done.returncode}; {mend}"
            )


def _taken(address: str, port: int) -> str | None:
    """Return who listens on ``port`` of ``address``, None where nobody does."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            for connection in psutil.net_connections("tcp"):
                local = connection.laddr
                if (
                    connection.status == psutil.CONN_LISTEN
                    and local
                    and local.port == port
                    and connection.pid
                ):
                    return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
            return "another process"
    return None


def inotify_instances(processes: Iterable[psutil.Process]) -> int:
    """Count the inotify instances of this user's processes."""
    found = 0
    for process in processes:
        try:
            if process.uids().real != os.getuid():
                continue
            for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
                found += descriptor.readlink() == Path("anon_inode:inotify")
        except (OSError, psutil.NoSuchProcess):
            continue  # it has ended meanwhile
    return found


def _few_inotify_instances(clusters: int) -> str | None:
    """Return why the clusters' nodes would not start; the kubelet would only say "too many open files"."""
    limit, used = int(_INOTIFY_LIMIT.read_text()), inotify_instances(psutil.process_iter())
    if limit - used >= clusters * _INOTIFY_CLUSTER:
        return None
    return (
        f"{limit - used} inotify instances are left of {limit} and {clusters * _INOTIFY_CLUSTER} are needed "
        f"for {clusters} clusters to be started: end other environments, or "
        f"`sysctl fs.inotify.max_user_instances={2 * limit}`"
    )


def problems(needs: Needs, *, nodes: bool, folders: Iterable[Path]) -> list[str]:
    """Return what keeps a start from succeeding, one line each.

    Parameters
    ----------
    needs
        What the start needs.
    nodes
        Whether real nodes are wanted.
    folders
        Existing folders that will be written to.
    """
    found = []
    if not sys.platform.startswith("linux"):
        found.append(f"the embedded environment needs Linux, this is {sys.platform}: use a Linux machine")
    if nodes and os.geteuid() != 0:
        found.append(
            "real nodes need root: run as root, or `NODES=simulated make up` for control planes "
            "on which rollouts complete but nothing executes"
        )
    for address, port, purpose in needs.ports:
        holder = _taken(address, port)
        if holder is not None:
            found.append(f"port {port} for {purpose} is taken by {holder}: end it and run this again")
    disk = _DISK_COLD if needs.cold else _DISK_WARM
    if needs.clusters or needs.cold:
        for folder in folders:
            free = shutil.disk_usage(folder).free
            if free < disk:
                found.append(
                    f"{folder} has {free / _GIB:.1f} GiB free and {disk / _GIB:.0f} are needed: make room, "
                    "or choose another cache folder with PIPELINE_SERVICE_CACHE"
                )
    if nodes and sys.platform.startswith("linux") and (few := _few_inotify_instances(needs.clusters)):
        found.append(few)
    memory = needs.clusters * _MEMORY_CLUSTER + (_MEMORY_BASE if needs.kcp else 0)
    available = psutil.virtual_memory().available
    if available < memory:
        found.append(
            f"{available / _GIB:.1f} GiB of memory are available and {memory / _GIB:.0f} are needed "
            f"for {needs.clusters} clusters to be started: end other programs or name fewer clusters"
        )
    return found
