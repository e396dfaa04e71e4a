"""The settings of Argo CD, and of the GitOps repository that it reads."""

from typing import Annotated

from pydantic import Field

from stacks.sections import GroupsSettings, SecretReference, Section
from stacks.vocabulary import (
    BranchName,
    Certificates,
    ClientId,
    Flag,
    FolderPath,
    GitUser,
    InstanceUrl,
    IssuerUrl,
    RepositoryUrl,
)

SYNC_SECONDS_MIN = 10
SYNC_SECONDS_MAX = 3600


class OidcSettings(Section):
    """The identity provider by which people sign in."""

    issuer: IssuerUrl = Field(
        title="Issuer", description="URL of the OpenID Connect provider, as its discovery document names it."
    )
    client_id: ClientId = Field(
        title="Client ID", description="Argo CD's name at the provider, the same for every cluster."
    )
    client_secret: SecretReference | None = Field(
        default=None,
        title="Client secret",
        description="Argo CD's password at the provider; none: a public client, with PKCE.",
    )
    url: InstanceUrl = Field(
        default="https://localhost:8080",
        title="URL",
        description=(
            "URL under which people reach an Argo CD, {cluster} standing for its cluster's name. The default"
            " is that of: kubectl port-forward --namespace argocd service/argocd-server 8080:443."
        ),
    )


class ArgoCdSettings(Section):
    """Argo CD, a separate instance on each cluster."""

    enabled: Flag = Field(default=False, title="Enabled", description="Whether each cluster gets an Argo CD.")
    high_availability: Flag = Field(
        default=False,
        title="High availability",
        description="Run more than one pod of each of its parts; needs three nodes.",
    )
    sync_interval_seconds: Annotated[int, Field(strict=True, ge=SYNC_SECONDS_MIN, le=SYNC_SECONDS_MAX)] = (
        Field(
            default=120,
            title="Sync interval",
            description="Seconds after which the repository is looked at again.",
        )
    )
    oidc: OidcSettings | None = Field(
        default=None,
        title="OpenID Connect",
        description="The identity provider by which people sign in; none: nobody can.",
    )
    admins: GroupsSettings = Field(
        default=GroupsSettings(), title="Admins", description="May change everything in Argo CD."
    )
    viewers: GroupsSettings = Field(
        default=GroupsSettings(), title="Viewers", description="May look at everything in Argo CD."
    )


class GitopsSettings(Section):
    """The GitOps repository that the clusters' Argo CD reads."""

    repository: RepositoryUrl = Field(
        title="Repository", description="URL of the repository, https, without credentials."
    )
    branch: BranchName = Field(
        default="main", title="Branch", description="Branch that is written and that Argo CD reads."
    )
    path: FolderPath = Field(
        default="clusters",
        title="Path",
        description="Folder in the repository, below which each cluster has one of its name.",
    )
    username: GitUser = Field(
        default="git",
        title="User name",
        description="Whose token it is; most Git servers take any name, Bitbucket wants x-token-auth.",
    )
    credentials: SecretReference | None = Field(
        default=None,
        title="Credentials",
        description="Token with which Argo CD reads the repository; none: anybody may read it.",
    )
    certificate_authority: Certificates | None = Field(
        default=None,
        title="Certificate authority",
        description="Certificates (PEM) by which the Git server is known; none: those that everybody knows.",
    )
