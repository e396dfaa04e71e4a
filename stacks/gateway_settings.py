"""The settings of the gateway, and of how gateways on other clusters reach a cluster."""

from typing import Annotated, Final, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, model_validator

from components.exposure import EventsExposure, Exposure
from stacks.part_settings import Replicas
from stacks.problems import refuse
from stacks.sections import SecretSource, Section
from stacks.vocabulary import (
    Cidr,
    ClusterName,
    HostName,
    IssuerName,
    Quantity,
    ResourceName,
    SecretKey,
    amount,
)

Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
NodePort = Annotated[int, Field(strict=True, ge=1024, le=65535)]
Rate = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]


def _with_exposure_node_port(value: int | None, info: ValidationInfo) -> int | None:
    # An exposure that can't be read is missing from the data, and told by itself.
    if value is not None and info.data.get("exposure", Exposure.NODE_PORT) != Exposure.NODE_PORT:
        refuse("nodePort is for exposure: nodePort", "take it out, or write exposure: nodePort")
    return value


ChosenNodePort = Annotated[
    NodePort | None,
    AfterValidator(_with_exposure_node_port),
    Field(
        title="Node port",
        description="Port on every node, with exposure nodePort; none: the cluster chooses one.",
    ),
]
"""The node port of a model whose field `exposure` comes before it."""

BODY_LIMIT_MIN: Final = 1024
BODY_LIMIT_MAX: Final = 25 * 1024 * 1024
"""Bytes; GitHub sends no larger event."""


class TlsSettings(Section):
    """Where the gateway's certificate comes from."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [source]} for source in ("secret", "issuer")]}
    )

    secret: SecretKey | None = Field(
        default=None,
        title="Secret configuration key",
        description="Key of this stack's configuration that holds certificate and private key, as PEM.",
    )
    issuer: IssuerName | None = Field(
        default=None,
        title="Issuer",
        description="Name of the ClusterIssuer by which the cluster's cert-manager makes the certificate.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.secret is None) == (self.issuer is None):
            refuse("one source of the certificate is needed", "give either secret or issuer")
        return self


class ParentGatewaySettings(Section):
    """A Gateway (Gateway API) that is there already."""

    namespace: ResourceName = Field(title="Namespace", description="Its namespace.")
    name: ResourceName = Field(title="Name", description="Its name.")


class RateLimitSettings(Section):
    """How many events are taken; what is beyond is answered by 429."""

    per_source: Rate = Field(
        default=30_000,
        title="Per source",
        description="Events a minute from one address, on each of the gateway's pods.",
    )
    per_repository: Rate = Field(
        default=600,
        title="Per repository",
        description=(
            "Events a minute of one repository, or of one tenant on its own path, from one address, on each"
            " of the gateway's pods."
        ),
    )


class EventsSettings(Section):
    """Where gateways on other clusters reach a cluster's events listener."""

    host: HostName = Field(
        title="Host", description="DNS name or IPv4 address by which the gateways' pods reach it."
    )
    port: Port = Field(default=443, title="Port", description="Port by which they do.")
    exposure: EventsExposure = Field(
        default=EventsExposure.SERVICE,
        title="Exposure",
        description="What leads to it: service (of type LoadBalancer), nodePort or route (OpenShift).",
    )
    node_port: ChosenNodePort = None


class GatewaySettings(Section):
    """The gateway that takes Git events to the right cluster."""

    clusters: tuple[ClusterName, ...] = Field(
        default=(),
        title="Clusters",
        description="Names of the computeClusters entries on which a gateway runs; none: no gateway.",
    )
    host: HostName | None = Field(
        default=None,
        title="Host",
        description="DNS name under which Git providers reach it; required where clusters are given.",
    )
    replicas: Replicas = Field(
        default=2, title="Replicas", description="Pods on each of its clusters; all of them work."
    )
    exposure: Exposure = Field(
        default=Exposure.SERVICE,
        title="Exposure",
        description=(
            "How it is reached from outside: service (of type LoadBalancer), nodePort, ingress, httpRoute"
            " (Gateway API) or route (OpenShift); clusterIP: by what you put in front of it."
        ),
    )
    node_port: NodePort | None = Field(
        default=None,
        title="Node port",
        description="Port on every node, with exposure nodePort, and so of its URL; required there.",
    )
    ingress_class: ResourceName | None = Field(
        default=None,
        title="Ingress class",
        description="IngressClass, with exposure ingress; none: the cluster's default.",
    )
    parent_gateway: ParentGatewaySettings | None = Field(
        default=None,
        title="Parent gateway",
        description="Gateway (Gateway API) that its HTTPRoute belongs to, with exposure httpRoute.",
    )
    tls: TlsSettings | None = Field(
        default=None,
        title="TLS",
        description="Its certificate; none: what stands in front of it ends TLS.",
    )
    body_limit: Quantity = Field(
        default="2Mi",
        title="Body limit",
        description=(
            "Largest event (bytes) that it takes where it looks the repository up, which it holds in memory;"
            " a larger one is refused. A tenant's own path takes 25 MB."
        ),
    )
    allowed_sources: tuple[Cidr, ...] = Field(
        default=(),
        title="Allowed sources",
        description="Networks (CIDR) from which events are taken; none given: from everywhere.",
    )
    trusted_proxies: tuple[Cidr, ...] = Field(
        default=(),
        title="Trusted proxies",
        description=(
            "Networks (CIDR) of what stands in front of it, such as an ingress controller's pods: the last"
            " address of their X-Forwarded-For counts as the source."
        ),
    )
    rate_limits: RateLimitSettings = Field(
        default=RateLimitSettings(), title="Rate limits", description="How many events are taken."
    )
    mutual_tls: SecretSource | None = Field(
        default=None,
        title="Mutual TLS",
        description=(
            "Certificates by which gateways and events listeners on other clusters know each other, as"
            " `python -m operations gateway certificates` makes them; needed where an entry of"
            " computeClusters has events."
        ),
    )

    @model_validator(mode="after")
    def _with_their_exposure(self) -> Self:
        for value, key, exposure in (
            (self.node_port, "nodePort", Exposure.NODE_PORT),
            (self.ingress_class, "ingressClass", Exposure.INGRESS),
            (self.parent_gateway, "parentGateway", Exposure.HTTP_ROUTE),
        ):
            if value is not None and self.exposure is not exposure:
                refuse(f"{key} is for exposure: {exposure}", f"take it out, or write exposure: {exposure}")
        if self.exposure is Exposure.NODE_PORT and self.node_port is None:
            refuse("exposure: nodePort needs nodePort, a part of the gateway's URL", "add nodePort: 30080")
        if not BODY_LIMIT_MIN <= amount(self.body_limit) <= BODY_LIMIT_MAX:
            refuse(
                f"bodyLimit {self.body_limit} is not between 1Ki and 25Mi",
                "write what fits: 2Mi is enough for all but the largest pushes",
            )
        return self
