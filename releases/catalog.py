"""The catalog of pinned releases."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml
from pydantic import BaseModel, ConfigDict

from releases.errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Mapping

TEKTON_PIPELINES: Final = "tekton-pipelines"
TEKTON_TRIGGERS: Final = "tekton-triggers"
TEKTON_TRIGGERS_INTERCEPTORS: Final = "tekton-triggers-interceptors"
TEKTON_CHAINS: Final = "tekton-chains"
TEKTON_RESULTS: Final = "tekton-results"
PIPELINES_AS_CODE: Final = "pipelines-as-code"
ARGO_CD: Final = "argo-cd"
ARGO_CD_HA: Final = "argo-cd-ha"
"""Argo CD from another manifest: installed as Argo CD, so that either follows the other in its place."""
API_SYNCAGENT_CRDS: Final = "api-syncagent-crds"

PYTHON_IMAGE: Final = "docker.io/library/python:3.11-slim-bookworm"
"""Python with its standard library, for scripts of our own; on the embedded clusters it is Debian 12's."""

HAPROXY_IMAGE: Final = "docker.io/library/haproxy:2.6.22-bookworm"
"""HAProxy of the long-term series that Debian 12 has, too: tests and embedded clusters run Debian's."""

CATALOG_FILE: Final = Path(__file__).parent / "catalog.yaml"


class CatalogEntry(BaseModel):
    """A pinned release.

    Attributes
    ----------
    version
        The version that is installed.
    supported
        The versions that may be installed.
    url
        Where its manifest is published, `{version}` standing for the version.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    supported: tuple[str, ...]
    url: str

    def location(self) -> str:
        """Name the address of the pinned version's manifest."""
        return self.url.replace("{version}", self.version)


@cache
def catalog() -> Mapping[str, CatalogEntry]:
    """Read the catalog.

    Returns
    -------
    Mapping
        The releases by name.
    """
    document = yaml.safe_load(CATALOG_FILE.read_text())
    return {name: CatalogEntry.model_validate(entry) for name, entry in document.items()}


def find(name: str, version: str | None = None) -> CatalogEntry:
    """Find a release.

    Parameters
    ----------
    name
        Its name in the catalog.
    version
        The version that is wanted; by default the one that the catalog pins.

    Returns
    -------
    CatalogEntry
        Its entry, with the wanted version for the pinned one.

    Raises
    ------
    ReleaseError
        There is none of this name, or its version is not a supported one.
    """
    entry = catalog().get(name)
    if entry is None:
        raise ReleaseError(f"there is no release {name}", f"use one of {', '.join(sorted(catalog()))}")
    wanted = entry.version if version is None else version
    if wanted not in entry.supported:
        raise ReleaseError(f"{name} {wanted} is not supported", f"use one of {', '.join(entry.supported)}")
    return entry.model_copy(update={"version": wanted})


def file_name(name: str, version: str) -> str:
    """Name the file of a release's manifest.

    Parameters
    ----------
    name
        Name of the release.
    version
        Its version.
    """
    return f"{name}-{version}.yaml"
