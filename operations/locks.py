"""Locks of Pulumi's file backend, and whether the process that took one still runs.

The backend keeps a lock as ``.pulumi/locks/organization/<project>/<stack>/<id>.json`` with the holder's pid,
user and host and the time (read in the CLI v3.224, `pkg/backend/diy/lock.go`). An engine that is killed
leaves it behind.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import psutil

from operations.errors import OperationError

if TYPE_CHECKING:
    from collections.abc import Callable

CLOCK_TOLERANCE = 10.0
"""Seconds by which a process's start, reckoned from the boot time, may seem later than it was."""


@dataclass(frozen=True, kw_only=True)
class Lock:
    """One lock of a stack.

    Attributes
    ----------
    path
        The lock's file.
    pid, username, hostname
        Who took it.
    taken
        When, with its time zone.
    """

    path: Path
    pid: int
    username: str
    hostname: str
    taken: datetime

    def __str__(self) -> str:
        return f"{self.username}@{self.hostname}, process {self.pid}, since {self.taken:%Y-%m-%d %H:%M:%S %z}"


def lock_folder(backend_url: str, *, project: str, stack: str) -> Path | None:
    """Return where the backend keeps the stack's locks, or None when it is no file backend.

    Parameters
    ----------
    backend_url
        As `pulumi whoami` gives it, such as ``file:///srv/state`` or ``file://~``.
    """
    parts = urlsplit(backend_url)
    if parts.scheme != "file":
        return None
    base = Path(unquote(parts.netloc + parts.path)).expanduser()
    return base / ".pulumi" / "locks" / "organization" / project / stack


def read_locks(folder: Path) -> list[Lock]:
    """Return the locks in a folder, oldest name first; none where the folder does not exist.

    Raises
    ------
    OperationError
        When a file there is no lock, since nobody can be asked whether it is in use.
    """
    locks = []
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            lock = Lock(
                path=path,
                pid=int(content["pid"]),
                username=str(content["username"]),
                hostname=str(content["hostname"]),
                taken=datetime.fromisoformat(content["timestamp"]),
            )
        except FileNotFoundError:
            continue  # its holder just let it go
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise OperationError(
                f"lock {path}: can't be read ({error!r}); make sure that nothing runs, then `pulumi cancel`",
            ) from error
        if lock.taken.tzinfo is None:
            raise OperationError(
                f"lock {path}: its time has no zone; make sure nothing runs, then `pulumi cancel`"
            )
        locks.append(lock)
    return locks


def process_start(pid: int) -> float | None:
    """Return when a process of this machine started, in seconds since the epoch; None once it is dead."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None  # dead, and only its parent has not noticed
        return process.create_time()
    except psutil.NoSuchProcess:
        return None


def is_stale(lock: Lock, *, hostname: str, start_of: Callable[[int], float | None] = process_start) -> bool:
    """Tell whether the process that took a lock is certainly gone.

    A process with the holder's pid that started after the lock was taken is another one: the number was
    reused. One that started before can only be the holder.

    Parameters
    ----------
    hostname
        This machine's name.
    start_of
        When the process of a pid started; None where there is none.

    Returns
    -------
    bool
        False also for a lock of another machine, whose processes can't be seen from here.
    """
    if lock.hostname != hostname:
        return False
    started = start_of(lock.pid)
    return started is None or started > lock.taken.timestamp() + CLOCK_TOLERANCE
