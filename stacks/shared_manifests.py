"""What the workspaces of tenants have in common, made once for all of their units."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.names import digest
from components.tenant_manifests import shared_content
from components.unit import SharedManifest, to_yaml
from releases.prepare import manifest_file
from releases.summary import outline
from stacks.mapping_pipelines_as_code import repository_rules

if TYPE_CHECKING:
    from pathlib import Path

    from components.pipelines_as_code import RepositoryRules
    from stacks.settings import EnvironmentSettings


def shared_manifests(settings: EnvironmentSettings, folder: Path) -> dict[str, SharedManifest]:
    """Make what stands in the workspaces of several tenants.

    Parameters
    ----------
    settings
        The environment.
    folder
        Folder for manifests, relative to the project's.

    Returns
    -------
    dict
        By tenant; without external ones, whose workspaces aren't ours.
    """
    needs = {
        name: (repository_rules(settings, tenant.cluster), tenant.inactive)
        for name, tenant in settings.tenants.items()
        if not tenant.external
    }
    # Most tenants need the very same, which is made once.
    made = {
        (rules, suspended): _made(rules, folder, suspended=suspended)
        for rules, suspended in set(needs.values())
    }
    return {name: made[need] for name, need in needs.items()}


def _made(rules: RepositoryRules | None, folder: Path, *, suspended: bool) -> SharedManifest:
    content = shared_content(rules, suspended=suspended)
    if not content:
        return SharedManifest()
    text = to_yaml(content)
    return SharedManifest(
        file=str(manifest_file(folder, "tenants", digest(text))),
        text=text,
        heading="".join(f"# {line}\n" for line in outline(content)),
    )
