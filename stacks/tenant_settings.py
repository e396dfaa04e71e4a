"""The settings of one tenant."""

from typing import Final

from pydantic import Field, ValidationInfo, field_validator

from components.tenant_manifests import CPU_REQUEST, MEMORY_LIMIT
from components.tenant_network import is_metadata
from stacks.problems import refuse
from stacks.sections import Section, SubjectsSettings
from stacks.vocabulary import (
    Cidr,
    ClusterName,
    Count,
    Egress,
    Flag,
    Incarnation,
    NamespaceName,
    OnSuspension,
    Quantity,
    RepositoryUrl,
    ServiceAccountName,
    Sha256,
    WorkspaceName,
    WorkspacePath,
    amount,
)

KEPT_SHARE: Final = 2
"""Finished runs take one part in so many of the stored ones at most, so that new ones find room."""

_LEAST: Final = {
    "cpu": (CPU_REQUEST, "as much a container requests that states nothing, so no pod could start"),
    "memory": (MEMORY_LIMIT, "as much is the limit of a container that states none, so no pod could start"),
    "storage": ("1Mi", "no PersistentVolumeClaim asks for so little"),
}
"""Of a quota, what there must be at least, and why."""


class RoleSettings(SubjectsSettings):
    """Who has a role in a tenant's workspace."""

    service_accounts: tuple[ServiceAccountName, ...] = Field(
        default=(),
        title="Service accounts",
        description=(
            "Service accounts of the tenant's own workspace, as namespace/name; the namespace is one of the"
            " entry's."
        ),
    )


class AccessSettings(Section):
    """Who may do what in a tenant's workspace."""

    admins: RoleSettings = Field(
        default=RoleSettings(),
        title="Admins",
        description="May do what developers do and hand these roles to others in the tenant's namespaces.",
    )
    developers: RoleSettings = Field(
        default=RoleSettings(),
        title="Developers",
        description=(
            "May create, change and delete pipelines, tasks, runs, repositories, Secrets and ConfigMaps."
        ),
    )
    viewers: RoleSettings = Field(
        default=RoleSettings(),
        title="Viewers",
        description="May look at pipelines, tasks, runs and repositories; at no Secret.",
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
    storage: Quantity = Field(
        default="20Gi",
        title="Storage",
        description=(
            "Sum of what PersistentVolumeClaims request (bytes), in each of the tenant's namespaces."
        ),
    )

    @field_validator(*_LEAST)
    @classmethod
    def _enough(cls, value: str, info: ValidationInfo) -> str:
        least, why = _LEAST[str(info.field_name)]
        given = amount(value)
        # Without any storage a tenant does very well.
        if given < amount(least) and (given or info.field_name != "storage"):
            number = value.removesuffix("m")
            meant = f"{number}{'Gi' if number == value else 'Mi'}"
            fits = info.field_name != "cpu" and number[-1].isdecimal() and amount(meant) >= amount(least)
            refuse(f"less than {least}: {why}", f"did you mean {meant}?" if fits else f"use {least} or more")
        return value


class NetworkSettings(Section):
    """What the pods of a tenant may reach."""

    egress: Egress = Field(
        default=Egress.OPEN,
        title="Egress",
        description=(
            "open: everything but other tenants' pods and the metadata service of a cloud; closed: the"
            " tenant's own pods, DNS, and allowedEgress."
        ),
    )
    allowed_egress: tuple[Cidr, ...] = Field(
        default=(),
        title="Allowed egress",
        description="Networks that the pods may reach all the same; goes with egress: closed.",
    )

    @field_validator("allowed_egress")
    @classmethod
    def _no_metadata(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            if is_metadata(network):
                refuse(
                    f"{network} is a cloud's metadata service, which hands out the node's credentials",
                    "take it out: no tenant may reach it",
                )
        return value


class RetentionSettings(Section):
    """How long finished PipelineRuns stay in the tenant's workspace; the one that ends first counts."""

    runs: Count = Field(
        default=100,
        title="Runs",
        description=(
            "How many finished PipelineRuns are kept, the newest; no more than half of quota.pipelineRuns."
        ),
    )
    days: Count = Field(
        default=30, title="Days", description="Days after which a finished PipelineRun is deleted."
    )


class RetiredSettings(Section):
    """That a tenant leaves: its entry can be deleted once this has been applied."""

    export: Sha256 | None = Field(
        default=None,
        title="Export",
        description=(
            "Digest (sha256, hexadecimal) of the file with the tenant's objects; needed but for an external"
            " tenant, of which nothing is exported."
        ),
    )


class ExternalSettings(Section):
    """A workspace that someone else owns."""

    path: WorkspacePath = Field(title="Path", description="Path of the workspace, from the root.")
    binders: SubjectsSettings = Field(
        title="Binders", description="Who may bind the cluster's API there: one user or group at least."
    )

    @field_validator("binders")
    @classmethod
    def _somebody(cls, value: SubjectsSettings) -> SubjectsSettings:
        if not (value.users or value.groups):
            refuse("nobody may bind", "name who does: {users: [NAME]} or {groups: [NAME]}")
        return value


class TenantSettings(Section):
    """A team with a kcp workspace, which this program makes unless it is external."""

    cluster: ClusterName = Field(
        title="Compute cluster", description="Name of the computeClusters entry on which its pipelines run."
    )
    workspace: WorkspaceName | None = Field(
        default=None,
        title="Workspace",
        description="Name of its workspace among the tenants' workspaces; by default the tenant's own name.",
    )
    external: ExternalSettings | None = Field(
        default=None,
        title="External workspace",
        description=(
            "The tenant's workspace, where someone else owns it: it gets the right to bind, its place on the"
            " cluster and its quota there, and nothing is put into it."
        ),
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
    network: NetworkSettings = Field(
        default=NetworkSettings(), title="Network", description="What the tenant's pods may reach."
    )
    retention: RetentionSettings = Field(
        default=RetentionSettings(),
        title="Retention",
        description="How long finished PipelineRuns stay in the tenant's workspace.",
    )
    repositories: tuple[RepositoryUrl, ...] = Field(
        default=(),
        title="Repositories",
        description="URLs (https) of the Git repositories whose events are the tenant's.",
    )
    suspended: Flag = Field(
        default=False,
        title="Suspended",
        description=(
            "While true, nobody has access to the workspace and no run starts; nothing is deleted, and false"
            " restores everything."
        ),
    )
    on_suspension: OnSuspension = Field(
        default=OnSuspension.FINISH,
        title="On suspension",
        description=(
            "What becomes of running work when the tenant is suspended: finish, or stop (runs are cancelled,"
            " those of Git events too, and no pod starts)."
        ),
    )
    retired: RetiredSettings | None = Field(
        default=None,
        title="Retired",
        description=(
            "The tenant leaves: it is suspended, its work is stopped, and it alone isn't protected from"
            " deletion, so that its entry can be deleted next."
        ),
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

    @property
    def inactive(self) -> bool:
        """Whether nobody has access and no run starts."""
        return self.suspended or self.retired is not None

    @property
    def stopped(self) -> bool:
        """Whether running work is stopped, too."""
        return self.retired is not None or (self.suspended and self.on_suspension is OnSuspension.STOP)

    @property
    def kept_runs(self) -> int:
        """How many finished PipelineRuns are kept; of an external tenant no quota limits the stored ones.

        Where only one may be stored, none is kept: otherwise no second one could ever be made.
        """
        if self.external:
            return self.retention.runs
        return min(self.retention.runs, self.quota.pipeline_runs // KEPT_SHARE)
