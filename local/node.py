"""The node of a compute cluster: containerd, kubelet and kube-proxy, in namespaces of their own.

Network and mounts are private to the cluster: its Services' packet rules stay in its network namespace, and
every file system that containerd and the kubelet mount goes away with its mount namespace. Inside it the
usual paths (/var/lib/kubelet, /run/containerd …) are folders of the cluster's own under ``.local/``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil
import yaml

from local.cluster import DOMAIN, Cluster, node_ready
from local.commands import run
from local.errors import LocalError
from local.images import PAUSE_IMAGE
from local.oci import image_digest
from local.pki import Identity
from local.processes import Daemon, assert_running, current, find, start, stop_named, wait_until
from local.registry import Registry
from releases.files import write_atomic

# What containerd, its shims, CNI and the kubelet write to places that no setting moves.
PRIVATE_PATHS = (
    "/run/containerd",
    "/run/netns",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
)
_CNI_PROGRAMS = "/usr/lib/cni"
_SOCKET = "/run/containerd/containerd.sock"
_READY_SECONDS = 120.0

_KERNEL_SETTINGS = {
    "kernel/keys/root_maxbytes": "25000000",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
}
"""What a kubelet sets on the whole machine (its setupKernelTunables), where it does not find these values.

In the node's mount namespace files with these values stand over the kernel's, so that it finds them.
"""

_MOUNTS = """
set -eu
private=$1
shift
for setting in {settings}; do
  name=${{setting%=*}}
  mkdir -p "$private/sysctl/${{name%/*}}"
  echo "${{setting#*=}}" >"$private/sysctl/$name"
  mount --no-mtab --bind "$private/sysctl/$name" "/proc/sys/$name"
done
for path in "$@"; do
  mkdir -p "$private$path"
  mount --no-mtab --bind "$private$path" "$path"
done
mount --no-mtab --make-rshared /var/lib/kubelet
exec sleep infinity
""".format(settings=" ".join(f"{name}={value}" for name, value in _KERNEL_SETTINGS.items()))


def _sandbox(cluster: Cluster) -> Daemon:
    """Return the process that holds the mount namespace open."""
    for path in PRIVATE_PATHS:
        Path(path).mkdir(parents=True, exist_ok=True)
    private = cluster.folder / "node"
    return cluster.daemon(
        "sandbox",
        (
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            _MOUNTS,
            "sandbox",
            str(private),
            *PRIVATE_PATHS,
        ),
    )


def _mounted(process: psutil.Process) -> bool:
    mounts = _mounts_of(process)
    return all(f" {path} " in mounts for path in PRIVATE_PATHS) and process.name() == "sleep"


def enter(cluster: Cluster, *command: str) -> tuple[str, ...]:
    """Return ``command`` as run inside the node's mount and network namespaces.

    Raises
    ------
    LocalError
        The node is not running.
    """
    holder = find(_sandbox(cluster))
    if holder is None or cluster.host is None:
        raise LocalError(f"the node of {cluster.name} is not running: run `make up`")
    namespaces = (f"--net=/run/netns/{cluster.host.namespace}", f"--mount=/proc/{holder.pid}/ns/mnt")
    return ("nsenter", *namespaces, "--", *command)


def _node_daemon(cluster: Cluster, name: str, command: tuple[str, ...], inputs: tuple[Path, ...]) -> Daemon:
    return Daemon(
        owner=cluster.owner,
        name=f"{cluster.name}/{name}",
        # The holder's pid is part of the command: a new mount namespace means a new containerd and kubelet.
        command=enter(cluster, *command),
        log=cluster.folder / "log" / f"{name}.log",
        inputs=inputs,
    )


def _containerd(cluster: Cluster) -> Daemon:
    network = {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                # Routed, not bridged: a Service's answer from a pod of the same node then passes the packet
                # rules without br_netfilter, which is a setting of the whole machine.
                "type": "ptp",
                "ipMasq": True,
                "mtu": 1450,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": cluster.pod_range}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    folder = cluster.folder / "cni"
    write_atomic(folder / "10-pods.conflist", json.dumps(network, indent=2))
    config = cluster.folder / "containerd.toml"
    registry = ""
    if cluster.registry is not None:
        registry = f"""\
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{cluster.registry.hosts}"
"""
    content = f"""\
version = 2
[grpc]
  address = "{_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{cluster.image(PAUSE_IMAGE)}"
  # Without CAP_SYS_RESOURCE the kernel refuses to lower a process's OOM score.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{_CNI_PROGRAMS}"
    conf_dir = "{folder}"
{registry}"""
    write_atomic(config, content)
    return _node_daemon(cluster, "containerd", ("containerd", "--config", str(config)), (config,))


def _kubelet(cluster: Cluster) -> Daemon:
    authority = cluster.authority()
    name = cluster.name
    credential = cluster.component_kubeconfig(
        "kubelet", Identity(common_name=f"system:node:{name}", groups=("system:nodes",))
    )
    serving = authority.issue("kubelet-serving", Identity(common_name=name, names=(name, cluster.address)))
    # Pods can't use a resolver that listens on the machine's loopback.
    resolvers = [
        line
        for line in Path("/etc/resolv.conf").read_text().splitlines()
        if not line.startswith("nameserver 127.") and not line.startswith("#")
    ]
    write_atomic(cluster.folder / "resolv.conf", "\n".join([*resolvers, ""]))
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority.pair.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "cgroupDriver": "cgroupfs",
        # No tree of QoS cgroups: two nodes share this machine's cgroups.
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "localStorageCapacityIsolation": False,
        "clusterDNS": [cluster.dns_address],
        "clusterDomain": DOMAIN,
        "resolvConf": str(cluster.folder / "resolv.conf"),
        "containerRuntimeEndpoint": f"unix://{_SOCKET}",
        # Images can't be pulled again: none may be collected.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "nodeStatusUpdateFrequency": "5s",
        "syncFrequency": "10s",
        "rotateCertificates": False,
    }
    path = cluster.folder / "kubelet.yaml"
    write_atomic(path, yaml.safe_dump(config, sort_keys=False))
    command = (
        cluster.program("kubelet"),
        f"--config={path}",
        f"--kubeconfig={credential}",
        f"--hostname-override={name}",
        f"--node-ip={cluster.address}",
    )
    return _node_daemon(cluster, "kubelet", command, (path, credential, serving.certificate))


def _kube_proxy(cluster: Cluster) -> Daemon:
    credential = cluster.component_kubeconfig("kube-proxy", Identity(common_name="system:kube-proxy"))
    config = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(credential)},
        "mode": "iptables",
        "clusterCIDR": cluster.pod_range,
        "hostnameOverride": cluster.name,
        # The table's size is a setting of the whole machine.
        "conntrack": {"maxPerCore": 0, "min": 0},
        "oomScoreAdj": 0,
    }
    path = cluster.folder / "kube-proxy.yaml"
    write_atomic(path, yaml.safe_dump(config, sort_keys=False))
    return _node_daemon(
        cluster, "kube-proxy", (cluster.program("kube-proxy"), f"--config={path}"), (path, credential)
    )


def containerd_answers(cluster: Cluster) -> bool:
    """Return whether containerd answers."""
    try:
        ctr(cluster, "version")
    except LocalError:
        return False
    return True


def ctr(cluster: Cluster, *arguments: str, seconds: float = 120) -> str:
    """Run ``ctr`` on the containers and images of Kubernetes in this cluster."""
    command = enter(cluster, "ctr", "--namespace=k8s.io", *arguments)
    return run(command, what=f"{cluster.name}: talking to containerd", seconds=seconds)


def start_containerd(cluster: Cluster) -> bool:
    """Start the namespaces and containerd where they don't run, and wait until it answers."""
    sandbox = _sandbox(cluster)

    def in_place() -> bool:
        holder = current(sandbox)
        return holder is not None and _mounted(holder)

    started = not in_place()
    if started:
        # Whatever still runs in an older mount namespace, or without its mounts, can't be mended in place.
        for name in ("kubelet", "kube-proxy", "containerd", "sandbox"):
            stop_named(cluster.owner, f"{cluster.name}/{name}")
        start(sandbox)
    if not wait_until(in_place, seconds=10, interval=0.05):
        assert_running(sandbox)
        raise LocalError(f"{cluster.name}: the node's mounts are not in place: see {sandbox.log}")
    daemon = _containerd(cluster)
    started = start(daemon) or started
    if not wait_until(lambda: containerd_answers(cluster), seconds=60):
        assert_running(daemon)
        raise LocalError(f"{cluster.name}: containerd does not answer: see {daemon.log}")
    return started


def import_images(cluster: Cluster, archives: Mapping[str, Path]) -> list[str]:
    """Import the images that containerd lacks or holds in another build.

    Each is also known by its digest, as one that was pulled is: Tekton Chains writes no provenance of a run
    whose containers' ``imageID`` is not ``<repository>@<digest>``.

    Parameters
    ----------
    cluster
        A cluster whose containerd runs.
    archives
        OCI archive by image name.

    Returns
    -------
    list of str
        Names of the images that were imported.
    """
    columns = (line.split() for line in ctr(cluster, "images", "list").splitlines()[1:])
    present = {name: digest for name, _, digest, *_ in columns}
    imported = []
    for name, archive in archives.items():
        digest = image_digest(archive)
        repository = name.rpartition(":")[0]
        if present.get(name) != digest:
            ctr(cluster, "images", "import", str(archive), seconds=300)
            imported.append(name)
            stale = f"{repository}@{present.get(name)}"
            if stale in present:
                ctr(cluster, "images", "remove", stale)
        if f"{repository}@{digest}" not in present:
            ctr(cluster, "images", "tag", name, f"{repository}@{digest}")
    return imported


def pull_images(cluster: Cluster, registry: Registry, names: Iterable[str]) -> None:
    """Pull what a node runs before anything is deployed to it, as the administrator who sets it up.

    All else is for pods' own credentials to pull.

    Parameters
    ----------
    cluster
        A cluster whose containerd runs.
    registry
        Where from.
    names
        The images' own names.
    """
    present = {line.split()[0] for line in ctr(cluster, "images", "list", "--quiet").splitlines() if line}
    for image in map(registry.image, names):
        if image not in present:
            hosts = f"--hosts-dir={registry.administrators_hosts}"
            ctr(cluster, "images", "pull", hosts, image, seconds=300)


def start_node(cluster: Cluster) -> bool:
    """Start kubelet and kube-proxy where they don't run; wait until the node is Ready."""
    kubelet = _kubelet(cluster)
    proxy = _kube_proxy(cluster)
    started = [start(kubelet), start(proxy)]
    if not wait_until(lambda: node_ready(cluster), seconds=_READY_SECONDS):
        assert_running(kubelet)
        assert_running(proxy)
        raise LocalError(
            f"{cluster.name}: the node is not Ready after {_READY_SECONDS:.0f} s: see {kubelet.log}"
        )
    return any(started)


def _mounts_of(process: psutil.Process) -> str:
    try:
        return Path(f"/proc/{process.pid}/mountinfo").read_text()
    except OSError:  # it has ended
        return ""


def remove_traces() -> None:
    """Remove what nodes left outside ``.local/``: empty mount points and empty cgroups, and only these.

    A folder that is not empty belongs to something else on this machine and stays, and so does a mount point
    that another checkout's node uses: removing it would take the mount away from that node.
    """
    mounted = "".join(_mounts_of(process) for process in psutil.process_iter())
    unused = [Path(path) for path in PRIVATE_PATHS if f" {path} " not in mounted]
    cgroups = [path for pattern in ("k8s.io", "*/k8s.io") for path in Path("/sys/fs/cgroup").glob(pattern)]
    leaves_first = [group for top in cgroups for group in (*sorted(top.rglob("*/"), reverse=True), top)]
    for path in (*leaves_first, *unused):
        with contextlib.suppress(OSError):
            path.rmdir()
