"""The manifests of the reader of results, and what Tekton Results is held to on a cluster."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from components import names, results_lookup, results_reader
from components.access import Subject, cluster_role, role_binding, rule
from components.compute_cluster import namespace
from components.exposure import ResultsExposure
from components.haproxy_pods import CONFIG_DIGEST, SECRET_DIGEST, SKIP_AWAIT
from components.image_repository import pull_secret, pulls_with
from components.names import RESULTS_NAMESPACE, digest, labels
from components.pod_security import container_security, pod_security

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import pulumi

    from components.kubernetes_object import Manifest

SERVER_NAMESPACE: Final = "tekton-pipelines"
"""Where the release puts its pods."""

SERVER: Final = f"tekton-results-api-service.{SERVER_NAMESPACE}.svc.cluster.local"
"""Name of its API server, which its certificate must have: the watcher and the reader ask for it."""

SERVER_PORT: Final = 8080
DATABASE_SECRET: Final = "tekton-results-postgres"  # noqa: S105 -- the name of a Secret
SERVER_TLS_SECRET: Final = "tekton-results-tls"  # noqa: S105 -- the name of a Secret
WATCHER: Final = "tekton-results-watcher"
AUTHORITY_KEY: Final = "ca.crt"

FINALIZERS: Final = (
    {"resource": "pipelineruns.tekton.dev", "finalizer": "results.tekton.dev/pipelinerun"},
    {"resource": "taskruns.tekton.dev", "finalizer": "results.tekton.dev/taskrun"},
)
"""The watcher puts them on every run, and takes them off when the run is deleted and stored (v0.18.0,
pkg/watcher/reconciler): without it, runs and so tenants' namespaces and workspaces could never go."""

READER: Final = "pipeline-service:results-reader"
"""ClusterRole of the reader, which is bound in tenants' namespaces alone."""

_NAME: Final = "results"
_READER: Final = "reader"
_PORT: Final = 8443
_SELECTOR: Final[Mapping[str, str]] = {"app.kubernetes.io/name": "results-reader"}
_PROGRAM: Final = "/etc/reader"
_FILES: Final = "/etc/reader-files"
_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_START: Final = """import sys

from components.results_reader import main

sys.exit(main(sys.argv[1:]))
"""
_ANNOTATIONS: Final = ("result", "record", "log", "eventlist")
_POLICY: Final = "pipeline-service-results"
_ADMISSION: Final = "admissionregistration.k8s.io/v1"


def database_secret(
    user: str, password: pulumi.Input[str], certificate_authority: str | None
) -> dict[str, Any]:
    """Make the Secret by which Results signs in to its database, under the name that the release wants.

    Parameters
    ----------
    user
        As whom.
    password
        That user's.
    certificate_authority
        By whom the server is known, PEM; None: by those that everybody knows.
    """
    authority = {} if certificate_authority is None else {AUTHORITY_KEY: certificate_authority}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": DATABASE_SECRET, "namespace": SERVER_NAMESPACE, "labels": labels("tekton")},
        "type": "Opaque",
        "stringData": {"POSTGRES_USER": user, "POSTGRES_PASSWORD": password, **authority},
    }


def server_tls_secret(certificate: pulumi.Input[str], key: pulumi.Input[str]) -> dict[str, Any]:
    """Make the Secret with the certificate of the API server of Results.

    Parameters
    ----------
    certificate
        The certificate, PEM.
    key
        Its key, PEM.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SERVER_TLS_SECRET, "namespace": SERVER_NAMESPACE, "labels": labels("tekton")},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": certificate, "tls.key": key},
    }


def logs_claim(size: str, storage_class: str | None) -> Manifest:
    """Make the claim of the volume that logs are kept in.

    Parameters
    ----------
    size
        Its size, a quantity in bytes.
    storage_class
        Its StorageClass; None: the cluster's default.
    """
    chosen = {} if storage_class is None else {"storageClassName": storage_class}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "tekton-results-logs",
            "namespace": SERVER_NAMESPACE,
            "labels": labels("tekton"),
        },
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **chosen},
    }


def _stays_at_home(annotation: str) -> str:
    """Write in CEL that an annotation names nothing outside the object's namespace.

    One that stood there before, while there was no policy, doesn't keep a run that is deleted: whoever has a
    finalizer on it takes it off by an update.
    """
    annotations = "metadata.annotations"
    named = f"{annotations}['{annotation}']"
    return (
        f"!has(object.{annotations}) || !('{annotation}' in object.{annotations})"
        f" || object.{named}.startsWith(object.metadata.namespace + '/results/')"
        " || (has(object.metadata.deletionTimestamp) && oldObject != null"
        f" && has(oldObject.{annotations}) && '{annotation}' in oldObject.{annotations}"
        f" && oldObject.{named} == object.{named})"
    )


def annotation_policies() -> list[Manifest]:
    """Make the policy that keeps what is recorded of a run in the run's own namespace, and its binding.

    The watcher, which may write anywhere, records a run where its annotations say (v0.18.0,
    pkg/watcher/results); a tenant can write these, and would write into what another one reads.
    """
    marked = labels(_NAME)
    return [
        {
            "apiVersion": _ADMISSION,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": _POLICY, "labels": marked},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "resourceRules": [
                        {
                            "apiGroups": ["tekton.dev"],
                            "apiVersions": ["*"],
                            "operations": ["CREATE", "UPDATE"],
                            "resources": ["pipelineruns", "taskruns"],
                        }
                    ]
                },
                "validations": [
                    {
                        "expression": _stays_at_home(f"results.tekton.dev/{one}"),
                        "message": f"the annotation results.tekton.dev/{one} names another namespace",
                        "reason": "Forbidden",
                    }
                    for one in _ANNOTATIONS
                ],
            },
        },
        {
            "apiVersion": _ADMISSION,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": _POLICY, "labels": marked},
            "spec": {"policyName": _POLICY, "validationActions": ["Deny"]},
        },
    ]


def reader_binding(tenant_namespace: str, tenant: str) -> Manifest:
    """Let the reader read what is recorded of the runs in a tenant's namespace.

    Parameters
    ----------
    tenant_namespace
        Name of the namespace on the cluster.
    tenant
        Name of the tenant.
    """
    subjects = [Subject(kind="ServiceAccount", name=_READER, namespace=RESULTS_NAMESPACE)]
    return role_binding(READER, tenant_namespace, READER, subjects, labels("tenant", tenant=tenant))


@dataclass(frozen=True, kw_only=True)
class ReaderPods:
    """How the pods of the reader are made.

    Attributes
    ----------
    image
        Their image: Python with its standard library.
    user
        Number of the user and group they run as; None where the cluster assigns it.
    secret_digest
        Digest of the files they read; None where these aren't known.
    pull_secret
        With what their image is pulled: a `.docker/config.json`, base64; None: without.
    """

    image: str
    user: int | None
    secret_digest: str | None = field(default=None, repr=False)
    pull_secret: pulumi.Input[str] | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class ReaderFront:
    """Where the reader is reached.

    Attributes
    ----------
    port
        By which port, where the cluster's load balancer leads to it.
    exposure
        What leads to it.
    node_port
        Port on every node; None: as the cluster likes.
    """

    port: int
    exposure: ResultsExposure
    node_port: int | None = None


def program() -> dict[str, str]:
    """Make the reader's program: its modules by their paths, as they stand in this project."""
    return {
        "__main__.py": _START,
        **{
            f"{module.__name__.replace('.', '/')}.py": inspect.getsource(module)
            for module in (names, results_lookup, results_reader)
        },
    }


def reader_objects(
    files: Mapping[str, pulumi.Input[str]], front: ReaderFront, pods: ReaderPods
) -> dict[str, Manifest]:
    """Make the reader on a cluster; the namespace comes first.

    Parameters
    ----------
    files
        What it reads when it starts, base64, by name: certificates, and kcp's address.
    front
        Where it is reached.
    pods
        How its pods are made.
    """
    marked = labels(_NAME)
    metadata = {"namespace": RESULTS_NAMESPACE, "labels": marked, "name": _READER}
    texts = {path.replace("/", "."): text for path, text in program().items()}
    rights = [
        rule("results.tekton.dev", ("results", "records", "logs"), ("get", "list")),
        # Its own one: whose it is, and since when.
        rule("", ("namespaces",), ("get",)),
    ]
    return {
        "results-namespace": namespace(RESULTS_NAMESPACE, _NAME),
        "results-role": cluster_role(READER, rights, marked),
        "results-account": {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata,
            **pulls_with(pods.pull_secret),
        },
        "results-program": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": texts},
        "results-files": {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": "Opaque",
            "data": dict(files),
        },
        **(
            {}
            if pods.pull_secret is None
            else {"results-pull-secret": pull_secret(RESULTS_NAMESPACE, pods.pull_secret, _NAME)}
        ),
        "results-network": {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata,
            "spec": {
                "podSelector": {"matchLabels": dict(_SELECTOR)},
                "policyTypes": ["Ingress"],
                "ingress": [{"ports": [{"port": _PORT, "protocol": "TCP"}]}],
            },
        },
        "results-service": _service(metadata, front),
        "results-deployment": _deployment(metadata, pods, digest("".join(texts.values()))),
        "results-budget": {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata,
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": dict(_SELECTOR)}},
        },
    }


_SERVICE_TYPES: Final[Mapping[ResultsExposure, str]] = {
    ResultsExposure.SERVICE: "LoadBalancer",
    ResultsExposure.NODE_PORT: "NodePort",
    ResultsExposure.CLUSTER_IP: "ClusterIP",
}


def _service(metadata: Mapping[str, Any], front: ReaderFront) -> Manifest:
    number = {} if front.node_port is None else {"nodePort": front.node_port}
    port = front.port if front.exposure is ResultsExposure.SERVICE else 443
    return {
        "apiVersion": "v1",
        "kind": "Service",
        # A load balancer, and DNS, are others' part.
        "metadata": {**metadata, "annotations": dict(SKIP_AWAIT)},
        "spec": {
            "type": _SERVICE_TYPES[front.exposure],
            "selector": dict(_SELECTOR),
            "ports": [{"name": "https", "port": port, "targetPort": "https", "protocol": "TCP", **number}],
        },
    }


def _deployment(metadata: Mapping[str, Any], pods: ReaderPods, of_program: str) -> Manifest:
    digests = {CONFIG_DIGEST: of_program}
    if pods.secret_digest is not None:
        digests[SECRET_DIGEST] = pods.secret_digest
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**metadata, "labels": {**metadata["labels"], **_SELECTOR}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": dict(_SELECTOR)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": {**metadata["labels"], **_SELECTOR}, "annotations": digests},
                "spec": _pod(pods),
            },
        },
    }


def _pod(pods: ReaderPods) -> Manifest:
    items = [{"key": path.replace("/", "."), "path": path} for path in program()]
    return {
        **pulls_with(pods.pull_secret),
        "serviceAccountName": _READER,
        "enableServiceLinks": False,
        "securityContext": pod_security(pods.user, fs_group=True),
        "containers": [
            {
                "name": _READER,
                "image": pods.image,
                # Isolated from the environment, and without writing bytecode.
                "command": [
                    "python3",
                    "-I",
                    "-B",
                    _PROGRAM,
                    f"--results=https://{SERVER}:{SERVER_PORT}",
                    f"--files={_FILES}",
                    f"--account={_ACCOUNT}",
                    f"--port={_PORT}",
                ],
                "ports": [{"name": "https", "containerPort": _PORT, "protocol": "TCP"}],
                "readinessProbe": {
                    "httpGet": {"path": results_reader.HEALTH_PATH, "port": "https", "scheme": "HTTPS"}
                },
                "resources": {
                    "requests": {"cpu": "20m", "memory": "64Mi"},
                    "limits": {"memory": "512Mi"},
                },
                "securityContext": container_security(),
                "volumeMounts": [
                    {"name": "program", "mountPath": _PROGRAM, "readOnly": True},
                    {"name": "files", "mountPath": _FILES, "readOnly": True},
                ],
            }
        ],
        "volumes": [
            {"name": "program", "configMap": {"name": _READER, "items": items}},
            {"name": "files", "secret": {"secretName": _READER, "defaultMode": 0o440}},
        ],
    }
