"""One kubeconfig with a context for kcp and for each cluster, for the shell of ``make env``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from releases.files import write_atomic


def merge(sources: dict[str, Path]) -> dict[str, Any]:
    """Return one kubeconfig with the current context of each source, under the source's name.

    Parameters
    ----------
    sources
        Kubeconfig file by the name its context shall have.
    """
    merged: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [],
        "users": [],
        "contexts": [],
    }
    for name, path in sources.items():
        document = yaml.safe_load(path.read_text())
        contexts = {entry["name"]: entry["context"] for entry in document["contexts"]}
        context = contexts[document["current-context"]]
        clusters = {entry["name"]: entry["cluster"] for entry in document["clusters"]}
        users = {entry["name"]: entry["user"] for entry in document["users"]}
        merged["clusters"].append({"name": name, "cluster": clusters[context["cluster"]]})
        merged["users"].append({"name": name, "user": users[context["user"]]})
        merged["contexts"].append({"name": name, "context": {"cluster": name, "user": name}})
    merged["current-context"] = next(iter(sources), "")
    return merged


def write_merged(sources: dict[str, Path], path: Path) -> None:
    """Write the merged kubeconfig of ``sources`` to ``path``, readable by its owner alone."""
    write_atomic(path, yaml.safe_dump(merge(sources), sort_keys=False), mode=0o600)
