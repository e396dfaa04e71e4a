"""Creating, updating, reading and deleting objects."""

from __future__ import annotations

import secrets
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from local.plugins.kubernetes.client import ApiError, UnreachableError
from local.plugins.kubernetes.cluster import Cluster, NoSuchKindError, never_taken
from local.plugins.kubernetes.managed_fields import CREATOR, created_here, owners, taken_over
from local.plugins.kubernetes.objects import (
    CUSTOM_RESOURCE_DEFINITION,
    DELETION_POLICY,
    PATCH_FORCE,
    SKIP_AWAIT,
    Object,
    annotation,
    is_annotated,
    kind_of,
    metadata,
    name_of,
    namespace_of,
    resource_id,
    timeout_seconds,
)
from local.plugins.kubernetes.readiness import TEN_MINUTES
from local.plugins.kubernetes.waiting import await_gone
from local.plugins.protocol.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.plugins.protocol.engine import Reporter
    from local.plugins.protocol.lifetime import Lifetime
    from local.plugins.protocol.paths import Path

_DELETABLE_UNWAITED: Final = frozenset(
    {"Namespace", "Pod", "ReplicationController", "DaemonSet", "Deployment", "StatefulSet", "Job"}
)
"""Kinds whose ``pulumi.com/skipAwait`` covers the deletion, too: a rule of the official plugin."""


class PreviewImpossibleError(ProviderError):
    """The API server cannot tell now what an operation would do; the inputs are all that is known."""


def new_field_manager() -> str:
    """Return a name for the owner of a new object's fields, unique so that two stacks never share one."""
    return f"pulumi-kubernetes-{secrets.token_hex(4)}"


@dataclass(frozen=True, kw_only=True)
class Creation:
    """A new object.

    Attributes
    ----------
    obj : Object
        What, with a name.
    upsert_as : str
        Field manager that applies it even where an object of its name exists; empty to make that an error.
    force : bool
        Whether applying takes over fields that others own.
    dry_run : bool
        Whether the server shall only tell what it would do.
    """

    obj: Object
    upsert_as: str = ""
    force: bool = False
    dry_run: bool = False


def create(cluster: Cluster, creation: Creation, reporter: Reporter) -> Object:
    """Create an object.

    Parameters
    ----------
    cluster : Cluster
        Where.
    creation : Creation
        What and how.
    reporter : Reporter
        Shows failures that may pass.

    Returns
    -------
    Object
        The live object, in a dry run as it would be.

    Raises
    ------
    PreviewImpossibleError
        In a dry run, where what the object needs does not exist yet.
    ProviderError
        Where the API server refuses, also because the object exists.
    """
    obj, dry_run = creation.obj, creation.dry_run
    kind = kind_of(obj)
    what = f"{kind} {resource_id(obj)}"

    def once() -> Object:
        namespace = namespace_of(obj) or cluster.default_namespace
        if creation.upsert_as:
            force = creation.force or dry_run or is_annotated(obj, PATCH_FORCE)
            manager = creation.upsert_as
            return cluster.apply(kind, namespace, obj, field_manager=manager, force=force, dry_run=dry_run)
        return cluster.create(kind, namespace, obj, field_manager=CREATOR, dry_run=dry_run)

    def worth_it(error: Exception) -> bool:
        # Misordered programs: namespace or kind may come from a resource that is created at the same time.
        missing = isinstance(error, NoSuchKindError) or (isinstance(error, ApiError) and error.not_found)
        return not dry_run and (missing or never_taken(error) or _new_workspace(cluster, error))

    try:
        return cluster.retry(once, worth_it, report=reporter.status)
    except ApiError as error:
        if dry_run and (error.not_found or error.forbidden or error.reason == "AlreadyExists"):
            # Not yet there, or not allowed to ask, or about to be deleted by this very update.
            raise PreviewImpossibleError(str(error)) from error
        if error.reason == "AlreadyExists":
            raise ProviderError(
                f"{what} already exists: {error}; adopt it with the resource option import_ or, where it was"
                " renamed in the program, give the resource an alias"
            ) from error
        if error.reason == "Conflict" and error.causes:
            raise ProviderError(_conflict(what, creation.upsert_as, error)) from error
        raise


def _new_workspace(cluster: Cluster, error: Exception) -> bool:
    """Tell whether a kcp workspace may be too new to know who may use it: its rules take a moment."""
    return isinstance(error, ApiError) and error.forbidden and cluster.client.is_kcp_workspace


@dataclass(frozen=True, kw_only=True)
class Update:
    """A change of an object.

    Attributes
    ----------
    inputs : Object
        The new inputs.
    live_name : str
        Name of the object to change.
    field_manager : str
        Who applies.
    predecessor : str
        Who applied before; another name where the program chose a new one.
    ignored : Sequence of Path
        The resource option ``ignore_changes``.
    force : bool
        Whether to take over fields that others own.
    dry_run : bool
        Whether the server shall only tell what it would do.
    """

    inputs: Object
    live_name: str
    field_manager: str
    predecessor: str
    ignored: Sequence[Path] = ()
    force: bool = False
    dry_run: bool = False


def update(cluster: Cluster, change: Update, reporter: Reporter) -> Object:
    """Change an object by server-side apply.

    Parameters
    ----------
    cluster : Cluster
        Where.
    change : Update
        What.
    reporter : Reporter
        Shows failures that may pass.

    Returns
    -------
    Object
        The live object, in a dry run as it would be.

    Raises
    ------
    ProviderError
        Where the API server refuses: the object is gone, a field belongs to someone else, a value is invalid.
    """
    kind = kind_of(change.inputs)
    namespace = namespace_of(change.inputs) or cluster.default_namespace
    what = f"{kind} {resource_id(change.inputs)}"

    def once() -> Object:
        live = cluster.get(kind, namespace, change.live_name)
        if kind.kind == CUSTOM_RESOURCE_DEFINITION and kind.group == "apiextensions.k8s.io":
            # Applying would leave versions and fields that the new definition has dropped.
            version = {"resourceVersion": metadata(live)["resourceVersion"]}
            definition = {**change.inputs, "metadata": {**change.inputs["metadata"], **version}}
            return cluster.replace(
                kind, namespace, definition, field_manager=change.field_manager, dry_run=change.dry_run
            )
        force = (
            change.force
            or is_annotated(change.inputs, PATCH_FORCE)
            or (change.dry_run and created_here(live))
        )
        if not change.dry_run:
            live = _take_over(cluster, live, change)
        return cluster.apply(
            kind,
            namespace,
            _without_ignored(change, live),
            field_manager=change.field_manager,
            force=force,
            dry_run=change.dry_run,
        )

    def worth_it(error: Exception) -> bool:
        stale = isinstance(error, ApiError) and error.reason == "Conflict" and not error.causes
        return stale or (never_taken(error) and not change.dry_run)

    try:
        return cluster.retry(once, worth_it, report=reporter.status)
    except ApiError as error:
        if error.not_found:
            raise ProviderError(
                f"{what} was deleted by someone else: {error}; run pulumi refresh, then it is created anew"
            ) from error
        if error.reason == "Conflict" and error.causes:
            raise ProviderError(_conflict(what, change.field_manager, error)) from error
        raise


def _conflict(what: str, field_manager: str, error: ApiError) -> str:
    fields = "; ".join(f"{cause.get('field')} ({cause.get('message')})" for cause in error.causes)
    return (
        f"server-side apply field conflict: {what}, applied by field manager {field_manager!r}, has fields"
        f" that another manager owns: {fields}; leave them out (ignore_changes), or take them over by the"
        f" annotation {PATCH_FORCE}"
    )


def _take_over(cluster: Cluster, live: Object, change: Update) -> Object:
    fields = taken_over(live, change.field_manager, {change.predecessor})
    if fields is None:
        return live
    return cluster.patch(
        kind_of(live),
        namespace_of(live),
        name_of(live),
        [
            {"op": "replace", "path": "/metadata/managedFields", "value": fields},
            {
                "op": "replace",
                "path": "/metadata/resourceVersion",
                "value": metadata(live)["resourceVersion"],
            },
        ],
    )


def _without_ignored(change: Update, live: Object) -> Object:
    """Return what to apply: ignored fields are left to other owners, or stay as they are where owned here."""
    result: Object = deepcopy(change.inputs)
    for path in change.ignored:
        managers = owners(live, path)
        if managers - {change.field_manager} and change.field_manager not in managers:
            _remove(result, path)
        else:
            found, value = _lookup(live, path)
            if found:
                _set(result, path, value)
    return result


def _lookup(obj: object, path: Path) -> tuple[bool, object]:
    for step in path:
        try:
            obj = obj[step]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return False, None
    return bool(path), obj


def _remove(obj: Object, path: Path) -> None:
    found, parent = _lookup(obj, path[:-1]) if path[:-1] else (True, obj)
    if found and isinstance(parent, dict) and path:
        parent.pop(path[-1], None)


def _set(obj: Object, path: Path, value: object) -> None:
    found, parent = _lookup(obj, path[:-1]) if path[:-1] else (True, obj)
    last = path[-1]
    if found and isinstance(parent, dict):
        parent[last] = value
    elif found and isinstance(parent, list) and isinstance(last, int) and last < len(parent):
        parent[last] = value  # the object's own index, so neither list is changed in length


def delete(  # noqa: PLR0913 (the parts of one operation)
    cluster: Cluster,
    inputs: Object,
    live: Object,
    *,
    requested: float,
    reporter: Reporter,
    lifetime: Lifetime,
) -> None:
    """Delete an object and wait until it is gone; one that is gone already is no error.

    Parameters
    ----------
    cluster : Cluster
        Where.
    inputs : Object
        Its inputs, whose annotations choose propagation and timeout.
    live : Object
        The object as the state has it.
    requested : float
        The resource option ``custom_timeouts``, in seconds; 0 where not given.
    reporter : Reporter
        Shows what holds it.
    lifetime : Lifetime
        Tells when to give up.
    """
    kind, namespace, name = kind_of(live), namespace_of(live), name_of(live)
    policy = {"orphan": "Orphan", "background": "Background"}.get(
        annotation(inputs, DELETION_POLICY).lower(), "Foreground"
    )
    try:
        # Asking twice does no harm, so every passing failure is worth it.
        answer = cluster.retry(
            lambda: cluster.delete(kind, namespace, name, policy),
            lambda error: never_taken(error) or isinstance(error, UnreachableError),
            report=reporter.status,
        )
    except NoSuchKindError as error:
        if isinstance(error.__cause__, ApiError) and not error.__cause__.not_found:
            raise  # a workspace of kcp that hides itself: it may well be there
        return
    except ApiError as error:
        if error.not_found:
            return
        raise
    if is_annotated(inputs, SKIP_AWAIT) and kind.kind in _DELETABLE_UNWAITED:
        return
    seconds = timeout_seconds(inputs, requested, TEN_MINUTES)
    # The answer is the object on its way out, or a Status about one that is gone already.
    uid = metadata(answer).get("uid") or (answer.get("details") or {}).get("uid") or ""
    await_gone(cluster, live, str(uid), seconds=seconds, reporter=reporter, lifetime=lifetime)
