"""Time and memory of commands, measured in turn so that a slower hour of the machine hits all alike."""

from __future__ import annotations

import contextlib
import resource
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from bench.errors import BenchError

_SAMPLE_SECONDS: Final = 0.1
_MEBIBYTE: Final = 2**20


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command.

    Attributes
    ----------
    arguments
        Program and arguments.
    folder
        Where it runs.
    environment
        Its environment variables.
    stdin
        What it reads.
    """

    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    stdin: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What one run of a command took.

    Attributes
    ----------
    seconds
        Wall time.
    processor
        Processor time of all its processes, in seconds, which other work on the machine changes least.
    mebibytes
        The most memory that all of its processes held at once, shared pages counted once; 0 where it was not
        looked at.
    programs
        What each program's processes held then, by its name.
    """

    seconds: float
    processor: float
    mebibytes: float = 0.0
    programs: Mapping[str, float] = field(default_factory=dict)


def run(command: Command, *, memory: bool = False) -> Sample:
    """Run a command.

    Parameters
    ----------
    command
        The command.
    memory
        Whether its memory is looked at, which costs time.

    Raises
    ------
    BenchError
        It failed.
    """
    begun, spent = time.monotonic(), _spent()
    process = subprocess.Popen(
        command.arguments,
        cwd=command.folder,
        env=dict(command.environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    peak: Counter[str] = Counter()
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(_SAMPLE_SECONDS):
            peak = max(peak, _held(process.pid), key=Counter.total)

    watcher = threading.Thread(target=watch)
    if memory:
        watcher.start()
    try:
        output, _ = process.communicate(command.stdin)
    finally:
        ended.set()
        if memory:
            watcher.join()
    seconds = time.monotonic() - begun
    if process.returncode != 0:
        lines = output.decode(errors="replace").splitlines()
        # What the engine found wrong stands among all that it would change.
        told = "\n".join(line for line in lines if "error" in line.lower()) or "\n".join(lines[-20:])
        raise BenchError(f"{' '.join(command.arguments)} in {command.folder} failed: {told}")
    programs = {name: held / _MEBIBYTE for name, held in peak.most_common()}
    return Sample(
        seconds=seconds, processor=_spent() - spent, mebibytes=sum(programs.values()), programs=programs
    )


def _spent() -> float:
    """Tell the processor time of all processes that this one has started and waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _held(pid: int) -> Counter[str]:
    """Add up the memory of a process and all below it, in bytes, for each program."""
    held: Counter[str] = Counter()
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                held[one.name()] += one.memory_full_info().pss
    return held


def in_turn(commands: Mapping[str, Command], rounds: int) -> dict[str, Sample]:
    """Run commands in turn, each round in the other direction; give the median of each figure.

    Parameters
    ----------
    commands
        The commands by name.
    rounds
        How often each runs.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in commands}
    for number in range(rounds):
        for name in sorted(commands, reverse=bool(number % 2)):
            samples[name].append(run(commands[name]))
    return {
        name: Sample(
            seconds=statistics.median(one.seconds for one in found),
            processor=statistics.median(one.processor for one in found),
        )
        for name, found in samples.items()
    }
