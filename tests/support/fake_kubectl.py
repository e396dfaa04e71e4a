"""A kubectl in memory: what the units' runner asks of an API server, and nothing else."""

from __future__ import annotations

import json
from typing import Any

from units.errors import KubectlError
from units.manifest import Identity, identify

Object = dict[str, Any]


class FakeKubectl:
    """Keeps objects; fails on any command that it doesn't know.

    Attributes
    ----------
    objects
        What exists, by identity.
    applied
        The identities of each call of apply, in order.
    deleted
        The identities that were deleted, in order.
    refuse
        An error to raise for an object's name.
    refuse_waiting
        An error to raise for every wait.
    """

    def __init__(self) -> None:
        self.objects: dict[Identity, Object] = {}
        self.applied: list[list[Identity]] = []
        self.deleted: list[Identity] = []
        self.waited: list[tuple[str, ...]] = []
        self.patched: list[tuple[str, ...]] = []
        self.forced: list[bool] = []
        self.refuse: dict[str, str] = {}
        self.refuse_waiting = ""
        self.workspaces: set[str] = set()

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

    def run(self, *arguments: str, stdin: str = "", server: str | None = None, **_: object) -> str:  # noqa: C901, PLR0911 -- one for each command
        match arguments:
            case ("apply", "--server-side", *options):
                return self._apply(json.loads(stdin)["items"], options)
            case ("wait", *_):
                self.waited.append(arguments)
                if self.refuse_waiting:
                    raise KubectlError(self.refuse_waiting)
                return ""
            case ("delete", "--ignore-not-found", *_):
                return self._delete([identify(item) for item in json.loads(stdin)["items"]])
            case ("delete", "configmap", name, *_):
                return self._delete(
                    [one for one in self.objects if (one.kind, one.name) == ("ConfigMap", name)]
                )
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
            case ("delete", resource, "--all", *_):
                return self._mark(resource)
            case ("patch", resource, name, *_):
                self.patched.append(arguments)
                return self._delete(
                    [one for one in self.objects if one.name == name and _serves(resource, one)]
                )
            case ("get", "--filename=-", *_):
                asked = [identify(item) for item in json.loads(stdin)["items"]]
                found = [self.objects[identity] for identity in asked if identity in self.objects]
                return json.dumps({"kind": "List", "items": found})
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
        plural = resource.partition("/")[0].split(".")[0]
        return self.named(resource.partition("/")[2] or rest[0], plural.removesuffix("s"))

    def _apply(self, items: list[Object], options: list[str]) -> str:
        self.applied.append([identify(item) for item in items])
        self.forced.append("--force-conflicts" in options)
        for item in items:
            if reason := self.refuse.get(item["metadata"]["name"]):
                raise KubectlError(reason)
            self._change(item) if "resourceVersion" in item["metadata"] else self.add(item)
        return ""

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

    def _mark(self, resource: str) -> str:
        for identity in [one for one in self.objects if _serves(resource, one)]:
            if not self.objects[identity]["metadata"].get("finalizers"):
                self._delete([identity])
        return ""


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
