"""The embedded environment as a whole: what runs, bringing it up, and taking it down without a trace."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from local import preflight
from local.addons import install_coredns
from local.assembled import Release, module_of, modules_of
from local.busybox import static_busybox
from local.cluster import Cluster, Ports, node_ready, start_control_plane
from local.engine import write_wrapper
from local.errors import LocalError
from local.firewall import start_firewall
from local.image_parts import Sources
from local.images import COREDNS_IMAGE, PAUSE_IMAGE, images, release_images
from local.kcp import Kcp, start_kcp, write_user
from local.kubeconfigs import write_merged
from local.layout import Layout
from local.manifests import write_release_manifests
from local.network import Network
from local.node import import_images, pull_images, remove_traces, start_containerd, start_node
from local.oci import ImageSpec, assemble_cached
from local.packages import unpacked
from local.processes import running, stop_named, told_restarts
from local.registry import REGISTRY, Registry, start_registry, write_skopeo
from local.simulated import SYNCER, start_simulated_node, syncers_run
from local.toolchain.build import Toolchain, ensure, fits_on_path, module_source, wanted_folders
from local.toolchain.catalog import (
    CORE,
    KUBERNETES,
    PULUMI,
    PULUMI_LANGUAGE_PYTHON,
    SIMULATED,
    WITH_NODES,
    Module,
)
from local.wanted import Images, Nodes, Wanted
from operations.gateway_certificates import make_bundle
from releases.files import write_atomic
from stacks.mutual_tls import BundleError, read_bundle

Report = Callable[[str], None]
KCP = "kcp"
_LOOPBACK = "127.0.0.1"
_SIMULATED_FIRST_PORT = 26440  # below the ephemeral range of Linux
_SIMULATED_PORTS = 10  # for each place


CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
NODE = ("sandbox", "containerd", "kubelet", "kube-proxy", "kube-router")


PROGRAMS_ON_PATH = frozenset(
    {"etcd", "kcp", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"}
)
"""What stands on the PATH of ``make env``, beside the engine's wrapper."""


def _hard_link(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        return
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:  # the cache is on another file system
        shutil.copy2(source, target)


class Environment:
    """The embedded environment of one checkout.

    Parameters
    ----------
    layout
        Its paths and names.
    report
        Takes a line of progress.
    """

    def __init__(self, layout: Layout, report: Report) -> None:
        self.layout = layout
        self._report = report
        self._network = Network(layout.identity, layout.network)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep a second ``up`` or ``down`` of this checkout out while one is at work."""
        self.layout.local.mkdir(mode=0o700, exist_ok=True)
        with self.layout.lock.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LocalError(
                    "another `up` or `down` of this checkout is at work: wait for it to end"
                ) from error
            yield

    # -- what there is ---------------------------------------------------------------------------------------

    def _ensure(self, modules: tuple[Module, ...]) -> Toolchain:
        path = self.search_path()
        if fits_on_path(PULUMI, path) and shutil.which(PULUMI_LANGUAGE_PYTHON.name, path=path):
            # An engine that was installed has a language host of its own version with it.
            modules = tuple(module for module in modules if module is not PULUMI_LANGUAGE_PYTHON)
        return ensure(modules, self.layout.cache, self._report, path=path)

    def search_path(self) -> str:
        """Return PATH without this environment's own folder of programs."""
        own = str(self.layout.binaries)
        return os.pathsep.join(p for p in os.environ.get("PATH", os.defpath).split(os.pathsep) if p != own)

    def toolchain(self, wanted: Wanted) -> Toolchain:
        """Return the programs, building what is missing."""
        return self._ensure(self._modules(wanted))

    @staticmethod
    def _modules(wanted: Wanted) -> tuple[Module, ...]:
        if wanted.nodes is Nodes.SIMULATED:
            return SIMULATED
        made = {module.name: module for module in (*WITH_NODES, *modules_of(wanted.releases))}
        return tuple(made.values())

    def tools(self) -> None:
        """Build what is missing of the tools that a person or a test uses, and link them into one folder."""
        self.layout.local.mkdir(mode=0o700, exist_ok=True)
        self._link_programs(self._ensure(CORE))

    def places(self, wanted: Wanted, toolchain: Toolchain) -> tuple[Kcp, list[Cluster]]:
        """Return kcp and the clusters as they shall run; gives out addresses, starts nothing."""
        registry = self._registry(wanted)
        hosts = self._network.hosts([KCP, *wanted.clusters])
        owner = self.layout.identity
        real = wanted.nodes is Nodes.REAL
        first = _SIMULATED_FIRST_PORT
        kcp = Kcp(
            owner=owner,
            folder=self.layout.kcp,
            address=hosts[KCP].address if real else _LOOPBACK,
            host=hosts[KCP] if real else None,
            toolchain=toolchain,
            port=6443 if real else first,
            etcd_ports=(2379, 2380) if real else (first + 1, first + 2),
        )
        clusters = []
        for name in wanted.clusters:
            host = hosts[name]
            first = _SIMULATED_FIRST_PORT + host.index * _SIMULATED_PORTS
            on_loopback = Ports(
                api=first,
                etcd=first + 1,
                etcd_peer=first + 2,
                controller_manager=first + 3,
                scheduler=first + 4,
            )
            clusters.append(
                Cluster(
                    owner=owner,
                    name=name,
                    folder=self.layout.cluster(name),
                    address=host.address if real else _LOOPBACK,
                    index=host.index,
                    host=host if real else None,
                    toolchain=toolchain,
                    ports=Ports() if real else on_loopback,
                    registry=registry,
                )
            )
        return kcp, clusters

    def _registry(self, wanted: Wanted) -> Registry | None:
        """Return the registry where there is to be one; gives out its address, starts nothing."""
        if wanted.nodes is not Nodes.REAL or wanted.images is not Images.REGISTRY:
            return None
        return Registry(
            owner=self.layout.identity,
            folder=self.layout.registry,
            host=self._network.hosts([REGISTRY])[REGISTRY],
            packages=self._packages,
        )

    def running(self) -> set[str]:
        """Return the names of the daemons that run, e.g. ``local-a/etcd``."""
        return running(self.layout.identity)

    def serves(self) -> bool:
        """Return whether kcp and every cluster of this checkout has its API server running."""
        running = self.running()
        return "kcp/kcp" in running and all(f"{name}/kube-apiserver" in running for name in self.clusters())

    def clusters(self) -> set[str]:
        """Return the names of the clusters that this checkout has files of."""
        return {path.parent.name for path in self.layout.local.glob("*/kubeconfig")}

    def nodes(self) -> Nodes | None:
        """Return which nodes the clusters of this checkout have, or None where none was started."""
        return Nodes(self.layout.nodes.read_text()) if self.layout.nodes.exists() else None

    def status(self, wanted: Wanted) -> list[tuple[str, str, str]]:
        """Return what should run as rows of name, state and place.

        A daemon is ``running`` or ``stopped``; kcp and each cluster as a whole is ``ready`` or ``not ready``.
        Nothing is built for it: without its programs, nothing is ready.
        """
        folders = wanted_folders(self._modules(wanted), self.layout.cache, path=self.search_path())
        built = {name: folder for name, folder in folders.items() if folder.is_dir()}
        kcp, clusters = self.places(wanted, Toolchain(folders=built))
        running = self.running()

        def row(folder: Path, daemon: str) -> tuple[str, str, str]:
            name = f"{folder.name}/{daemon}"
            log = folder.relative_to(self.layout.root) / "log" / f"{daemon}.log"
            return name, "running" if name in running else "stopped", str(log)

        rows = [(KCP, "ready" if kcp.ready() else "not ready", kcp.server)]
        name, state, where = row(kcp.folder, "kcp")
        rows.append((name, state, f"{where}{told_restarts(kcp.folder / 'log' / 'kcp.restarts')}"))
        daemons = (*CONTROL_PLANE, *(NODE if wanted.nodes is Nodes.REAL else ("kwok", SYNCER)))
        for cluster in clusters:
            ready = cluster.ready() and node_ready(cluster)
            rows.append((cluster.name, "ready" if ready else "not ready", cluster.server))
            rows += [row(cluster.folder, daemon) for daemon in daemons]
        return rows

    # -- up --------------------------------------------------------------------------------------------------

    def check(self, wanted: Wanted) -> None:
        """Raise `LocalError` with one line for each thing that would keep ``up`` from succeeding."""
        here = self.nodes()
        if here not in {None, wanted.nodes}:
            raise LocalError(
                f"NODES={wanted.nodes}: the nodes here are {here}; use NODES={here}, or `make down` first"
            )
        if wanted.nodes is Nodes.REAL and os.geteuid() == 0:
            missing = preflight.missing_packages()
            if missing:
                self._report(f"installing {' '.join(missing)} …")
                preflight.install_packages(missing)
                missing = preflight.missing_packages()
                if missing:
                    raise LocalError(
                        f"{' '.join(missing)} is installed, but not on PATH: add /usr/sbin and /sbin to it"
                    )
        running = self.running()
        built = wanted_folders(self._modules(wanted), self.layout.cache, path=self.search_path()).values()
        cold = any(not folder.is_dir() for folder in built)
        folders = []
        for folder in (self.layout.root, self.layout.cache, Path.home()):
            existing = next(p for p in (folder, *folder.parents) if p.is_dir())
            folders.append(existing)
        ports: list[tuple[str, int, str]] = []
        if wanted.nodes is Nodes.SIMULATED:
            ports = self._simulated_ports(wanted, running)
        needs = preflight.Needs(
            clusters=sum(f"{name}/kube-apiserver" not in running for name in wanted.clusters),
            kcp="kcp/kcp" not in running,
            cold=cold,
            ports=tuple(ports),
        )
        found = preflight.problems(needs, nodes=wanted.nodes is Nodes.REAL, folders=dict.fromkeys(folders))
        if found:
            raise LocalError("\n".join(found))

    def _simulated_ports(self, wanted: Wanted, running: set[str]) -> list[tuple[str, int, str]]:
        kcp, clusters = self.places(wanted, Toolchain(folders={}))
        ports = []
        if "kcp/kcp" not in running:
            ports += [(_LOOPBACK, port, "kcp") for port in (kcp.port, *kcp.etcd_ports)]
        for cluster in clusters:
            names = {
                "kube-apiserver": cluster.ports.api,
                "etcd": cluster.ports.etcd,
                "kube-controller-manager": cluster.ports.controller_manager,
                "kube-scheduler": cluster.ports.scheduler,
            }
            for daemon, port in names.items():
                if f"{cluster.name}/{daemon}" not in running:
                    ports.append((_LOOPBACK, port, f"{cluster.name}/{daemon}"))
        return ports

    def up(self, wanted: Wanted) -> None:
        """Bring up what is missing of ``wanted``; what is healthy is left as it is.

        Raises
        ------
        LocalError
            With one line that names what failed and where its log is.
        """
        self.check(wanted)
        write_atomic(self.layout.nodes, wanted.nodes)
        toolchain = self.toolchain(wanted)
        self._link_programs(toolchain)
        archives = {}
        if wanted.nodes is Nodes.REAL:
            archives = self._assembled(images(self._sources(toolchain), modules_of(wanted.releases)))
        self._write_manifests(wanted.releases)
        self._write_mutual_tls()
        kcp, clusters = self.places(wanted, toolchain)
        if wanted.nodes is Nodes.REAL:
            hosts = [kcp.host, *(cluster.host for cluster in clusters)]
            registry = self._registry(wanted)
            if registry is not None:
                hosts.append(registry.host)
            self._network.ensure([host for host in hosts if host is not None])
            if registry is not None:
                self._report("registry …")
                start_registry(registry, archives)
                write_skopeo(registry, self.layout.binaries / "skopeo")
                self._report(f"registry: {registry.address}, credentials in {registry.credentials}")
        with ThreadPoolExecutor(max_workers=2) as pool:
            kcp_started = pool.submit(self._bring_up_kcp, kcp, wanted)
            names = {cluster.host_name: cluster.address for cluster in clusters}
            cluster_started = [pool.submit(self._bring_up_cluster, c, archives, names) for c in clusters]
            failures = [f.exception() for f in (kcp_started, *cluster_started)]
        errors = [failure for failure in failures if failure is not None]
        if errors:
            if all(isinstance(error, LocalError) for error in errors):
                raise LocalError("\n".join(str(error) for error in errors))
            raise errors[0]
        self.write_contexts(wanted)

    def provide(self, releases: Iterable[Release], wanted: Wanted) -> None:
        """Make further releases usable: write their manifests, and bring their images to clusters that run.

        For what the settings don't name yet: `up` does this by itself for what they name.

        Parameters
        ----------
        releases
            The releases.
        wanted
            The clusters; those that don't run are left alone.

        Raises
        ------
        LocalError
            A release is not made here, or its build failed.
        """
        releases = tuple(releases)
        modules = modules_of(releases)
        self._write_manifests(releases)
        if wanted.nodes is Nodes.SIMULATED:
            return
        toolchain = self._ensure((KUBERNETES, *modules))
        sources = self._sources(toolchain)
        archives = self._assembled(spec for module in modules for spec in release_images(sources, module))
        running = self.running()
        for cluster in self.places(wanted, toolchain)[1]:
            if f"{cluster.name}/containerd" in running:
                if cluster.registry is not None:
                    start_registry(cluster.registry, archives)
                    continue
                imported = import_images(cluster, archives)
                self._report(f"{cluster.name}: {len(imported)} of {len(archives)} images imported")

    def syncers(self, wanted: Wanted) -> contextlib.AbstractContextManager[None]:
        """While the stack is worked on, run what no simulated node runs and the stack waits for."""
        if wanted.nodes is Nodes.REAL:
            return contextlib.nullcontext()
        _, clusters = self.places(wanted, self.toolchain(wanted))
        return syncers_run(clusters)

    def write_contexts(self, wanted: Wanted) -> None:
        """Write the kubeconfig with a context for kcp and for each of the clusters."""
        clusters = {name: self.layout.cluster(name) / "kubeconfig" for name in wanted.clusters}
        write_merged({KCP: self.layout.kcp / "admin.kubeconfig", **clusters}, self.layout.merged_kubeconfig)

    def _bring_up_kcp(self, kcp: Kcp, wanted: Wanted) -> None:
        self._report("kcp …")
        started = start_kcp(kcp)
        for user in wanted.users:
            write_user(kcp, user, self.layout.user(user))
        for kubeconfig in set(self.layout.users.glob("*")) - {
            self.layout.user(user) for user in wanted.users
        }:
            kubeconfig.unlink()  # of a user whom the stack names no more
        self._report(f"kcp: {'started' if started else 'was running'} at {kcp.server}")

    def _bring_up_cluster(
        self, cluster: Cluster, archives: Mapping[str, Path], hosts: Mapping[str, str]
    ) -> None:
        self._report(f"{cluster.name} …")
        started = start_control_plane(cluster)
        if cluster.host is None:
            started = start_simulated_node(cluster) or started
        else:
            started = start_containerd(cluster) or started
            if cluster.registry is None:
                import_images(cluster, archives)
            else:
                pull_images(cluster, cluster.registry, (PAUSE_IMAGE, COREDNS_IMAGE))
            started = start_node(cluster) or started
            started = start_firewall(cluster) or started
            install_coredns(cluster, hosts)
        self._report(f"{cluster.name}: {'started' if started else 'was running'} at {cluster.server}")

    def _link_programs(self, toolchain: Toolchain) -> None:
        """Link the tools that a person uses from one folder."""
        self.layout.binaries.mkdir(parents=True, exist_ok=True)
        self.layout.engine.mkdir(parents=True, exist_ok=True)
        for module in CORE:
            source = toolchain.folders.get(module.name)
            if source is None:
                continue
            if module in (PULUMI, PULUMI_LANGUAGE_PYTHON):
                # The engine looks for its language host beside itself; found on PATH, it brings a warning.
                for name in module.programs:
                    _hard_link(source / name, self.layout.engine / name)
                source = self.layout.engine
            for name in set(module.programs) & PROGRAMS_ON_PATH:
                link = self.layout.binaries / name
                if not (link.is_symlink() and link.readlink() == source / name):
                    link.unlink(missing_ok=True)
                    link.symlink_to(source / name)
        built = PULUMI.name in toolchain.folders
        write_wrapper(
            self.layout,
            self.layout.engine / "pulumi"
            if built
            else Path(shutil.which("pulumi", path=self.search_path()) or ""),
        )

    def _sources(self, toolchain: Toolchain) -> Sources:
        return Sources(
            program=toolchain.program, packages=self._packages, busybox=static_busybox(self._packages)
        )

    def _assembled(self, specs: Iterable[ImageSpec]) -> dict[str, Path]:
        self.layout.images.mkdir(parents=True, exist_ok=True)
        return {spec.name: assemble_cached(spec, self.layout.images) for spec in specs}

    def _write_manifests(self, releases: Iterable[Release]) -> None:
        sources = {release: module_source(module_of(release)) for release in releases}
        write_release_manifests(sources, self.layout.releases, self.layout.binaries / "kubectl")

    def _write_mutual_tls(self) -> None:
        """Make the certificates for events between clusters, once, and anew before they end."""
        file = self.layout.mutual_tls
        try:
            if not read_bundle(file.read_text()).ends_soon(datetime.now(UTC)):
                return
        except (FileNotFoundError, BundleError):
            pass  # not made yet, or no more of use
        file.parent.mkdir(mode=0o700, exist_ok=True)
        write_atomic(file, make_bundle(), mode=0o600)

    def _packages(self, name: str) -> list[Path]:
        return unpacked(name, self.layout.packages)

    # -- down ------------------------------------------------------------------------------------------------

    def remove_cluster(self, name: str) -> None:
        """End everything of the cluster ``name`` and remove its files."""
        stop_named(self.layout.identity, f"{name}/kubelet")
        stop_named(self.layout.identity, f"{name}/")
        if os.geteuid() == 0:
            self._network.remove_host(name)
        shutil.rmtree(self.layout.cluster(name), ignore_errors=True)

    def down(self) -> None:
        """End every process of this checkout and remove its namespaces, interfaces and files."""
        owner = self.layout.identity
        for name in {name.partition("/")[0] for name in self.running() if name.endswith("/kubelet")}:
            stop_named(owner, f"{name}/kubelet")  # or it would start again the pods that are being ended
        stop_named(owner, "")
        if os.geteuid() == 0:
            self._network.remove()
            remove_traces()
        shutil.rmtree(self.layout.local, ignore_errors=True)
