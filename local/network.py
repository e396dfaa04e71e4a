"""A bridge, and one network namespace on it for kcp and for each compute cluster.

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
from releases.files import write_atomic

ADDRESSES = "10.83.0.0/16"
"""Where all addresses of embedded environments on this machine are from."""

_POOL = ipaddress.IPv4Network(ADDRESSES)  # one /24 of it for each checkout
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

    The bridge stands in a namespace of its own, the hub, and the machine holds one end of a link to it: what
    the machine does with packets that it forwards (Docker has them dropped) concerns nobody in here.

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
        self._hub = f"ps-{identity}--hub"  # no host's name starts with a dash
        self.uplink = f"ps-{identity}"

    def _load(self) -> tuple[ipaddress.IPv4Network | None, dict[str, int]]:
        if not self._register.exists():
            return None, {}
        saved = json.loads(self._register.read_text())
        return ipaddress.IPv4Network(saved["subnet"]), saved["hosts"]

    def _taken(self) -> list[ipaddress.IPv4Network]:
        """Return the networks that the machine's other interfaces and routes use."""
        taken = [
            ipaddress.IPv4Interface(f"{address.address}/{address.netmask}").network
            for name, addresses in psutil.net_if_addrs().items()
            if name != self.uplink
            for address in addresses
            if address.family.name == "AF_INET" and address.netmask
        ]
        routes = json.loads(run(["ip", "-json", "-4", "route", "show"], what="reading the routes"))
        return taken + [
            ipaddress.IPv4Network(route["dst"], strict=False)
            for route in routes
            if route["dst"] != "default" and route.get("dev") != self.uplink
        ]

    def _free_subnet(self) -> ipaddress.IPv4Network:
        taken = self._taken()
        for subnet in _POOL.subnets(new_prefix=24):
            if not any(subnet.overlaps(other) for other in taken):
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

    def machine(self) -> str:
        """Return the machine's own address in this network, where hosts and pods reach what listens there.

        Raises
        ------
        LocalError
            No address was given out yet.
        """
        subnet, _ = self._load()
        if subnet is None:
            raise LocalError("the embedded environment has no network yet: run `make up`")
        return str(subnet[1])

    def forget(self, name: str) -> None:
        """Give the address of ``name`` back."""
        subnet, indices = self._load()
        if indices.pop(name, None) is not None:
            write_atomic(self._register, json.dumps({"subnet": str(subnet), "hosts": indices}, indent=2))

    def ensure(self, hosts: list[Host]) -> None:
        """Make the bridge and the namespaces that are missing; touch nothing that is there.

        Raises
        ------
        LocalError
            Something else on this machine has come to use this checkout's network meanwhile.
        """
        subnet, _ = self._load()
        if subnet is None:
            raise LocalError(f"{self._register} is missing: run `make up` from the start")
        overlapping = [str(other) for other in self._taken() if subnet.overlaps(other)]
        if overlapping:
            raise LocalError(
                f"this checkout's network {subnet} overlaps {', '.join(overlapping)} of this machine: "
                "run `make down` here, then `make up`, to get another"
            )
        if self._hub not in namespaces():
            _ip("netns", "add", self._hub)
        if "bridge0" not in self._links(self._hub):
            _ip("-n", self._hub, "link", "add", "bridge0", "type", "bridge")
        _ip("-n", self._hub, "link", "set", "bridge0", "up")
        self._plug(self.uplink, None, self.uplink, "uplink")
        _ip("addr", "replace", f"{subnet[1]}/{subnet.prefixlen}", "dev", self.uplink)
        for host in hosts:
            if host.namespace not in namespaces():
                _ip("netns", "add", host.namespace)
            self._plug("eth0", host.namespace, f"pi{self._identity}-{host.index}", f"port{host.index}")
            inside = ("-n", host.namespace)
            _ip(*inside, "link", "set", "lo", "up")
            _ip(*inside, "addr", "replace", f"{host.address}/{subnet.prefixlen}", "dev", "eth0")
            # Service addresses are rewritten only for packets that have a route; nothing answers behind it.
            _ip(*inside, "route", "replace", "default", "via", str(subnet[1]))

    @staticmethod
    def _links(namespace: str | None) -> set[str]:
        inside = () if namespace is None else ("-n", namespace)
        return {link["ifname"] for link in json.loads(_ip(*inside, "-json", "link"))}

    def _plug(self, name: str, namespace: str | None, temporary: str, port: str) -> None:
        """Link a namespace (the machine's own where None) to the bridge, unless it is.

        Its end ``temporary`` is moved to its place and only there called ``name``.
        """
        inside = () if namespace is None else ("-n", namespace)
        if name not in self._links(namespace) or port not in self._links(self._hub):
            # A run that was killed half-way may have left one end here or there; with it goes the other.
            for place, end in ((namespace, name), (self._hub, port), (None, temporary)):
                if end in self._links(place):
                    _ip(*(() if place is None else ("-n", place)), "link", "delete", end)
            _ip("-n", self._hub, "link", "add", port, "type", "veth", "peer", "name", temporary)
            target = "1" if namespace is None else namespace
            _ip("-n", self._hub, "link", "set", temporary, "netns", target)
            if name != temporary:
                _ip(*inside, "link", "set", temporary, "name", name)
        _ip("-n", self._hub, "link", "set", port, "master", "bridge0", "up")
        _ip(*inside, "link", "set", name, "up")

    def remove_host(self, name: str) -> None:
        """Remove the namespace of ``name``; its interfaces go with it."""
        namespace = f"ps-{self._identity}-{name}"
        if namespace in namespaces():
            _ip("netns", "delete", namespace)
        self.forget(name)

    def remove(self) -> None:
        """Remove every namespace of this checkout, and with the hub the bridge."""
        # First, since it goes with the hub: a moment after that namespace is gone, and so maybe between a
        # look and a delete.
        if self.uplink in self._links(None):
            _ip("link", "delete", self.uplink)
        for namespace in namespaces():
            if namespace.startswith(f"ps-{self._identity}-"):
                _ip("netns", "delete", namespace)
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
