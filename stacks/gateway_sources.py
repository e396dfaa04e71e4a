"""What the settings of the gateway refer to: its certificate, and those for other clusters."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from components.exposure import EventsExposure
from stacks.certificates import read_server_certificate
from stacks.mutual_tls import HOW_TO, BundleError, MutualTls, read_bundle
from stacks.problems import Problem, key_path, shown
from stacks.secret_sources import read_secret

if TYPE_CHECKING:
    from pathlib import Path

    from stacks.partial import Entry
    from stacks.settings import EnvironmentSettings


@dataclass(frozen=True, kw_only=True)
class GatewaySources:
    """What the settings of the gateway refer to.

    Attributes
    ----------
    certificate
        Its certificate with the chain, and its key, PEM; None where there is none, or it isn't known.
    mutual_tls
        The certificates for other clusters; None where there are none, or they aren't known.
    """

    certificate: tuple[str, str] | None = field(default=None, repr=False)
    mutual_tls: MutualTls | None = None

    def warnings(self, now: datetime | None = None) -> list[str]:
        """Say which certificates end soon.

        Parameters
        ----------
        now
            The present time; by default the clock's.
        """
        if self.mutual_tls is None or not self.mutual_tls.ends_soon(now or datetime.now(UTC)):
            return []
        ends = f"{self.mutual_tls.expires:%Y-%m-%d}"
        return [
            f"gateway.mutualTls: a certificate ends {ends}; then no event reaches another cluster; {HOW_TO}"
        ]


def read_gateway(
    settings: EnvironmentSettings, root: Path, values: Entry
) -> tuple[GatewaySources, list[Problem]]:
    """Read what the settings of the gateway refer to; nothing of a secret is ever told.

    Parameters
    ----------
    settings
        The settings.
    root
        The project's folder.
    values
        The stack's configuration, secrets among it, by key.
    """
    gateway = settings.gateway
    bundle = None
    if not gateway.clusters:
        return GatewaySources(), []
    certificate, problems = read_server_certificate(
        gateway.tls, ["gateway", "tls"], [str(gateway.host)], values
    )
    if gateway.mutual_tls is not None:
        place = ["gateway", "mutualTls"]
        text, wrong = read_secret(gateway.mutual_tls, place, root, values)
        problems += wrong
        if not wrong:
            try:
                bundle = read_bundle(text, route_hosts(settings))
            except BundleError as error:
                source = gateway.mutual_tls.secret or gateway.mutual_tls.path
                problem = Problem(key=key_path(place), value=shown(source), why=str(error), mend=HOW_TO)
                problems.append(problem)
    return GatewaySources(certificate=certificate, mutual_tls=bundle), problems


def route_hosts(settings: EnvironmentSettings) -> list[str]:
    """List the names that the certificate of events listeners must have: by them a router finds a Route.

    Parameters
    ----------
    settings
        The settings.
    """
    events = [cluster.events for cluster in settings.compute_clusters.values()]
    return sorted(one.host for one in events if one is not None and one.exposure is EventsExposure.ROUTE)
