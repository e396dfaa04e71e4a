"""An environment's outputs, made up: one cluster, and one tenant with two namespaces."""

from __future__ import annotations

from stacks.outputs import (
    ApiExportOutputs,
    ComputeClusterOutputs,
    EnvironmentOutputs,
    GatewayOutputs,
    KcpOutputs,
    TenantOutputs,
)

URL = "https://kcp:6443"
SERVICE = "root:pipeline-service"
PATH = f"{SERVICE}:tenants:team-a"


def outputs(url: str | None = None) -> EnvironmentOutputs:
    """Make outputs; `url` is kcp's and the tenant's, where something has to answer there."""
    return EnvironmentOutputs(
        environment="production",
        kcp=KcpOutputs(
            url=url or URL,
            workspace=SERVICE,
            compute_workspace=f"{SERVICE}:compute",
            tenants_workspace=f"{SERVICE}:tenants",
        ),
        compute_clusters={
            "east": ComputeClusterOutputs(
                pool="default",
                state="active",
                distribution="kubernetes",
                api_export=ApiExportOutputs(path=f"{SERVICE}:compute", name="east"),
                releases={"tekton-pipelines": "v1.6.0"},
            )
        },
        tenants={
            "team-a": TenantOutputs(
                workspace=PATH,
                url=url or f"{URL}/clusters/{PATH}",
                cluster="east",
                namespaces={"builds": "team-a-builds-0123", "default": "team-a-default-0123"},
            )
        },
        gateway=GatewayOutputs(),
    )
