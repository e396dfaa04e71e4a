"""The settings of one environment, as its stack file states them."""

from collections.abc import Collection, Mapping
from typing import Annotated, Final, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from stacks.problems import Problem, key_path, nearest, refuse, shown
from stacks.vocabulary import (
    ClusterName,
    ClusterState,
    Count,
    Distribution,
    FilePath,
    Incarnation,
    NamespaceName,
    Quantity,
    SecretKey,
    SubjectName,
    TenantName,
    WorkspaceName,
    WorkspacePath,
)

COMPUTE: Final = "compute"
TENANTS: Final = "tenants"
"""Names of the workspaces in the service's workspace."""


class Section(BaseModel):
    """A part of the settings: immutable, camelCase in YAML, without room for a mistyped key."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class KubeconfigSettings(Section):
    """Where the kubeconfig of an API server is."""

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

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.path is None) == (self.secret is None):
            refuse("one source of the kubeconfig is needed", "give either path or secret")
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


class ComputeClusterSettings(Section):
    """A cluster that pipelines run on."""

    kubeconfig: KubeconfigSettings = Field(
        title="Kubeconfig", description="Credential with which this program works on the cluster."
    )
    distribution: Distribution = Field(
        default=Distribution.KUBERNETES, title="Distribution", description="The kind of Kubernetes it is."
    )
    pool: ClusterName = Field(
        default="default", title="Pool", description="Name of the pool whose capacity the cluster adds to."
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
    incarnation: Incarnation = Field(
        default=0,
        title="Incarnation",
        description="Raise it to apply every release anew, after a drift or on a rebuilt cluster.",
    )

    @field_validator("distribution")
    @classmethod
    def _served(cls, value: Distribution) -> Distribution:
        if value is Distribution.OPENSHIFT:
            refuse(
                "Tekton arrives on OpenShift through its operator, which this version does not set up",
                "use a cluster of distribution kubernetes",
            )
        return value


class SubjectsSettings(Section):
    """Who has a role."""

    users: tuple[SubjectName, ...] = Field(
        default=(), title="Users", description="Names of users, as kcp's identity provider gives them."
    )
    groups: tuple[SubjectName, ...] = Field(
        default=(), title="Groups", description="Names of groups, as kcp's identity provider gives them."
    )


class AccessSettings(Section):
    """Who may do what in a tenant's workspace."""

    admins: SubjectsSettings = Field(
        default=SubjectsSettings(),
        title="Admins",
        description="May do what developers do and hand these roles to others in the tenant's namespaces.",
    )
    developers: SubjectsSettings = Field(
        default=SubjectsSettings(),
        title="Developers",
        description="May create, change and delete pipelines, tasks and runs.",
    )
    viewers: SubjectsSettings = Field(
        default=SubjectsSettings(), title="Viewers", description="May look at pipelines, tasks and runs."
    )


class QuotaSettings(Section):
    """How much a tenant may have."""

    pipeline_runs: Count = Field(
        default=200,
        title="Stored PipelineRuns",
        description="PipelineRuns that may exist in the tenant's workspace at once; finished ones count.",
    )
    cpu: Quantity = Field(
        default="8",
        title="CPU at once",
        description="Sum of CPU requests (cores) of running pods, in each of the tenant's namespaces.",
    )
    memory: Quantity = Field(
        default="16Gi",
        title="Memory at once",
        description="Sum of memory limits (bytes) of running pods, in each of the tenant's namespaces.",
    )
    pods: Count = Field(
        default=50, title="Pods at once", description="Unfinished pods, in each of the tenant's namespaces."
    )


class TenantSettings(Section):
    """A team with a kcp workspace of its own."""

    cluster: ClusterName = Field(
        title="Compute cluster", description="Name of the computeClusters entry on which its pipelines run."
    )
    workspace: WorkspaceName | None = Field(
        default=None,
        title="Workspace",
        description="Name of its workspace among the tenants' workspaces; by default the tenant's own name.",
    )
    access: AccessSettings = Field(
        default=AccessSettings(), title="Access", description="Who may do what in the tenant's workspace."
    )
    namespaces: tuple[NamespaceName, ...] = Field(
        default=("default",),
        min_length=1,
        title="Namespaces",
        description="Namespaces of its workspace; each has a namespace of its own on the compute cluster.",
    )
    quota: QuotaSettings = Field(
        default=QuotaSettings(), title="Quota", description="How much the tenant may store and run at once."
    )
    incarnation: Incarnation = Field(
        default=0,
        title="Incarnation",
        description="Raise it to apply what lies inside the tenant's workspace anew, after a drift.",
    )

    @field_validator("namespaces")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            refuse("a namespace stands there twice", "name each once")
        return value


class ReleasesSettings(Section):
    """Where the manifests of third-party releases come from."""

    directory: FilePath | None = Field(
        default=None,
        title="Directory",
        description=(
            "Folder with files <name>-<version>.yaml, relative to the project's folder; without it they are"
            " fetched from the URLs of releases/catalog.yaml."
        ),
    )


class EnvironmentSettings(Section):
    """Everything a stack file says about its environment."""

    kcp: KcpSettings = Field(title="kcp", description="The kcp that tenants work in.")
    compute_clusters: Mapping[ClusterName, ComputeClusterSettings] = Field(
        default={}, title="Compute clusters", description="Clusters that pipelines run on, by name."
    )
    tenants: Mapping[TenantName, TenantSettings] = Field(
        default={}, title="Tenants", description="Teams with a kcp workspace of their own, by name."
    )
    releases: ReleasesSettings = Field(
        default=ReleasesSettings(),
        title="Releases",
        description="Where the manifests of third-party releases come from.",
    )
    deletion_protection: bool = Field(
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


def workspace_of(name: str, tenant: TenantSettings) -> str:
    """Name the workspace of a tenant.

    Parameters
    ----------
    name
        Name of the tenant.
    tenant
        Its settings.
    """
    return tenant.workspace or name


def cross_check(clusters: Collection[str], tenants: Mapping[str, tuple[str | None, str]]) -> list[Problem]:
    """Find what no single entry shows.

    It takes no more of an entry than it needs, so that it also looks at entries that are wrong in other ways.

    Parameters
    ----------
    clusters
        Names of the compute clusters.
    tenants
        The cluster (None where it is not a text) and the workspace of each tenant, by name.
    """
    problems: list[Problem] = []
    owners: dict[str, str] = {}
    for name, (cluster, workspace) in sorted(tenants.items()):
        if cluster is not None and cluster not in clusters:
            problems.append(
                Problem(
                    key=key_path(["tenants", name, "cluster"]),
                    value=shown(cluster),
                    why="there is no such compute cluster",
                    mend=nearest(cluster, clusters, what="compute clusters"),
                )
            )
        if (owner := owners.setdefault(workspace, name)) != name:
            problems.append(
                Problem(
                    key=key_path(["tenants", name, "workspace"]),
                    value=shown(workspace),
                    why=f'tenant "{owner}" has this workspace',
                    mend="give each tenant a workspace of its own",
                )
            )
    return problems


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
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            keys |= known_keys(annotation, below)
    return keys
