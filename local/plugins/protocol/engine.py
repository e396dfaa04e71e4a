"""Messages to the user, sent through the engine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from local.plugins.protocol.errors import redact

if TYPE_CHECKING:
    from collections.abc import Collection


class Engine:
    """The engine's log service.

    Parameters
    ----------
    address : str
        ``host:port`` of the engine.
    """

    def __init__(self, address: str) -> None:
        self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    def log(
        self, severity: engine_pb2.LogSeverity.ValueType, urn: str, message: str, *, ephemeral: bool = False
    ) -> None:
        """Send one message.

        Parameters
        ----------
        severity : engine_pb2.LogSeverity
            How much it matters.
        urn : str
            The resource it is about.
        message : str
            What the user reads.
        ephemeral : bool, optional
            Whether it is a status that the next one replaces.
        """
        request = engine_pb2.LogRequest(severity=severity, message=message, urn=urn, ephemeral=ephemeral)
        try:
            self._stub.Log(request, timeout=10)
        except grpc.RpcError as error:
            # A lost status line must not fail the operation it describes; the engine shows this stream, too.
            sys.stderr.write(f"{message} (the engine took no log: {error})\n")


class Reporter:
    """Messages about one resource, with that resource's secrets blotted out.

    Parameters
    ----------
    engine : Engine
        Where they go.
    urn : str
        The resource.
    secrets : Collection[str], optional
        What must not be seen in them.
    """

    def __init__(self, engine: Engine, urn: str, secrets: Collection[str] = ()) -> None:
        self._engine = engine
        self._urn = urn
        self.secrets = secrets
        self._last_status = ""

    def info(self, message: str) -> None:
        """Show a message that stays."""
        self._send(engine_pb2.INFO, message)

    def warning(self, message: str) -> None:
        """Show a warning that stays."""
        self._send(engine_pb2.WARNING, message)

    def status(self, message: str) -> None:
        """Show what is being waited for, until the next status; repetitions are dropped."""
        if message != self._last_status:
            self._last_status = message
            self._send(engine_pb2.INFO, message, ephemeral=True)

    def output(self, line: str) -> None:
        """Show a line that a process wrote, repetitions included."""
        self._send(engine_pb2.INFO, line, ephemeral=True)

    def _send(
        self, severity: engine_pb2.LogSeverity.ValueType, message: str, *, ephemeral: bool = False
    ) -> None:
        self._engine.log(severity, self._urn, redact(message, self.secrets), ephemeral=ephemeral)
