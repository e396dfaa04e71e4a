"""Running one command: a process group of its own, its output streamed and kept."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from local.plugins.protocol.errors import ProviderError, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from local.plugins.protocol.lifetime import Lifetime

DEFAULT_INTERPRETER: Final = ("/bin/sh", "-c")
GRACE_SECONDS: Final = 2.0
"""From SIGTERM to SIGKILL. The engine itself leaves a plugin five seconds to end."""
POLL_SECONDS: Final = 0.1
ERROR_LINES: Final = 60
"""How much of each stream an error quotes: the end, where commands say why they failed."""


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """What to run.

    Attributes
    ----------
    script : str
        The command, handed to the interpreter as its last argument.
    interpreter : Sequence[str]
        Program and leading arguments.
    environment : Mapping[str, str]
        Added to this process's own.
    stdin : str
        Written to the command; empty for none.
    directory : str or None
        Working directory, the engine's where None.
    log_stdout, log_stderr : bool
        Which streams the user sees while it runs.
    secrets : Collection[str]
        What must be seen neither there nor in errors.
    """

    script: str
    interpreter: Sequence[str] = DEFAULT_INTERPRETER
    environment: Mapping[str, str] = field(default_factory=dict)
    stdin: str = ""
    directory: str | None = None
    log_stdout: bool = True
    log_stderr: bool = True
    secrets: Collection[str] = ()


class ProcessGroups:
    """The process groups that run now, so that none outlives the plugin."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def start(self, command: CommandLine) -> subprocess.Popen[bytes]:
        """Start a command in a process group of its own.

        Parameters
        ----------
        command : CommandLine
            What to run.

        Returns
        -------
        subprocess.Popen
            Its leader; hand it to `finished` after it ended.

        Raises
        ------
        ProviderError
            Where it cannot be started.
        """
        with self._lock:  # started and registered at once: the end of the plugin must miss no group
            if self._closed:
                raise ProviderError(f"not run, the plugin is ending: {command.script!r}")
            try:
                process = subprocess.Popen(
                    [*command.interpreter, command.script],
                    stdin=subprocess.PIPE if command.stdin else subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=command.directory,
                    env={**os.environ, **command.environment},
                    process_group=0,
                )
            except (OSError, ValueError) as error:
                place = command.directory or Path.cwd()
                raise ProviderError(
                    f"cannot start {command.script!r} by {command.interpreter[0]} in {place}:"
                    f" {redact(str(error), command.secrets)}"
                ) from error
            self._running.add(process)
            return process

    def finished(self, process: subprocess.Popen[bytes]) -> None:
        """Forget a command that ended."""
        with self._lock:
            self._running.discard(process)

    def close(self) -> None:
        """End every running command, whole groups at once, and let no new one start."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for process in running:
            signal_group(process, signal.SIGTERM)
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
            signal_group(process, signal.SIGKILL)


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal all processes of a command.

    Parameters
    ----------
    process : subprocess.Popen
        The group's leader.
    number : signal.Signals
        What to send. A group that is gone already is left alone.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def run(
    command: CommandLine, groups: ProcessGroups, lifetime: Lifetime, log: Callable[[str], None]
) -> tuple[str, str]:
    """Run a command to its end.

    Parameters
    ----------
    command : CommandLine
        What to run.
    groups : ProcessGroups
        Keeps it from outliving the plugin.
    lifetime : Lifetime
        Tells when to give up.
    log : Callable
        Takes each line of the streams to be shown.

    Returns
    -------
    tuple of (str, str)
        Standard output and standard error, each without its last line break.

    Raises
    ------
    ProviderError
        Where it fails, with the end of what it wrote, or is cancelled.
    """
    process = groups.start(command)
    # Of each stream its own end: a flood on one must not push the reason out that the other gave.
    tails: tuple[deque[str], deque[str]] = (deque(maxlen=ERROR_LINES), deque(maxlen=ERROR_LINES))
    output: list[bytes] = []
    errors: list[bytes] = []
    threads = [
        threading.Thread(
            target=_collect, args=(process.stdout, output, tails[0], log if command.log_stdout else None)
        ),
        threading.Thread(
            target=_collect, args=(process.stderr, errors, tails[1], log if command.log_stderr else None)
        ),
    ]
    if command.stdin:
        threads.append(threading.Thread(target=_feed, args=(process.stdin, command.stdin.encode())))
    for thread in threads:
        thread.daemon = True
        thread.start()
    try:
        cancelled = _wait(process, threads, lifetime)
    finally:
        groups.finished(process)
    if cancelled:
        raise ProviderError(f"cancelled: {command.script!r} was stopped with all its processes")
    if process.returncode != 0:
        raise ProviderError(
            redact(
                f"{_how_it_ended(process)}: running {command.script!r}:\n"
                + "\n".join(line for tail in tails for line in tail),
                command.secrets,
            )
        )
    return _text(output).removesuffix("\n"), _text(errors).removesuffix("\n")


def _wait(process: subprocess.Popen[bytes], threads: Sequence[threading.Thread], lifetime: Lifetime) -> bool:
    """Wait for the command's end and its streams'; return whether it was cancelled instead."""
    while process.poll() is None or any(thread.is_alive() for thread in threads):
        if not lifetime.sleep(POLL_SECONDS):
            signal_group(process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
            signal_group(process, signal.SIGKILL)
            process.wait()
            return True
    return False


def _how_it_ended(process: subprocess.Popen[bytes]) -> str:
    if process.returncode < 0:
        return f"signal: {signal.Signals(-process.returncode).name}"
    return f"exit status {process.returncode}"


def _text(chunks: list[bytes]) -> str:
    return b"".join(chunks).decode(errors="replace")


def _collect(
    stream: IO[bytes], into: list[bytes], tail: deque[str], log: Callable[[str], None] | None
) -> None:
    for line in stream:
        into.append(line)
        text = line.decode(errors="replace").rstrip("\r\n")
        tail.append(text)
        if log is not None:
            log(text)


def _feed(stream: IO[bytes], data: bytes) -> None:
    # A command may end without reading all of its input; its exit status tells whether that is an error.
    with contextlib.suppress(BrokenPipeError), stream:
        stream.write(data)
