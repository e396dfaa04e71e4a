"""The settings of one environment, as its stack file states them."""

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Final, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator

from components.delivery import Delivery
from stacks.argocd_settings import ArgoCdSettings, GitopsSettings
from stacks.gateway_settings import EventsSettings, GatewaySettings
from stacks.image_settings import ImageRepositorySettings
from stacks.part_settings import MonitoringSettings, SyncerSettings
from stacks.pipelines_as_code_settings import PipelinesAsCodeSettings
from stacks.problems import refuse
from stacks.results_settings import ClusterResultsSettings
from stacks.sections import Section
from stacks.tekton_settings import TektonSettings
from stacks.tenant_settings import TenantSettings
from stacks.vocabulary import (
    KCP_TARGET,
    OVERCOMMIT_MAX,
    ClusterName,
    ClusterState,
    Count,
    Distribution,
    EnvironmentVariable,
    FilePath,
    Flag,
    Incarnation,
    OutputName,
    PlainFlag,
    PoolName,
    Quantity,
    ReleaseName,
    ReleaseVersion,
    SecretKey,
    StackName,
    TenantName,
    WorkspaceName,
    WorkspacePath,
)

COMPUTE: Final = "compute"
TENANTS: Final = "tenants"
"""Names of the workspaces in the service's workspace."""

DEFAULT_POOL: Final = "default"
"""The pool that every environment has, with or without an entry."""


class KubeconfigSettings(Section):
    """Where the kubeconfig of an API server is."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": [source]} for source in ("path", "secret", "environment", "stack")],
            "dependencies": {"stack": ["output"], "output": ["stack"]},
        }
    )

    path: FilePath | None = Field(
        default=None,
        title="File",
        description="Path of a kubeconfig, relative to the project's folder. Its current context is used.",
    )
    secret: SecretKey | None = Field(
        default=None,
        title="Secret configuration key",
        description="Key of this stack's configuration that holds it: pulumi config set --secret KEY.",
    )
    environment: EnvironmentVariable | None = Field(
        default=None,
        title="Environment variable",
        description="Name of the environment variable that holds the kubeconfig's text where pulumi runs.",
    )
    stack: StackName | None = Field(
        default=None,
        title="Stack",
        description="Another stack, as organization/project/stack, that has the kubeconfig as an output.",
    )
    output: OutputName | None = Field(
        default=None, title="Output", description="Name of that stack's output; goes with stack."
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        sources = (self.path, self.secret, self.environment, self.stack or self.output)
        if sum(source is not None for source in sources) != 1:
            refuse(
                "one source of the kubeconfig is needed",
                "give exactly one of path, secret, environment, or stack with output",
            )
        if (self.stack is None) != (self.output is None):
            refuse("stack and output go together", "give both: {stack: org/project/stack, output: NAME}")
        return self


class KcpSettings(Section):
    """The kcp that tenants work in."""

    kubeconfig: KubeconfigSettings = Field(
        title="Kubeconfig",
        description="Credential for the parent workspace; a path /clusters/… in its server is ignored.",
    )
    parent: WorkspacePath = Field(
        default="root",
        title="Parent workspace",
        description="Path of the existing workspace in which the service's workspace is made.",
    )
    workspace: WorkspaceName = Field(
        default="pipeline-service",
        title="Service workspace",
        description="Name of the workspace that holds everything of this environment.",
    )


class CapacitySettings(Section):
    """How much the clusters of a pool have for tenants, all of them together."""

    cpu: Quantity | None = Field(default=None, title="CPU", description="CPU (cores); none: not checked.")
    memory: Quantity | None = Field(
        default=None, title="Memory", description="Memory (bytes); none: not checked."
    )
    pods: Count | None = Field(default=None, title="Pods", description="Pods (number); none: not checked.")
    storage: Quantity | None = Field(
        default=None,
        title="Storage",
        description="What PersistentVolumeClaims may request (bytes); none: not checked.",
    )


class PoolSettings(Section):
    """Clusters of one kind, and how much may be promised on them."""

    description: str = Field(
        default="", title="Description", description="What the pool is for, for those who place tenants."
    )
    capacity: CapacitySettings = Field(
        default=CapacitySettings(),
        title="Capacity",
        description="What the clusters of the pool have for tenants; quotas are summed up against it.",
    )
    overcommit: Annotated[float, Field(strict=True, ge=1, le=OVERCOMMIT_MAX)] = Field(
        default=1.0,
        title="Overcommit",
        description="How many times the capacity (factor) the tenants' quotas may add up to.",
    )
    canary: Flag = Field(
        default=False,
        title="Canary",
        description=("Whether releases change on the pool's clusters first; where that fails, nowhere else."),
    )
    releases: Mapping[ReleaseName, ReleaseVersion] = Field(
        default={},
        title="Releases",
        description="By release: its version on the pool's clusters, instead of the environment's.",
    )


class ComputeClusterSettings(Section):
    """A cluster that pipelines run on."""

    kubeconfig: KubeconfigSettings = Field(
        title="Kubeconfig", description="Credential with which this program works on the cluster."
    )
    distribution: Distribution = Field(
        default=Distribution.KUBERNETES, title="Distribution", description="The kind of Kubernetes it is."
    )
    pool: PoolName = Field(
        default=DEFAULT_POOL,
        title="Pool",
        description="Name of the pool whose capacity the cluster adds to; but for default, a pools entry.",
    )
    state: ClusterState = Field(
        default=ClusterState.ACTIVE,
        title="State",
        description=(
            "active; cordoned (takes no new tenants); draining (its tenants are moved away); unreachable"
            " (left as it is while the rest goes on); gone (lost for ever: its resources are forgotten,"
            " not deleted)."
        ),
    )
    home_of: tuple[TenantName, ...] = Field(
        default=(),
        title="Home of",
        description=(
            "Names of the tenants at home here. A cluster that is not active takes no new tenants, so those"
            " already on it are named."
        ),
    )
    incarnation: Incarnation = Field(
        default=0,
        title="Incarnation",
        description="Raise it to apply every release anew, after a drift or on a rebuilt cluster.",
    )
    adopt: tuple[ReleaseName, ...] = Field(
        default=(),
        title="Adopt",
        description="Names of the releases that are taken over where somebody else has installed them.",
    )
    delivery: Delivery = Field(
        default=Delivery.DIRECT,
        title="Delivery",
        description=(
            "Who applies what runs on it: direct (this program); gitops (its Argo CD, from the GitOps"
            " repository); handover (the step between the two, in both directions)."
        ),
    )
    events: EventsSettings | None = Field(
        default=None,
        title="Events",
        description=(
            "Where gateways on other clusters reach it; none: only a gateway on the cluster itself brings it"
            " events."
        ),
    )
    results: ClusterResultsSettings | None = Field(
        default=None,
        title="Results",
        description=(
            "Its database for Tekton Results, and where their reader is reached; needed with"
            " tekton.results.enabled."
        ),
    )


class ReleasesSettings(Section):
    """Third-party releases: which versions, and where their manifests come from."""

    versions: Mapping[ReleaseName, ReleaseVersion] = Field(
        default={},
        title="Versions",
        description="By release: its version, instead of the one that releases/catalog.yaml pins.",
    )
    directory: FilePath | None = Field(
        default=None,
        title="Directory",
        description=(
            "Folder with files <name>-<version>.yaml, relative to the project's folder; without it, and"
            " without a bundle, they are fetched from the URLs of releases/catalog.yaml."
        ),
    )
    bundle: FilePath | None = Field(
        default=None,
        title="Bundle",
        description=(
            "Archive made by `python -m operations releases bundle`, relative to the project's folder, to"
            " take the place of a directory."
        ),
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.directory is not None and self.bundle is not None:
            refuse(
                "directory and bundle are both given",
                "keep the one that manifests are to be taken from",
            )
        return self


class EnvironmentSettings(Section):
    """Everything a stack file says about its environment."""

    kcp: KcpSettings = Field(title="kcp", description="The kcp that tenants work in.")
    pools: Mapping[PoolName, PoolSettings] = Field(
        default={}, title="Pools", description="Pools of compute clusters, by name."
    )
    compute_clusters: Mapping[ClusterName, ComputeClusterSettings] = Field(
        default={}, title="Compute clusters", description="Clusters that pipelines run on, by name."
    )
    tenants: Mapping[TenantName, TenantSettings] = Field(
        default={}, title="Tenants", description="Teams with a kcp workspace of their own, by name."
    )
    syncer: SyncerSettings = Field(
        default=SyncerSettings(), title="Syncer", description="The agent between kcp and each cluster."
    )
    tekton: TektonSettings = Field(
        default=TektonSettings(), title="Tekton", description="Tekton on the clusters."
    )
    pipelines_as_code: PipelinesAsCodeSettings = Field(
        default=PipelinesAsCodeSettings(),
        title="Pipelines as Code",
        description="What makes runs of pipelines that lie in tenants' Git repositories.",
    )
    argocd: ArgoCdSettings = Field(
        default=ArgoCdSettings(), title="Argo CD", description="Argo CD on the clusters."
    )
    gateway: GatewaySettings = Field(
        default=GatewaySettings(), title="Gateway", description="What takes Git events to the clusters."
    )
    gitops: GitopsSettings | None = Field(
        default=None, title="GitOps", description="The repository that the clusters' Argo CD reads."
    )
    image_repository: ImageRepositorySettings = Field(
        default=ImageRepositorySettings(),
        title="Image repository",
        description="Where container images come from.",
    )
    monitoring: MonitoringSettings = Field(
        default=MonitoringSettings(),
        title="Monitoring",
        description="What the clusters' Prometheus operator is told.",
    )
    releases: ReleasesSettings = Field(
        default=ReleasesSettings(),
        title="Releases",
        description="Third-party releases: which versions, and where their manifests come from.",
    )
    deletion_protection: PlainFlag = Field(
        default=True,
        title="Deletion protection",
        description="Refuse to delete workspaces, API exports and tenants' namespaces.",
    )

    @property
    def service_path(self) -> str:
        """Path of the service's workspace."""
        return f"{self.kcp.parent}:{self.kcp.workspace}"

    @property
    def compute_path(self) -> str:
        """Path of the workspace with the API exports and the syncers' accounts."""
        return f"{self.service_path}:{COMPUTE}"

    @property
    def tenants_path(self) -> str:
        """Path of the workspace with the tenants' workspaces."""
        return f"{self.service_path}:{TENANTS}"

    def kubeconfigs(self) -> list[tuple[tuple[str, ...], KubeconfigSettings]]:
        """List the kubeconfigs: kcp's, then the compute clusters' by name.

        Returns
        -------
        list of tuple
            The place of the entry it belongs to, which ends in the target's name, and where it is.
        """
        clusters = sorted(self.compute_clusters.items())
        return [
            ((KCP_TARGET,), self.kcp.kubeconfig),
            *((("computeClusters", name), cluster.kubeconfig) for name, cluster in clusters),
        ]

    def tenant_path(self, name: str) -> str:
        """Name the path of a tenant's workspace, from the root.

        Parameters
        ----------
        name
            Name of the tenant.
        """
        tenant = self.tenants[name]
        return (
            tenant.external.path if tenant.external else f"{self.tenants_path}:{workspace_of(name, tenant)}"
        )


def workspace_of(name: str, tenant: TenantSettings) -> str:
    """Name the workspace of a tenant that is not external, within the tenants' workspace.

    Parameters
    ----------
    name
        Name of the tenant.
    tenant
        Its settings.
    """
    return tenant.workspace or name


def known_keys(model: type[BaseModel] = EnvironmentSettings, place: str = "") -> dict[str, tuple[str, ...]]:
    """List the keys that are known at each place of the settings.

    Parameters
    ----------
    model
        The model that stands at `place`.
    place
        Dotted pattern of the place, `*` for the name of an entry.

    Returns
    -------
    dict
        Keys by place.
    """
    keys = {place: tuple(sorted(field.alias or name for name, field in model.model_fields.items()))}
    for name, field in model.model_fields.items():
        below = ".".join(filter(None, (place, field.alias or name)))
        annotation = field.annotation
        if get_origin(annotation) is Mapping:
            annotation, below = get_args(annotation)[1], f"{below}.*"
        for part in _alternatives(annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys |= known_keys(part, below)
    return keys


def _alternatives(annotation: Any) -> tuple[Any, ...]:  # noqa: ANN401 -- a type's annotation is anything
    """List the types that an annotation allows: those of a union, or itself."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
