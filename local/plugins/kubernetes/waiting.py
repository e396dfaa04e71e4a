"""Waiting for objects: until they are ready, or gone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from local.plugins.kubernetes.client import ApiError
from local.plugins.kubernetes.cluster import NoSuchKindError
from local.plugins.kubernetes.objects import (
    SKIP_AWAIT,
    Kind,
    Object,
    is_annotated,
    kind_of,
    metadata,
    name_of,
    namespace_of,
    resource_id,
    timeout_seconds,
    wait_expressions,
)
from local.plugins.kubernetes.readiness import (
    READY,
    Readiness,
    Verdict,
    endpoints_ready,
    readiness_of,
    service_needs_endpoints,
    wait_for,
)
from local.plugins.protocol.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.plugins.kubernetes.cluster import Cluster
    from local.plugins.protocol.engine import Reporter
    from local.plugins.protocol.lifetime import Lifetime

FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 2.0
_ENDPOINT_SLICE: Final = Kind("discovery.k8s.io/v1", "EndpointSlice")


class NotReadyError(ProviderError):
    """An object exists but did not become ready.

    Attributes
    ----------
    live : Object
        The object as it was seen last.
    """

    def __init__(self, message: str, live: Object) -> None:
        super().__init__(message)
        self.live = live


def criterion(inputs: Object, cluster: Cluster) -> Readiness | None:
    """Return how to wait for an object.

    Parameters
    ----------
    inputs : Object
        Its inputs. ``pulumi.com/skipAwait`` goes before ``pulumi.com/waitFor``, that before what is built in.
    cluster : Cluster
        Where it lies.

    Returns
    -------
    Readiness or None
        None where it is ready once it exists.
    """
    if is_annotated(inputs, SKIP_AWAIT):
        return None
    checks = [wait_for(expression) for expression in wait_expressions(inputs)]
    if checks:
        return Readiness(
            lambda obj: next((v for check in checks if not (v := check(obj)).ready), READY), on_read=False
        )
    kind = kind_of(inputs)
    built_in = readiness_of(kind)
    if built_in is not None and kind == Kind("v1", "Service"):
        return Readiness(lambda obj: _service(obj, built_in.check, cluster))
    return built_in


def _service(obj: Object, balancer: Callable[[Object], Verdict], cluster: Cluster) -> Verdict:
    verdict = balancer(obj)
    if not verdict.ready or not service_needs_endpoints(obj):
        return verdict
    selector = f"kubernetes.io/service-name={name_of(obj)}"
    return endpoints_ready(cluster.select(_ENDPOINT_SLICE, namespace_of(obj), selector))


def await_ready(  # noqa: PLR0913 (the parts of one operation)
    cluster: Cluster,
    inputs: Object,
    live: Object,
    *,
    requested: float,
    reporter: Reporter,
    lifetime: Lifetime,
) -> Object:
    """Wait until an object is ready.

    Parameters
    ----------
    cluster : Cluster
        Where it lies.
    inputs : Object
        Its inputs, which say what to wait for.
    live : Object
        The object as the operation returned it.
    requested : float
        The resource option ``custom_timeouts``, in seconds; 0 where not given.
    reporter : Reporter
        Shows what is missing.
    lifetime : Lifetime
        Tells when to give up.

    Returns
    -------
    Object
        The object as it was seen last.

    Raises
    ------
    NotReadyError
        Where it does not become ready in time, cannot, or waiting is cancelled.
    """
    try:
        rule = criterion(inputs, cluster)
    except ProviderError as error:
        raise NotReadyError(str(error), live) from error
    if rule is None:
        return live
    seconds = timeout_seconds(inputs, requested, rule.seconds)
    kind, namespace, name = kind_of(live), namespace_of(live), name_of(live)
    deadline = time.monotonic() + seconds
    pause = FIRST_PAUSE_SECONDS
    while True:
        verdict = _judge(rule, live)
        if verdict.ready:
            reporter.status("")
            return live
        reporter.status(verdict.message)
        if verdict.failed:
            raise NotReadyError(f"{kind} {resource_id(live)}: {verdict.message}", live)
        if time.monotonic() + pause > deadline:
            raise NotReadyError(
                f"{kind} {resource_id(live)} not ready after {seconds:.0f} s: {verdict.message}", live
            )
        if not lifetime.sleep(pause):
            raise NotReadyError(f"{kind} {resource_id(live)}: waiting was cancelled: {verdict.message}", live)
        pause = min(1.5 * pause, LONGEST_PAUSE_SECONDS)
        try:
            live = cluster.get(kind, namespace, name)
        except ProviderError as error:
            raise NotReadyError(
                f"{kind} {resource_id(live)} could not be read while waiting: {error}", live
            ) from error


def _judge(rule: Readiness, live: Object) -> Verdict:
    try:
        return rule.check(live)
    except ProviderError as error:
        return Verdict(ready=False, message=str(error), failed=True)


def not_ready_now(cluster: Cluster, inputs: Object, live: Object) -> str:
    """Return what keeps an object from being ready now, for a refresh; empty where nothing does."""
    if is_annotated(inputs, SKIP_AWAIT) or wait_expressions(inputs):
        return ""
    rule = criterion(live, cluster)
    return _judge(rule, live).message if rule is not None and rule.on_read else ""


def await_gone(  # noqa: PLR0913 (the parts of one operation)
    cluster: Cluster, live: Object, uid: str, *, seconds: float, reporter: Reporter, lifetime: Lifetime
) -> None:
    """Wait until an object is gone.

    Parameters
    ----------
    cluster : Cluster
        Where it lies.
    live : Object
        The object, for its kind and name.
    uid : str
        What was deleted; one of another uid is a new object of its name. Empty where unknown.
    seconds : float
        How long.
    reporter : Reporter
        Shows what holds it.
    lifetime : Lifetime
        Tells when to give up.

    Raises
    ------
    ProviderError
        Where it is still there, saying what holds it.
    """
    kind, namespace, name = kind_of(live), namespace_of(live), name_of(live)
    deadline = time.monotonic() + seconds
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            current = cluster.get(kind, namespace, name)
        except NoSuchKindError:
            return
        except ApiError as error:
            if error.not_found:
                return
            raise
        if uid and metadata(current).get("uid") != uid:
            return
        held = _what_holds(current)
        reporter.status(f"waiting for the deletion: {held}")
        what = f"{kind} {resource_id(live)}"
        if time.monotonic() + pause > deadline:
            raise ProviderError(
                f"{what} is still there {seconds:.0f} s after its deletion was asked for: {held};"
                " find what should remove it, or raise custom_timeouts (or pulumi.com/timeoutSeconds)"
            )
        if not lifetime.sleep(pause):
            raise ProviderError(f"{what}: waiting for its deletion was cancelled: {held}")
        pause = min(1.5 * pause, LONGEST_PAUSE_SECONDS)


def _what_holds(live: Object) -> str:
    finalizers = metadata(live).get("finalizers") or []
    # A Namespace tells in its conditions what is left in it and which finalizers that has.
    remaining = [
        str(item.get("message"))
        for item in (live.get("status") or {}).get("conditions") or []
        if str(item.get("type", "")).startswith("Namespace") and item.get("status") == "True"
    ]
    parts = ([f"finalizers {', '.join(map(str, finalizers))}"] if finalizers else []) + remaining
    return "; ".join(parts) or "no finalizer is left, the server has not removed it yet"
