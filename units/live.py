"""The objects that exist: looked at, and changed in what is not their content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from units.errors import MODIFIED, NOT_FOUND, KubectlError, UnitError
from units.manifest import identify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from units.kubectl import Kubectl
    from units.manifest import Identity, Manifest

_TRIES: Final = 10
"""How often an object is read anew that others changed meanwhile."""


def live_objects(
    kubectl: Kubectl, identities: Iterable[Identity]
) -> dict[tuple[str, str, str, str], Manifest]:
    """Get the objects that exist, by key.

    Parameters
    ----------
    kubectl
        The API server.
    identities
        The objects.

    Raises
    ------
    KubectlError
        The server can't be asked.
    """
    asked = sorted(identities)
    found = kubectl.api.each(kubectl.api.find, asked)
    return {identity.key: one for identity, one in zip(asked, found, strict=True) if one is not None}


def change_metadata(
    kubectl: Kubectl, manager: str, seen: Iterable[Manifest], patch_for: Callable[[Manifest], Manifest]
) -> int:
    """Patch the metadata of objects, each as it is at that moment; one that is gone is left out.

    Parameters
    ----------
    kubectl
        The API server.
    manager
        Name under which fields are owned.
    seen
        The objects, as they were when they were read last.
    patch_for
        Makes the patch of an object's metadata; an empty one where nothing is to be changed.

    Returns
    -------
    int
        How many were changed.

    Raises
    ------
    UnitError
        One was refused, or changes all the time.
    """

    def change(item: Manifest) -> bool:
        identity = identify(item)
        found: Manifest | None = item
        for _ in range(_TRIES):
            patch = patch_for(found) if found else {}
            if not found or not patch:
                return False
            # With its version the server refuses to change another state of it.
            guarded = {"metadata": {**patch, "resourceVersion": found["metadata"]["resourceVersion"]}}
            try:
                kubectl.api.patch(identity, guarded, manager)
            except KubectlError as error:
                if NOT_FOUND in error.stderr:
                    return False
                if MODIFIED not in error.stderr:
                    raise
                found = kubectl.api.find(identity)
            else:
                return True
        raise UnitError(f"{identity} changes all the time, so it couldn't be changed; run pulumi up anew")

    return sum(kubectl.api.each(change, seen))
