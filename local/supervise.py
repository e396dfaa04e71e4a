"""Start a program again when it dies: ``python -I supervise.py RECORD PROGRAM ARGUMENTS…``.

A file by itself, with Python's standard library alone, since it outlives the command that started it. Each
restart is a line of the file RECORD. SIGTERM ends the program, and then this.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

_PAUSE = 1.0  # second before the first restart; doubled with each further one in a row
_LONGEST_PAUSE = 30.0
_STABLE = 60.0  # seconds after which a death is no longer one in a row
_IN_A_ROW = 5
_GRACE = 8  # seconds, fewer than whoever ends this one gives it


class Supervisor:
    """Keeps one program running.

    Parameters
    ----------
    record
        File that takes a line for each restart.
    command
        Program and arguments.
    """

    def __init__(self, record: Path, command: list[str]) -> None:
        self._record = record
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._ending = False

    def run(self) -> int:
        """Run until told to end, or until the program died too often in a row to be of use."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._end)
        self._record.write_text("")
        deaths = 0
        while not self._ending:
            begun = time.monotonic()
            self._child = subprocess.Popen(self._command)
            if self._ending:  # the signal came before the program was known
                self._child.terminate()
            status = self._child.wait()
            lived = time.monotonic() - begun
            deaths = 1 if lived > _STABLE else deaths + 1
            ended = f"{_told(status)} after {lived:.0f} s"
            if self._ending:
                break
            if deaths == _IN_A_ROW:
                self._say(f"{ended}; it died {deaths} times in a row, and is not started again")
                return 1
            pause = min(_PAUSE * 2 ** (deaths - 1), _LONGEST_PAUSE)
            self._say(f"{ended}; it is started again in {pause:.0f} s")
            self._sleep(pause)
            if not self._ending:
                with self._record.open("a") as record:
                    record.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {ended}\n")
        return 0

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._ending = True
        if self._child is not None:
            self._child.terminate()
            signal.signal(signal.SIGALRM, self._kill)
            signal.alarm(_GRACE)

    def _kill(self, _number: int, _frame: FrameType | None) -> None:
        if self._child is not None:
            self._child.kill()

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._ending and time.monotonic() < until:
            time.sleep(0.1)

    def _say(self, line: str) -> None:
        # Into the program's own log, where one looks for why it died.
        sys.stdout.write(f"supervisor: {Path(self._command[0]).name} {line}\n")
        sys.stdout.flush()


def _told(status: int) -> str:
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"


if __name__ == "__main__":
    sys.exit(Supervisor(Path(sys.argv[1]), sys.argv[2:]).run())
