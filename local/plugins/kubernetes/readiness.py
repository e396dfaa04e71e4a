"""When an object counts as ready: pure functions from objects to verdicts.

Criteria: provider/pkg/await of pulumi-kubernetes and, for rollouts, ``kubectl rollout status``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from local.plugins.kubernetes.jsonpath import as_text, find, parse_jsonpath
from local.plugins.kubernetes.objects import Kind, Object, name_of
from local.plugins.protocol.errors import ProviderError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TEN_MINUTES: Final = 600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an object is ready.

    Attributes
    ----------
    ready : bool
        The answer.
    message : str
        What is still missing; empty where nothing is.
    failed : bool
        Whether it can never become ready.
    """

    ready: bool
    message: str = ""
    failed: bool = False


READY: Final = Verdict(ready=True)


@dataclass(frozen=True, slots=True)
class Readiness:
    """How to wait for a kind.

    Attributes
    ----------
    check : Callable
        From the live object to a verdict.
    seconds : float
        How long to wait, unless the program says otherwise.
    on_read : bool
        Whether a refresh reports an object that is not ready.
    """

    check: Callable[[Object], Verdict]
    seconds: float = TEN_MINUTES
    on_read: bool = True


def _waiting(message: str) -> Verdict:
    return Verdict(ready=False, message=message)


def conditions(obj: Object) -> Mapping[str, Mapping[str, Any]]:
    """Return an object's status conditions by type, compared in lower case as kubectl does."""
    found = (obj.get("status") or {}).get("conditions") or []
    return {str(item.get("type", "")).lower(): item for item in found if isinstance(item, dict)}


def _observed(obj: Object) -> bool:
    generation = (obj.get("metadata") or {}).get("generation") or 0
    return int((obj.get("status") or {}).get("observedGeneration") or 0) >= int(generation)


def deployment(obj: Object) -> Verdict:
    """Judge a Deployment: rolled out, and every replica available."""
    status = obj.get("status") or {}
    wanted = (obj.get("spec") or {}).get("replicas", 1)
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    available = status.get("availableReplicas", 0)
    if not _observed(obj):
        return _waiting("the controller has not seen the Deployment yet")
    progress = conditions(obj).get("progressing", {})
    stalled = f": {progress.get('message')}" if progress.get("reason") == "ProgressDeadlineExceeded" else ""
    if updated < wanted:
        return _waiting(f"{updated} of {wanted} replicas updated{stalled}")
    if total > updated:
        return _waiting(f"{total - updated} old replicas are still there{stalled}")
    if available < updated:
        return _waiting(f"{available} of {updated} updated replicas available{stalled}")
    return READY


def stateful_set(obj: Object) -> Verdict:
    """Judge a StatefulSet: every replica of the newest revision, and ready."""
    status = obj.get("status") or {}
    wanted = (obj.get("spec") or {}).get("replicas", 1)
    ready, updated = status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
    if not _observed(obj):
        return _waiting("the controller has not seen the StatefulSet yet")
    if updated < wanted and status.get("currentRevision") != status.get("updateRevision"):
        return _waiting(f"{updated} of {wanted} replicas updated")
    return READY if ready >= wanted else _waiting(f"{ready} of {wanted} replicas ready")


def daemon_set(obj: Object) -> Verdict:
    """Judge a DaemonSet: updated and available on every node it is for."""
    status = obj.get("status") or {}
    wanted = status.get("desiredNumberScheduled", 0)
    updated, available = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
    if not _observed(obj):
        return _waiting("the controller has not seen the DaemonSet yet")
    if updated < wanted:
        return _waiting(f"{updated} of {wanted} pods updated")
    return READY if available >= wanted else _waiting(f"{available} of {wanted} pods available")


def job(obj: Object) -> Verdict:
    """Judge a Job: complete; one that failed never becomes so."""
    found = conditions(obj)
    if found.get("failed", {}).get("status") == "True":
        return Verdict(
            ready=False, message=f"the Job failed: {found['failed'].get('message', '')}", failed=True
        )
    return READY if found.get("complete", {}).get("status") == "True" else _waiting("the Job is not complete")


def pod(obj: Object) -> Verdict:
    """Judge a Pod: ready, or ended with success."""
    phase = (obj.get("status") or {}).get("phase", "Pending")
    if phase == "Succeeded" or conditions(obj).get("ready", {}).get("status") == "True":
        return READY
    return _waiting(f"the Pod is in phase {phase} and not ready")


def resource_quota(obj: Object) -> Verdict:
    """Judge a ResourceQuota: the controller has taken its limits over."""
    wanted = (obj.get("spec") or {}).get("hard") or {}
    taken = (obj.get("status") or {}).get("hard") or {}
    return READY if wanted == taken else _waiting("the controller has not taken the limits over yet")


def token_secret(obj: Object) -> Verdict:
    """Judge a Secret: one for a ServiceAccount's token must have been filled in."""
    if obj.get("type") != "kubernetes.io/service-account-token" or obj.get("data"):
        return READY
    return _waiting("the token has not been filled in yet; is there a ServiceAccount of that name?")


def endpoints_ready(slices: list[Object]) -> Verdict:
    """Judge a Service by its EndpointSlices: at least one endpoint is ready."""
    ready = any(
        (endpoint.get("conditions") or {}).get("ready") is not False and endpoint.get("addresses")
        for item in slices
        for endpoint in item.get("endpoints") or []
    )
    return READY if ready else _waiting("no pod that the Service selects is ready")


def service_needs_endpoints(obj: Object) -> bool:
    """Tell whether a Service is ready only with an endpoint: it selects pods and has its own address."""
    spec = obj.get("spec") or {}
    headless = spec.get("clusterIP") == "None" and spec.get("type", "ClusterIP") == "ClusterIP"
    return bool(spec.get("selector")) and spec.get("type") != "ExternalName" and not headless


def load_balancer(obj: Object) -> Verdict:
    """Judge a Service of type LoadBalancer: it has an address."""
    balancer = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    if (obj.get("spec") or {}).get("type") != "LoadBalancer" or balancer:
        return READY
    return _waiting("the load balancer has no address yet")


AWAITED: Final[Mapping[Kind, Readiness]] = {
    Kind("apps/v1", "DaemonSet"): Readiness(daemon_set),
    Kind("apps/v1", "Deployment"): Readiness(deployment),
    Kind("apps/v1", "StatefulSet"): Readiness(stateful_set),
    Kind("batch/v1", "Job"): Readiness(job),
    Kind("v1", "Pod"): Readiness(pod),
    Kind("v1", "ResourceQuota"): Readiness(resource_quota, seconds=60, on_read=False),
    # The official plugin gives up after 5 s, which a loaded machine does not keep.
    Kind("v1", "Secret"): Readiness(token_secret, seconds=60, on_read=False),
    Kind("v1", "Service"): Readiness(load_balancer),
}
"""Kinds that are waited for without being told to."""

_REFUSED: Final = frozenset(
    {
        Kind("v1", "PersistentVolume"),
        Kind("v1", "PersistentVolumeClaim"),
        Kind("v1", "ReplicationController"),
        Kind("networking.k8s.io/v1", "Ingress"),
    }
)
"""Kinds for which the official plugin waits and this one has no criterion."""


def readiness_of(kind: Kind) -> Readiness | None:
    """Return how to wait for a kind.

    Parameters
    ----------
    kind : Kind
        The kind.

    Returns
    -------
    Readiness or None
        None where an object is ready once it exists.

    Raises
    ------
    UnsupportedError
        For kinds whose criterion the stand-in lacks.
    """
    if kind in _REFUSED:
        raise UnsupportedError(
            f"waiting for {kind}",
            "kubernetes",
            'annotate it with pulumi.com/skipAwait: "true" or with pulumi.com/waitFor',
        )
    return AWAITED.get(kind)


def wait_for(expression: str) -> Callable[[Object], Verdict]:
    """Return the criterion that one expression of ``pulumi.com/waitFor`` states.

    Parameters
    ----------
    expression : str
        ``jsonpath={.path}=value``, ``jsonpath={.path}`` (any value) or ``condition=Type[=Status]``.

    Returns
    -------
    Callable
        From the live object to a verdict.

    Raises
    ------
    ProviderError
        Where the expression is neither.
    """
    form, _, rest = expression.partition("=")
    if form == "jsonpath":
        path, _, wanted = rest.partition("}=") if "}=" in rest else (rest.removesuffix("}"), "", "")
        steps = parse_jsonpath(f"{path}}}")
        value = wanted.strip("'\"")

        def by_path(obj: Object) -> Verdict:
            found = [as_text(item) for item in find(obj, steps)]
            if len(found) > 1:
                raise ProviderError(f"pulumi.com/waitFor {expression!r} selects {len(found)} values, not one")
            if found and (found[0] == value if value else found[0]):
                return READY
            return _waiting(
                f"{path.strip('{}')} is {found[0] if found else 'not there'}, not {value or 'set'}"
            )

        return by_path
    if form == "condition" and rest:
        condition, _, status = rest.partition("=")
        status = status or "True"

        def by_condition(obj: Object) -> Verdict:
            found = conditions(obj).get(condition.lower(), {})
            if str(found.get("status", "")).lower() == status.lower():
                return READY
            why = f" ({found['message']})" if found.get("message") else ""
            return _waiting(
                f"condition {condition} of {name_of(obj)} is {found.get('status', 'not there')}{why}"
            )

        return by_condition
    raise ProviderError(f"pulumi.com/waitFor {expression!r} must start with jsonpath= or condition=")
