"""What the settings of Tekton Results refer to: certificates, and databases' passwords."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from components.results_manifests import SERVER
from stacks.certificates import read_server_certificate
from stacks.problems import Problem, key_path, shown

if TYPE_CHECKING:
    from stacks.partial import Entry
    from stacks.settings import EnvironmentSettings

_PASSWORD: Final = re.compile(r"[^\s'\\]+")
"""Results puts it into a line of words (v0.18.0, cmd/api: the DSN), without quoting it."""


@dataclass(frozen=True, kw_only=True)
class ResultsSources:
    """What the settings of Tekton Results refer to.

    Attributes
    ----------
    tls
        The readers' certificate with its chain, and its key, PEM; None where it isn't known.
    server_tls
        That of the API servers of Results, likewise.
    """

    tls: tuple[str, str] | None = field(default=None, repr=False)
    server_tls: tuple[str, str] | None = field(default=None, repr=False)


def read_results(settings: EnvironmentSettings, values: Entry) -> tuple[ResultsSources, list[Problem]]:
    """Read what the settings of Tekton Results refer to; nothing of a secret is ever told.

    Parameters
    ----------
    settings
        The settings.
    values
        The stack's configuration, secrets among it, by key.
    """
    results = settings.tekton.results
    if not results.enabled:
        return ResultsSources(), []
    problems: list[Problem] = []
    entries = {
        name: cluster.results
        for name, cluster in sorted(settings.compute_clusters.items())
        if cluster.results is not None
    }
    for name, entry in entries.items():
        key = entry.database.password.secret
        given = values.get(key)
        if not isinstance(given, str) or not _PASSWORD.fullmatch(given):
            problems.append(
                Problem(
                    key=key_path(["computeClusters", name, "results", "database", "password", "secret"]),
                    value=shown(key),
                    why="the value of that key is no text, or has spaces, line breaks, ' or \\ in it, which"
                    " Results would not read as a part of the password",
                    mend=f"give that user another: pulumi config set --secret {key}",
                )
            )
    hosts = sorted({entry.host for entry in entries.values()})
    place = ("tekton", "results")
    tls, wrong = read_server_certificate(results.tls, [*place, "tls"], hosts, values)
    server_tls, servers_wrong = read_server_certificate(
        results.server_tls, [*place, "serverTls"], [SERVER], values
    )
    return ResultsSources(tls=tls, server_tls=server_tls), [*problems, *wrong, *servers_wrong]
