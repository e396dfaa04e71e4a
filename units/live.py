"""Look at the objects that exist."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from units.errors import KubectlError
from units.manifest import identify, serialize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from units.kubectl import Kubectl
    from units.manifest import Identity

_SECONDS: Final = 300

_NO_MATCH: Final = re.compile(r'no matches for kind "([^"]+)" in version "([^"]+)"')


def live_objects(
    kubectl: Kubectl, identities: Iterable[Identity], *options: str
) -> dict[tuple[str, str, str, str], Mapping[str, Any]]:
    """Get the objects that exist, by key.

    Parameters
    ----------
    kubectl
        The API server.
    identities
        The objects.
    *options
        More options of `kubectl get`.

    Raises
    ------
    KubectlError
        The server can't be asked.
    """
    remaining = sorted(identities)
    while remaining:
        try:
            text = kubectl.run(
                "get",
                "--filename=-",
                "--ignore-not-found",
                "--output=json",
                *options,
                stdin=serialize([identity.reference() for identity in remaining]),
                patient=False,
                seconds=_SECONDS,
            )
        except KubectlError as error:
            # No object is left of a kind that the server doesn't serve any more.
            unserved = set(_NO_MATCH.findall(error.stderr))
            left = [one for one in remaining if (one.kind, one.api_version) not in unserved]
            if len(left) == len(remaining):
                raise
            remaining = left
        else:
            return {identify(item).key: item for item in printed_items(text)}
    return {}


def printed_items(text: str) -> list[dict[str, Any]]:
    """Read what kubectl printed: nothing, an object, or a list of them.

    Parameters
    ----------
    text
        JSON, or nothing.
    """
    if not text.strip():
        return []
    answer: dict[str, Any] = json.loads(text)
    items: list[dict[str, Any]] = answer["items"] if answer["kind"] == "List" else [answer]
    return items
