"""One bridge on the machine, and one network namespace on it for kcp and for each compute cluster.

Everything here is made with iproute2 and vanishes with the namespaces and the bridge; the machine's own
routes, addresses and packet filter stay as they are.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

import psutil

from local.commands import run
from local.errors import LocalError
from local.files import write_atomic

_POOL = ipaddress.IPv4Network("10.83.0.0/16")  # one /24 of it for each checkout
_NAMESPACES = Path("/run/netns")
_FIRST_HOST = 2  # .1 is the machine's own end


@dataclass(frozen=True, kw_only=True)
class Host:
    """A place in the embedded environment's network.

    Parameters
    ----------
    name
        ``kcp`` or the name of a compute cluster.
    namespace
        Name of its network namespace.
    address
        Its IPv4 address, reachable from the machine and from the other hosts.
    index
        Its number, unique in the checkout; pod and service ranges derive from it.
    """

    name: str
    namespace: str
    address: str
    index: int

    def enter(self, *command: str) -> tuple[str, ...]:
        """Return ``command`` as run inside the namespace.

        Not by ``ip netns exec``, which mounts /sys anew and so hides the cgroups from the kubelet.
        """
        return ("nsenter", f"--net=/run/netns/{self.namespace}", "--", *command)


class Network:
    """The bridge and the namespaces of one checkout.

    Parameters
    ----------
    identity
        Part of the names of interfaces and namespaces (`Layout.identity`).
    register
        File that keeps which host has which address, so that a new one moves no other.
    """

    def __init__(self, identity: str, register: Path) -> None:
        self._identity = identity
        self._register = register
        self.bridge = f"ps-{identity}"

    def _load(self) -> tuple[ipaddress.IPv4Network | None, dict[str, int]]:
        if not self._register.exists():
            return None, {}
        saved = json.loads(self._register.read_text())
        return ipaddress.IPv4Network(saved["subnet"]), saved["hosts"]

    def _free_subnet(self) -> ipaddress.IPv4Network:
        taken = [
            ipaddress.ip_interface(f"{address.address}/{address.netmask}").network
            for name, addresses in psutil.net_if_addrs().items()
            if name != self.bridge
            for address in addresses
            if address.family.name == "AF_INET" and address.netmask
        ]
        routes = json.loads(run(["ip", "-json", "-4", "route", "show"], what="reading the routes"))
        taken += [
            ipaddress.ip_network(route["dst"], strict=False)
            for route in routes
            if route["dst"] != "default" and route.get("dev") != self.bridge
        ]
        for subnet in _POOL.subnets(new_prefix=24):
            if not any(subnet.overlaps(other) for other in taken if isinstance(other, ipaddress.IPv4Network)):
                return subnet
        raise LocalError(
            f"no free /24 network in {_POOL}: every one overlaps an interface or route of this machine"
        )

    def hosts(self, names: list[str]) -> dict[str, Host]:
        """Return the hosts called ``names``, giving an address to each that has none yet."""
        subnet, indices = self._load()
        subnet = subnet or self._free_subnet()
        for name in names:
            if name not in indices:
                indices[name] = next(i for i in range(_FIRST_HOST, 254) if i not in indices.values())
        write_atomic(self._register, json.dumps({"subnet": str(subnet), "hosts": indices}, indent=2))
        return {
            name: Host(
                name=name,
                namespace=f"ps-{self._identity}-{name}",
                address=str(subnet[indices[name]]),
                index=indices[name],
            )
            for name in names
        }

    def forget(self, name: str) -> None:
        """Give the address of ``name`` back."""
        subnet, indices = self._load()
        if indices.pop(name, None) is not None:
            write_atomic(self._register, json.dumps({"subnet": str(subnet), "hosts": indices}, indent=2))

    def ensure(self, hosts: list[Host]) -> None:
        """Make the bridge and the namespaces that are missing; touch nothing that is there."""
        subnet, _ = self._load()
        if subnet is None:
            raise LocalError(f"{self._register} is missing: run `make up` from the start")
        links = {
            link["ifname"] for link in json.loads(run(["ip", "-json", "link"], what="reading the interfaces"))
        }
        if self.bridge not in links:
            _ip("link", "add", self.bridge, "type", "bridge")
        _ip("addr", "replace", f"{subnet[1]}/{subnet.prefixlen}", "dev", self.bridge)
        _ip("link", "set", self.bridge, "up")
        for host in hosts:
            self._ensure_host(host, subnet, links)

    def _ensure_host(self, host: Host, subnet: ipaddress.IPv4Network, links: set[str]) -> None:
        outer, inner = f"ps{self._identity}-{host.index}", f"pi{self._identity}-{host.index}"
        if host.namespace not in namespaces():
            _ip("netns", "add", host.namespace)
        inside = {link["ifname"] for link in json.loads(_ip("-n", host.namespace, "-json", "link"))}
        if "eth0" not in inside:
            if outer in links:  # a run was killed before the inner end had its name and place
                _ip("link", "delete", outer)
            _ip("link", "add", outer, "type", "veth", "peer", "name", inner)
            _ip("link", "set", inner, "netns", host.namespace)
            _ip("-n", host.namespace, "link", "set", inner, "name", "eth0")
        _ip("link", "set", outer, "master", self.bridge, "up")
        _ip("-n", host.namespace, "link", "set", "lo", "up")
        _ip("-n", host.namespace, "addr", "replace", f"{host.address}/{subnet.prefixlen}", "dev", "eth0")
        _ip("-n", host.namespace, "link", "set", "eth0", "up")
        # Service addresses are rewritten only for packets that have a route; nothing answers behind it.
        _ip("-n", host.namespace, "route", "replace", "default", "via", str(subnet[1]))

    def remove_host(self, name: str) -> None:
        """Remove the namespace of ``name``; its interfaces go with it."""
        namespace = f"ps-{self._identity}-{name}"
        if namespace in namespaces():
            _ip("netns", "delete", namespace)
        self.forget(name)

    def remove(self) -> None:
        """Remove every namespace of this checkout and the bridge."""
        for namespace in namespaces():
            if namespace.startswith(f"ps-{self._identity}-"):
                _ip("netns", "delete", namespace)
        if self.bridge in psutil.net_if_addrs():
            _ip("link", "delete", self.bridge)
        # The first namespace made a mount point of their folder; it goes with the last one.
        mounted = f" {_NAMESPACES} " in Path("/proc/self/mountinfo").read_text()
        if mounted and not any(_NAMESPACES.iterdir()):
            run(["umount", str(_NAMESPACES)], what="removing the folder of network namespaces")


def _ip(*arguments: str) -> str:
    return run(["ip", *arguments], what="setting up the network")


def namespaces() -> set[str]:
    """Return the names of the machine's network namespaces."""
    listed = json.loads(run(["ip", "-json", "netns", "list"], what="listing the network namespaces") or "[]")
    return {entry["name"] for entry in listed}
