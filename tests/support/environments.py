"""Made-up stack files: valid environments of a given size, with everything that settings can say.

They are made from a seed, not from strategies: the largest have more parts than Hypothesis lets one example
have.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from stacks.loader import read_stack_file
from stacks.vocabulary import ClusterState, Distribution

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Mapping

    from stacks.settings import EnvironmentSettings

Entry = dict[str, Any]
Sections = dict[str, Any]

SECRET = "made-up-key"

# Names of the program's own parts, and names that begin alike: where names are joined, these meet.
_TRICKY = ("service", "compute", "tenants", "tenant", "parent", "default", "a", "a-b", "a-syncer", "a-agent")
_PEOPLE = ("alice", "bob", "erin@example.com", "oidc:leads")
_PARTS: Mapping[str, object] = {
    "syncer": {"replicas": 2, "memoryLimit": "1Gi"},
    "tekton": {
        "defaultTimeoutMinutes": 90,
        "defaults": {"cpuRequest": "50m", "memoryLimit": "1Gi", "maxMatrixCombinations": 32},
        "features": {"apiFields": "stable", "resultsFrom": "sidecar-logs", "maxResultSize": 65536},
        "resolvers": {
            "git": {"timeoutSeconds": 90},
            "hub": {"enabled": False},
            "cluster": {"enabled": True, "namespaces": ["shared-pipelines", "catalog"]},
            "blockedNetworks": ["10.0.0.0/8"],
        },
        "controller": {"replicas": 2, "threads": 8, "requestsPerSecond": 50, "burst": 100},
        "chains": {"signingKey": {"secret": SECRET}, "ociRepository": "registry.example.com/signed"},
        "results": {
            "tls": {"secret": SECRET},
            "serverTls": {"secret": SECRET},
            "logs": {"size": "10Gi", "storageClass": "fast"},
            "retentionDays": 90,
        },
    },
    "pipelinesAsCode": {
        "enabled": True,
        "githubApp": {
            "id": 12,
            "privateKey": {"secret": SECRET},
            "webhookSecret": {"path": "secrets/github-app-webhook"},
            "apiUrl": "https://github.example.com/api/v3",
        },
        "providerUrls": ["https://api.git.example.org"],
        "keptRuns": {"runs": 5, "limit": 20},
        "concurrencyLimit": 4,
        "remoteTasks": {"hubUrl": "https://hub.example.com"},
        "gitCredentials": False,
        "errorReports": {"logSnippet": True, "lines": 20},
        "console": {"name": "Console", "url": "https://console.example.com"},
        "blockedNetworks": ["10.0.0.0/8"],
        "listener": {"replicas": 2, "memoryLimit": "1Gi"},
    },
    "argocd": {
        "enabled": True,
        "syncIntervalSeconds": 60,
        "oidc": {
            "issuer": "https://login.example.com",
            "clientId": "argocd",
            "clientSecret": {"secret": SECRET},
            "url": "https://argocd.{cluster}.example.com",
        },
        "admins": {"groups": ["sre"]},
    },
    "gitops": {"repository": "https://git.example.com/sre/clusters", "credentials": {"secret": SECRET}},
    "imageRepository": {
        "mirrors": {"ghcr.io": "mirror.example.com/ghcr", "docker.io": "mirror.example.com/hub"},
        "digests": {"path": "releases/images.lock.yaml"},
        "certificateAuthority": {"path": "releases/ca.crt"},
        "pullSecret": {"secret": SECRET},
        "allowedRegistries": ["mirror.example.com", "ghcr.io/team"],
        "offline": True,
    },
    "monitoring": {"enabled": True, "labels": {"prometheus": "main", "team": "sre"}},
    "releases": {"directory": "releases/offline", "versions": {"tekton-pipelines": "v1.9.0"}},
    "deletionProtection": False,
}


def _name(by: random.Random, taken: Collection[str]) -> str:
    made = by.choice((*_TRICKY, by.choice("abcxyz") + "".join(by.choices("abcxyz019", k=by.randint(1, 6)))))
    return _name(by, taken) if made in taken else made


def _some(by: random.Random, entry: Mapping[str, Any]) -> Entry:
    """Keep some of the keys."""
    return {key: value for key, value in entry.items() if by.random() < 0.5}


def _subjects(by: random.Random) -> Entry:
    people = {kind: by.sample(_PEOPLE, by.randint(0, 3)) for kind in ("users", "groups")}
    return _some(by, people)


def _kubeconfig(by: random.Random, name: str) -> Entry:
    sources: list[Entry] = [
        {"path": f"secrets/{name}.kubeconfig"},
        {"secret": f"{SECRET}-{name}"},
        {"environment": f"{name.replace('-', '_').upper()}_KUBECONFIG"},
        {"stack": "org/infrastructure/x", "output": f"kubeconfig-{name}"},
    ]
    return by.choice(sources)


def _cluster(by: random.Random, name: str) -> Entry:
    optional = {
        "distribution": str(by.choice(list(Distribution))),
        "pool": by.choice(["default", "gpu", "canary"]),
        "state": str(by.choice(list(ClusterState))),
        "incarnation": by.randint(0, 3),
        "adopt": by.sample(["tekton-pipelines", "api-syncagent-crds"], by.randint(0, 2)),
        "results": {
            "host": f"{name}.results.example.com",
            "exposure": "nodePort",
            "nodePort": 30444,
            "database": {"host": f"{name}.db.example.com", "password": {"secret": SECRET}},
        },
    }
    # Always: gateways elsewhere have to reach it.
    events = {"host": f"{name}.events.example.com"}
    return {"kubeconfig": _kubeconfig(by, name), "events": events, **_some(by, optional)}


def _canary(by: random.Random) -> Entry:
    first = {"canary": True, "releases": {"tekton-pipelines": "v1.9.0"}}
    return {"capacity": {"cpu": "9999"}, "overcommit": 1.5, **_some(by, first)}


def _tenant(by: random.Random, name: str, clusters: list[str]) -> Entry:
    quota = _some(
        by,
        {"cpu": by.choice(["500m", "4"]), "memory": by.choice(["8Gi", "512Mi"]), "pods": by.randint(1, 60)},
    )
    leaving = {} if by.random() < 0.5 else {"suspended": True, "onSuspension": by.choice(["finish", "stop"])}
    either = {
        "namespaces": by.sample(["default", "ci", "x-y"], by.randint(1, 3)),
        "repositories": [f"https://git.example.com/{name}/{one}" for one in ("app", "library")],
        "quota": quota,
        "network": {"egress": "closed", "allowedEgress": ["192.0.2.0/24", "2001:db8::/32"]},
        "retention": {"runs": by.randint(1, 200), "days": by.randint(1, 90)},
        **leaving,
    }
    entry: Entry = {"cluster": by.choice(clusters), **_some(by, either)}
    if by.random() < 0.5:
        binders = {**_subjects(by), "users": ["erin", "alice"]}
        return {**entry, "external": {"path": f"root:org:{name}", "binders": binders}}
    managed = {
        "workspace": f"workspace-of-{name}",
        "access": _some(by, {role: _subjects(by) for role in ("admins", "developers", "viewers")}),
        "quota": {**quota, "pipelineRuns": by.randint(1, 500)},
        "incarnation": by.randint(0, 3),
    }
    return {**entry, **_some(by, managed)}


def sections(by: random.Random, *, clusters: int, tenants: int) -> Sections:
    """Make the sections of a valid stack file with so many entries."""
    kcp = _some(by, {"parent": "root:org", "workspace": "ps"})
    made: Sections = {
        "kcp": {"kubeconfig": _kubeconfig(by, "kcp"), **kcp},
        "pools": {"gpu": {"description": "x"}, "canary": _canary(by)},
        "computeClusters": {},
        "tenants": {},
        **_some(by, _PARTS),
    }
    if "imageRepository" in made:
        # Offline, manifests have to come from somewhere else than a URL.
        made["releases"] = _PARTS["releases"]
    if "gitops" in made:
        # Somebody has to read it.
        made["argocd"] = _PARTS["argocd"]
    for _ in range(clusters):
        made = with_cluster(by, made)
    for _ in range(tenants):
        made = with_tenant(by, made)
    if clusters and by.random() < 0.5:
        there = [name for name, entry in made["computeClusters"].items() if entry.get("state") != "gone"]
        made["gateway"] = {
            "clusters": there[:2],
            "host": "events.example.com",
            "mutualTls": {"secret": f"{SECRET}-events"},
        }
        # Somebody has to listen where it takes events to.
        made["pipelinesAsCode"] = _PARTS["pipelinesAsCode"]
    return made


def with_cluster(by: random.Random, before: Sections) -> Sections:
    """Add a cluster under a name that no cluster has."""
    clusters = before["computeClusters"]
    name = _name(by, clusters)
    return {**before, "computeClusters": {**clusters, name: _cluster(by, name)}}


def with_tenant(by: random.Random, before: Sections) -> Sections:
    """Add a tenant under a name that no tenant has, and say so in its cluster's entry."""
    name = _name(by, before["tenants"])
    clusters: Mapping[str, Entry] = before["computeClusters"]
    entry = _tenant(by, name, sorted(clusters))
    home = clusters[entry["cluster"]]
    home = {**home, "homeOf": [*home.get("homeOf", ()), name]}
    return {
        **before,
        "computeClusters": {**clusters, entry["cluster"]: home},
        "tenants": {**before["tenants"], name: entry},
    }


def shuffled(by: random.Random, value: Any) -> Any:  # noqa: ANN401 -- whatever YAML holds
    """Put the entries of every mapping and the items of every list into another order."""
    if isinstance(value, dict):
        return {key: shuffled(by, value[key]) for key in by.sample(list(value), len(value))}
    if isinstance(value, list):
        return [shuffled(by, item) for item in by.sample(value, len(value))]
    return value


def stack_file(of: Mapping[str, Any]) -> str:
    """Write a stack file, in the order in which the sections and their entries stand."""
    config: dict[str, Any] = {f"pipeline-service:{key}": value for key, value in of.items()}
    text = yaml.safe_dump({"config": config}, sort_keys=False)
    secrets = sorted(set(re.findall(rf"secret: ({SECRET}.*)", text)))
    return text + "".join(f"  pipeline-service:{secret}:\n    secure: v1:made:up\n" for secret in secrets)


def read(text: str) -> EnvironmentSettings:
    """Read a stack file from its text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "Pulumi.made-up.yaml"
        path.write_text(text)
        return read_stack_file(path)
