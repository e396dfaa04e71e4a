"""The example of a layered product, as the live tests put it on stack dev."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.live import ROOT, Done, run

STACK = "live-test"


@contextmanager
def product(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Done]]:
    """Give Pulumi in a copy of the example, with a stack of its own that is gone in the end."""
    copy = folder / "product"
    shutil.copytree(
        ROOT / "examples" / "layered-product", copy, ignore=shutil.ignore_patterns("venv", "Pulumi.*.yaml")
    )
    (copy / "venv").symlink_to(sys.prefix)
    # As `pip install` of the package would: `stacks` can be imported, whatever folder a program lies in.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PULUMI_STACK", STACK)

    def pulumi(*arguments: str, stdin: str | None = None, check: bool = True) -> Done:
        return run("pulumi", "-C", str(copy), *arguments, "--non-interactive", stdin=stdin, check=check)

    pulumi("stack", "init", STACK)
    try:
        yield pulumi
    finally:
        pulumi("destroy", "--yes", "--skip-preview")
        pulumi("stack", "rm", STACK, "--yes")
