"""What makes a unit fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_FOUND: Final = "(NotFound)"
"""What kubectl says of an object that is not there."""

UNSERVED: Final = "the server doesn't have a resource type"
"""What kubectl says of a resource whose API is not there: no object of it is there either."""

MODIFIED: Final = "the object has been modified"
"""What kubectl says of an object that changed since the version that a write names."""

# What a server says that is still starting, or a webhook whose pods are.
_STARTING: Final = (
    "failed calling webhook",
    "conversion webhook",
    "connection reset by peer",
    "EOF",
    "etcdserver:",
    "Internal error occurred",
    "the server is currently unable to handle the request",
    "the server was unable to return a response in the time allotted",
    "too many requests",
    "failed to download openapi",
    "the server could not find the requested resource",
    "no matches for kind",
    "the object has been modified",
    "not yet established",
    "(ServiceUnavailable)",
    "(TooManyRequests)",
    "(BadGateway)",
    "(GatewayTimeout)",
    "Error from server (Forbidden): unknown",
)
"""`no matches for kind`: an API that was just bound or defined. `unknown`: kcp before its roles are there."""

# What a server says, or fails to say, that may be down for long: a dead cluster must not hold up the others.
_UNREACHABLE: Final = (
    "connection refused",
    "was refused - did you specify the right host or port?",
    "no such host",
    "no route to host",
    "i/o timeout",
    "context deadline exceeded",
    "Client.Timeout exceeded",
    "TLS handshake timeout",
)

STARTING_SECONDS: Final = 120
UNREACHABLE_SECONDS: Final = 30


def passes_by_itself(stderr: str, elapsed: float) -> bool:
    """Tell whether to try again.

    Parameters
    ----------
    stderr
        What kubectl said.
    elapsed
        Seconds since the first try.
    """
    if any(sign in stderr for sign in _UNREACHABLE):
        return elapsed < UNREACHABLE_SECONDS
    return elapsed < STARTING_SECONDS and any(sign in stderr for sign in _STARTING)


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


class RefusedError(KubectlError):
    """Of several objects, some were refused.

    Parameters
    ----------
    errors
        Those that were, and why.
    """

    def __init__(self, errors: Sequence[tuple[Any, KubectlError]]) -> None:
        self.errors: Final = errors
        super().__init__("\n".join(error.stderr for _, error in errors))


_TOLD: Final = 5
"""How many lines of an error are told."""


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
    told = list(dict.fromkeys(telling or lines[-1:]))
    # A webhook that doesn't answer keeps back every object of a release, for one reason.
    more = [f"and {len(told) - _TOLD} more"] if len(told) > _TOLD else []
    return "; ".join(told[:_TOLD] + more)
