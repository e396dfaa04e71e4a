"""What every embedded cluster runs besides the program's own objects: CoreDNS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.names import digest
from local.cluster import DOMAIN, Cluster
from local.errors import LocalError
from local.images import COREDNS_IMAGE
from local.processes import wait_until

_NAMESPACE = "kube-system"
_LABELS = {"k8s-app": "kube-dns"}
_READY_SECONDS = 120.0


def _named(
    kind: str, api_version: str, name: str, *, namespaced: bool = True, **content: object
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": _LABELS}
    if namespaced:
        metadata["namespace"] = _NAMESPACE
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}


def coredns(
    address: str, *, upstream: bool, hosts: Mapping[str, str] | None = None, image: str = COREDNS_IMAGE
) -> list[dict[str, Any]]:
    """Return CoreDNS as Kubernetes objects.

    Parameters
    ----------
    address
        The cluster's DNS Service address, as its kubelet tells pods.
    upstream
        Whether names outside the cluster are asked from the node's resolvers.
    hosts
        Addresses of what else it knows, by name.
    image
        Its image, as the node knows it.
    """
    lines = "".join(f"        {one} {name}\n" for name, one in sorted((hosts or {}).items()))
    known = f"    hosts {{\n{lines}        fallthrough\n    }}\n" if lines else ""
    forward = "    forward . /etc/resolv.conf\n" if upstream else ""
    corefile = f""".:53 {{
    errors
    health
    ready
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }}
{known}{forward}    cache 30
}}
"""
    reads = [
        {
            "apiGroups": [""],
            "resources": ["endpoints", "services", "pods", "namespaces"],
            "verbs": ["list", "watch"],
        },
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    container = {
        "name": "coredns",
        "image": image,
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
        ],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 2},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "initialDelaySeconds": 30},
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
    }
    pod = {
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        "priorityClassName": "system-cluster-critical",
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"}
    subject = {"kind": "ServiceAccount", "name": "coredns", "namespace": _NAMESPACE}
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    rbac = "rbac.authorization.k8s.io/v1"
    return [
        _named("ServiceAccount", "v1", "coredns"),
        _named("ClusterRole", rbac, "system:coredns", namespaced=False, rules=reads),
        _named(
            "ClusterRoleBinding", rbac, "system:coredns", namespaced=False, roleRef=role, subjects=[subject]
        ),
        _named("ConfigMap", "v1", "coredns", data={"Corefile": corefile}),
        _named(
            "Deployment",
            "apps/v1",
            "coredns",
            spec={
                "replicas": 1,
                "selector": {"matchLabels": _LABELS},
                # It reads its configuration when it starts.
                "template": {
                    "metadata": {
                        "labels": _LABELS,
                        "annotations": {"pipeline-service/config-digest": digest(corefile)},
                    },
                    "spec": pod,
                },
            },
        ),
        _named("Service", "v1", "kube-dns", spec={"clusterIP": address, "selector": _LABELS, "ports": ports}),
    ]


def install_coredns(cluster: Cluster, hosts: Mapping[str, str]) -> None:
    """Apply CoreDNS and wait until it answers.

    Parameters
    ----------
    cluster
        The cluster.
    hosts
        Addresses of the embedded clusters, by name.
    """
    resolvers = cluster.folder / "resolv.conf"
    upstream = resolvers.exists() and "nameserver" in resolvers.read_text()
    image = cluster.image(COREDNS_IMAGE)
    cluster.apply(coredns(cluster.dns_address, upstream=upstream, hosts=hosts, image=image))

    def available() -> bool:
        path = "--output=jsonpath={.status.availableReplicas}"
        return cluster.kubectl("get", "deployment", "coredns", f"--namespace={_NAMESPACE}", path) == "1"

    if not wait_until(available, seconds=_READY_SECONDS):
        pods = cluster.kubectl("get", "pods", f"--namespace={_NAMESPACE}", "--output=wide")
        raise LocalError(
            f"{cluster.name}: CoreDNS is not available after {_READY_SECONDS:.0f} s: {pods.strip()}"
        )
