"""An HAProxy on a cluster: its pods, what keeps them there, and what leads to them, as plain manifests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from components.compute_cluster import namespace
from components.haproxy import (
    CONFIGURATION,
    CONNECTIONS,
    DRAIN_SECONDS,
    FOLDER,
    HEALTH_PATH,
    METRICS_PORT,
)
from components.image_repository import pull_secret, pulls_with
from components.names import digest, labels
from components.pod_security import container_security, pod_security

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi

    from components.kubernetes_object import Manifest

CONFIG_DIGEST: Final = "pipeline-service/config-digest"
SECRET_DIGEST: Final = "pipeline-service/secret-digest"  # noqa: S105 -- the name of an annotation
"""Annotations of the pods: HAProxy reads its files when it starts, so a change starts new ones."""

SKIP_AWAIT: Final[Mapping[str, str]] = {"pulumi.com/skipAwait": "true"}
"""Of what is ready only when others do their part: pods, a load balancer, DNS. No update waits for it."""

_LEAVING_SECONDS: Final = 10
"""How long a pod that ends goes on taking events: until every node has learnt that it ends."""

_SERVICES: Final[Mapping[str, str]] = {"service": "LoadBalancer", "nodePort": "NodePort"}
"""Types of the Service that takes events, by what leads to it; behind all else it is its cluster's alone."""

_MEBI: Final = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class HaproxyPods:
    """How the pods of an HAProxy are made.

    Attributes
    ----------
    image
        Their image.
    replicas
        How many there are; all work.
    user
        Number of the user and group they run as; None where the cluster assigns it, as OpenShift does.
    secret_digest
        Digest of the secrets they read, by which nobody can find one out; None where these aren't known.
    pull_secret
        With what their image is pulled: a `.docker/config.json`, base64; None: without.
    """

    image: str
    replicas: int
    user: int | None
    secret_digest: str | None = field(default=None, repr=False)
    pull_secret: pulumi.Input[str] | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """An HAProxy on a cluster.

    Attributes
    ----------
    name
        Its name, and that of all that belongs to it.
    namespace
        Its namespace.
    prefix
        What its parts are named by in the engine's state.
    port
        Where its pods take events.
    memory
        Memory beyond which a pod is killed, a quantity in bytes.
    egress
        What its pods may reach, as rules of a NetworkPolicy.
    files
        Its configuration, by file.
    secrets
        By folder of the pods: the Secret whose files lie there, as (Secret, key → file).
    variables
        By environment variable: the Secret and key it has its value from.
    """

    name: str
    namespace: str
    prefix: str
    port: int
    memory: str
    egress: Sequence[Mapping[str, Any]]
    files: Mapping[str, str]
    secrets: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    variables: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def selector(self) -> dict[str, str]:
        """Labels of its pods alone."""
        return {"app.kubernetes.io/name": self.name}

    def metadata(self, name: str | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401 -- of manifests
        """Make the metadata of one of its objects.

        Parameters
        ----------
        name
            Name of the object; by default the workload's.
        **more
            Further fields.
        """
        return {"name": name or self.name, "namespace": self.namespace, "labels": labels(self.name), **more}


def secret(
    name: str, workload: Workload, texts: Mapping[str, pulumi.Input[str]], kind: str = "Opaque"
) -> Manifest:
    """Make a Secret of an HAProxy.

    Parameters
    ----------
    name
        Its name.
    workload
        The HAProxy.
    texts
        What it holds, by key, in base64.
    kind
        Its type.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": workload.metadata(name),
        "type": kind,
        "data": dict(texts),
    }


def memory_limit(buffer: int) -> str:
    """Tell beyond which memory a pod is killed: each event that is read has a buffer, and so has its answer.

    Parameters
    ----------
    buffer
        Bytes of a buffer.
    """
    return f"{96 + CONNECTIONS * buffer * 5 // (4 * _MEBI)}Mi"


def objects(
    workload: Workload,
    pods: HaproxyPods,
    *,
    secrets: Mapping[str, Manifest],
    leading: Mapping[str, Manifest],
) -> dict[str, Manifest]:
    """Make an HAProxy on a cluster; its namespace comes first.

    Parameters
    ----------
    workload
        The HAProxy.
    pods
        How its pods are made.
    secrets
        Its Secrets, by part.
    leading
        What leads to it, by part.
    """
    made = {
        "namespace": namespace(workload.namespace, workload.name),
        **secrets,
        "config": {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": workload.metadata(),
            "data": dict(workload.files),
        },
        "deployment": _deployment(workload, pods),
        # While a node is emptied, one pod at a time goes.
        "budget": {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": workload.metadata(),
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": workload.selector}},
        },
        "metrics": {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": workload.metadata(f"{workload.name}-metrics", annotations=SKIP_AWAIT),
            "spec": {
                "selector": workload.selector,
                "ports": [_port("metrics", METRICS_PORT)],
            },
        },
        "network": _network_policy(workload),
        **leading,
    }
    if pods.pull_secret is not None:
        made["pull-secret"] = pull_secret(workload.namespace, pods.pull_secret, workload.name)
    return {f"{workload.prefix}-{part}": one for part, one in made.items()}


def service(
    workload: Workload, exposure: str, port: int, node_port: int | None = None, *, keeps_sources: bool = False
) -> Manifest:
    """Make the Service that takes events.

    Parameters
    ----------
    workload
        The HAProxy.
    exposure
        The kind of object that leads to it; `service` and `nodePort` are this one.
    port
        Its port.
    node_port
        Its port on every node; None: as the cluster likes.
    keeps_sources
        Whether an event from outside keeps its sender's address, which it does only where its node has a pod.
    """
    kind = _SERVICES.get(exposure, "ClusterIP")
    kept = {"externalTrafficPolicy": "Local"} if keeps_sources and exposure in _SERVICES else {}
    on_nodes = {} if node_port is None else {"nodePort": node_port}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": workload.metadata(annotations=dict(SKIP_AWAIT)),
        "spec": {
            "type": kind,
            **kept,
            "selector": workload.selector,
            "ports": [{**_port("events", port), **on_nodes}],
        },
    }


def route(workload: Workload, host: str, tls: Mapping[str, Any]) -> Manifest:
    """Make the Route of OpenShift that leads to that Service.

    Parameters
    ----------
    workload
        The HAProxy.
    host
        The name by which it is reached.
    tls
        Who ends TLS, and how.
    """
    return {
        "apiVersion": "route.openshift.io/v1",
        "kind": "Route",
        "metadata": workload.metadata(),
        "spec": {
            "host": host,
            "to": {"kind": "Service", "name": workload.name},
            "port": {"targetPort": "events"},
            "tls": tls,
        },
    }


def _port(name: str, port: int) -> dict[str, Any]:
    return {"name": name, "port": port, "targetPort": name, "protocol": "TCP"}


def _network_policy(workload: Workload) -> Manifest:
    """Make the policy of the pods: events come from everywhere, metrics are told within the cluster."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": workload.metadata(),
        "spec": {
            "podSelector": {"matchLabels": workload.selector},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"ports": [{"port": workload.port, "protocol": "TCP"}]},
                {
                    "from": [{"namespaceSelector": {}}],
                    "ports": [{"port": METRICS_PORT, "protocol": "TCP"}],
                },
            ],
            "egress": list(workload.egress),
        },
    }


def _deployment(workload: Workload, pods: HaproxyPods) -> Manifest:
    digests = {CONFIG_DIGEST: digest(json.dumps(dict(workload.files), sort_keys=True))}
    if pods.secret_digest is not None:
        digests[SECRET_DIGEST] = pods.secret_digest
    marked = {**labels(workload.name), **workload.selector}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": workload.metadata(labels=marked),
        "spec": {
            "replicas": pods.replicas,
            "selector": {"matchLabels": workload.selector},
            # A pod goes only when the one in its place takes events.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": marked, "annotations": digests},
                "spec": _pod(workload, pods),
            },
        },
    }


def _pod(workload: Workload, pods: HaproxyPods) -> dict[str, Any]:
    probe = {"httpGet": {"path": HEALTH_PATH, "port": "metrics"}}
    folders: dict[str, dict[str, Any]] = {FOLDER: {"configMap": {"name": workload.name}}}
    for folder, (secret, keys) in workload.secrets.items():
        items = [{"key": key, "path": path} for key, path in keys.items()]
        folders[folder] = {"secret": {"secretName": secret, "defaultMode": 0o440, "items": items}}
    volumes = {folder.rsplit("/", 1)[1]: (folder, source) for folder, source in folders.items()}
    return {
        **pulls_with(pods.pull_secret),
        # They ask nothing of their cluster.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # Longer than it waits for its last events: it ends by itself.
        "terminationGracePeriodSeconds": _LEAVING_SECONDS + DRAIN_SECONDS + 5,
        "securityContext": pod_security(pods.user, fs_group=True),
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": workload.selector},
            }
        ],
        "containers": [
            {
                "name": "haproxy",
                "image": pods.image,
                # In the foreground, and without a process above it, so that the pod's signal is its own:
                # SIGUSR1, the image's STOPSIGNAL, lets it finish what it has.
                "command": ["haproxy", "-db", "-f", f"{FOLDER}/{CONFIGURATION}"],
                "env": [
                    {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
                    for name, (secret, key) in workload.variables.items()
                ],
                "ports": [
                    {"name": "events", "containerPort": workload.port, "protocol": "TCP"},
                    {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
                ],
                "readinessProbe": {**probe, "periodSeconds": 3},
                "livenessProbe": {**probe, "initialDelaySeconds": 10, "periodSeconds": 10},
                "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(_LEAVING_SECONDS)]}}},
                "resources": {
                    "requests": {"cpu": "100m", "memory": "96Mi"},
                    "limits": {"memory": workload.memory},
                },
                "securityContext": container_security(),
                "volumeMounts": [
                    {"name": name, "mountPath": folder, "readOnly": True}
                    for name, (folder, _) in volumes.items()
                ],
            }
        ],
        "volumes": [{"name": name, **source} for name, (_, source) in volumes.items()],
    }
