"""The step that applies all releases of a cluster, against kubectl with the same manifests."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.environment import Deployed
from bench.errors import BenchError
from bench.measure import Command, run
from operations.drift import DeployedUnit
from tests.support.apiserver import ControlPlane, control_plane
from units.manifest import in_apply_order, parse, serialize

_TRIES: Final = 5

Step = Callable[[Deployed, DeployedUnit, Path], None]


def ratio(deployed: Deployed, units: Sequence[DeployedUnit], rounds: int) -> float:
    """Divide the time of the first application of units by that of kubectl; a new API server for each.

    Parameters
    ----------
    deployed
        Where they are deployed.
    units
        The units of one cluster.
    rounds
        How often each is measured.
    """
    pairs = []
    for number in range(rounds):
        steps: list[tuple[str, Step]] = [("units", _by_unit), ("kubectl", _by_kubectl)]
        taken: dict[str, float] = {}
        for name, step in steps if number % 2 == 0 else reversed(steps):
            taken[name] = _timed(deployed, units, step)
        pairs.append(taken["units"] / taken["kubectl"])
    return statistics.median(pairs)


def _timed(deployed: Deployed, units: Sequence[DeployedUnit], step: Step) -> float:
    with tempfile.TemporaryDirectory() as name, control_plane(Path(name)) as plane:
        _make_ready(plane)
        kubeconfig = Path(name) / "kubeconfig"
        kubeconfig.write_text(plane.kubeconfig())
        begun = time.monotonic()
        for unit in units:
            step(deployed, unit, kubeconfig)
        return time.monotonic() - begun


def _make_ready(plane: ControlPlane) -> None:
    plane.create("/api/v1/namespaces", {"metadata": {"name": "pipeline-service"}})


def _by_unit(deployed: Deployed, unit: DeployedUnit, kubeconfig: Path) -> None:
    variables = {**unit.environment, "UNIT_KUBECONFIG": str(kubeconfig)}
    _run(deployed, [sys.executable, "-m", "units", "apply"], variables, unit.stdin)


def _by_kubectl(deployed: Deployed, unit: DeployedUnit, kubeconfig: Path) -> None:
    # In the same order, as some of the manifests can only be applied so.
    file = unit.environment.get("UNIT_MANIFEST")
    text = (deployed.project / file).read_text() if file else unit.stdin
    manifest = serialize(in_apply_order(parse(text)))
    command = ["kubectl", f"--kubeconfig={kubeconfig}", "apply", "--server-side", "--filename=-"]
    for left in reversed(range(_TRIES)):
        try:
            _run(deployed, command, {}, manifest)
        except BenchError as error:
            # Objects of a kind that the same manifest defines: whoever has only kubectl runs it again.
            if not left or "no matches for kind" not in str(error):
                raise
        else:
            return


def _run(deployed: Deployed, command: Sequence[str], variables: Mapping[str, str], stdin: str) -> None:
    environment = {**deployed.environment, **variables}
    run(Command(arguments=command, folder=deployed.project, environment=environment, stdin=stdin.encode()))
