"""Errors that reach the user through the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MIN_REDACTED_LENGTH = 4
"""Secrets shorter than this are not searched for in messages: hiding every ``8`` would hide the message."""


class ProviderError(Exception):
    """An operation failed; the message is what the user reads."""


class UnsupportedError(ProviderError):
    """Something the stand-in does not do and refuses by name.

    Parameters
    ----------
    what : str
        Name of the resource type, function or option.
    plugin : str
        Name of the official plugin that has it, for example ``kubernetes``.
    mend : str, optional
        What to do instead of using the official plugin.
    """

    def __init__(self, what: str, plugin: str, mend: str = "") -> None:
        super().__init__(
            f"{what} is not supported by the stand-in for pulumi-resource-{plugin}"
            f" (local/plugins): {mend or 'use the official plugin (PLUGINS=official)'}"
        )


class InitializationError(ProviderError):
    """The object exists but did not become what was asked: the checkpoint must keep it.

    Parameters
    ----------
    message : str
        What the user reads.
    resource_id : str
        The id under which the engine keeps the resource.
    properties : Mapping[str, Any]
        Its state, as the operation would have returned it.
    inputs : Mapping[str, Any], optional
        Its inputs, where the operation is a read.
    """

    def __init__(
        self,
        message: str,
        *,
        resource_id: str,
        properties: Mapping[str, Any],
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.resource_id = resource_id
        self.properties = properties
        self.inputs = inputs


def redact(message: str, secrets: Iterable[str]) -> str:
    """Replace secrets in a message.

    Parameters
    ----------
    message : str
        Text for a log or an error, which may quote what an API server or a process answered.
    secrets : Iterable[str]
        Values that must not be seen. Those shorter than `MIN_REDACTED_LENGTH` are ignored.

    Returns
    -------
    str
        The message with every occurrence of a secret, or of one of its lines, replaced by ``[secret]``.
    """
    pieces = {
        piece
        for secret in secrets
        for piece in (secret, *secret.splitlines())
        if len(piece.strip()) >= MIN_REDACTED_LENGTH
    }
    for piece in sorted(pieces, key=len, reverse=True):
        message = message.replace(piece, "[secret]")
    return message
