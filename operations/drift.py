"""Drift of what the engine can't look at: the objects of units, which are commands to it.

A unit's manifest and environment stand in the stack's state. They are compared with the live objects by the
units' own code and with the units' own credentials, those of the last `pulumi up`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from components.unit import APPLY_SCRIPT
from operations.errors import OperationError
from operations.overview import Facts
from operations.stack_file import put
from stacks.vocabulary import KCP_TARGET, ClusterState
from units.compare import compare
from units.errors import KubectlError, UnitError, passes_by_itself
from units.kubectl import Kubectl
from units.request import read_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from operations.stack_file import StackFile
    from stacks.settings import ComputeClusterSettings, EnvironmentSettings
    from stacks.tenant_settings import TenantSettings
    from units.compare import Difference

_COMMAND: Final = "command:local:Command"
_KUBECONFIG_SUFFIX: Final = ".kubeconfig"
_APPLY_SUFFIX: Final = "-apply"
_PROBE_SECONDS: Final = 15
_AT_ONCE: Final = 4
"""Units compared at once: each starts a kubectl, and sends it eight requests at once."""


@dataclass(frozen=True, kw_only=True)
class DeployedUnit:
    """A unit as the stack's state knows it.

    Attributes
    ----------
    name
        Its name in the state, such as `local-a-tekton-pipelines`; a tenant's is the tenant's.
    section
        Section of the stack file that it comes from: `computeClusters` or `tenants`.
    entry
        Entry of that section.
    target
        `kcp`, or the name of the compute cluster it lies on.
    environment
        Environment of its command.
    stdin
        Standard input of its command.
    """

    name: str
    section: str
    entry: str
    target: str
    environment: Mapping[str, str]
    stdin: str


class DifferenceFacts(Facts):
    """How an object differs from what its unit applied; never a value.

    Attributes
    ----------
    object
        The object.
    what
        `missing`, `changed`, `gone`, `left` or `refused`, as `units.compare.Difference` has it.
    fields
        Paths of the changed fields.
    reason
        What the server said, where it refused.
    """

    object: str
    what: str
    fields: tuple[str, ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        """Say it in a line."""
        told = ", ".join(self.fields) or self.reason
        return f"{self.what}: {self.object}{f' ({told})' if told else ''}"


class UnitReport(Facts):
    """What was found out about one unit.

    Attributes
    ----------
    unit
        Its name in the state.
    section
        Section of the stack file that it comes from.
    entry
        Entry of that section.
    problem
        Why it could not be compared; None where it was, or was not tried.
    skipped
        Why nothing was tried; None where it was.
    differences
        How its objects differ from what it applied.
    """

    unit: str
    section: str
    entry: str
    problem: str | None = None
    skipped: str | None = None
    differences: tuple[DifferenceFacts, ...] = ()


def deployed_units(checkpoint: Mapping[str, Any]) -> list[DeployedUnit]:
    """List the units of a stack; those of a cluster that is gone for ever are left out.

    Parameters
    ----------
    checkpoint
        The exported state; secrets may stay encrypted, since a unit has none.
    """
    return sorted(_units(checkpoint), key=lambda unit: unit.name)


def _units(checkpoint: Mapping[str, Any]) -> Iterator[DeployedUnit]:
    for resource in checkpoint["deployment"].get("resources") or []:
        inputs = resource.get("inputs") or {}
        if resource["type"] != _COMMAND or inputs.get("create") != APPLY_SCRIPT or resource.get("delete"):
            continue
        environment = inputs["environment"]
        if environment.get("UNIT_ABANDONED") == "true":
            continue
        name = resource["urn"].rpartition("::")[2].removesuffix(_APPLY_SUFFIX)
        target = environment["UNIT_KUBECONFIG"].rpartition("/")[2].removesuffix(_KUBECONFIG_SUFFIX)
        in_kcp = target == KCP_TARGET
        yield DeployedUnit(
            name=name,
            section="tenants" if in_kcp else "computeClusters",
            entry=name if in_kcp else target,
            target=target,
            environment=environment,
            stdin=inputs.get("stdin") or "",
        )


def without_answer(settings: EnvironmentSettings) -> dict[str, str]:
    """List the clusters that their entries declare to give no answer, with what they declare.

    Parameters
    ----------
    settings
        The environment.
    """
    return {
        name: f"its entry says that {name} is {cluster.state}"
        for name, cluster in settings.compute_clusters.items()
        if cluster.state in (ClusterState.UNREACHABLE, ClusterState.GONE)
    }


def compare_units(
    units: Sequence[DeployedUnit], root: Path, skipped: Mapping[str, str] = MappingProxyType({})
) -> list[UnitReport]:
    """Compare units with what is there; one that can't be compared doesn't stop the others.

    Parameters
    ----------
    units
        The units.
    root
        The project's folder, where the last `pulumi up` ran.
    skipped
        Targets that are not asked, and why.
    """
    one_of_each = {unit.target: unit for unit in units if unit.target not in skipped}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        # A server that swallows requests is waited for once, not with every unit.
        answers = pool.map(lambda unit: _silence(unit, root), one_of_each.values())
        silent = dict(zip(one_of_each, answers, strict=True))
        return list(
            pool.map(
                lambda unit: (
                    UnitReport(
                        unit=unit.name,
                        section=unit.section,
                        entry=unit.entry,
                        skipped=skipped[unit.target],
                    )
                    if unit.target in skipped
                    else _report(unit, root, silent[unit.target])
                ),
                units,
            )
        )


def _kubectl(unit: DeployedUnit, root: Path) -> Kubectl:
    return Kubectl(read_request(_rooted(unit.environment, root)))


def _rooted(environment: Mapping[str, str], root: Path) -> dict[str, str]:
    """Let the files that a unit names be found from everywhere."""
    files = {
        key: str(root / environment[key])
        for key in ("UNIT_KUBECONFIG", "UNIT_MANIFEST", "UNIT_SHARED")
        if key in environment
    }
    return {**environment, **files}


def _silence(unit: DeployedUnit, root: Path) -> str | None:
    """Ask a unit's API server for its version; say why there is no answer."""
    try:
        with _kubectl(unit, root) as kubectl:
            timeout = f"--request-timeout={_PROBE_SECONDS}s"
            kubectl.run("get", "--raw=/version", timeout, patient=False, seconds=2 * _PROBE_SECONDS)
    except KubectlError as error:
        # Any other answer is an answer; what it means shows when the unit is compared.
        return f"{unit.target} is unreachable: {error}" if passes_by_itself(error.stderr, 0) else None
    except UnitError as error:
        return str(error)
    return None


def _report(unit: DeployedUnit, root: Path, problem: str | None) -> UnitReport:
    differences: tuple[DifferenceFacts, ...] = ()
    if problem is None:
        try:
            request = read_request(_rooted(unit.environment, root))
            with Kubectl(request) as kubectl:
                differences = tuple(_facts(one) for one in compare(kubectl, request, unit.stdin))
        except UnitError as error:
            problem = str(error)
    return UnitReport(
        unit=unit.name, section=unit.section, entry=unit.entry, problem=problem, differences=differences
    )


def _facts(difference: Difference) -> DifferenceFacts:
    return DifferenceFacts(
        object=str(difference.identity),
        what=difference.what,
        fields=difference.fields,
        reason=difference.reason,
    )


def drifted_entries(reports: Sequence[UnitReport]) -> list[tuple[str, str]]:
    """List the entries (section, name) of the units that differ, each once.

    Parameters
    ----------
    reports
        What was found out.
    """
    return sorted({(report.section, report.entry) for report in reports if report.differences})


def lines(reports: Sequence[UnitReport]) -> Iterator[str]:
    """Write what was found out, as a person reads it.

    Parameters
    ----------
    reports
        What was found out.
    """
    for report in reports:
        title = f"{report.section}.{report.entry}: {report.unit}"
        if report.problem is not None:
            yield f"{title}: not compared: {report.problem}"
        elif report.skipped is not None:
            yield f"{title}: skipped: {report.skipped}"
        elif not report.differences:
            yield f"{title}: no drift"
        else:
            count = len(report.differences)
            yield f"{title}: {count} {'object differs' if count == 1 else 'objects differ'}"
            yield from (f"  {difference}" for difference in report.differences)


def mended(file: StackFile, entries: Sequence[tuple[str, str]]) -> StackFile:
    """Raise the incarnation of entries in a stack file: `pulumi up` then applies their units anew, by force.

    Parameters
    ----------
    file
        The stack file.
    entries
        Section and name of each.

    Raises
    ------
    OperationError
        An entry isn't there any more, or is written in a way that can't be edited.
    SettingsError
        It can't be raised any more.
    """
    sections: dict[str, Mapping[str, ComputeClusterSettings | TenantSettings]] = {
        "computeClusters": file.settings.compute_clusters,
        "tenants": file.settings.tenants,
    }
    text = file.text
    for section, name in entries:
        settings = sections[section].get(name)
        if settings is None:
            raise OperationError(f"{section}.{name} is no entry any more; `pulumi up` deletes what it had")
        path = (*file.section(section), name, "incarnation")
        text = put(text, path, settings.incarnation + 1)
    return file.edited(text)
