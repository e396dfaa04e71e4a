"""What stands in a tenant's workspace, whole: as its unit applies it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from components.tenant_manifests import own_content, shared_content

if TYPE_CHECKING:
    from components.tenant_manifests import TenantRepositories


def workspace_content(
    *,
    suspended: bool = False,
    repositories: TenantRepositories | None = None,
    **own: Any,  # noqa: ANN401 -- what own_content takes
) -> list[dict[str, Any]]:
    return [
        *shared_content(repositories.rules if repositories else None, suspended=suspended),
        *own_content(suspended=suspended, repositories=repositories, **own),
    ]
