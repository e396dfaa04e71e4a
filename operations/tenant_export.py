"""Taking what a tenant made out of its workspace, and putting it into another one.

A run that is created again runs again. So the PipelineRuns of an export are for the record: they keep their
status, and each is marked pending, so that Tekton starts none whatever applies it. `restore` leaves them out.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from components.access import PIPELINE_RESOURCES, WORKSPACE_ACCESS
from components.names import PART_OF, digest
from components.tenant_manifests import QUOTA_NAMESPACE
from operations.errors import OperationError
from stacks.vocabulary import RESERVED_NAMESPACES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from operations.api_servers import ApiServer

FIELD_MANAGER: Final = "pipeline-service-restore"

_RUN: Final = "PipelineRun"
_TEKTON: Final = "tekton.dev"
_CORE: Final = ("configmaps", "secrets", "serviceaccounts")
_BY_KCP: Final = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
"""What kcp makes in each namespace by itself."""

_TOKEN: Final = "kubernetes.io/service-account-token"  # noqa: S105 -- a type of Secrets
"""Secrets of this type are made for one ServiceAccount of one workspace, and worth nothing elsewhere."""

_ORDER: Final = ("ServiceAccount", "ConfigMap", "Secret")
"""What others refer to comes first."""

_WIDTH: Final = 1_000_000
"""Characters of a line: a text is not folded."""

_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, kw_only=True)
class Export:
    """What a tenant made.

    Attributes
    ----------
    text
        The file: a List with a comment above it. It may hold Secrets.
    counts
        Number of objects by kind.
    """

    text: str = field(repr=False)
    counts: Mapping[str, int]

    @property
    def sha256(self) -> str:
        """Digest of the file."""
        return digest(self.text)


def export(server: ApiServer, tenant: str) -> Export:
    """Read everything that a tenant made in its workspace: all of it, or nothing and an error.

    Parameters
    ----------
    server
        The workspace.
    tenant
        Name of the tenant.

    Raises
    ------
    OperationError
        Not everything could be read.
    """
    found = server.objects(",".join(_resources(server)), "--all-namespaces")
    objects = sorted((cleaned(one) for one in found if is_tenants(one)), key=_rank)
    counts = Counter(one["kind"] for one in objects)
    # No time stands here: the same objects give the same file.
    header = [
        f"# What tenant {tenant} made in {server.name}: {numbers(counts)}.",
        *(
            ["# The values of the Secrets stand here in plain text: keep this file as you keep them."]
            if counts["Secret"]
            else []
        ),
        "# Into a new tenant's workspace:",
        "#   .venv/bin/python -m operations tenant restore NAME --stack STACK --from FILE",
        "# PipelineRuns are here for the record. They are marked pending, so that none runs again.",
    ]
    document = {"apiVersion": "v1", "kind": "List", "items": objects}
    return Export(text="\n".join([*header, dumped(document)]), counts=counts)


def has_users(server: ApiServer) -> bool:
    """Tell whether anybody may enter a workspace, as long as its tenant's suspension is not applied.

    Parameters
    ----------
    server
        The workspace.

    Raises
    ------
    OperationError
        It gives no answer.
    """
    bindings = server.objects("clusterrolebindings")
    return any(one["roleRef"]["name"] == WORKSPACE_ACCESS and is_ours(one) for one in bindings)


def restore(server: ApiServer, text: str, namespaces: Sequence[str]) -> Mapping[str, int]:
    """Put what an export holds into a workspace, but for the PipelineRuns.

    An object that is there already and differs is not overwritten: that is an error. What was restored before
    stays as it is, so this can be run again.

    Parameters
    ----------
    server
        The workspace.
    text
        The export's file.
    namespaces
        Namespaces of the tenant.

    Returns
    -------
    Mapping
        Number of restored objects by kind.

    Raises
    ------
    OperationError
        This is no export, the tenant lacks a namespace of it, or the workspace refuses an object.
    """
    objects = [one for one in _objects(text) if one["kind"] != _RUN]
    lacking = sorted({str(one["metadata"]["namespace"]) for one in objects} - set(namespaces))
    if lacking:
        raise OperationError(
            f"{server.name}: the export has objects in namespaces that the tenant's entry doesn't name:"
            f" {', '.join(lacking)}; add them to its `namespaces`, and `pulumi up`"
        )
    if objects:
        try:
            document = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        except (TypeError, ValueError) as error:  # a set, bytes, or a part that refers to itself
            raise OperationError(
                f"the export holds what an API server has no use for ({error}); write texts, numbers, lists"
                " and mappings there"
            ) from error
        server.kubectl(
            "apply",
            "--server-side",
            f"--field-manager={FIELD_MANAGER}",
            "--filename=-",
            stdin=document,
        )
    return Counter(one["kind"] for one in objects)


def numbers(counts: Mapping[str, int]) -> str:
    """Write numbers of objects.

    Parameters
    ----------
    counts
        Numbers by kind.
    """
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "nothing"


def is_tenants(one: Mapping[str, Any]) -> bool:
    """Tell whether an object is the work of a tenant's users: neither this program's nor kcp's own.

    Parameters
    ----------
    one
        The object.
    """
    metadata = one["metadata"]
    return (
        not metadata["namespace"].startswith(RESERVED_NAMESPACES)
        and metadata["namespace"] != QUOTA_NAMESPACE
        # Of these kinds only service accounts are made by this program; others may carry its label by chance.
        and not (one["kind"] == "ServiceAccount" and is_ours(one))
        and (one["kind"], metadata["name"]) not in _BY_KCP
        and one.get("type") != _TOKEN
    )


def is_ours(one: Mapping[str, Any]) -> bool:
    """Tell whether an object is this program's.

    Parameters
    ----------
    one
        The object.
    """
    return (one["metadata"].get("labels") or {}).get("app.kubernetes.io/part-of") == PART_OF


def cleaned(one: Mapping[str, Any]) -> dict[str, Any]:
    """Take out of an object what the server or the syncer wrote, and mark a run so that it doesn't run again.

    Parameters
    ----------
    one
        The object.
    """
    given = one["metadata"]
    metadata: dict[str, Any] = {"name": given["name"], "namespace": given["namespace"]}
    for key in ("labels", "annotations"):
        if kept := {name: value for name, value in (given.get(key) or {}).items() if not _is_servers(name)}:
            metadata[key] = kept
    made = {key: value for key, value in one.items() if key not in ("metadata", "status")}
    # What a ServiceAccount lists there are tokens of the old workspace.
    if made["kind"] == "ServiceAccount":
        made.pop("secrets", None)
    if made["kind"] == _RUN:
        made["spec"] = {**made["spec"], "status": "PipelineRunPending"}
        if "status" in one:
            made["status"] = one["status"]
    head = {"apiVersion": made.pop("apiVersion"), "kind": made.pop("kind"), "metadata": metadata}
    return {**head, **made}


def _resources(server: ApiServer) -> list[str]:
    """List the resources that tenants work with: those of Tekton's groups, and a few of the core's."""
    known = server.kubectl("api-resources", "--namespaced", "--verbs=list,create", "--output=name").split()
    groups = {name: name.partition(".")[2] for name in known}
    tekton = [name for name in known if groups[name] == _TEKTON or groups[name].endswith(f".{_TEKTON}")]
    if missing := sorted({f"{plural}.{_TEKTON}" for plural in PIPELINE_RESOURCES} - set(tekton)):
        raise OperationError(
            f"{server.name}: it serves no {', '.join(missing)} now, so an export would be incomplete;"
            " see that its APIBinding is Bound, and run this again"
        )
    return [*_CORE, *tekton]


def _objects(text: str) -> list[dict[str, Any]]:
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 -- a safe one
    except yaml.YAMLError as error:
        raise OperationError(
            f"the export is not YAML ({type(error).__name__}); give an export's file"
        ) from None
    items = document.get("items") if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise OperationError("the file holds no list of objects; give what `tenant retire` wrote")
    for number, one in enumerate(items):
        metadata = one.get("metadata") if isinstance(one, dict) else None
        named = (one.get("kind"), metadata.get("namespace")) if isinstance(metadata, dict) else ()
        if not named or not all(name and isinstance(name, str) for name in named):
            raise OperationError(
                f"items.{number}: it is no object with kind and metadata.namespace; give what `tenant retire`"
                " wrote, or mend it"
            )
    return items


def _rank(one: Mapping[str, Any]) -> tuple[int, str, str, str]:
    kind = one["kind"]
    first = _ORDER.index(kind) if kind in _ORDER else len(_ORDER) + (kind == _RUN)
    return first, kind, one["metadata"]["namespace"], one["metadata"]["name"]


def _is_servers(key: str) -> bool:
    prefix = key.rpartition("/")[0]
    return key == _LAST_APPLIED or prefix == "kcp.io" or prefix.endswith(".kcp.io")


def dumped(document: Mapping[str, Any]) -> str:
    """Write a document as YAML in which every text is quoted.

    Parameters
    ----------
    document
        The document.
    """
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH))


# The C library where there is one: an export can have megabytes.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads a point in time as the text that it is to an API server."""


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_yaml_str)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Quotes every text, keys too: to kubectl a plain `y` is a boolean and `1e3` a number."""


_Dumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)
