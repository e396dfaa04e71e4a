"""The third-party releases that the embedded environment makes itself: which, and from which Go module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from local.errors import LocalError
from local.toolchain.catalog import (
    API_SYNCAGENT,
    ARGO_CD,
    PIPELINES_AS_CODE,
    TEKTON,
    TEKTON_CHAINS,
    TEKTON_NEXT,
    TEKTON_RESULTS,
    TEKTON_TRIGGERS,
    Module,
)
from releases import catalog as names

Release = tuple[str, str]
"""Name and version of a release, e.g. ``("tekton-pipelines", "v1.6.0")``."""

MODULES: Final[Mapping[str, tuple[Module, ...]]] = {
    names.TEKTON_PIPELINES: (TEKTON, TEKTON_NEXT),
    names.TEKTON_TRIGGERS: (TEKTON_TRIGGERS,),
    names.TEKTON_TRIGGERS_INTERCEPTORS: (TEKTON_TRIGGERS,),
    names.TEKTON_CHAINS: (TEKTON_CHAINS,),
    names.TEKTON_RESULTS: (TEKTON_RESULTS,),
    names.PIPELINES_AS_CODE: (PIPELINES_AS_CODE,),
    names.ARGO_CD: (ARGO_CD,),
    names.ARGO_CD_HA: (ARGO_CD,),
    names.API_SYNCAGENT_CRDS: (API_SYNCAGENT,),
}
"""Modules that a release is made from, one for each version of it; the first is the default one."""


def module_of(release: Release) -> Module:
    """Return the module that a release is made from.

    Raises
    ------
    LocalError
        The embedded environment doesn't make it; names what it makes.
    """
    name, version = release
    made = MODULES.get(name)
    if made is None:
        raise LocalError(
            f"{name}: the embedded environment doesn't make this release; it makes {', '.join(MODULES)}"
        )
    for module in made:
        if module.version == version:
            return module
    versions = " and ".join(module.version for module in made)
    raise LocalError(
        f"{name} {version}: the embedded environment makes {versions} of it; use that, "
        "or another cluster for this version"
    )


def modules_of(releases: Iterable[Release]) -> tuple[Module, ...]:
    """Return the modules that ``releases`` are made from, each once, in an order of their own.

    Raises
    ------
    LocalError
        The embedded environment doesn't make one of them.
    """
    found = {module.name: module for module in map(module_of, sorted(releases))}
    return tuple(found.values())


def release(text: str) -> Release:
    """Return the release that ``name`` or ``name=version`` means; without a version, the default one.

    Raises
    ------
    LocalError
        The embedded environment doesn't make it.
    """
    name, _, version = text.partition("=")
    wanted = (name, version or (MODULES[name][0].version if name in MODULES else ""))
    module_of(wanted)
    return wanted
