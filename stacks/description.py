"""What an environment exports to those who build on it, from its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components import openshift_pipelines
from components.names import tenant_namespace
from components.tenant_manifests import bound_resources, claims
from stacks import mapping_gateway, mapping_results
from stacks.outputs import (
    ApiExportOutputs,
    ComputeClusterOutputs,
    EnvironmentOutputs,
    GatewayOutputs,
    KcpOutputs,
    PermissionClaimOutputs,
    SigningOutputs,
    TenantOutputs,
)
from stacks.vocabulary import Distribution

if TYPE_CHECKING:
    from stacks.loader import LoadedEnvironment


def describe(environment: LoadedEnvironment) -> EnvironmentOutputs:
    """Describe an environment to those who build on it.

    Parameters
    ----------
    environment
        The environment.
    """
    settings = environment.settings
    url = environment.kcp.kcp_url
    gateway_url = mapping_gateway.url(settings)
    tenants = {}
    for name, tenant in sorted(settings.tenants.items()):
        path = settings.tenant_path(name)
        results_url = mapping_results.url(settings, tenant.cluster)
        tenants[name] = TenantOutputs(
            workspace=path,
            url=f"{url}/clusters/{path}",
            cluster=tenant.cluster,
            events_url=None if gateway_url is None else f"{gateway_url}/tenants/{name}",
            results_url=None if results_url is None else f"{results_url}/clusters/{path}",
            namespaces={namespace: tenant_namespace(path, namespace) for namespace in tenant.namespaces},
        )
    return EnvironmentOutputs(
        environment=environment.stack,
        kcp=KcpOutputs(
            url=url,
            workspace=settings.service_path,
            compute_workspace=settings.compute_path,
            tenants_workspace=settings.tenants_path,
        ),
        compute_clusters={
            name: ComputeClusterOutputs(
                pool=cluster.pool,
                state=cluster.state,
                distribution=cluster.distribution,
                api_export=_api_export(environment, name),
                events_url=mapping_gateway.events_url(settings, name),
                results_url=mapping_results.url(settings, name),
                releases=_releases(environment, name),
            )
            for name, cluster in sorted(settings.compute_clusters.items())
        },
        tenants=tenants,
        gateway=GatewayOutputs(url=gateway_url),
        signing=SigningOutputs(
            public_key=None if environment.signing_key is None else environment.signing_key.public
        ),
    )


def _api_export(environment: LoadedEnvironment, cluster: str) -> ApiExportOutputs:
    repositories = environment.settings.pipelines_as_code.enabled
    return ApiExportOutputs(
        path=environment.settings.compute_path,
        name=cluster,
        permission_claims=tuple(
            PermissionClaimOutputs(group=group, resource=resource)
            for group, resource in claims(repositories=repositories)
        ),
        resources=bound_resources(repositories=repositories),
    )


def _releases(environment: LoadedEnvironment, cluster: str) -> dict[str, str]:
    """Name what is installed on a cluster, with its version; of an operator that is its channel."""
    versions = {name: release.version for name, release in sorted(environment.prepared[cluster].items())}
    if environment.settings.compute_clusters[cluster].distribution is Distribution.OPENSHIFT:
        versions[openshift_pipelines.OPERATOR] = openshift_pipelines.CHANNEL
    return versions
