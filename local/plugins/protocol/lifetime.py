"""When a plugin's process stops: told to, or because its engine is gone.

The engine stops a plugin by SIGINT and, five seconds later, SIGKILL (sdk/go/common/resource/plugin/plugin.go
of pulumi v3.224.0). An engine that dies by SIGKILL does neither, and the official plugins then stay for ever;
these must not. A parent-death signal would not do: it is bound to the parent's *thread*, and the engine's
threads come and go.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

CHECK_SECONDS: Final = 5.0
"""How often the engine's port is tried, in case its process is not this one's parent."""
MISSED_CHECKS: Final = 2
"""How many tries must fail in a row before the engine counts as gone."""


class Lifetime:
    """The plugin's process, from start to end.

    Parameters
    ----------
    engine_address : str
        ``host:port`` of the engine.
    parent : int
        Process id of the parent at the start.
    """

    def __init__(self, engine_address: str, parent: int) -> None:
        host, _, port = engine_address.rpartition(":")
        self._engine = (host, int(port))
        self._parent = parent
        self._cancelled = threading.Event()
        self._stop = threading.Event()
        self._cleanups: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        """Whether operations under way are to be given up."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Have operations under way given up."""
        self._cancelled.set()

    def sleep(self, seconds: float) -> bool:
        """Sleep unless operations are to be given up.

        Parameters
        ----------
        seconds : float
            How long.

        Returns
        -------
        bool
            True where the whole time passed, False where it was cut short.
        """
        return not self._cancelled.wait(max(seconds, 0))

    def at_end(self, cleanup: Callable[[], None]) -> None:
        """Have something done before the process ends.

        Parameters
        ----------
        cleanup : Callable
            Must return within seconds.
        """
        self._cleanups.append(cleanup)

    def take_signals(self) -> None:
        """End on SIGINT and SIGTERM from now on; for the main thread, before the engine can send one."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def wait(self) -> None:
        """Block the main thread until the plugin is to stop, then clean up and end the process."""
        threading.Thread(target=self._watch, name="engine-watch", daemon=True).start()
        self._stop.wait()
        self._cancelled.set()
        for cleanup in self._cleanups:
            cleanup()
        sys.stdout.flush()
        # Not sys.exit(): it would wait for operations under way in other threads.
        os._exit(0)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stop.set()

    def _watch(self) -> None:
        parent = self._open_parent()
        missed = 0
        while missed < MISSED_CHECKS:
            if parent is None:
                time.sleep(CHECK_SECONDS)
            elif select.select([parent], [], [], CHECK_SECONDS)[0]:
                break
            missed = 0 if self._engine_listens() else missed + 1
        self._stop.set()

    def _open_parent(self) -> int | None:
        """Return a descriptor that becomes readable when the parent ends, None where the kernel has none."""
        if os.getppid() != self._parent:
            self._stop.set()
            return None
        with contextlib.suppress(OSError):  # the fallback is the engine's port
            return os.pidfd_open(self._parent)
        return None

    def _engine_listens(self) -> bool:
        try:
            with socket.create_connection(self._engine, timeout=CHECK_SECONDS):
                return True
        except OSError:
            return False
