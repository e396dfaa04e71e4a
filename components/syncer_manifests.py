"""The manifests of a compute cluster's syncer (api-syncagent v0.7.0)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from components import kcp_identity
from components.access import (
    PIPELINE_KINDS,
    PIPELINE_RESOURCES,
    READ,
    REPOSITORY_GROUP,
    WORKSPACE_ACCESS,
    Subject,
    cluster_role,
    cluster_role_binding,
    role,
    role_binding,
    rule,
)
from components.compute_cluster import namespace
from components.image_repository import pull_secret, pulls_with
from components.names import SYNCER_GROUP, SYNCER_NAMESPACE, TENANT_NAMESPACE_TEMPLATE, labels
from components.pod_security import container_security, pod_security

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi

    from components.kubernetes_object import Manifest

ACCOUNT: Final = "syncer"
"""ServiceAccount of the agent on its cluster."""

READER: Final = "pipeline-service-syncer"

WRITER: Final = "pipeline-service-syncer-writer"
"""ClusterRole for what the agent writes; bound only in tenants' namespaces, by each tenant's component."""

FINALIZER: Final = f"{SYNCER_GROUP}/cleanup"
"""Finalizer with which an agent holds the objects it has copied."""

_NAMED_SECRETS: Final[Mapping[str, str]] = {
    "token": "spec.git_provider.secret.name",
    "webhook": "spec.git_provider.webhook_secret.name",
    "incoming": "spec.incoming.#.secret.name",
    "params": "spec.params.#.secret_ref.name",
}
"""Where a Repository names Secrets, as the agent reads paths (those of gjson)."""

AGENT: Final = "api-syncagent"
"""The agent's Deployment."""

KUBECONFIG_DIGEST: Final = "pipeline-service/kubeconfig-digest"
"""Annotation of the agent's pods."""

_METRICS_PORT: Final = 8085


def kcp_account_name(cluster: str) -> str:
    """Name an agent's ServiceAccount in kcp.

    Parameters
    ----------
    cluster
        Name of the compute cluster.
    """
    return f"syncer-{cluster}"


def kcp_rights(cluster: str) -> dict[str, Manifest]:
    """Make an agent's rights in the workspace `compute`.

    They are those that the agent's documentation lists, narrowed to its own export where a name can be
    given. Schemas can't be named beforehand (the agent makes them), and a slice is listed without a name.

    Parameters
    ----------
    cluster
        Name of the compute cluster.
    """
    name = f"pipeline-service:syncer:{cluster}"
    marked = labels("syncer", cluster=cluster)
    subjects = [
        Subject(kind="ServiceAccount", name=kcp_account_name(cluster), namespace=kcp_identity.KCP_NAMESPACE)
    ]
    kcp = "apis.kcp.io"
    rules = [
        rule("core.kcp.io", ("logicalclusters",), ("get",), ("cluster",)),
        rule(kcp, ("apiexportendpointslices",), READ),
        rule(kcp, ("apiexports",), (*READ, "patch", "update"), (cluster,)),
        rule(kcp, ("apiexports/content",), ("*",), (cluster,)),
        rule(kcp, ("apiresourceschemas",), (*READ, "create", "update")),
        rule("", ("events",), ("get", "create", "patch", "update")),
    ]
    return {
        "role": cluster_role(name, rules, marked),
        "binding": cluster_role_binding(name, name, subjects, marked),
        "access": cluster_role_binding(f"{name}:access", WORKSPACE_ACCESS, subjects, marked),
    }


def kubeconfig_secret(encoded: pulumi.Input[str]) -> Manifest:
    """Make the Secret with the kubeconfig for kcp.

    Parameters
    ----------
    encoded
        The kubeconfig, base64.
    """
    return kcp_identity.kubeconfig_secret(SYNCER_NAMESPACE, labels("syncer"), encoded)


def cluster_objects(
    pulls: pulumi.Input[str] | None = None, *, repositories: bool = False
) -> dict[str, Manifest]:
    """Make the agent's namespace, identity and rights on its cluster; the namespace comes first.

    Parameters
    ----------
    pulls
        With what its image is pulled: a `.docker/config.json`, base64; None: without.
    repositories
        Whether it copies Repository objects, and the Secrets that they name.
    """
    marked = labels("syncer")
    subjects = [Subject(kind="ServiceAccount", name=ACCOUNT, namespace=SYNCER_NAMESPACE)]
    read = [
        rule("apiextensions.k8s.io", ("customresourcedefinitions",), READ),
        rule("", ("namespaces",), READ),
        # The agent keeps its state in Secrets of its own namespace, but reads them through a cache of the
        # whole cluster, which can't be narrowed (v0.7.0, state_store.go and main.go). It may write none
        # elsewhere.
        rule("", ("secrets",), READ),
        rule("tekton.dev", PIPELINE_RESOURCES, READ),
        rule(SYNCER_GROUP, ("publishedresources",), READ),
        rule(SYNCER_GROUP, ("publishedresources/status",), ("get", "patch", "update")),
        rule("", ("events",), ("create", "patch")),
    ]
    changing = ("create", "update", "patch", "delete")
    own = [
        rule("", ("secrets",), changing),
        rule("coordination.k8s.io", ("leases",), (*READ, "create", "update", "patch")),
    ]
    write = [rule("tekton.dev", PIPELINE_RESOURCES, changing)]
    if repositories:
        read.append(rule(REPOSITORY_GROUP, ("repositories",), READ))
        # Their copies lie in tenants' namespaces, where this role is bound, and nowhere else.
        write += [rule(REPOSITORY_GROUP, ("repositories",), changing), rule("", ("secrets",), changing)]
    return {
        "syncer-namespace": namespace(SYNCER_NAMESPACE, "syncer"),
        "syncer-account": {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": ACCOUNT, "namespace": SYNCER_NAMESPACE, "labels": marked},
        },
        "syncer-reader": cluster_role(READER, read, marked),
        "syncer-reads": cluster_role_binding(READER, READER, subjects, marked),
        "syncer-state": role(READER, SYNCER_NAMESPACE, own, marked),
        "syncer-states": role_binding(READER, SYNCER_NAMESPACE, READER, subjects, marked, kind="Role"),
        "syncer-writer": cluster_role(WRITER, write, marked),
        **({} if pulls is None else {"syncer-pull-secret": pull_secret(SYNCER_NAMESPACE, pulls, "syncer")}),
    }


def writer_binding(tenant_namespace: str, tenant: str) -> Manifest:
    """Let the agent write into a tenant's namespace.

    Parameters
    ----------
    tenant_namespace
        Name of the namespace on the cluster.
    tenant
        Name of the tenant.
    """
    subjects = [Subject(kind="ServiceAccount", name=ACCOUNT, namespace=SYNCER_NAMESPACE)]
    return role_binding(WRITER, tenant_namespace, WRITER, subjects, labels("tenant", tenant=tenant))


PUBLISHED_REPOSITORIES: Final = "published-repositories"
"""Name, among `published_resources`, of the one that goes with Pipelines as Code, while the agent stays."""


def published_resources(cluster: str, *, repositories: bool = False) -> dict[str, Manifest]:
    """Make what the agent publishes: pipelines, tasks and runs, under their own names.

    Parameters
    ----------
    cluster
        Name of the compute cluster.
    repositories
        Whether it publishes Repository objects as well, with the Secrets that they name.
    """
    made = {
        f"published-{plural}": _published(cluster, plural, "tekton.dev", kind, "v1")
        for kind, plural in PIPELINE_KINDS.items()
    }
    if repositories:
        manifest = _published(cluster, "repositories", REPOSITORY_GROUP, "Repository", "v1alpha1")
        manifest["spec"]["related"] = [_named_secrets(*one) for one in _NAMED_SECRETS.items()]
        made[PUBLISHED_REPOSITORIES] = manifest
    return made


def _published(cluster: str, plural: str, group: str, kind: str, version: str) -> Manifest:
    return {
        "apiVersion": f"{SYNCER_GROUP}/v1alpha1",
        "kind": "PublishedResource",
        "metadata": {"name": plural, "labels": labels("syncer", cluster=cluster)},
        "spec": {
            "resource": {"apiGroup": group, "kind": kind, "versions": [version]},
            # The namespace's name is made from the workspace's path.
            "enableWorkspacePaths": True,
            "naming": {
                # A PipelineRun refers to its Pipeline by name, so names stay as they are.
                "name": "{{ .Object.metadata.name }}",
                "namespace": TENANT_NAMESPACE_TEMPLATE,
            },
        },
    }


def _named_secrets(identifier: str, path: str) -> dict[str, Any]:
    """Have the Secrets copied that a Repository names at a path, into its copy's namespace."""
    return {
        "identifier": identifier,
        "origin": "kcp",
        "version": "v1",
        "resource": "secrets",
        "object": {"reference": {"path": path}},
        # A Secret doesn't say who names it: where one changes, all of its workspace are looked at.
        "watch": {"bySelector": {}},
    }


@dataclass(frozen=True, kw_only=True)
class AgentPods:
    """How the agent's pods are made.

    Attributes
    ----------
    image
        The agent's image.
    replicas
        How many there are: one works, by leader election; each other holds the same caches and stands by.
    cpu_request
        CPU reserved for each, a quantity in cores.
    memory_request
        Memory reserved for each, a quantity in bytes.
    memory_limit
        Memory beyond which one is killed, a quantity in bytes.
    user
        Number of the user and group they run as; None where the cluster assigns it, as OpenShift does: its
        SecurityContextConstraints `restricted-v2` refuse any other.
    pull_secret
        With what their image is pulled: a `.docker/config.json`, base64; None: without.
    """

    image: str
    replicas: int
    cpu_request: str
    memory_request: str
    memory_limit: str
    user: int | None
    pull_secret: pulumi.Input[str] | None = field(default=None, repr=False)


def deployment(cluster: str, pods: AgentPods, kubeconfig_digest: pulumi.Input[str] | None) -> Manifest:
    """Make the Deployment of the agent.

    It has no PodDisruptionBudget: copying that pauses until the next pod has started loses nothing, and a
    budget over a single pod would hold up the draining of its node.

    Parameters
    ----------
    cluster
        Name of the compute cluster; also the agent's name, which must never change (its copies carry it).
    pods
        Its pods.
    kubeconfig_digest
        Digest of the kubeconfig for kcp, as the agent reads it only when it starts; None where it isn't known
        and added afterwards.
    """
    selector = {"app.kubernetes.io/name": "api-syncagent"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": AGENT,
            "namespace": SYNCER_NAMESPACE,
            "labels": {**labels("syncer"), **selector},
        },
        "spec": {
            "replicas": pods.replicas,
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {
                    "labels": {**labels("syncer"), **selector},
                    **(
                        {"annotations": {KUBECONFIG_DIGEST: kubeconfig_digest}}
                        if kubeconfig_digest is not None
                        else {}
                    ),
                },
                "spec": {**_pod(cluster, pods), **_spread(pods.replicas, selector)},
            },
        },
    }


def _spread(replicas: int, selector: Mapping[str, str]) -> dict[str, Any]:
    """Put pods on different nodes where that can be: two on one node fail together."""
    if replicas == 1:
        return {}
    return {
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": dict(selector)},
            }
        ]
    }


def _pod(cluster: str, pods: AgentPods) -> dict[str, Any]:
    return {
        "serviceAccountName": ACCOUNT,
        **pulls_with(pods.pull_secret),
        "securityContext": pod_security(pods.user),
        "containers": [
            {
                "name": "agent",
                "image": pods.image,
                "args": [
                    f"--namespace={SYNCER_NAMESPACE}",
                    f"--kcp-kubeconfig=/etc/kcp/{kcp_identity.KUBECONFIG_KEY}",
                    f"--apiexportendpointslice-ref={cluster}",
                    f"--agent-name={cluster}",
                    "--enable-leader-election",
                    f"--metrics-address=0.0.0.0:{_METRICS_PORT}",
                ],
                "ports": [
                    {"name": "metrics", "containerPort": _METRICS_PORT, "protocol": "TCP"},
                ],
                # v0.7.0 has the flag --health-address and answers 404 there, as it registers no check.
                "readinessProbe": {"httpGet": {"path": "/metrics", "port": "metrics"}, "periodSeconds": 5},
                "livenessProbe": {
                    "httpGet": {"path": "/metrics", "port": "metrics"},
                    "initialDelaySeconds": 15,
                    "periodSeconds": 20,
                },
                "resources": {
                    "requests": {"cpu": pods.cpu_request, "memory": pods.memory_request},
                    "limits": {"memory": pods.memory_limit},
                },
                "securityContext": container_security(),
                "volumeMounts": [{"name": "kcp", "mountPath": "/etc/kcp", "readOnly": True}],
            }
        ],
        "volumes": [{"name": "kcp", "secret": {"secretName": kcp_identity.KUBECONFIG_SECRET}}],
    }
