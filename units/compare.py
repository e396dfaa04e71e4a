"""Compare a unit with what is there, changing nothing: no refresh sees the objects of a unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from units.apply import is_in_use
from units.errors import KubectlError, passes_by_itself
from units.inventory import inventory_name, read_inventory
from units.live import live_objects
from units.manifest import Identity, identify, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from units.kubectl import Kubectl
    from units.manifest import Manifest
    from units.request import Request

_SERVERS_OWN: Final = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")
"""Metadata that the server writes, and that an application may change even where nothing else does."""

_TRIES: Final = 5
"""How often an object is read anew that others changed meanwhile."""


@dataclass(frozen=True, kw_only=True, order=True)
class Difference:
    """How an object differs from what the unit applied. No value is told: it could be a secret.

    Attributes
    ----------
    identity
        The object.
    what
        `missing`: it is not there. `changed`: fields of the unit have other values. `gone`: it is not there,
        and only the unit's record still names it. `left`: it dropped out of the unit, and is there all the
        same. `refused`: the server would not let the unit change it back.
    fields
        Paths of the changed fields.
    reason
        What the server said.
    """

    identity: Identity
    what: Literal["missing", "changed", "gone", "left", "refused"]
    fields: tuple[str, ...] = ()
    reason: str = ""


def compare(kubectl: Kubectl, request: Request, stdin: str) -> list[Difference]:
    """Compare a unit's objects with what applying it, by force, would make of them.

    What others added is no difference: the unit owns only the fields that its manifest states.

    Parameters
    ----------
    kubectl
        The API server.
    request
        The unit.
    stdin
        What stands on its standard input.

    Raises
    ------
    UnitError
        The manifest isn't there, or the server can't be asked.
    """
    wanted = {identify(manifest).key: manifest for manifest in parse(request.manifest(stdin))}
    identities = {key: identify(manifest) for key, manifest in wanted.items()}
    recorded = read_inventory(kubectl, request)
    record = {one.key: one for one in recorded.objects} if recorded else {}
    live = live_objects(kubectl, {**record, **identities}.values())
    found = [
        Difference(identity=one, what="missing" if key in wanted else "gone")
        for key, one in {**record, **identities}.items()
        if key not in live
    ]
    if not wanted.keys() <= record.keys():
        # Without its record, a delete would leave the unit's objects where they are.
        identity = Identity(
            api_version="v1",
            kind="ConfigMap",
            namespace=request.namespace,
            name=inventory_name(request.name),
        )
        fields = ("data.objects",) if recorded else ()
        found.append(Difference(identity=identity, what="changed" if recorded else "missing", fields=fields))
    # A definition whose kind has objects is kept knowingly: with it, they would go.
    found += [
        Difference(identity=one, what="left")
        for key, one in record.items()
        if key in live and key not in wanted and not is_in_use(kubectl, one)
    ]
    there = [manifest for key, manifest in wanted.items() if key in live]
    found += _changes(kubectl, request, there, live)
    return sorted(found)


def changed_fields(live: Mapping[str, Any], applied: Mapping[str, Any]) -> list[str]:
    """List the paths at which two states of an object differ, the server's own fields and its status aside.

    Parameters
    ----------
    live
        The object as it is.
    applied
        The object as it would be.
    """
    return list(_paths("", _own(live), _own(applied)))


def _own(manifest: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _SERVERS_OWN}
    return {**{key: value for key, value in manifest.items() if key != "status"}, "metadata": metadata}


def _version(manifest: Mapping[str, Any]) -> object:
    return manifest["metadata"].get("resourceVersion")


def _paths(path: str, one: object, other: object) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            plain = "." not in key and "/" not in key
            step = (f"{path}.{key}" if path else key) if plain else f"{path}[{key}]"
            if key in one and key in other:
                yield from _paths(step, one[key], other[key])
            else:
                yield step
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _paths(f"{path}[{_label(left, right) or number}]", left, right)
    elif one != other:
        yield path


def _label(one: object, other: object) -> str:
    """Name two entries of a list that are the same thing, such as a container."""
    if isinstance(one, dict) and isinstance(other, dict) and one.get("name") == other.get("name"):
        return str(one.get("name", ""))
    return ""


def _changes(
    kubectl: Kubectl,
    request: Request,
    manifests: Sequence[Manifest],
    live: Mapping[tuple[str, str, str, str], Mapping[str, Any]],
) -> list[Difference]:
    def change(manifest: Manifest) -> Difference | None:
        identity = identify(manifest)
        before: Mapping[str, Any] | None = live[identity.key]
        fields: list[str] = []
        for _ in range(_TRIES):
            if before is None:
                return Difference(identity=identity, what="missing")
            try:
                applied = kubectl.api.apply(manifest, request.field_manager, dry_run=True)
            except KubectlError as error:
                if passes_by_itself(error.stderr, 0):
                    raise
                # The server quotes what it refuses.
                reason = "" if identity.kind == "Secret" else str(error)
                return Difference(identity=identity, what="refused", reason=reason)
            fields = changed_fields(before, applied)
            # What a controller writes between the two requests is no drift. A dry run keeps the version.
            if not fields or _version(applied) == _version(before):
                break
            before = kubectl.api.find(identity)
        return Difference(identity=identity, what="changed", fields=tuple(fields)) if fields else None

    return [one for one in kubectl.api.each(change, manifests, patient=False) if one is not None]
