"""What makes a unit fail."""

from __future__ import annotations

from typing import Final

NOT_FOUND: Final = "(NotFound)"
"""What kubectl says of an object that is not there."""

UNSERVED: Final = "the server doesn't have a resource type"
"""What kubectl says of a resource whose API is not there: no object of it is there either."""

MODIFIED: Final = "the object has been modified"
"""What kubectl says of an object that changed since the version that a write names."""


class UnitError(Exception):
    """A unit can't go on; the message is one line that names the object and the reason."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class KubectlError(UnitError):
    """Kubectl ended with an error.

    Parameters
    ----------
    stderr
        What it said.
    """

    def __init__(self, stderr: str) -> None:
        self.stderr = stderr.strip()
        super().__init__(_gist(self.stderr) or "kubectl failed without a word")


def _gist(stderr: str) -> str:
    """Keep what tells the reason: kubectl repeats discovery errors and warnings around it."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    telling = [
        line
        for line in lines
        if not line.startswith(
            ("Warning:", "Please review", "* ", "See https", "E1", "E0", "W1", "W0", "I1", "I0")
        )
    ]
    return "; ".join(dict.fromkeys(telling or lines[-1:]))
