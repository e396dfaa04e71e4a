"""Apply a unit: record, apply in order, prune what dropped out, cancel what is to end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from units.adoption import refuse_foreign, take_over
from units.cancel import cancel
from units.delete import delete_objects
from units.errors import RefusedError, UnitError
from units.inventory import read_inventory, write_inventory
from units.manifest import (
    CRD,
    Identity,
    defined_kinds,
    identify,
    in_apply_stages,
    in_delete_stages,
    parse,
)
from units.wait import wait_established

if TYPE_CHECKING:
    from collections.abc import Sequence

    from units.kubectl import Kubectl
    from units.manifest import Manifest
    from units.request import Request

_ESTABLISHED_SECONDS: Final = 60
_DELETE_SECONDS: Final = 120

_FIELD: Final = re.compile(r"(?:^- |: )(\..+)$", re.MULTILINE)
_CONFLICT: Final = re.compile(r'conflicts? with "(?P<manager>[^"]+)"')


def apply(kubectl: Kubectl, request: Request, stdin: str) -> str:
    """Apply a unit: record, apply, prune, and then cancel, when nobody can make anything new any more.

    Parameters
    ----------
    kubectl
        The API server.
    request
        The unit.
    stdin
        What stands on standard input.

    Returns
    -------
    str
        What was done, in a line.

    Raises
    ------
    UnitError
        An object was refused, or something couldn't be done in time.
    """
    manifests = parse(request.manifest(stdin))
    wanted = frozenset(identify(manifest) for manifest in manifests)
    _apply_home(kubectl, request, manifests)
    recorded = read_inventory(kubectl, request)
    if recorded is None and request.version is not None and not request.adopt:
        refuse_foreign(kubectl, request, manifests)
    before = recorded.objects if recorded else frozenset()
    # Recorded before it is made: whatever a kill leaves behind is known to the next run, and to a delete.
    write_inventory(kubectl, request, wanted | before, "applying")
    _apply_all(kubectl, request, manifests)
    if request.adopt:
        _server_side_apply(kubectl, request, take_over(kubectl, request, manifests))
    kept = _prune(kubectl, wanted, before)
    write_inventory(kubectl, request, wanted | kept, "applied")
    pruned = len(_dropped(wanted, before)) - len(kept)
    done = f"{request.title}: {len(wanted)} objects applied, {pruned} pruned"
    if request.cancel:
        done += f", {cancel(kubectl, request)} cancelled"
    if kept:
        done += f", {len(kept)} kept because objects of their kind exist: {', '.join(map(str, sorted(kept)))}"
    return done


def _apply_home(kubectl: Kubectl, request: Request, manifests: Sequence[Manifest]) -> None:
    """Apply the inventory's namespace first, where it is part of the unit."""
    home = [
        manifest
        for manifest in manifests
        if (identity := identify(manifest)).kind == "Namespace" and identity.name == request.namespace
    ]
    if home:
        _server_side_apply(kubectl, request, home)


def _apply_all(kubectl: Kubectl, request: Request, manifests: Sequence[Manifest]) -> None:
    definitions = [manifest for manifest in manifests if manifest["kind"] == CRD]
    custom = defined_kinds(definitions)
    later = [
        manifest
        for manifest in manifests
        if (identity := identify(manifest)) and (identity.group, identity.kind) in custom
    ]
    # Namespaces and definitions go first, and everything else but objects of these definitions with them: a
    # release's own objects can only be read once the server serves their kind.
    _server_side_apply(kubectl, request, [manifest for manifest in manifests if manifest not in later])
    if later:
        kinds = {(identity.group, identity.kind) for identity in map(identify, later)}
        needed = [one for one in definitions if defined_kinds([one]) & kinds]
        wait_established(kubectl, map(identify, needed), seconds=_ESTABLISHED_SECONDS)
        _server_side_apply(kubectl, request, later)


def _server_side_apply(kubectl: Kubectl, request: Request, manifests: Sequence[Manifest]) -> None:
    # Fields that somebody else holds are left alone, and reported, on the first application, unless the unit
    # has them by right. A raised incarnation is the order to mend: it takes them back.
    force = request.force or request.adopt or request.incarnation > 0
    for stage in in_apply_stages(manifests):
        try:
            kubectl.api.each(
                lambda manifest: kubectl.api.apply(manifest, request.field_manager, force=force), stage
            )
        except RefusedError as error:
            raise UnitError(f"{request.name}: {_reasons(error)}") from None


def _reasons(refused: RefusedError) -> str:
    held = {
        identify(manifest): error.stderr
        for manifest, error in refused.errors
        if _CONFLICT.search(error.stderr)
    }
    if not held:
        return str(refused)
    said = "\n".join(held.values())
    fields = ", ".join(dict.fromkeys(_FIELD.findall(said)))
    reasons = [str(error) for manifest, error in refused.errors if identify(manifest) not in held]
    reasons.append(
        f"fields are held by {', '.join(sorted(set(_CONFLICT.findall(said))))}: {fields} in"
        f" {', '.join(map(str, sorted(held)))}; raise the entry's incarnation to take them back"
    )
    return "; ".join(reasons)


def _dropped(wanted: frozenset[Identity], before: frozenset[Identity]) -> list[Identity]:
    keys = {identity.key for identity in wanted}
    return sorted(identity for identity in before if identity.key not in keys)


def _prune(kubectl: Kubectl, wanted: frozenset[Identity], before: frozenset[Identity]) -> frozenset[Identity]:
    """Delete what dropped out; give what had to be kept."""
    dropped = _dropped(wanted, before)
    kept = frozenset(identity for identity in dropped if is_in_use(kubectl, identity))
    for stage in in_delete_stages(set(dropped) - kept):
        delete_objects(kubectl, stage, seconds=_DELETE_SECONDS)
    return kept


def is_in_use(kubectl: Kubectl, identity: Identity) -> bool:
    """Tell whether something is the definition of a kind of which there are objects.

    Parameters
    ----------
    kubectl
        The API server.
    identity
        The object.

    Raises
    ------
    KubectlError
        The server can't be asked.
    """
    # A definition's name is <resource>.<group>, which is how kubectl names the resource.
    if identity.kind != CRD or kubectl.get("customresourcedefinition", identity.name) is None:
        return False
    found = kubectl.get(identity.name, "--all-namespaces", "--chunk-size=1")
    return bool(found and found["items"])
