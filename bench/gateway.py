"""What the gateway costs an event, and what memory it needs: a real HAProxy on loopback.

The listener behind it is an HAProxy, too, which reads each event and answers at once: so what is measured is
the gateway's, and no listener's own work. Every event has a connection of its own, as providers make them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from bench.errors import BenchError
from bench.figure import Figure
from components.gateway_config import Listener, Places, Routing, TenantRoute, files
from components.haproxy import CONFIGURATION
from local.haproxy import haproxy
from local.layout import default_layout

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOPBACK: Final = "127.0.0.1"
_BODY_LIMIT: Final = 2 * 1024 * 1024
_RATE: Final = 200
_EVENT: Final = 20_000
_SECONDS: Final = 15
_REPOSITORIES: Final = 10_000
_TENANTS: Final = 100
_AT_ONCE: Final = 100
_LARGE: Final = 1_500_000
_WORKERS: Final = 16
_PRIORITY: Final = 10
"""Of real time, which is before all work that has none."""
_ACCEPTED: Final = b"HTTP/1.1 202"

_LISTENER: Final = """\
global
    maxconn 4000
    nbthread 1
    tune.bufsize {buffer}
defaults
    mode http
    option httpclose
    timeout client 30s
    timeout http-request 30s
frontend listener
    bind {bind}
    http-request wait-for-body time 30s
    http-request return status 202 content-type application/json string "{{}}"
"""


@dataclass(frozen=True, kw_only=True)
class _Running:
    gateway: int
    listener: int
    process: psutil.Process


def figures() -> Iterator[Figure]:
    """Measure.

    Raises
    ------
    BenchError
        An event was not accepted: what was measured then says nothing.
    """
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        _first(),
        _running(Path(name)) as running,
    ):
        # Both in turn, so that what else the machine does hits both alike.
        took = asyncio.run(_in_turn([running.listener, running.gateway]))
        direct, through = took[running.listener], took[running.gateway]
        for share, unit in ((50, "p50"), (99, "p99")):
            added = _percentile(through, share) - _percentile(direct, share)
            yield Figure(name=f"gateway-added-latency-{unit}", value=added * 1000, unit="ms", goal=2)
        rate = asyncio.run(_rate(running.gateway))
        yield Figure(name="gateway-events-per-second", value=rate, unit="1/s", goal=_RATE, least=True)
        held = asyncio.run(_memory(running))
        yield Figure(name="gateway-memory-100-large-events", value=held / 1e6, unit="MB", goal=300)


def _percentile(values: list[float], share: int) -> float:
    return statistics.quantiles(values, n=100)[share - 1]


def _event(size: int, number: int = 0) -> bytes:
    url = f"https://git.example.com/team-{number % _TENANTS}/app-{number}"
    head, tail = b'{"filler":"', f'","repository":{{"html_url":"{url}"}}}}'.encode()
    body = head + b"x" * (size - len(head) - len(tail)) + tail
    headers = (
        "POST / HTTP/1.1\r\nHost: events\r\nX-GitHub-Event: push\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return headers.encode() + body


async def _send(port: int, event: bytes) -> float:
    begun = time.perf_counter()
    reader, writer = await asyncio.open_connection(_LOOPBACK, port)
    writer.write(event)
    answer = await reader.read()
    took = time.perf_counter() - begun
    writer.close()
    if not answer.startswith(_ACCEPTED):
        raise BenchError(f"an event was answered {answer[:60]!r}")
    return took


async def _in_turn(ports: list[int]) -> dict[int, list[float]]:
    """Send events to each at the rate, not waiting for one before the next."""
    event = _event(_EVENT)
    sent: dict[int, list[asyncio.Task[float]]] = {port: [] for port in ports}
    begun = time.perf_counter()
    for number in range(_RATE * _SECONDS):
        for place, port in enumerate(ports):
            due = begun + (number + place / len(ports)) / _RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sent[port].append(asyncio.create_task(_send(port, event)))
    return {port: await asyncio.gather(*tasks) for port, tasks in sent.items()}


async def _rate(port: int) -> float:
    """Send events as fast as a few clients can."""
    event, end, done = _event(_EVENT), time.perf_counter() + _SECONDS / 3, 0

    async def client() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await _send(port, event)
            done += 1

    await asyncio.gather(*(client() for _ in range(_WORKERS)))
    return done / (_SECONDS / 3)


async def _memory(running: _Running) -> float:
    """Let the gateway hold large events but for their last byte, then all of them; give the most it held."""
    most = 0.0

    async def look() -> None:
        nonlocal most
        while True:
            most = max(most, running.process.memory_info().rss)
            await asyncio.sleep(0.01)

    looking = asyncio.create_task(look())
    connections = []
    for number in range(_AT_ONCE):
        event = _event(_LARGE, number)
        reader, writer = await asyncio.open_connection(_LOOPBACK, running.gateway)
        writer.write(event[:-1])
        connections.append((reader, writer, event[-1:]))
    await asyncio.gather(*(writer.drain() for _, writer, _ in connections))
    await asyncio.sleep(1)
    for _, writer, last in connections:
        writer.write(last)
    for answer in await asyncio.gather(*(reader.read() for reader, _, _ in connections)):
        if not answer.startswith(_ACCEPTED):
            raise BenchError(f"a large event was answered {answer[:60]!r}")
    looking.cancel()
    return most


@contextlib.contextmanager
def _first() -> Iterator[None]:
    """Go before all other work on the machine, where that is permitted, with what is started meanwhile.

    Latency is wall time: on a busy machine it would else be that of waiting for a processor. It takes less
    than one of them, for less than a minute.
    """
    before = os.sched_getscheduler(0)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    try:
        yield
    finally:
        os.sched_setscheduler(0, before, os.sched_param(0))


@contextlib.contextmanager
def _running(folder: Path) -> Iterator[_Running]:
    gateway, metrics, listener = _free_ports(3)
    behind = folder / "listener.cfg"
    behind.write_text(_LISTENER.format(buffer=_BODY_LIMIT * 2, bind=f"{_LOOPBACK}:{listener}"))
    routing = Routing(
        listeners={"one": Listener(host=_LOOPBACK, port=listener)},
        tenants={
            f"team-{tenant}": TenantRoute(
                cluster="one",
                repositories=tuple(
                    f"git.example.com/team-{tenant}/app-{number}"
                    for number in range(tenant, _REPOSITORIES, _TENANTS)
                ),
            )
            for tenant in range(_TENANTS)
        },
        body_limit=_BODY_LIMIT,
        events_per_source=1_000_000,
        events_per_repository=1_000_000,
        places=Places(events=f"{_LOOPBACK}:{gateway}", metrics=f"{_LOOPBACK}:{metrics}", maps=str(folder)),
    )
    for name, text in files(routing).items():
        (folder / name).write_text(text)
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(_process(folder, configuration))
            for configuration in (behind, folder / CONFIGURATION)
        ]
        for port in (listener, gateway):
            _await(port, folder)
        yield _Running(gateway=gateway, listener=listener, process=psutil.Process(started[1].pid))


@contextlib.contextmanager
def _process(folder: Path, configuration: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{configuration.name}.log").open("wb") as log:
        command = [*haproxy(default_layout().packages), "-db", "-f", str(configuration)]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind((_LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]


def _await(port: int, folder: Path) -> None:
    for _ in range(500):
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection((_LOOPBACK, port)):
            return
        time.sleep(0.02)
    told = "\n".join(log.read_text() for log in folder.glob("*.log"))
    raise BenchError(f"HAProxy did not start: {told}")
