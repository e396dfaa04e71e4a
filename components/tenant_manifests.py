"""The manifests of a tenant: inside its workspace, and on its cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from components.access import (
    ADMIN,
    DEVELOPER,
    PIPELINE_RESOURCES,
    REPOSITORY_GROUP,
    VIEWER,
    WORKSPACE_ACCESS,
    Subject,
    cluster_role_binding,
    role_binding,
    tenant_roles,
)
from components.compute_cluster import namespace
from components.image_repository import pull_secret, pulls_with
from components.names import (
    KCP_NAMESPACE_NAME,
    OPERATOR_NAMESPACE,
    SUSPENDED,
    TENANT,
    WORKSPACE_PATH,
    digest,
    labels,
)
from components.pipelines_as_code import tenant_bindings
from components.repository_admission import REPOSITORIES
from components.repository_admission import policies as repository_policies
from components.results_manifests import reader_binding
from components.syncer_manifests import writer_binding
from components.tenant_network import WORKSPACE_DIGEST, network_policy
from releases.transform import RUN_SERVICE_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi

    from components.kubernetes_object import Manifest
    from components.pipelines_as_code import RepositoryRules
    from components.tenant_network import TenantNetwork

BINDING: Final = "pipelines"
"""Name of the APIBinding in a tenant's workspace."""

QUOTA_NAMESPACE: Final = "admin"
"""Namespace in which kcp counts a quota over the whole workspace; no tenant can have it as its own."""

CPU_REQUEST: Final = "50m"
MEMORY_LIMIT: Final = "512Mi"
"""What a container on the cluster requests, and is limited to, where it states nothing."""

_DIGEST_LENGTH: Final = 12

CLAIMS: Final = (("", "events"), ("core.kcp.io", "logicalclusters"))
"""What the agent asks for (group, resource): events to report with, the workspace's path to read."""

REPOSITORY_CLAIMS: Final = (("", "namespaces"), ("", "secrets"))
"""What it asks for beside these where tenants have Repository objects: the Secrets that these name, and the
namespaces that these lie in."""


REPOSITORY_DRAIN: Final = (f"repositories.{REPOSITORY_GROUP}", "secrets")
"""What else goes while the agent lives: it holds Repository objects, and the Secrets that they name."""


def claims(*, repositories: bool) -> tuple[tuple[str, str], ...]:
    """List what the agent asks for, group and resource.

    Parameters
    ----------
    repositories
        Whether tenants have Repository objects.
    """
    return (*CLAIMS, *(REPOSITORY_CLAIMS if repositories else ()))


def bound_resources(*, repositories: bool) -> tuple[str, ...]:
    """List the resources that a tenant works with, as its binding lists them.

    Parameters
    ----------
    repositories
        Whether tenants have Repository objects.
    """
    return (*PIPELINE_RESOURCES, *(("repositories",) if repositories else ()))


def wait_for(*, repositories: bool) -> list[Mapping[str, str]]:
    """List what says that users can work in a workspace.

    Parameters
    ----------
    repositories
        Whether tenants have Repository objects.
    """
    binding = f"apibindings.apis.kcp.io/{BINDING}"
    return [
        {"resource": binding, "for": "jsonpath={.status.phase}=Bound"},
        {"resource": binding, "for": "condition=PermissionClaimsValid"},
        *(
            # Bound is said of an export that has no schema yet as well: only this says that users can work.
            {
                "resource": binding,
                "for": f'jsonpath={{.status.boundResources[?(@.resource=="{plural}")].resource}}={plural}',
            }
            for plural in bound_resources(repositories=repositories)
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class TenantAccess:
    """Who may do what in a tenant's workspace.

    Attributes
    ----------
    admins
        Who may also hand out roles.
    developers
        Who may change pipelines, tasks, runs, repositories and Secrets.
    viewers
        Who may look at them.
    """

    admins: tuple[Subject, ...] = ()
    developers: tuple[Subject, ...] = ()
    viewers: tuple[Subject, ...] = ()

    def by_role(self) -> dict[str, tuple[Subject, ...]]:
        """List the subjects of each ClusterRole."""
        return {ADMIN: self.admins, DEVELOPER: self.developers, VIEWER: self.viewers}

    def everyone(self) -> list[Subject]:
        """List all subjects, each once."""
        return sorted(
            {*self.admins, *self.developers, *self.viewers},
            key=lambda subject: (subject.kind, subject.namespace or "", subject.name),
        )


@dataclass(frozen=True, kw_only=True)
class TenantRepositories:
    """The repositories of a tenant, where Pipelines as Code takes their events.

    Attributes
    ----------
    identities
        Host and path of each.
    rules
        What its Repository objects are held to.
    bound
        Whether Pipelines as Code needs to be let into its namespaces: where OpenShift's operator brings it,
        it has its rights for the whole cluster.
    """

    identities: tuple[str, ...]
    rules: RepositoryRules
    bound: bool = True


@dataclass(frozen=True, kw_only=True)
class TenantQuota:
    """How much a tenant may store and run.

    Attributes
    ----------
    pipeline_runs
        PipelineRuns that may exist in its workspace.
    cpu
        Sum of CPU requests of running pods in each namespace, a quantity in cores.
    memory
        Sum of memory limits of running pods in each namespace, a quantity in bytes.
    pods
        Unfinished pods in each namespace.
    storage
        Sum of what claims request in each namespace, a quantity in bytes.
    """

    pipeline_runs: int
    cpu: str
    memory: str
    pods: int
    storage: str


def api_binding(
    export: tuple[str, str], marked: Mapping[str, str], *, repositories: bool = False
) -> Manifest:
    """Make the APIBinding by which a tenant is placed on a cluster.

    Parameters
    ----------
    export
        Path of the export's workspace, and the export's name.
    marked
        Labels.
    repositories
        Whether tenants have Repository objects.
    """
    path, name = export
    return {
        "apiVersion": "apis.kcp.io/v1alpha2",
        "kind": "APIBinding",
        "metadata": {"name": BINDING, "labels": dict(marked)},
        "spec": {
            "reference": {"export": {"path": path, "name": name}},
            "permissionClaims": [
                {
                    "group": group,
                    "resource": resource,
                    "verbs": ["*"],
                    "selector": {"matchAll": True},
                    "state": "Accepted",
                }
                for group, resource in claims(repositories=repositories)
            ],
        },
    }


def stored_runs_quota(runs: int, marked: Mapping[str, str]) -> Manifest:
    """Make the quota of PipelineRuns that may exist in a workspace, finished ones included.

    It counts over the whole workspace: kcp heeds the annotation in a namespace `admin` alone
    (resource_quota_controller.go in its fork of Kubernetes). No tenant's role reaches there.

    Parameters
    ----------
    runs
        How many there may be.
    marked
        Labels.
    """
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {
            "name": "stored-runs",
            "namespace": QUOTA_NAMESPACE,
            "labels": dict(marked),
            "annotations": {"experimental.quota.kcp.io/cluster-scoped": "true"},
        },
        "spec": {"hard": {"count/pipelineruns.tekton.dev": str(runs)}},
    }


def shared_content(rules: RepositoryRules | None, *, suspended: bool = False) -> list[Manifest]:
    """Make what stands in every tenant's workspace, the same in each.

    While a tenant is suspended there are no roles: so nobody can do anything there, nor a service account
    that an admin bound to a role, which is in the workspace without being let in.

    Parameters
    ----------
    rules
        What Repository objects are held to; None where there are none.
    suspended
        Whether nobody has access.
    """
    made = list(repository_policies(rules, workspace=True).values())
    return made if suspended else [*made, *tenant_roles(labels("tenant"))]


def own_content(  # noqa: PLR0913 -- all that is said of a workspace
    *,
    tenant: str,
    export: tuple[str, str],
    namespaces: Sequence[str],
    access: TenantAccess,
    quota: TenantQuota,
    suspended: bool = False,
    repositories: TenantRepositories | None = None,
) -> list[Manifest]:
    """Make what stands in a tenant's workspace beside `shared_content`.

    While the tenant is suspended there are no bindings. The service accounts stay, or their tokens would be
    void for ever.

    Parameters
    ----------
    tenant
        Name of the tenant.
    export
        Path of the export's workspace, and the export's name.
    namespaces
        The namespaces it works in.
    access
        Who may do what.
    quota
        How much it may store.
    suspended
        Whether nobody has access and nothing new is stored.
    repositories
        The repositories that it may name; None where there are no Repository objects.
    """
    marked = labels("tenant", tenant=tenant)
    made: list[Manifest] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": marked}}
        for name in (OPERATOR_NAMESPACE, QUOTA_NAMESPACE)
    ]
    made += [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": marked, **_annotated(_of(repositories))},
        }
        for name in namespaces
    ]
    made += [
        api_binding(export, marked, repositories=repositories is not None),
        stored_runs_quota(0 if suspended else quota.pipeline_runs, marked),
        *(
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": subject.name, "namespace": subject.namespace, "labels": marked},
            }
            for subject in access.everyone()
            if subject.kind == "ServiceAccount"
        ),
    ]
    if suspended:
        return made
    for name in namespaces:
        made += [
            role_binding(bound, name, bound, subjects, marked)
            for bound, subjects in access.by_role().items()
            if subjects
        ]
    if everyone := access.everyone():
        made.append(cluster_role_binding("pipeline-service:access", WORKSPACE_ACCESS, everyone, marked))
    return made


def namespace_objects(  # noqa: PLR0913 -- all that is said of a tenant's namespace
    *,
    tenant: str,
    workspace_path: str,
    kcp_namespace: str,
    namespace_name: str,
    quota: TenantQuota,
    network: TenantNetwork,
    suspended: bool = False,
    stopped: bool = False,
    pulls: pulumi.Input[str] | None = None,
    repositories: TenantRepositories | None = None,
    results: bool = False,
) -> dict[str, Manifest]:
    """Make a tenant's namespace on its cluster with all that stands in it; the namespace comes first.

    Parameters
    ----------
    tenant
        Name of the tenant.
    workspace_path
        Path of its workspace.
    kcp_namespace
        Name of the namespace in that workspace.
    namespace_name
        Name of the namespace on the cluster.
    quota
        How much may run in it at once.
    network
        What its pods may reach.
    suspended
        Whether no run may start in it.
    stopped
        Whether no pod may start in it.
    pulls
        With what its pods' images are pulled: a `.docker/config.json`, base64; None: without.
    repositories
        The repositories that it may name; None where there are no Repository objects.
    results
        Whether what is recorded of its runs can be read.
    """
    marked = labels("tenant", tenant=tenant)
    metadata = {"namespace": namespace_name, "labels": marked}
    # Steps of pipelines bring images of all kinds; "baseline" stops what would reach beyond the pod.
    home = namespace(namespace_name, "tenant", "baseline", tenant=tenant)
    own = {TENANT: tenant, WORKSPACE_DIGEST: digest(workspace_path)[:_DIGEST_LENGTH]}
    home["metadata"]["labels"] |= own
    if suspended:
        home["metadata"]["labels"][SUSPENDED] = "true"
    home["metadata"]["annotations"] = {
        WORKSPACE_PATH: workspace_path,
        KCP_NAMESPACE_NAME: kcp_namespace,
        **_of(repositories),
    }
    return {
        "namespace": home,
        "quota": {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {**metadata, "name": "running"},
            # CPU that is wanted but not there only slows down; memory that is not there kills. So the one is
            # counted by request, the other by limit.
            "spec": {
                "hard": {
                    "requests.cpu": quota.cpu,
                    "limits.memory": quota.memory,
                    "pods": "0" if stopped else str(quota.pods),
                    "requests.storage": quota.storage,
                }
            },
        },
        "limits": {
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": {**metadata, "name": "containers"},
            # With the quota above, a container that states nothing would be refused without these.
            "spec": {
                "limits": [
                    {
                        "type": "Container",
                        "default": {"memory": MEMORY_LIMIT},
                        "defaultRequest": {"cpu": CPU_REQUEST, "memory": "64Mi"},
                    }
                ]
            },
        },
        "account": {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {**metadata, "name": RUN_SERVICE_ACCOUNT},
            # Steps run what tenants write: they get no credential for the cluster unless they ask for one.
            "automountServiceAccountToken": False,
            **pulls_with(pulls),
        },
        "network": network_policy(namespace_name, own, network, marked),
        "syncer": writer_binding(namespace_name, tenant),
        **(tenant_bindings(namespace_name, tenant) if repositories and repositories.bound else {}),
        **({"results": reader_binding(namespace_name, tenant)} if results else {}),
        **(
            {}
            if pulls is None
            else {"pull-secret": pull_secret(namespace_name, pulls, "tenant", tenant=tenant)}
        ),
    }


def _of(repositories: TenantRepositories | None) -> dict[str, str]:
    """Annotate a namespace with its tenant's repositories; one without any may hold no Repository."""
    if repositories is None or not repositories.identities:
        return {}
    return {REPOSITORIES: " ".join(repositories.identities)}


def _annotated(annotations: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    return {"annotations": annotations} if annotations else {}
