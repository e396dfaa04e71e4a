"""Ports for servers that tests start."""

from __future__ import annotations

import itertools
import os
import random
import socket

# Below what kernels give to clients (32768 and up, by default): no client takes one before its server does.
# And below where an embedded environment has those of its simulated clusters.
FIRST, LAST = 20_000, 25_999


def slice_of(worker: int, workers: int) -> range:
    """Return the ports of one of so many workers of pytest-xdist, which no other of them has."""
    width = (LAST - FIRST + 1) // workers
    return range(FIRST + worker * width, FIRST + (worker + 1) * width)


def _own() -> range:
    name = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    return slice_of(int(name.removeprefix("gw")), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def _from_anywhere(ports: range) -> itertools.cycle[int]:
    # Two runs of the tests at a time have the same ports, and seldom begin near each other.
    begin = random.SystemRandom().randrange(len(ports))
    return itertools.cycle([*ports[begin:], *ports[:begin]])


_NEXT = _from_anywhere(_own())


def free_port() -> int:
    """Return a port that nobody has now, and that is given to nobody else soon."""
    for port in itertools.islice(_NEXT, LAST - FIRST + 1):
        with socket.socket() as probe:
            try:
                # On every address, as some servers take it.
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port from {FIRST} to {LAST} is free")
