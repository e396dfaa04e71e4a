"""The manifests of retention: what prunes finished runs in kcp, and each tenant's policy."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from components import kcp_identity, retention_prune
from components.access import (
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
from components.names import RETENTION_NAMESPACE, labels
from components.pod_security import container_security, pod_security

if TYPE_CHECKING:
    import pulumi

    from components.kubernetes_object import Manifest
    from components.retention_prune import Policy

SCHEDULE: Final = "*/10 * * * *"


_NAME: Final = "retention"
_SCRIPT: Final = "prune.py"
_MOST_SECONDS: Final = 540
"""A run ends before the next is due."""


def kcp_account_name(cluster: str) -> str:
    """Name the ServiceAccount in kcp.

    Parameters
    ----------
    cluster
        Name of the compute cluster.
    """
    return f"retention-{cluster}"


def kcp_rights(cluster: str) -> dict[str, Manifest]:
    """Make the rights in the workspace `compute`: to read and delete what the cluster's export holds.

    kcp asks for the verb of each request in the virtual workspace on `apiexports/content`. So this identity
    makes no run and changes none, and reaches no other cluster's. (A fault of kcp 0.28.1 gives it more for
    some seconds: docs/runbooks/retention.md.)

    Parameters
    ----------
    cluster
        Name of the compute cluster.
    """
    account = kcp_account_name(cluster)
    name = f"pipeline-service:retention:{cluster}"
    marked = labels(_NAME, cluster=cluster)
    subjects = [Subject(kind="ServiceAccount", name=account, namespace=kcp_identity.KCP_NAMESPACE)]
    kcp = "apis.kcp.io"
    rules = [
        rule(kcp, ("apiexportendpointslices",), ("get",), (cluster,)),
        rule(kcp, ("apiexports/content",), ("get", "list", "delete"), (cluster,)),
    ]
    # A list can't be narrowed to names; this namespace holds no ConfigMap but policies and kcp's certificate.
    policies = [rule("", ("configmaps",), ("list",))]
    return {
        "role": cluster_role(name, rules, marked),
        "binding": cluster_role_binding(name, name, subjects, marked),
        "access": cluster_role_binding(f"{name}:access", WORKSPACE_ACCESS, subjects, marked),
        "policies": role(name, kcp_identity.KCP_NAMESPACE, policies, marked),
        "reads": role_binding(name, kcp_identity.KCP_NAMESPACE, name, subjects, marked, kind="Role"),
    }


def policy_map(cluster: str, workspace: str, policy: Policy) -> Manifest:
    """Make a tenant's policy, in the workspace `compute`.

    It is an object of its own, so that a tenant more or less changes nothing that is another's.

    Parameters
    ----------
    cluster
        Name of the compute cluster.
    workspace
        Path of the tenant's workspace.
    policy
        How long its finished runs are kept.
    """
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"retention-{policy.tenant}",
            "namespace": kcp_identity.KCP_NAMESPACE,
            "labels": labels(_NAME, cluster=cluster, tenant=policy.tenant),
        },
        "data": {
            "workspace": workspace,
            "tenant": policy.tenant,
            "runs": str(policy.runs),
            "days": str(policy.days),
        },
    }


def ground(kubeconfig: pulumi.Input[str], pulls: pulumi.Input[str] | None = None) -> dict[str, Manifest]:
    """Make what the job on the cluster needs; the namespace comes first.

    Parameters
    ----------
    kubeconfig
        The kubeconfig for kcp, base64.
    pulls
        With what its image is pulled: a `.docker/config.json`, base64; None: without.
    """
    return {
        "retention-namespace": namespace(RETENTION_NAMESPACE, _NAME),
        "retention-script": {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "script", "namespace": RETENTION_NAMESPACE, "labels": labels(_NAME)},
            "data": {_SCRIPT: inspect.getsource(retention_prune)},
        },
        "retention-kcp-kubeconfig": kcp_identity.kubeconfig_secret(
            RETENTION_NAMESPACE, labels(_NAME), kubeconfig
        ),
        **(
            {} if pulls is None else {"retention-pull-secret": pull_secret(RETENTION_NAMESPACE, pulls, _NAME)}
        ),
    }


@dataclass(frozen=True, kw_only=True)
class RetentionPods:
    """How the job's pods are made.

    Attributes
    ----------
    image
        Their image: Python with its standard library.
    user
        Number of the user and group they run as; None where the cluster assigns it, as OpenShift does.
    pull_secret
        With what their image is pulled: a `.docker/config.json`, base64; None: without.
    """

    image: str
    user: int | None
    pull_secret: pulumi.Input[str] | None = field(default=None, repr=False)


def job(cluster: str, pods: RetentionPods) -> Manifest:
    """Make the CronJob that prunes.

    Parameters
    ----------
    cluster
        Name of the compute cluster.
    pods
        Its pods.
    """
    marked = labels(_NAME)
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "prune", "namespace": RETENTION_NAMESPACE, "labels": marked},
        "spec": {
            "schedule": SCHEDULE,
            # Two at once would decide on the same runs.
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 300,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "metadata": {"labels": marked},
                "spec": {
                    # What fails is tried again by the next.
                    "backoffLimit": 0,
                    "activeDeadlineSeconds": _MOST_SECONDS,
                    "template": {"metadata": {"labels": marked}, "spec": _pod(cluster, pods)},
                },
            },
        },
    }


def _pod(cluster: str, pods: RetentionPods) -> Manifest:
    return {
        **pulls_with(pods.pull_secret),
        "restartPolicy": "Never",
        # Its credential is for kcp; of its own cluster it knows nothing.
        "automountServiceAccountToken": False,
        "securityContext": pod_security(pods.user),
        "containers": [
            {
                "name": "prune",
                "image": pods.image,
                # Isolated from the environment, and without writing bytecode.
                "command": [
                    "python3",
                    "-I",
                    "-B",
                    f"/etc/retention/{_SCRIPT}",
                    f"--kubeconfig=/etc/kcp/{kcp_identity.KUBECONFIG_KEY}",
                    f"--export={cluster}",
                ],
                "resources": {
                    "requests": {"cpu": "10m", "memory": "64Mi"},
                    "limits": {"memory": "256Mi"},
                },
                "securityContext": container_security(),
                "volumeMounts": [
                    {"name": "script", "mountPath": "/etc/retention", "readOnly": True},
                    {"name": "kcp", "mountPath": "/etc/kcp", "readOnly": True},
                ],
            }
        ],
        "volumes": [
            {"name": "script", "configMap": {"name": "script"}},
            {"name": "kcp", "secret": {"secretName": kcp_identity.KUBECONFIG_SECRET}},
        ],
    }
