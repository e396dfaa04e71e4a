"""The plugin's gRPC server."""

from __future__ import annotations

import re
import sys
import traceback
from concurrent import futures
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf import any_pb2, message_factory
from pulumi.runtime.proto import provider_pb2, status_pb2

from local.plugins.protocol.engine import Engine
from local.plugins.protocol.errors import InitializationError, ProviderError, UnsupportedError
from local.plugins.protocol.lifetime import Lifetime
from local.plugins.protocol.values import encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from local.plugins.protocol.provider import Provider

MAX_MESSAGE_BYTES: Final = 400 * 1024 * 1024
"""The engine's own limit (sdk/go/common/util/rpcutil of pulumi v3.224.0)."""
MAX_OPERATIONS: Final = 256
"""Operations at once. The engine's ``--parallel`` limits them; this only has to be no lower."""


def serve(provider_type: type[Provider], engine_address: str, parent: int) -> None:
    """Serve a provider to the engine that started this process; returns never.

    Parameters
    ----------
    provider_type : type[Provider]
        The provider.
    engine_address : str
        ``host:port`` of the engine, the plugin's last argument.
    parent : int
        Process id of the parent, taken as early as possible.
    """
    lifetime = Lifetime(engine_address, parent)
    lifetime.take_signals()
    provider = provider_type(Engine(engine_address), lifetime)
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=MAX_OPERATIONS),
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ],
    )
    server.add_generic_rpc_handlers((_handlers(provider),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")  # how the engine learns the port
    sys.stdout.flush()
    lifetime.wait()


def _handlers(provider: Provider) -> grpc.GenericRpcHandler:
    service = provider_pb2.DESCRIPTOR.services_by_name["ResourceProvider"]
    return grpc.method_handlers_generic_handler(
        service.full_name,
        {
            method.name: grpc.unary_unary_rpc_method_handler(
                _guard(provider, method.name),
                request_deserializer=message_factory.GetMessageClass(method.input_type).FromString,
                response_serializer=lambda response: response.SerializeToString(),
            )
            for method in service.methods
        },
    )


def _guard(provider: Provider, name: str) -> Callable[[Message, grpc.ServicerContext], Message]:
    """Wrap a call so that every error becomes a gRPC status with a message for the user."""
    method: Callable[[Any], Message] | None = getattr(provider, _method_name(name), None)

    def call(request: Message, context: grpc.ServicerContext) -> Message:
        if method is None:
            # The engine goes on without a call that is not implemented, and knows it by this code.
            context.abort(
                grpc.StatusCode.UNIMPLEMENTED, str(UnsupportedError(f"the call {name}", provider.name))
            )
            raise AssertionError("abort raises")
        try:
            return method(request)
        except InitializationError as error:
            status = _initialization_status(error)
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            code, message = grpc.StatusCode.UNKNOWN, str(error)
        except ProviderError as error:
            code, message = grpc.StatusCode.UNKNOWN, str(error)
        except Exception as error:  # noqa: BLE001 (the process serves other resources: report and go on)
            traceback.print_exc(file=sys.stderr)
            code = grpc.StatusCode.INTERNAL
            message = f"a defect of the stand-in plugin {provider.name}: {type(error).__name__}: {error}"
        context.abort(code, message)
        raise AssertionError("abort raises")

    return call


def _method_name(call: str) -> str:
    """Return the method that serves a call: ``get_schema`` for ``GetSchema``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", call).lower()


def _initialization_status(error: InitializationError) -> status_pb2.Status:
    detail = provider_pb2.ErrorResourceInitFailed(
        id=error.resource_id, properties=encode(error.properties), reasons=[str(error)]
    )
    if error.inputs is not None:
        detail.inputs.CopyFrom(encode(error.inputs))
    packed = any_pb2.Any()
    packed.Pack(detail)
    return status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error), details=[packed])
