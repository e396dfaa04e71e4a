"""Argo CD's own manifests, for tests that need the real ones."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from releases.catalog import ARGO_CD, ARGO_CD_HA, catalog, file_name
from tests.support.pulumi_project import ROOT

_MODULE = "github.com/argoproj/argo-cd/v3"
_IN_MODULE = {ARGO_CD: "manifests/install.yaml", ARGO_CD_HA: "manifests/ha/install.yaml"}


@cache
def _module() -> Path:
    done = subprocess.run(
        ["go", "mod", "download", "-json", f"{_MODULE}@{catalog()[ARGO_CD].version}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return Path(json.loads(done.stdout)["Dir"])


def published(name: str) -> list[dict[str, Any]]:
    """Read a manifest of Argo CD as published: the embedded environment's, or its Go module's."""
    made = ROOT / ".local/releases" / file_name(name, catalog()[name].version)
    path = made if made.is_file() else _module() / _IN_MODULE[name]
    return [one for one in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader) if one]
