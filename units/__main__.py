"""Run a unit: `python -m units apply|wait|delete`, a delivery: `… deliver|undeliver|place`, or `… cancel`."""

from __future__ import annotations

import json
import os
import sys
from typing import Final

from units.apply import apply
from units.cancel import cancel_until_ended, read_cancelling
from units.delete import delete
from units.deliver import deliver, place, read_delivery, undeliver
from units.errors import UnitError
from units.kubectl import Kubectl
from units.request import read_request
from units.wait import wait

_USAGE: Final = 2
_VERBS: Final = ("apply", "wait", "delete", "deliver", "undeliver", "place", "cancel")


def main(arguments: list[str]) -> int:
    """Run a unit.

    Parameters
    ----------
    arguments
        What to do: `apply`, `wait` or `delete` a unit; `deliver` or `undeliver` what is on a cluster, or
        `place` what must be there before; or `cancel` runs that lie on a cluster alone.

    Returns
    -------
    int
        Exit status: 0, or 1 with one line on standard error.
    """
    if len(arguments) != 1 or arguments[0] not in _VERBS:
        sys.stderr.write(f"usage: python -m units {'|'.join(_VERBS)}\n")
        return _USAGE
    verb = arguments[0]
    try:
        request = read_request(os.environ)
        if request.abandoned:
            sys.stdout.write(f"{request.name}: forgotten, since its cluster is gone for ever\n")
            return 0
        with Kubectl(request) as kubectl:
            if verb == "delete":
                done = delete(kubectl, request)
            elif verb == "undeliver":
                done = undeliver(kubectl, request, read_delivery(os.environ))
            elif verb == "place":
                done = place(kubectl, request, json.loads(os.environ["UNIT_PLACES"]))
            elif verb == "cancel":
                done = cancel_until_ended(kubectl, request, read_cancelling(os.environ))
            elif verb == "wait":
                done = wait(kubectl, request)
            else:
                stdin = sys.stdin.read() if request.manifest_file is None else ""
                if verb == "deliver":
                    done = deliver(kubectl, request, read_delivery(os.environ), stdin)
                else:
                    done = apply(kubectl, request, stdin)
    except UnitError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{done}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
