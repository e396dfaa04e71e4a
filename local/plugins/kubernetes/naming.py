"""Names for objects whose program gives none."""

from __future__ import annotations

import secrets
from typing import Final

from pulumi.runtime.proto import provider_pb2

from local.plugins.kubernetes.objects import AUTONAMED, Object, is_annotated, name_of
from local.plugins.protocol.errors import ProviderError
from local.plugins.protocol.values import UNKNOWN

SUFFIX_BYTES: Final = 4
"""Of the random part of a name; written as twice as many hexadecimal digits."""


def ensure_name(inputs: Object, old: Object, request: provider_pb2.CheckRequest) -> None:
    """Give an object without a name one: the one it had, or ``<resource name>-<random>``.

    Parameters
    ----------
    inputs : Object
        The new inputs; name and the annotation that marks it as automatic are added in place.
    old : Object
        The old inputs, empty where there are none.
    request : provider_pb2.CheckRequest
        Has the engine's seed and its rules for automatic names.

    Raises
    ------
    ProviderError
        Where a name is needed and must not be made.
    """
    given = inputs.setdefault("metadata", {})
    if given is UNKNOWN or given.get("name"):
        return
    if given.get("generateName"):
        raise ProviderError(
            "metadata.generateName is not supported with server-side apply: give metadata.name"
        )
    if is_annotated(old, AUTONAMED):
        name = name_of(old)
    else:
        mode = request.autonaming.mode if request.HasField("autonaming") else None
        if mode == provider_pb2.CheckRequest.AutonamingOptions.DISABLE:
            raise ProviderError("autonaming is disabled: give metadata.name")
        suffix = request.randomSeed[:SUFFIX_BYTES].hex() or secrets.token_hex(SUFFIX_BYTES)
        proposed = request.autonaming.proposed_name if mode is not None else ""
        name = proposed or f"{request.urn.rpartition('::')[2]}-{suffix}"
    given["name"] = name
    annotations = given.get("annotations")
    if annotations is not UNKNOWN:
        given["annotations"] = {**(annotations or {}), AUTONAMED: "true"}
