"""What of Argo CD no single entry of the settings shows."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stacks import partial
from stacks.problems import Problem, key_path, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stacks.partial import Entry

_HERE = ("localhost", "127.0.0.1")


def check(sections: Entry) -> Iterator[Problem]:
    """Find a repository that no Argo CD reads, groups that nobody can prove to be in, and a URL of several.

    Parameters
    ----------
    sections
        The settings as they stand in the stack file.
    """
    argocd = partial.section(sections, "argocd")
    if sections.get("gitops") is not None and argocd.get("enabled") is not True:
        yield Problem(
            key=key_path(["argocd", "enabled"]),
            value="",
            why="a gitops repository is given, and no cluster has an Argo CD that reads it",
            mend="write enabled: true, or take the section gitops out",
        )
    if argocd.get("oidc") is None:
        for role in ("admins", "viewers"):
            if partial.texts(partial.section(argocd, role), "groups"):
                yield Problem(
                    key=key_path(["argocd", role, "groups"]),
                    value="",
                    why="without an identity provider nobody can sign in, and so prove to be in a group",
                    mend="add argocd.oidc with issuer and clientId, or take the groups out",
                )
    url = partial.text(partial.section(argocd, "oidc"), "url")
    clusters = partial.entries(sections, "computeClusters")
    if url and len(clusters) > 1 and "{cluster}" not in url and urlsplit(url).hostname not in _HERE:
        yield Problem(
            key=key_path(["argocd", "oidc", "url"]),
            value=shown(url),
            why=f"{len(clusters)} clusters have an Argo CD each, and this is the URL of one",
            mend="let {cluster} stand in it for the cluster's name",
        )
