"""Processes that a killed engine left behind: its plugins, the language host, and the units they run.

Such a process may still be sending a request whose result no state will ever hold, so the state can't be
mended before it has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from operations.errors import OperationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_READ_ONLY = ("pulumi-language-", "pulumi-analyzer-")
"""These change nothing by themselves, so they need no time to finish something."""
_PLUGIN_PREFIXES = ("pulumi-resource-", *_READ_ONLY)
_STAND_IN = ("local", "plugins", "launch.py")
_ENGINE = "pulumi"
_TERM_SECONDS = 10.0
_KILL_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class ProcessFacts:
    """What decides whether a process is an orphan.

    Attributes
    ----------
    command
        Its arguments, the program first.
    folder
        Its working directory.
    ancestors
        The programs' names of its parent, grandparent and so on.
    """

    command: Sequence[str]
    folder: Path
    ancestors: Sequence[str]


def role(command: Sequence[str]) -> str | None:
    """Return what a process does for an engine (``pulumi-resource-kubernetes``, ``units``), or None."""
    for argument in command[:3]:  # an interpreter may stand before the plugin's own file
        path = Path(argument)
        if path.name.startswith(_PLUGIN_PREFIXES):
            return path.name
        if path.parts[-3:] == _STAND_IN:
            return "stand-in plugin"
    for flag, module in pairwise(command):
        if flag == "-m" and module == "units":
            return "units"
    return None


def is_orphan(facts: ProcessFacts, *, root: Path) -> bool:
    """Tell whether a process certainly worked for an engine of this project that is dead.

    Certain is: it has one of the known roles, it works in the project's folder, and no engine is among its
    ancestors.
    """
    return (
        role(facts.command) is not None
        and facts.folder.is_relative_to(root)
        and _ENGINE not in facts.ancestors
    )


def find_orphans(root: Path) -> list[psutil.Process]:
    """Return the orphans of the project in `root` that this user may see."""
    orphans = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            facts = ProcessFacts(
                command=process.cmdline(),
                folder=Path(process.cwd()),
                ancestors=[parent.name() for parent in process.parents()],
            )
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # gone, or another user's: not ours to end
        if is_orphan(facts, root=root):
            orphans.append(process)
    return orphans


def end(orphans: Sequence[psutil.Process], say: Callable[[str], None], *, grace: float) -> None:
    """Wait for orphans to finish by themselves, then end those that did not.

    Parameters
    ----------
    orphans
        The processes; each is identified by pid and start time, so a reused pid is safe.
    say
        Takes one line for each process.
    grace
        Seconds they get before they are told to stop.

    Raises
    ------
    OperationError
        When one survives even that.
    """
    named = {process.pid: _name(process) for process in orphans}
    for process in orphans:
        if named[process.pid].startswith(_READ_ONLY):
            _signal(process.terminate)
    finished, waiting = psutil.wait_procs(orphans, timeout=grace)
    for process in finished:
        say(f"process {process.pid} ({named[process.pid]}) of the dead engine has finished")
    for process in waiting:
        _signal(process.terminate)
    ended, waiting = psutil.wait_procs(waiting, timeout=_TERM_SECONDS)
    for process in waiting:
        _signal(process.kill)
    killed, alive = psutil.wait_procs(waiting, timeout=_KILL_SECONDS)
    for process in (*ended, *killed):
        say(f"process {process.pid} ({named[process.pid]}) of the dead engine was ended")
    if alive:
        pids = ", ".join(str(process.pid) for process in alive)
        raise OperationError(
            f"processes {pids} of the dead engine don't end; look at them, then run this again"
        )


def _name(process: psutil.Process) -> str:
    try:
        return role(process.cmdline()) or process.name()
    except psutil.NoSuchProcess:
        return "gone"


def _signal(send: Callable[[], None]) -> None:
    try:
        send()
    except psutil.NoSuchProcess:
        return  # it finished just now, which is what was wanted
