"""What both providers share: the calls of the protocol, refused by name unless a provider has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2

from local.plugins.protocol.errors import UnsupportedError

if TYPE_CHECKING:
    from local.plugins.protocol.engine import Engine
    from local.plugins.protocol.lifetime import Lifetime


class Provider:
    """A resource provider: one method for each call of the protocol, ``GetSchema`` as ``get_schema``.

    Parameters
    ----------
    engine : Engine
        Where messages go.
    lifetime : Lifetime
        Tells when to stop.
    """

    name: ClassVar[str]
    """The package, for example ``kubernetes``."""
    version: ClassVar[str]
    """The version of the official plugin this one stands in for, without ``v``."""

    def __init__(self, engine: Engine, lifetime: Lifetime) -> None:
        self.engine = engine
        self.lifetime = lifetime

    def handshake(
        self, request: provider_pb2.ProviderHandshakeRequest
    ) -> provider_pb2.ProviderHandshakeResponse:
        """Agree on the encoding: secrets are sent as such, resources and outputs as plain values."""
        del request
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True, supports_autonaming_configuration=True
        )

    def configure(self, request: provider_pb2.ConfigureRequest) -> provider_pb2.ConfigureResponse:
        """Take the provider's configuration."""
        del request
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
        )

    def check_config(self, request: provider_pb2.CheckRequest) -> provider_pb2.CheckResponse:
        """Accept the provider's configuration as it is."""
        return provider_pb2.CheckResponse(inputs=request.news)

    def diff_config(self, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:
        """Find no difference that would replace the provider."""
        del request
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_UNKNOWN)

    def get_plugin_info(self, request: empty_pb2.Empty) -> plugin_pb2.PluginInfo:
        """Name the version."""
        del request
        return plugin_pb2.PluginInfo(version=self.version)

    def cancel(self, request: empty_pb2.Empty) -> empty_pb2.Empty:
        """Abort what is under way."""
        del request
        self.lifetime.cancel()
        return empty_pb2.Empty()

    def get_mappings(self, request: provider_pb2.GetMappingsRequest) -> provider_pb2.GetMappingsResponse:
        """Offer no conversion from other tools' configuration."""
        del request
        return provider_pb2.GetMappingsResponse()

    def get_mapping(self, request: provider_pb2.GetMappingRequest) -> provider_pb2.GetMappingResponse:
        """Offer no conversion from other tools' configuration."""
        del request
        return provider_pb2.GetMappingResponse()

    def get_schema(self, request: provider_pb2.GetSchemaRequest) -> provider_pb2.GetSchemaResponse:
        """Refuse: a stand-in has no schema."""
        del request
        raise UnsupportedError(
            f"the schema of package {self.name}",
            self.name,
            "import with --generate-code=false or with the resource option import_",
        )

    def parameterize(self, request: provider_pb2.ParameterizeRequest) -> provider_pb2.ParameterizeResponse:
        """Refuse."""
        del request
        raise UnsupportedError("parameterization", self.name)

    def invoke(self, request: provider_pb2.InvokeRequest) -> provider_pb2.InvokeResponse:
        """Refuse every function by name."""
        raise UnsupportedError(f"function {request.tok}", self.name)

    def call(self, request: provider_pb2.CallRequest) -> provider_pb2.CallResponse:
        """Refuse every method by name."""
        raise UnsupportedError(f"method {request.tok}", self.name)

    def construct(self, request: provider_pb2.ConstructRequest) -> provider_pb2.ConstructResponse:
        """Refuse every component by name."""
        raise UnsupportedError(f"component {request.type} (resource {request.name!r})", self.name)
