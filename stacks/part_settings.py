"""The settings of the service's parts: syncer, gateway, monitoring."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from stacks.problems import refuse
from stacks.sections import Section
from stacks.vocabulary import (
    Cidr,
    ClusterName,
    Exposure,
    HostName,
    IssuerName,
    LabelKey,
    LabelValue,
    NamespaceOnCluster,
    Quantity,
    SecretKey,
    amount,
)

Replicas = Annotated[int, Field(strict=True, ge=1, le=5)]


class PodSizeSettings(Section):
    """What each pod of a part gets."""

    cpu_request: Quantity = Field(
        default="50m", title="CPU request", description="CPU (cores) reserved for each pod."
    )
    memory_request: Quantity = Field(
        default="128Mi", title="Memory request", description="Memory (bytes) reserved for each pod."
    )
    memory_limit: Quantity = Field(
        default="512Mi",
        title="Memory limit",
        description="Memory (bytes) beyond which a pod is killed; need grows with the objects it works on.",
    )

    @model_validator(mode="after")
    def _within_its_limit(self) -> Self:
        if amount(self.memory_request) > amount(self.memory_limit):
            refuse(
                f"memoryRequest {self.memory_request} is more than memoryLimit {self.memory_limit}",
                "raise memoryLimit, or lower memoryRequest",
            )
        return self


class SyncerSettings(PodSizeSettings):
    """The agent that copies between kcp and a cluster, one on each cluster."""

    replicas: Replicas = Field(
        default=1,
        title="Replicas",
        description="Pods on each cluster; one works, the others stand by to take over.",
    )


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
            "How it is reached from outside: service (of type LoadBalancer), ingress, httpRoute (Gateway API)"
            " or route (OpenShift)."
        ),
    )
    tls: TlsSettings | None = Field(
        default=None,
        title="TLS",
        description="Its certificate; none: what stands in front of it ends TLS.",
    )
    body_limit: Quantity = Field(
        default="2Mi",
        title="Body limit",
        description="Largest event (bytes) that it takes; a larger one is refused.",
    )
    allowed_sources: tuple[Cidr, ...] = Field(
        default=(),
        title="Allowed sources",
        description="Networks (CIDR) from which events are taken; none given: from everywhere.",
    )


class MonitoringSettings(Section):
    """What a cluster's Prometheus operator is told."""

    enabled: bool = Field(
        default=False,
        title="Enabled",
        description="Whether ServiceMonitors are made; the clusters need the Prometheus operator.",
    )
    namespace: NamespaceOnCluster | None = Field(
        default=None,
        title="Namespace",
        description="Namespace of the ServiceMonitors; none: each stands beside what it watches.",
    )
    labels: Mapping[LabelKey, LabelValue] = Field(
        default={},
        title="Labels",
        description="Labels of the ServiceMonitors, by which a Prometheus selects them.",
    )
