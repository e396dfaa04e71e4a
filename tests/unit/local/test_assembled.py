"""The releases that the embedded environment makes are those that the program installs."""

from __future__ import annotations

import pytest

from local.assembled import MODULES, module_of, modules_of, release
from local.errors import LocalError
from local.toolchain.catalog import TEKTON, TEKTON_NEXT, TEKTON_TRIGGERS
from releases.catalog import catalog

TEKTON_1_9 = ("tekton-pipelines", TEKTON_NEXT.version)


@pytest.mark.parametrize("name", sorted(catalog()))
def test_the_pinned_version_of_every_release_is_made_here(name: str) -> None:
    assert module_of((name, catalog()[name].version)) == MODULES[name][0]


@pytest.mark.parametrize("name", sorted(catalog()))
def test_every_supported_version_can_be_tried_here(name: str) -> None:
    assert set(catalog()[name].supported) <= {module.version for module in MODULES[name]}


def test_a_module_of_two_releases_is_built_once() -> None:
    version = TEKTON_TRIGGERS.version
    assert modules_of([("tekton-triggers-interceptors", version), ("tekton-triggers", version)]) == (
        TEKTON_TRIGGERS,
    )


def test_two_versions_of_a_release_stand_side_by_side() -> None:
    assert {module.name for module in modules_of([release("tekton-pipelines"), TEKTON_1_9])} == {
        TEKTON.name,
        TEKTON_NEXT.name,
    }


def test_a_release_is_named_with_or_without_its_version() -> None:
    assert release("tekton-pipelines") == ("tekton-pipelines", TEKTON.version)
    assert release(f"tekton-pipelines={TEKTON_NEXT.version}") == TEKTON_1_9


def test_what_is_not_made_here_is_refused_with_what_is() -> None:
    with pytest.raises(LocalError, match=r"tekton-pipelines v1\.5\.0: .* makes v1\.6\.0 and v1\.9\.0 of it"):
        release("tekton-pipelines=v1.5.0")
    with pytest.raises(LocalError, match=r"tekton-dashboard: .* it makes tekton-pipelines, "):
        release("tekton-dashboard")
