"""From settings to Argo CD: what is changed in its release, and the arguments of its component.

Parameters mean what `stacks.mapping` says of them.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import yaml

from components.argocd import ArgoCdArgs
from components.argocd_manifests import OIDC_SECRET, OIDC_SECRET_KEY, GitSource
from releases.adaptation import Adaptation
from stacks import mapping
from stacks.vocabulary import Distribution
from stacks.wanted_releases import argocd_release

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import pulumi

    from components.kubernetes_object import Manifest
    from stacks.argocd_settings import ArgoCdSettings, OidcSettings
    from stacks.loader import LoadedEnvironment
    from stacks.settings import EnvironmentSettings


def config_maps(settings: EnvironmentSettings, cluster: str) -> Mapping[str, Mapping[str, str]]:
    """Say what the settings set in the ConfigMaps of a cluster's Argo CD."""
    argocd, gitops = settings.argocd, settings.gitops
    config = {
        "timeout.reconciliation": f"{argocd.sync_interval_seconds}s",
        # One Application each: there is nothing to spread, and the interval is the promise.
        "timeout.reconciliation.jitter": "0s",
    }
    if argocd.oidc is not None:
        config["url"] = argocd.oidc.url.replace("{cluster}", cluster)
        config["oidc.config"] = _oidc(argocd.oidc)
    made = {"argocd-cm": config, "argocd-rbac-cm": {"policy.csv": policy(argocd)}}
    if gitops is not None and gitops.certificate_authority is not None:
        host = urlsplit(gitops.repository).hostname or ""
        made["argocd-tls-certs-cm"] = {host: gitops.certificate_authority}
    return made


def adaptation(settings: EnvironmentSettings, cluster: str) -> Adaptation:
    """Say what the settings change of a cluster's Argo CD."""
    return Adaptation(
        config_maps=config_maps(settings, cluster),
        assigned_users=settings.compute_clusters[cluster].distribution is Distribution.OPENSHIFT,
    )


def policy(settings: ArgoCdSettings) -> str:
    """Write who may do what in Argo CD, in the form of its `policy.csv`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for groups, role in ((settings.admins.groups, "role:admin"), (settings.viewers.groups, "role:readonly")):
        # In an order that doesn't depend on the file's.
        writer.writerows(("g", group, role) for group in sorted(set(groups)))
    return text.getvalue()


def argocd(  # noqa: PLR0913 -- what is delivered, and where it stands
    environment: LoadedEnvironment,
    cluster: str,
    provider: pulumi.ProviderResource,
    *,
    content: Sequence[Manifest] | None,
    ignore_differences: Sequence[dict[str, Any]] = (),
    after: tuple[pulumi.Resource, ...],
) -> ArgoCdArgs | None:
    """Say how Argo CD stands on a cluster; None where it doesn't.

    Parameters
    ----------
    environment
        The environment.
    cluster
        Name of the cluster.
    provider
        API server of the cluster.
    content
        The objects that it delivers there; None: it delivers nothing.
    ignore_differences
        What others fill in of these objects, as an Application states it.
    after
        What must be there before it, and stay until it is gone.
    """
    settings = environment.settings
    release = argocd_release(settings)
    if release is None:
        return None
    oidc = settings.argocd.oidc
    client_secret = oidc.client_secret if oidc else None
    return ArgoCdArgs(
        release=mapping.release_args(environment, cluster, release, provider, after=after),
        source=None if content is None else _source(environment, cluster),
        content=content or (),
        ignore_differences=ignore_differences,
        client_secret=environment.secret(client_secret) if client_secret else None,
    )


def _source(environment: LoadedEnvironment, cluster: str) -> GitSource | None:
    gitops = environment.settings.gitops
    if gitops is None:
        return None
    return GitSource(
        repository=gitops.repository,
        branch=gitops.branch,
        path=f"{gitops.path}/{cluster}",
        username=gitops.username,
        token=environment.secret(gitops.credentials) if gitops.credentials else None,
    )


def _oidc(settings: OidcSettings) -> str:
    config: dict[str, object] = {
        "name": "SSO",
        "issuer": settings.issuer,
        "clientID": settings.client_id,
        "requestedScopes": ["openid", "profile", "email", "groups"],
    }
    if settings.client_secret is None:
        config["enablePKCEAuthentication"] = True
    else:
        config["clientSecret"] = f"${OIDC_SECRET}:{OIDC_SECRET_KEY}"
    return yaml.safe_dump(config, sort_keys=False)
