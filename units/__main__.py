"""Run a unit: `python -m units apply|wait|delete`."""

from __future__ import annotations

import os
import sys
from typing import Final

from units.apply import apply
from units.delete import delete
from units.errors import UnitError
from units.kubectl import Kubectl
from units.request import read_request
from units.wait import wait

_USAGE: Final = 2


def main(arguments: list[str]) -> int:
    """Run a unit.

    Parameters
    ----------
    arguments
        What to do: `apply`, `wait` or `delete`.

    Returns
    -------
    int
        Exit status: 0, or 1 with one line on standard error.
    """
    if len(arguments) != 1 or arguments[0] not in ("apply", "wait", "delete"):
        sys.stderr.write("usage: python -m units apply|wait|delete\n")
        return _USAGE
    try:
        request = read_request(os.environ)
        if request.abandoned:
            sys.stdout.write(f"{request.name}: forgotten, since its cluster is gone for ever\n")
            return 0
        with Kubectl(request) as kubectl:
            if arguments[0] == "delete":
                done = delete(kubectl, request)
            else:
                stdin = sys.stdin.read() if request.manifest_file is None else ""
                done = (apply if arguments[0] == "apply" else wait)(kubectl, request, stdin)
    except UnitError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{done}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
