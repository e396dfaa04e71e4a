"""What is told of settings that are right: not acted on yet, or with an effect that may not be meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from components.exposure import Exposure
from stacks.problems import key_path
from stacks.settings import EnvironmentSettings
from stacks.vocabulary import ClusterState, Distribution

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOT_ACTED_ON: Final[Mapping[str, str]] = {
    "monitoring": "no ServiceMonitor is made",
}
"""By section: what is the case instead; a line goes when the part it speaks of is there."""

_NO_EVENTS: Final = "without pipelinesAsCode: {enabled: true} no Git event reaches the tenants' pipelines"
_PLAIN: Final = (
    "without it the load balancer of exposure: service takes events by plain HTTP, which anybody on their way"
    " can read; add tls: {secret: KEY}, or, where something else in front ends TLS, write its trustedProxies"
)
_NO_CONSOLE: Final = (
    "without it the state of a commit links to nothing but on OpenShift, where the cluster's own console is"
    " linked; add console: {name: …, url: …}, a page where a commit's author learns more"
)


def notices(settings: EnvironmentSettings) -> list[str]:
    """List what every preview tells.

    Parameters
    ----------
    settings
        The settings.

    Returns
    -------
    list of str
        One line for each key.
    """
    fields = EnvironmentSettings.model_fields
    given = [
        f"{key_path([fields[name].alias or name])}: checked, but not acted on by this version: {instead}"
        for name, instead in _NOT_ACTED_ON.items()
        if getattr(settings, name) != fields[name].default
    ]
    named = any(tenant.repositories for tenant in settings.tenants.values())
    if named and not settings.pipelines_as_code.enabled:
        given.append(f"{key_path(['tenants', '*', 'repositories'])}: {_NO_EVENTS}")
    gateway = settings.gateway
    # Trusted proxies stand in front, and end TLS.
    fronted = gateway.tls is not None or gateway.trusted_proxies
    if gateway.clusters and gateway.exposure is Exposure.SERVICE and not fronted:
        given.append(f"{key_path(['gateway', 'tls'])}: {_PLAIN}")
    return given


def remarks(settings: EnvironmentSettings) -> list[str]:
    """List what only `validate` tells, since nothing is lost by it.

    Parameters
    ----------
    settings
        The settings.

    Returns
    -------
    list of str
        One line for each key.
    """
    ours = settings.pipelines_as_code
    plain = any(
        one.distribution is not Distribution.OPENSHIFT and one.state is not ClusterState.GONE
        for one in settings.compute_clusters.values()
    )
    if ours.enabled and ours.console is None and plain:
        return [f"{key_path(['pipelinesAsCode', 'console'])}: {_NO_CONSOLE}"]
    return []
