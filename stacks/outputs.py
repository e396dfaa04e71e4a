"""The output contract: what layered products read. Version 1; it only ever grows.

It is also what layered products install, and so imports nothing of the other packages, whose names
(`components`, for one) a product's own folders may have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pulumi
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

SCHEMA_VERSION: Final = 1


class Group(BaseModel):
    """A group of outputs: immutable, camelCase where it is exported."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


class KcpOutputs(Group):
    """The kcp of the environment."""

    url: str = Field(title="URL", description="Address of kcp, without a workspace's path.")
    workspace: str = Field(title="Service workspace", description="Path of the service's workspace.")
    compute_workspace: str = Field(
        title="Compute workspace", description="Path of the workspace with API exports."
    )
    tenants_workspace: str = Field(
        title="Tenants workspace", description="Path of the workspace with tenants' workspaces."
    )


class PermissionClaimOutputs(Group):
    """What an API export's agent asks for in the workspaces that bind it."""

    group: str = Field(title="Group", description="API group; an empty text for the core group.")
    resource: str = Field(title="Resource", description="Resource of the group.")


class ApiExportOutputs(Group):
    """An API export that can be bound."""

    path: str = Field(title="Path", description="Path of the workspace it lies in.")
    name: str = Field(title="Name", description="Its name.")
    # With defaults: what an earlier program exported is still read.
    permission_claims: tuple[PermissionClaimOutputs, ...] = Field(
        default=(
            PermissionClaimOutputs(group="", resource="events"),
            PermissionClaimOutputs(group="core.kcp.io", resource="logicalclusters"),
        ),
        title="Permission claims",
        description="What a binding accepts, each with all verbs and for all objects.",
    )
    resources: tuple[str, ...] = Field(
        default=("pipelineruns", "pipelines", "tasks"),
        title="Resources",
        description="What is bound: a workspace is ready for use once its binding lists them all.",
    )


class ComputeClusterOutputs(Group):
    """A compute cluster."""

    pool: str = Field(title="Pool", description="Name of its pool.")
    # Texts, not enumerations: a program of tomorrow may export a word that a consumer of today doesn't know.
    state: str = Field(
        title="State",
        description=(
            "What may happen on it: active, cordoned, draining, unreachable or gone. A later program may add"
            " others: only active takes new tenants."
        ),
        examples=["active"],
    )
    distribution: str = Field(
        title="Distribution",
        description="The kind of Kubernetes it is: kubernetes or openshift. A later program may add others.",
        examples=["kubernetes"],
    )
    api_export: ApiExportOutputs = Field(title="API export", description="What tenants on it bind.")
    events_url: str | None = Field(
        default=None,
        title="Events URL",
        description="Where its listener takes Git events; none before it has one.",
    )
    results_url: str | None = Field(
        default=None,
        title="Results URL",
        description="Where the TaskRuns and logs of its tenants' runs are read; none without Tekton Results.",
    )
    releases: Mapping[str, str] = Field(
        title="Releases", description="Versions of what is installed, by name."
    )


class TenantOutputs(Group):
    """A tenant."""

    workspace: str = Field(title="Workspace", description="Path of its workspace.")
    url: str = Field(title="URL", description="Address of its workspace, as a kubeconfig's server.")
    cluster: str = Field(title="Compute cluster", description="Name of the cluster its pipelines run on.")
    namespaces: Mapping[str, str] = Field(
        title="Namespaces", description="Its namespaces, and the name each has on the cluster."
    )
    events_url: str | None = Field(
        default=None,
        title="Events URL",
        description="Where its Git events go; none before there is a gateway.",
    )
    results_url: str | None = Field(
        default=None,
        title="Results URL",
        description=(
            "Where its users read TaskRuns and logs, before /namespaces/NAMESPACE/pipelineruns/NAME; none"
            " without Tekton Results."
        ),
    )


class GatewayOutputs(Group):
    """The gateway for Git events."""

    url: str | None = Field(default=None, title="URL", description="Its address; none before there is one.")


class SigningOutputs(Group):
    """How signatures of what runs did are verified."""

    public_key: str | None = Field(
        default=None,
        title="Public key",
        description="Key (PEM) that verifies what Tekton Chains signs on every cluster; none without Chains.",
    )


class EnvironmentOutputs(Group):
    """Everything a stack exports that is not secret."""

    schema_version: int = Field(
        default=SCHEMA_VERSION, title="Schema version", description="Version of this contract."
    )
    environment: str = Field(title="Environment", description="Name of the stack.")
    kcp: KcpOutputs = Field(title="kcp", description="The kcp of the environment.")
    compute_clusters: Mapping[str, ComputeClusterOutputs] = Field(
        title="Compute clusters", description="The compute clusters by name."
    )
    tenants: Mapping[str, TenantOutputs] = Field(title="Tenants", description="The tenants by name.")
    gateway: GatewayOutputs = Field(title="Gateway", description="The gateway for Git events.")
    # With a default: what an earlier program exported is still read.
    signing: SigningOutputs = Field(
        default=SigningOutputs(), title="Signing", description="How signatures are verified."
    )


def exported(outputs: EnvironmentOutputs) -> dict[str, Any]:
    """Render the outputs as the stack exports them.

    Parameters
    ----------
    outputs
        The outputs.

    Returns
    -------
    dict
        Plain data by group, keys in camelCase; `credentials`, which will be secret, is added by `export`.
    """
    return outputs.model_dump(mode="json", by_alias=True)


def export(outputs: EnvironmentOutputs) -> None:
    """Export the outputs from the stack.

    `credentials` is a secret from the first version on, though still empty: a group can't become one later
    without breaking those who read it.

    Parameters
    ----------
    outputs
        The outputs.
    """
    for name, value in exported(outputs).items():
        pulumi.export(name, value)
    pulumi.export("credentials", pulumi.Output.secret({}))
