"""The settings of the service's parts: syncer, monitoring."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from stacks.problems import refuse
from stacks.sections import Section
from stacks.vocabulary import Flag, LabelKey, LabelValue, NamespaceOnCluster, Quantity, amount

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


class MonitoringSettings(Section):
    """What a cluster's Prometheus operator is told."""

    enabled: Flag = Field(
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
