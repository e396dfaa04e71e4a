"""What the workspaces of tenants have in common, made once for all of their units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from components.names import digest
from components.tenant_manifests import shared_content
from components.unit import SharedManifest, to_yaml
from releases.summary import outline
from stacks.mapping_pipelines_as_code import repository_rules

if TYPE_CHECKING:
    from pathlib import Path

    from stacks.settings import EnvironmentSettings

_SHORT: Final = 12


def shared_manifests(settings: EnvironmentSettings, folder: Path) -> dict[str, SharedManifest | None]:
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
        By tenant; None where nothing does. Of an external one nothing is ours.
    """
    # Most tenants share the very same: each different one is made once.
    made: dict[tuple[object, bool], SharedManifest | None] = {}
    found: dict[str, SharedManifest | None] = {}
    for name, tenant in settings.tenants.items():
        if tenant.external:
            continue
        rules = repository_rules(settings, tenant.cluster)
        key = (rules, tenant.inactive)
        if key not in made:
            made[key] = None
            if content := shared_content(rules, suspended=tenant.inactive):
                text = to_yaml(content)
                file = folder / f"tenants-{digest(text)[:_SHORT]}.yaml"
                made[key] = SharedManifest(file=str(file), text=text, outline=outline(content))
        found[name] = made[key]
    return found
