"""What the settings of Pipelines as Code ask of others, and others of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stacks import partial
from stacks.problems import Problem, key_path
from stacks.vocabulary import repository_identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stacks.partial import Entry

REPOSITORIES_CHARACTERS: Final = 200_000
"""Most characters that the repositories of a tenant have together: they stand in an annotation of its
namespaces, and Kubernetes takes 256 KiB of annotations."""


def check(sections: Entry) -> Iterator[Problem]:
    """Find what can't work together.

    Parameters
    ----------
    sections
        The settings as they stand in the stack file.
    """
    enabled = partial.section(sections, "pipelinesAsCode").get("enabled") is True
    gateway = partial.texts(partial.section(sections, "gateway"), "clusters")
    for name, tenant in sorted(partial.entries(sections, "tenants").items()):
        urls = partial.texts(tenant, "repositories").values()
        if urls and gateway and not enabled:
            yield Problem(
                key=key_path(["tenants", name, "repositories"]),
                value="",
                why="the gateway would take their events to clusters on which nothing listens",
                mend="write pipelinesAsCode: {enabled: true}, or take them out",
            )
        if sum(len(repository_identity(url)) + 1 for url in urls) > REPOSITORIES_CHARACTERS:
            yield Problem(
                key=key_path(["tenants", name, "repositories"]),
                value="",
                why=f"together they have more than {REPOSITORIES_CHARACTERS} characters, and don't fit into"
                " an annotation",
                mend="divide them among several tenants",
            )
