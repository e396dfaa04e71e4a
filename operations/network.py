"""Whether tenants' pods reach each other: tried by pods of our own, beside theirs, on any cluster.

That nothing answers shows isolation only where something would have answered: so each pod also tries one of
its own tenant, which must answer. Where it doesn't, nothing is known.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from operations import network_pods as pods
from operations.errors import OperationError
from operations.network_probe import ANSWERED, BLOCKED, PORT
from operations.overview import Facts
from operations.signals import ended_by_signals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from components.kubernetes_object import Manifest
    from operations.api_servers import ApiServer
    from operations.network_pods import Place, PodArgs

METADATA_SERVICES: Final = (
    ("169.254.169.254", 80),
    ("169.254.169.252", 988),
    ("169.254.170.2", 80),
    ("169.254.170.23", 80),
    ("100.100.100.200", 80),
    ("168.63.129.16", 80),
    ("168.63.129.16", 32526),
    ("fd00:ec2::254", 80),
    ("fd00:ec2::23", 80),
    ("fd20:ce::254", 80),
)
"""Where clouds answer (address, port); of some of what `components.tenant_network.METADATA` takes away."""

KNOWN_NAME: Final = "kubernetes.default.svc"
"""A name that every cluster's DNS knows, whatever its domain."""

MOST_TENANTS: Final = 8
"""What a client finds out must fit into a pod's status, 4096 bytes, with two addresses each."""

_PAUSE_SECONDS: Final = 1.0
_CLIENT_SECONDS: Final = 180
_ACCOUNT_SECONDS: Final = 30
_NO_ACCOUNT_YET: Final = "error looking up service account"


class Verdict(StrEnum):
    """What was found out."""

    ISOLATED = "isolated"
    OPEN = "not isolated"
    UNKNOWN = "unknown"


class Meaning(StrEnum):
    """What one finding says."""

    FINE = "fine"
    OPEN = "open"
    UNKNOWN = "unknown"


class Kind(StrEnum):
    """What a pod tried."""

    OWN = "own"
    OTHER = "other"
    METADATA = "metadata"
    DNS = "dns"


@dataclass(frozen=True, kw_only=True)
class Target:
    """Whom a pod tries.

    Attributes
    ----------
    kind
        What it is.
    name
        What it is called: a tenant, a service of a cloud, a host's name.
    address
        Its IP address; of DNS, the name to look up.
    port
        Its TCP port.
    word
        What the server there says; empty where to be connected is to be answered.
    """

    kind: Kind
    name: str
    address: str
    port: int = PORT
    word: str = ""

    def tried(self) -> dict[str, object]:
        """Write it as `operations.network_probe.probe` takes it."""
        return {"kind": self.kind, "address": self.address, "port": self.port, "word": self.word}


class Finding(Facts):
    """What came of one target.

    Attributes
    ----------
    tenant
        Whose pod tried.
    kind
        What it tried.
    target
        Whom it tried: a tenant, or an address.
    result
        `answered`, `blocked` or `strange`.
    detail
        How it was refused, for one.
    meaning
        What that says.
    """

    tenant: str
    kind: Kind
    target: str
    result: str
    detail: str
    meaning: Meaning


class ClusterReport(Facts):
    """What was found out on one cluster.

    Attributes
    ----------
    cluster
        Its name.
    verdict
        What all findings say together; None where it was not asked, since there is nothing to tell apart.
    problem
        Why something is not known, or was not asked; None where nothing is amiss.
    findings
        One for each target of each tenant.
    """

    cluster: str
    verdict: Verdict | None
    problem: str | None = None
    findings: tuple[Finding, ...] = ()


Results = list[tuple[Target, str, str]]
"""Target, result and detail, in the order in which they were given."""


def judge(results: Mapping[str, Results]) -> list[Finding]:
    """Say what the results of all tenants' pods mean.

    Parameters
    ----------
    results
        The results by tenant.
    """
    alive = {
        tenant: _families(found, answered=True) - _families(found, answered=False)
        for tenant, found in results.items()
    }
    return [
        Finding(
            tenant=tenant,
            kind=target.kind,
            target=target.name,
            result=result,
            detail=detail,
            meaning=_meaning(tenant, target, result, alive),
        )
        for tenant, found in sorted(results.items())
        for target, result, detail in found
    ]


def _families(found: Results, *, answered: bool) -> set[int]:
    """Name the IP versions by which a tenant's own server did, or did not, answer."""
    return {
        ipaddress.ip_address(target.address).version
        for target, result, _ in found
        if target.kind is Kind.OWN and (result == ANSWERED) is answered
    }


def _meaning(tenant: str, target: Target, result: str, alive: Mapping[str, set[int]]) -> Meaning:
    if target.kind in (Kind.OWN, Kind.DNS):
        return Meaning.FINE if result == ANSWERED else Meaning.UNKNOWN
    if result == ANSWERED:
        return Meaning.OPEN
    family = ipaddress.ip_address(target.address).version
    controls = [tenant, *([target.name] if target.kind is Kind.OTHER else [])]
    sure = result == BLOCKED and all(family in alive.get(one, ()) for one in controls)
    return Meaning.FINE if sure else Meaning.UNKNOWN


def report(cluster: str, results: Mapping[str, Results]) -> ClusterReport:
    """Sum up what was found out on a cluster.

    Parameters
    ----------
    cluster
        Its name.
    results
        The results by tenant.
    """
    findings = tuple(judge(results))
    meanings = {finding.meaning for finding in findings}
    verdict = Verdict.ISOLATED
    if meanings != {Meaning.FINE}:
        verdict = Verdict.OPEN if Meaning.OPEN in meanings else Verdict.UNKNOWN
    problem = None
    if Meaning.UNKNOWN in meanings:
        deaf = sorted({one.tenant for one in findings if one.kind is Kind.OWN and one.result != ANSWERED})
        mute = sorted({one.tenant for one in findings if one.kind is Kind.DNS and one.result != ANSWERED})
        told = [f"pods of {name} don't reach each other, so what is blocked shows nothing" for name in deaf]
        told += [f"pods of {name} get no answer from DNS" for name in mute]
        problem = "; ".join(told) or "something else took a connection that was meant for a pod"
    return ClusterReport(cluster=cluster, verdict=verdict, problem=problem, findings=findings)


def made_up_places(run: str) -> list[Place]:
    """Name two tenants that don't exist, for a cluster that has fewer than two.

    Parameters
    ----------
    run
        What tells this check from others.
    """
    return [
        pods.Place(tenant=f"{pods.COMPONENT}-{one}", namespace=f"{pods.COMPONENT}-{run}-{one}")
        for one in ("a", "b")
    ]


def new_run() -> str:
    """Make up what tells a check from others."""
    return secrets.token_hex(4)


def check(  # noqa: PLR0913 -- what the command line says
    server: ApiServer, cluster: str, places: Sequence[Place], args: PodArgs, *, made_up: bool, seconds: float
) -> ClusterReport:
    """Try on a cluster whether pods of tenants reach each other; what was made for that is removed.

    Parameters
    ----------
    server
        The cluster.
    cluster
        Its name.
    places
        The tenants, two at least.
    args
        What the pods have.
    made_up
        Whether the tenants are made up: then their namespaces are made, too.
    seconds
        How long pods may take to start.

    Returns
    -------
    ClusterReport
        What was found out; what failed is its problem.
    """
    result = ClusterReport(cluster=cluster, verdict=Verdict.UNKNOWN)
    with ended_by_signals():
        try:
            remove(server)  # what a check left behind that was killed
            result = report(cluster, _results(server, places, args, made_up=made_up, seconds=seconds))
        except OperationError as error:
            result = ClusterReport(cluster=cluster, verdict=Verdict.UNKNOWN, problem=str(error))
        finally:
            # An interrupt is not caught: it goes on once all is removed.
            try:
                remove(server)
            except OperationError as error:
                told = f"{error} (left behind, with the label {pods.SELECTOR})"
                problem = f"{result.problem}; {told}" if result.problem else told
                result = result.model_copy(update={"problem": problem})
    return result


def remove(server: ApiServer) -> None:
    """Remove what checks have made on a cluster, this one or any other.

    Parameters
    ----------
    server
        The cluster.

    Raises
    ------
    OperationError
        Not all of it could be removed.
    """
    common = (f"--selector={pods.SELECTOR}", "--ignore-not-found", "--wait", "--timeout=50s")
    server.kubectl("delete", "pods", "--all-namespaces", *common)
    server.kubectl("delete", "namespaces", *common)


def _results(
    server: ApiServer, places: Sequence[Place], args: PodArgs, *, made_up: bool, seconds: float
) -> dict[str, Results]:
    if made_up:
        _create(server, *(one for place in places for one in pods.made_up_tenant(place, args)))
    words = {place.tenant: secrets.token_hex(8) for place in places}
    _create(server, *(pods.server(place, args, words[place.tenant]) for place in places))
    servers = _wait(server, args.run, pods.SERVER, places, _address_problem, seconds)
    addresses = {tenant: [one["ip"] for one in pod["status"]["podIPs"]] for tenant, pod in servers.items()}
    targets = {place.tenant: _targets(place.tenant, addresses, words) for place in places}
    _create(
        server,
        *(pods.client(place, args, [one.tried() for one in targets[place.tenant]]) for place in places),
    )
    clients = _wait(server, args.run, pods.CLIENT, places, _end_problem, seconds + _CLIENT_SECONDS)
    return {tenant: _read(tenant, pod, targets[tenant]) for tenant, pod in clients.items()}


def _targets(tenant: str, addresses: Mapping[str, Sequence[str]], words: Mapping[str, str]) -> list[Target]:
    families = {ipaddress.ip_address(one).version for one in addresses[tenant]}
    names = [tenant, *(name for name in sorted(addresses) if name != tenant)]
    return [
        *(
            Target(kind=Kind.OWN if name == tenant else Kind.OTHER, name=name, address=one, word=words[name])
            for name in names
            for one in addresses[name]
        ),
        *(
            Target(kind=Kind.METADATA, name=f"{address} port {port}", address=address, port=port)
            for address, port in METADATA_SERVICES
            if ipaddress.ip_address(address).version in families
        ),
        Target(kind=Kind.DNS, name=KNOWN_NAME, address=KNOWN_NAME),
    ]


def _create(server: ApiServer, *objects: Manifest) -> None:
    """Create objects; the account of pods in a new namespace comes a moment after it."""
    deadline = time.monotonic() + _ACCOUNT_SECONDS
    left = list(objects)
    while left:
        try:
            server.kubectl("create", "--filename=-", stdin=json.dumps(left[0]))
        except OperationError as error:
            if _NO_ACCOUNT_YET not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            left.pop(0)


def _wait(  # noqa: PLR0913, PLR0917 -- what is waited for, in that many words
    server: ApiServer,
    run: str,
    role: str,
    places: Sequence[Place],
    problem: Callable[[Mapping[str, Any]], str | None],
    seconds: float,
) -> dict[str, dict[str, Any]]:
    """Wait until no pod of a role has a problem; give the pods by tenant."""
    deadline = time.monotonic() + seconds
    name = pods.pod_name(run, role)
    while True:
        listed = server.objects("pods", "--all-namespaces", f"--selector=pipeline-service/check={run}")
        found = {one["metadata"]["namespace"]: one for one in listed if one["metadata"]["name"] == name}
        problems = {
            place.tenant: problem(found[place.namespace])
            if place.namespace in found
            else "it is gone; does another check run on this cluster?"
            for place in places
        }
        wrong = {tenant: told for tenant, told in problems.items() if told is not None}
        if not wrong:
            return {place.tenant: found[place.namespace] for place in places}
        over = any(
            place.namespace not in found or found[place.namespace]["status"].get("phase") == "Failed"
            for place in places
        )
        if over or time.monotonic() > deadline:
            told = " ".join("; ".join(f"{tenant}: {wrong[tenant]}" for tenant in sorted(wrong)).split())
            raise OperationError(f"{server.name}: the {role} can't do its work: {told}")
        time.sleep(_PAUSE_SECONDS)


def _address_problem(pod: Mapping[str, Any]) -> str | None:
    """Say why a pod takes no connection yet."""
    status = pod.get("status", {})
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", ()))
    return None if ready and status.get("podIPs") else _why(status)


def _end_problem(pod: Mapping[str, Any]) -> str | None:
    """Say why a pod has found nothing out yet."""
    status = pod.get("status", {})
    return None if status.get("phase") == "Succeeded" else _why(status)


def _why(status: Mapping[str, Any]) -> str:
    reasons = [
        *(
            one
            for one in status.get("conditions", ())
            if one["type"] == "PodScheduled" and one.get("message")
        ),
        *(
            state
            for container in status.get("containerStatuses", ())
            for state in container.get("state", {}).values()
            if state.get("reason")
        ),
        status,
    ]
    told = [f"{one['reason']}: {one.get('message', '')}".rstrip(": ") for one in reasons if one.get("reason")]
    return ", ".join(told) or f"its pod is {status.get('phase', 'not known to the cluster yet')}"


def _read(tenant: str, pod: Mapping[str, Any], targets: Sequence[Target]) -> Results:
    [container] = pod["status"]["containerStatuses"]
    message = container["state"]["terminated"].get("message", "")
    try:
        found = json.loads(message)
        return [(target, result, detail) for target, (result, detail) in zip(targets, found, strict=True)]
    except (ValueError, TypeError) as error:
        raise OperationError(f"{tenant}: its pod left no results behind ({error}); run this again") from error
