"""A kubectl in memory: what the units' runner asks of an API server, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from units.errors import KubectlError, RefusedError
from units.manifest import Identity, identify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Object = dict[str, Any]


class FakeKubectl:
    """Keeps objects; fails on any command that it doesn't know.

    Attributes
    ----------
    objects
        What exists, by identity.
    applied
        The identities that were applied, in order.
    forced
        Whether each was applied by force.
    patched
        Identities and patches of what was patched, in order.
    unestablished
        How often a definition is looked at before it is established.
    deleted
        The identities that were deleted, in order.
    refuse
        An error to raise for an object's name.
    refuse_waiting
        An error to raise for every wait.
    """

    def __init__(self) -> None:
        self.objects: dict[Identity, Object] = {}
        self.applied: list[Identity] = []
        self.deleted: list[Identity] = []
        self.patched: list[tuple[Identity, Object]] = []
        self.unestablished = 0
        self.forced: list[bool] = []
        self.refuse: dict[str, str] = {}
        self.refuse_waiting = ""
        self.workspaces: set[str] = set()
        self.api = FakeApi(self)

    def add(self, *manifests: Object) -> None:
        for manifest in manifests:
            self.objects[identify(manifest)] = manifest

    def named(self, name: str, kind: str | None = None) -> Object | None:
        found = [
            manifest
            for identity, manifest in self.objects.items()
            if identity.name == name and (kind is None or identity.kind.lower() == kind.lower())
        ]
        return found[0] if found else None

    def run(self, *arguments: str, stdin: str = "", server: str | None = None, **_: object) -> str:
        match arguments:
            case ("wait", *_):
                if self.refuse_waiting:
                    raise KubectlError(self.refuse_waiting)
                return ""
            case ("delete", "--ignore-not-found", *_):
                return self._delete([identify(item) for item in json.loads(stdin)["items"]])
            case ("delete", resource, selector, place, *_) if selector.startswith("--selector="):
                label = selector.removeprefix("--selector=")
                return self._delete(
                    [
                        identity
                        for identity, item in self.objects.items()
                        if _serves(resource, identity)
                        and f"--namespace={identity.namespace}" == place
                        and label in item["metadata"].get("labels", {})
                    ]
                )
            case ("delete", resource, name, *_):
                named = [one for one in self.objects if one.name == name]
                return self._delete([one for one in named if _serves(_plural(resource), one)])
            case ("get", "workspaces.tenancy.kcp.io", name, *_) if server:
                return f"workspace/{name}" if name in self.workspaces else ""
        message = f"an unexpected command: {arguments}"
        raise AssertionError(message)

    def get(self, *arguments: str, **_: object) -> Object | None:
        resource, *rest = arguments
        if resource in self.refuse:
            raise KubectlError(self.refuse[resource])
        if "--all-namespaces" in rest:
            return {"items": [item for identity, item in self.objects.items() if _serves(resource, identity)]}
        if rest[1:] and rest[1].startswith("--selector="):
            place, selector = rest[0].removeprefix("--namespace="), rest[1].removeprefix("--selector=")
            return {
                "items": [
                    item
                    for identity, item in self.objects.items()
                    if _serves(resource, identity)
                    and identity.namespace == place
                    and selector in item["metadata"].get("labels", {})
                ]
            }
        plural = resource.partition("/")[0].split(".")[0]
        return self.named(resource.partition("/")[2] or rest[0], plural.removesuffix("s"))

    def _change(self, item: Object) -> None:
        before = self.objects.get(identify(item))
        if before is None or before["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
            message = f"{item['metadata']['name']}: the object has been modified"
            raise KubectlError(message)
        version = str(int(item["metadata"]["resourceVersion"]) + 1)
        metadata = {**before["metadata"], "resourceVersion": version}
        self.add({**before, "metadata": metadata, "spec": {**before.get("spec", {}), **item["spec"]}})

    def _delete(self, identities: list[Identity]) -> str:
        for identity in identities:
            if reason := self.refuse.get(identity.name):
                raise KubectlError(reason)
            if self.objects.pop(identity, None) is not None:
                self.deleted.append(identity)
        return ""


class FakeApi:
    """The requests for one object each, of the same memory."""

    def __init__(self, kubectl: FakeKubectl) -> None:
        self._kubectl = kubectl

    def each(self, function: Callable[[Any], Any], items: Iterable[Any], **_: object) -> list[Any]:
        answers, errors = [], []
        for item in items:
            try:
                answers.append(function(item))
            except KubectlError as error:
                errors.append((item, error))
        if errors:
            raise RefusedError(errors)
        return answers

    def find(self, identity: Identity) -> Object | None:
        if reason := self._kubectl.refuse.get(identity.kind.lower()):
            raise KubectlError(reason)
        found = self._kubectl.objects.get(identity)
        if found:
            found = _versioned(found)
        if found and identity.kind == "CustomResourceDefinition":
            self._kubectl.unestablished -= 1
            if self._kubectl.unestablished > 0:
                # What a server tells of one that was made just now.
                return {**found, "status": {"conditions": None, "storedVersions": None}}
            status = str(self._kubectl.unestablished < 0)
            return {**found, "status": {"conditions": [{"type": "Established", "status": status}]}}
        return found

    def apply(self, item: Object, _manager: str, *, force: bool = True) -> Object:
        self._kubectl.applied.append(identify(item))
        self._kubectl.forced.append(force)
        if reason := self._kubectl.refuse.get(item["metadata"]["name"]):
            raise KubectlError(reason)
        if "resourceVersion" in item["metadata"]:
            self._kubectl._change(item)
        else:
            self._kubectl.add(item)
        return item

    def patch(self, identity: Identity, patch: Object, _manager: str) -> None:
        """Change the metadata; what was deleted goes with its last finalizer."""
        self._kubectl.patched.append((identity, patch))
        if reason := self._kubectl.refuse.get(identity.name):
            raise KubectlError(reason)
        there = self._kubectl.objects[identity]
        if there["metadata"].get("deletionTimestamp") and patch["metadata"].get("finalizers") == []:
            self._kubectl._delete([identity])
        else:
            metadata = {**there["metadata"], **patch["metadata"]}
            self._kubectl.add({**there, "metadata": metadata})

    def delete(self, identity: Identity) -> None:
        """Take an object away, or mark what a finalizer holds."""
        metadata = self._kubectl.objects[identity]["metadata"]
        if metadata.get("finalizers"):
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        else:
            self._kubectl._delete([identity])

    def pages(self, resource: str) -> Iterator[list[Object]]:
        """One object a page."""
        found = [item for one, item in self._kubectl.objects.items() if _serves(resource, one)]
        yield from ([_versioned(item)] for item in found)


def _plural(resource: str) -> str:
    """A resource as kubectl takes it, in the plural: it takes the singular, too."""
    return resource if "." in resource or resource.endswith("s") else f"{resource}s"


def _versioned(item: Object) -> Object:
    return {**item, "metadata": {"resourceVersion": "1", **item["metadata"]}}


def _serves(resource: str, identity: Identity) -> bool:
    plural, _, group = resource.partition(".")
    return identity.group == group and f"{identity.kind.lower()}s" == plural


def manifest(kind: str, name: str, api_version: str = "v1", namespace: str = "", **more: object) -> Object:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}


def definition(kind: str, group: str) -> Object:
    plural = f"{kind.lower()}s"
    return manifest(
        "CustomResourceDefinition",
        f"{plural}.{group}",
        "apiextensions.k8s.io/v1",
        spec={"group": group, "names": {"kind": kind, "plural": plural}},
    )
