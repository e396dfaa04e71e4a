"""What is changed in Tekton Results everywhere."""

from __future__ import annotations

from typing import Any, Final

from releases.errors import ReleaseError

_WATCHER: Final = "tekton-results-watcher"
_GROUP: Final = "tekton.dev"
_DELETE: Final = "delete"


def finish(name: str, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Take the right to delete runs from the watcher.

    A synced run that is deleted on its cluster comes back from kcp and runs again. By default the watcher
    deletes none (v0.18.0, cmd/watcher: completed_run_grace_period is 0), and so it never has to.

    Parameters
    ----------
    name
        Name of the release.
    objects
        Its objects; the watcher's ClusterRole among them is changed.

    Raises
    ------
    ReleaseError
        It isn't there, or has no such right: the release is not what this function knows.
    """
    rules = [
        rule
        for one in objects
        if one["kind"] == "ClusterRole" and one["metadata"]["name"] == _WATCHER
        for rule in one["rules"]
        if _GROUP in rule["apiGroups"] and _DELETE in rule["verbs"]
    ]
    if not rules:
        raise ReleaseError(
            f"{name} has no ClusterRole {_WATCHER} that may delete runs",
            "use a manifest of a version the catalog supports",
        )
    for rule in rules:
        rule["verbs"] = [verb for verb in rule["verbs"] if verb != _DELETE]
    return objects
