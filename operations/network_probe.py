"""What the pods of `operations check network` run: a server that says who it is, and a client that tries it.

It runs alone in a pod, by `python3 -c`, with Python's standard library and no more.
"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

PORT = 8080

ANSWERED = "answered"
BLOCKED = "blocked"
STRANGE = "strange"
"""Something took the connection that isn't the server which is meant."""

_TRY_SECONDS = 3.0
_PAUSE_SECONDS = 1.0
_OWN_SECONDS = 40.0
_DNS_SECONDS = 20.0

LEAST_SECONDS = 5.0
"""A network may refuse a new pod everything until it knows the policies: so one refusal says little."""

MOST_SECONDS = 15.0
"""A network may let a new pod everywhere until it knows the policies: so long it is given."""


def serve(word: str, port: int = PORT) -> None:
    """Say a word to everyone who connects, for ever."""
    try:
        server = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    except (OSError, ValueError):  # a node without IPv6
        server = socket.create_server(("", port))
    while True:
        connection, _ = server.accept()
        # Whoever hangs up early, as a readiness probe does, doesn't end the server.
        with connection, contextlib.suppress(OSError):
            connection.sendall(word.encode())


def attempt(address: str, port: int, word: str) -> tuple[str, str]:
    """Connect once; give what came of it, and why.

    Parameters
    ----------
    address
        IP address.
    port
        TCP port.
    word
        What the server there says; empty where to be connected is to be answered.
    """
    try:
        connection = socket.create_connection((address, port), timeout=_TRY_SECONDS)
    except OSError as error:
        return BLOCKED, _reason(error)
    with connection:
        if not word:
            return ANSWERED, ""
        said = b""
        try:
            while len(said) < len(word) and (more := connection.recv(len(word) - len(said))):
                said += more
        except OSError as error:
            return STRANGE, f"connected, then {_reason(error)}"
    return (ANSWERED, "") if said == word.encode() else (STRANGE, "connected to something else")


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return errno.errorcode.get(error.errno or 0, "") or type(error).__name__


def answered_within(target: dict[str, Any], seconds: float) -> tuple[str, str]:
    """Try again and again until there is an answer."""
    deadline = time.monotonic() + seconds
    while (tried := attempt(target["address"], target["port"], target["word"]))[0] != ANSWERED:
        if time.monotonic() > deadline:
            break
        time.sleep(_PAUSE_SECONDS)
    return tried


def settled(target: dict[str, Any]) -> tuple[str, str]:
    """Try again and again while the network may still be changing; give what came of it last."""
    begun = time.monotonic()
    open_for = 0.0
    while True:
        result, detail = attempt(target["address"], target["port"], target["word"])
        passed = time.monotonic() - begun
        if result != BLOCKED:
            open_for = passed
        if passed >= (LEAST_SECONDS if result == BLOCKED else MOST_SECONDS):
            break
        time.sleep(_PAUSE_SECONDS)
    if result == BLOCKED and open_for:
        detail += f", but not in the first {open_for:.0f} s"
    return result, detail


def resolved(name: str) -> tuple[str, str]:
    """Look a name up, again and again until it is found."""
    deadline = time.monotonic() + _DNS_SECONDS
    while True:
        try:
            socket.getaddrinfo(name, None)
        except OSError as error:
            if time.monotonic() > deadline:
                return BLOCKED, str(error)
        else:
            return ANSWERED, ""
        time.sleep(_PAUSE_SECONDS)


def probe(targets: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Try all targets; give the results in their order.

    The own server comes first, and last again: without it, no refusal says anything.

    Parameters
    ----------
    targets
        `kind` (`own`, `other`, `metadata` or `dns`), `address`, and but for `dns` also `port` and `word`.
    """
    own = {
        number: answered_within(target, _OWN_SECONDS)
        for number, target in enumerate(targets)
        if target["kind"] == "own"
    }

    def try_one(number: int) -> tuple[str, str]:
        target = targets[number]
        if target["kind"] == "dns":
            return resolved(target["address"])
        return own[number] if number in own else settled(target)

    with ThreadPoolExecutor(max(1, len(targets))) as pool:
        results = list(pool.map(try_one, range(len(targets))))
    for number, (result, _) in own.items():
        if result == ANSWERED:
            results[number] = answered_within(targets[number], _TRY_SECONDS)
    return results


def main(arguments: list[str]) -> None:
    """Run as `serve WORD`, or as `probe TARGETS FILE`: the results are written to the file, as JSON."""
    if arguments[0] == "serve":
        serve(arguments[1])
    else:
        results = probe(json.loads(arguments[1]))
        Path(arguments[2]).write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
