"""The settings of Tekton: its defaults, features, resolvers and controller, and what comes beside it."""

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from stacks.image_words import ImagePrefix
from stacks.problems import refuse
from stacks.results_settings import ResultsSettings
from stacks.sections import SecretReference, Section
from stacks.vocabulary import Cidr, Flag, NamespaceOnCluster, Quantity, amount

Seconds = Annotated[int, Field(strict=True, ge=1, le=3_600)]

RESULT_SIZE_MAX: Final = 1_572_863
"""Tekton's own limit (v1.6.0, pkg/apis/config/feature_flags.go), since a run is stored as one object."""


class ApiFields(StrEnum):
    """How ripe a field of Tekton's API must be to be used; the words are Tekton's."""

    STABLE = "stable"
    BETA = "beta"
    ALPHA = "alpha"


class Coschedule(StrEnum):
    """Which pods of a run are put on one node; the words are Tekton's."""

    WORKSPACES = "workspaces"
    PIPELINE_RUNS = "pipelineruns"
    ISOLATE_PIPELINE_RUN = "isolate-pipelinerun"
    DISABLED = "disabled"


class ResultsFrom(StrEnum):
    """How the results of a task are read; the words are Tekton's."""

    TERMINATION_MESSAGE = "termination-message"
    SIDECAR_LOGS = "sidecar-logs"


class TektonDefaultsSettings(Section):
    """What a run gets that says nothing of it."""

    cpu_request: Quantity | None = Field(
        default=None,
        title="CPU request",
        description="CPU (cores) reserved for each container that states none; none: as the namespace says.",
    )
    cpu_limit: Quantity | None = Field(
        default=None, title="CPU limit", description="CPU (cores) that each such container may use at most."
    )
    memory_request: Quantity | None = Field(
        default=None, title="Memory request", description="Memory (bytes) reserved for each such container."
    )
    memory_limit: Quantity | None = Field(
        default=None,
        title="Memory limit",
        description="Memory (bytes) beyond which each such container is killed.",
    )
    max_matrix_combinations: Annotated[int, Field(strict=True, ge=1, le=4_096)] = Field(
        default=256,
        title="Most matrix combinations",
        description="Most TaskRuns (number) that one matrix may fan out to.",
    )
    automount_service_account_token: Flag = Field(
        default=False,
        title="Automount service account token",
        description="Whether a run's pods get their account's credential for the cluster unasked.",
    )
    image_pull_back_off_minutes: Annotated[int, Field(strict=True, ge=0, le=60)] = Field(
        default=0,
        title="Image pull back-off",
        description="Minutes for which a step's image that can't be pulled is tried again; 0: fail at once.",
    )

    @model_validator(mode="after")
    def _within_limits(self) -> Self:
        for what, request, limit in (
            ("cpu", self.cpu_request, self.cpu_limit),
            ("memory", self.memory_request, self.memory_limit),
        ):
            if request is not None and limit is not None and amount(request) > amount(limit):
                refuse(
                    f"{what}Request {request} is more than {what}Limit {limit}",
                    f"raise {what}Limit, or lower {what}Request",
                )
        return self


class TektonFeaturesSettings(Section):
    """Which of Tekton's features tenants' runs may use, and how runs behave."""

    api_fields: ApiFields = Field(
        default=ApiFields.BETA,
        title="API fields",
        description="How ripe a field of a pipeline must be for tenants to use it: stable, beta or alpha.",
    )
    coschedule: Coschedule = Field(
        default=Coschedule.WORKSPACES,
        title="Coschedule",
        description=(
            "Which pods of a run are put on one node: workspaces (those that share a volume), pipelineruns"
            " (all), isolate-pipelinerun (all, and no other run's) or disabled."
        ),
    )
    results_from: ResultsFrom = Field(
        default=ResultsFrom.TERMINATION_MESSAGE,
        title="Results from",
        description=(
            "How a task's results are read: termination-message (up to 4 KiB all together), or sidecar-logs"
            " (larger; a container more in each pod)."
        ),
    )
    max_result_size: Annotated[int, Field(strict=True, ge=1, le=RESULT_SIZE_MAX)] = Field(
        default=4_096,
        title="Largest result",
        description="Most bytes that one result may have; only with resultsFrom: sidecar-logs.",
    )
    keep_pod_on_cancel: Flag = Field(
        default=False,
        title="Keep pod on cancel",
        description="Whether the pods of a cancelled run stay, so that their logs can still be read.",
    )
    read_only_root_filesystem: Flag = Field(
        default=False,
        title="Read-only root file system",
        description="Whether steps can write nowhere but to their volumes; many images can't run that way.",
    )
    require_known_hosts: Flag = Field(
        default=False,
        title="Require known hosts",
        description="Refuse SSH credentials for Git that don't name their host's key.",
    )

    @model_validator(mode="after")
    def _sized_where_it_counts(self) -> Self:
        if "max_result_size" in self.model_fields_set and self.results_from is not ResultsFrom.SIDECAR_LOGS:
            refuse("maxResultSize counts only with sidecar-logs", "add resultsFrom: sidecar-logs")
        return self


class ResolverSettings(Section):
    """A resolver that is on unless it is switched off."""

    enabled: Flag = Field(default=True, title="Enabled", description="Whether tenants may use it.")


class TimedResolverSettings(ResolverSettings):
    """A resolver whose fetches are bounded in time."""

    timeout_seconds: Seconds = Field(
        default=60, title="Timeout", description="Seconds after which a fetch is given up."
    )


class HttpResolverSettings(Section):
    """The resolver that fetches from any URL."""

    enabled: Flag = Field(default=False, title="Enabled", description="Whether tenants may use it.")
    timeout_seconds: Seconds = Field(
        default=60, title="Timeout", description="Seconds after which a fetch is given up."
    )


class ClusterResolverSettings(Section):
    """The resolver that reads pipelines from namespaces of the cluster, with rights to read them all."""

    enabled: Flag = Field(default=False, title="Enabled", description="Whether tenants may use it.")
    namespaces: tuple[NamespaceOnCluster, ...] = Field(
        default=(),
        title="Namespaces",
        description="The only namespaces it reads from, for every tenant; required where it is enabled.",
    )

    @model_validator(mode="after")
    def _from_somewhere(self) -> Self:
        if self.enabled and not self.namespaces:
            refuse(
                "without a list of namespaces every tenant could read the pipelines of all others",
                "name in namespaces those with pipelines that everybody may read",
            )
        return self


class ResolversSettings(Section):
    """How pipelines and tasks are fetched that a run refers to."""

    git: TimedResolverSettings = Field(
        default=TimedResolverSettings(), title="Git", description="Fetches from Git repositories."
    )
    hub: ResolverSettings = Field(
        default=ResolverSettings(), title="Hub", description="Fetches from Artifact Hub."
    )
    bundles: TimedResolverSettings = Field(
        default=TimedResolverSettings(), title="Bundles", description="Fetches from image registries."
    )
    cluster: ClusterResolverSettings = Field(
        default=ClusterResolverSettings(),
        title="Cluster",
        description="Reads from namespaces of the cluster.",
    )
    http: HttpResolverSettings = Field(
        default=HttpResolverSettings(), title="HTTP", description="Fetches from any URL."
    )
    timeout_seconds: Seconds = Field(
        default=60,
        title="Timeout",
        description="Seconds after which a run gives up waiting for what it refers to.",
    )
    blocked_networks: tuple[Cidr, ...] = Field(
        default=(),
        title="Blocked networks",
        description=(
            "Networks (CIDR) that resolvers never reach on a tenant's behalf, beside clouds' metadata"
            " services; never with the address of the cluster's API server in one."
        ),
    )

    @model_validator(mode="after")
    def _leaving_something(self) -> Self:
        for network in self.blocked_networks:
            if network.endswith("/0"):
                refuse(
                    f"with {network} in blockedNetworks resolvers reach nothing at all",
                    "name smaller networks, or switch the resolvers off",
                )
        return self


class TektonControllerSettings(Section):
    """The pods that watch runs and make their pods."""

    replicas: Annotated[int, Field(strict=True, ge=1, le=10)] = Field(
        default=1,
        title="Replicas",
        description="Pods on each cluster; runs are dealt out to them in as many shares.",
    )
    threads: Annotated[int, Field(strict=True, ge=1, le=64)] | None = Field(
        default=None,
        title="Threads",
        description="Runs, and again TaskRuns, that a pod works on at a time (number); none: Tekton's own 2.",
    )
    requests_per_second: Annotated[int, Field(strict=True, ge=2, le=1_000)] | None = Field(
        default=None,
        title="Requests per second",
        description="Requests that a pod may send to the API server in a second; none: Tekton's own 20.",
    )
    burst: Annotated[int, Field(strict=True, ge=2, le=2_000)] | None = Field(
        default=None,
        title="Burst",
        description="Requests that it may send at once after a pause; none: Tekton's own 20.",
    )
    cpu_request: Quantity | None = Field(
        default=None, title="CPU request", description="CPU (cores) reserved for each pod."
    )
    memory_request: Quantity | None = Field(
        default=None, title="Memory request", description="Memory (bytes) reserved for each pod."
    )
    memory_limit: Quantity | None = Field(
        default=None,
        title="Memory limit",
        description="Memory (bytes) beyond which a pod is killed; need grows with the stored runs.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (
            self.memory_request
            and self.memory_limit
            and amount(self.memory_request) > amount(self.memory_limit)
        ):
            refuse(
                f"memoryRequest {self.memory_request} is more than memoryLimit {self.memory_limit}",
                "raise memoryLimit, or lower memoryRequest",
            )
        if self.burst is not None and self.burst < (self.requests_per_second or 0):
            refuse(
                f"burst {self.burst} is less than requestsPerSecond {self.requests_per_second}",
                "raise burst, or lower requestsPerSecond",
            )
        return self


class TriggersSettings(Section):
    """Tekton Triggers, for what lies on the clusters themselves."""

    enabled: Flag = Field(
        default=False, title="Enabled", description="Whether each cluster gets Tekton Triggers."
    )


class ChainsSettings(Section):
    """Tekton Chains, which signs what runs did."""

    enabled: Flag = Field(
        default=False, title="Enabled", description="Whether each cluster gets Tekton Chains."
    )
    signing_key: SecretReference | None = Field(
        default=None,
        title="Signing key",
        description="EC private key (PKCS #8, PEM) that all clusters sign with; required with enabled.",
    )
    oci_repository: ImagePrefix | None = Field(
        default=None,
        title="OCI repository",
        description="Where attestations are stored as images too; none: only on the run, as annotations.",
    )

    @model_validator(mode="after")
    def _with_a_key(self) -> Self:
        if self.enabled and self.signing_key is None:
            refuse(
                "without a signing key there is nothing to sign with",
                "make one (openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256), set it by"
                " pulumi config set --secret KEY, and add signingKey: {secret: KEY}",
            )
        return self


class TektonSettings(Section):
    """Tekton on the clusters."""

    default_timeout_minutes: Annotated[int, Field(strict=True, ge=1, le=10_080)] = Field(
        default=60,
        title="Default timeout",
        description="Minutes after which a run is stopped that states no timeout of its own.",
    )
    defaults: TektonDefaultsSettings = Field(
        default=TektonDefaultsSettings(),
        title="Defaults",
        description="What a run gets that says nothing of it.",
    )
    features: TektonFeaturesSettings = Field(
        default=TektonFeaturesSettings(),
        title="Features",
        description="Which of Tekton's features tenants' runs may use, and how runs behave.",
    )
    resolvers: ResolversSettings = Field(
        default=ResolversSettings(),
        title="Resolvers",
        description="How pipelines and tasks are fetched that a run refers to.",
    )
    controller: TektonControllerSettings = Field(
        default=TektonControllerSettings(),
        title="Controller",
        description="The pods that watch runs and make their pods.",
    )
    triggers: TriggersSettings = Field(
        default=TriggersSettings(), title="Triggers", description="Tekton Triggers."
    )
    chains: ChainsSettings = Field(default=ChainsSettings(), title="Chains", description="Tekton Chains.")
    results: ResultsSettings = Field(
        default=ResultsSettings(), title="Results", description="Tekton Results."
    )
