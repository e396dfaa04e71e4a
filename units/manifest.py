"""Manifests as the runner sees them: objects, their identities and their order."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from units.errors import UnitError

if TYPE_CHECKING:
    from collections.abc import Iterable

Manifest = dict[str, Any]

CRD: Final = "CustomResourceDefinition"

_RBAC: Final = ("Role", "ClusterRole", "ServiceAccount")
_BINDING: Final = ("RoleBinding", "ClusterRoleBinding")
_WORKLOADS: Final = (
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
    "Pod",
    "HorizontalPodAutoscaler",
)
_WEBHOOKS: Final = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "APIService")
_PLAIN: Final = (
    "ConfigMap",
    "Secret",
    "ResourceQuota",
    "LimitRange",
    "NetworkPolicy",
    "PodDisruptionBudget",
    # It doesn't go while a pod uses it.
    "PersistentVolumeClaim",
    # What they hold a workload to has to hold as long as that runs.
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
)

_NAMESPACES, _DEFINITIONS, _RIGHTS, _GRANTS, _DATA, _SERVICES, _RUNNING, _ADMISSION, _CUSTOM = range(9)

# On the way down custom objects go while their controllers still run, then their definitions (whose
# remaining objects may need a controller too), then what stands in the way of deletes, and so on down to
# namespaces.
_DELETE_ORDER: Final = (
    _CUSTOM,
    _DEFINITIONS,
    _ADMISSION,
    _RUNNING,
    _SERVICES,
    _DATA,
    _GRANTS,
    _RIGHTS,
    _NAMESPACES,
)


@dataclass(frozen=True, order=True, kw_only=True)
class Identity:
    """Which object it is.

    Attributes
    ----------
    api_version
        Its API version.
    kind
        Its kind.
    namespace
        Its namespace; an empty text for what has none.
    name
        Its name.
    """

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {place}"

    @property
    def group(self) -> str:
        """Its API group; an empty text for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What stays the same when a release moves an object to another version of its API."""
        return (self.group, self.kind, self.namespace, self.name)

    @property
    def stage(self) -> int:
        """In which stage it is applied."""
        stages = {
            "Namespace": _NAMESPACES,
            CRD: _DEFINITIONS,
            "Service": _SERVICES,
            **dict.fromkeys(_RBAC, _RIGHTS),
            # A server lets somebody grant only what a role holds that is there.
            **dict.fromkeys(_BINDING, _GRANTS),
            **dict.fromkeys(_PLAIN, _DATA),
            **dict.fromkeys(_WORKLOADS, _RUNNING),
            **dict.fromkeys(_WEBHOOKS, _ADMISSION),
        }
        return stages.get(self.kind, _CUSTOM)

    def reference(self) -> Manifest:
        """Make the least manifest by which kubectl finds it."""
        metadata = {"name": self.name} | ({"namespace": self.namespace} if self.namespace else {})
        return {"apiVersion": self.api_version, "kind": self.kind, "metadata": metadata}


def identify(manifest: Manifest) -> Identity:
    """Tell which object a manifest describes.

    Parameters
    ----------
    manifest
        The object.

    Raises
    ------
    UnitError
        It is not an object.
    """
    try:
        metadata = manifest["metadata"]
        return Identity(
            api_version=manifest["apiVersion"],
            kind=manifest["kind"],
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
        )
    except (KeyError, TypeError, AttributeError):
        raise UnitError("the manifest holds something that is not an object with a name") from None


def parse(text: str) -> list[Manifest]:
    """Read the objects of a manifest.

    Parameters
    ----------
    text
        YAML documents; those of one line of JSON each, as releases are written, are read without a YAML
        parser.

    Raises
    ------
    UnitError
        It can't be read, or names an object twice.
    """
    lines = [line for line in text.splitlines() if line and line != "---"]
    try:
        objects = [json.loads(line) for line in lines] if lines and lines[0].startswith("{") else _yaml(text)
    except ValueError as error:
        raise UnitError(f"the manifest can't be read: {error}") from None
    seen: set[Identity] = set()
    for manifest in objects:
        identity = identify(manifest)
        if identity in seen:
            raise UnitError(f"the manifest names {identity} twice")
        seen.add(identity)
    return objects


def in_apply_order(manifests: Iterable[Manifest]) -> list[Manifest]:
    """Order objects so that each comes after what it needs.

    Parameters
    ----------
    manifests
        The objects.
    """
    return sorted(manifests, key=lambda manifest: identify(manifest).stage)


def in_apply_stages(manifests: Iterable[Manifest]) -> list[list[Manifest]]:
    """Group objects so that each comes after what it needs, and those of a group need one another in nothing.

    Parameters
    ----------
    manifests
        The objects.
    """
    ordered = in_apply_order(manifests)
    return [list(stage) for _, stage in groupby(ordered, lambda manifest: identify(manifest).stage)]


def in_delete_stages(identities: Iterable[Identity]) -> list[list[Identity]]:
    """Group objects by the stage in which they are deleted; stages without any are left out.

    Parameters
    ----------
    identities
        The objects.
    """
    known = sorted(identities)
    stages = ([one for one in known if one.stage == stage] for stage in _DELETE_ORDER)
    return [stage for stage in stages if stage]


def defined_kinds(definitions: Iterable[Manifest]) -> set[tuple[str, str]]:
    """List the kinds that CustomResourceDefinitions define.

    Parameters
    ----------
    definitions
        The definitions.

    Returns
    -------
    set
        Group and kind of each.
    """
    return {(definition["spec"]["group"], definition["spec"]["names"]["kind"]) for definition in definitions}


def serialize(manifests: Iterable[Manifest]) -> str:
    """Write objects as one List for kubectl's standard input.

    Parameters
    ----------
    manifests
        The objects.
    """
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})


def _yaml(text: str) -> list[Manifest]:
    import yaml  # noqa: PLC0415 -- only where it is needed: a release is JSON, and the start stays fast

    try:
        return [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise ValueError(str(error).replace("\n", " ")) from None
