"""The words settings are made of: constrained types and enumerations."""

import re
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from components.tenant_manifests import QUOTA_NAMESPACE
from stacks.problems import refuse

CLUSTER_NAME_MAX: Final = 40
TENANT_NAME_MAX: Final = 40
NAMESPACE_NAME_MAX: Final = 63
WORKSPACE_NAME_MAX: Final = 63
WORKSPACE_PATH_MAX: Final = 200

KCP_TARGET: Final = "kcp"
"""Name of kcp beside the compute clusters' (`.run/<stack>/kubeconfigs`): none of them can have it."""

RESERVED_NAMESPACES: Final = ("kube-", "kcp-", "pipeline-service", "tekton-")
"""Beginnings of namespaces' names that belong to the platform, not to a tenant."""

_LABEL: Final = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_PATH: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(:[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_QUANTITY: Final = re.compile(r"(\d+(\.\d+)?|\.\d+)(m|k|[KMGTPE]i|[MGTPE])?")
_SECRET_KEY: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


class ClusterState(StrEnum):
    """What may happen on a compute cluster."""

    ACTIVE = "active"
    CORDONED = "cordoned"
    DRAINING = "draining"
    UNREACHABLE = "unreachable"
    GONE = "gone"


class Distribution(StrEnum):
    """The kind of Kubernetes a compute cluster is."""

    KUBERNETES = "kubernetes"
    OPENSHIFT = "openshift"


def _label(value: str, *, longest: int) -> str:
    if len(value) > longest:
        refuse(f"the name has {len(value)} characters", f"use {longest} at most")
    if not _LABEL.fullmatch(value):
        refuse(
            "not a DNS label",
            "use lower-case letters, digits and hyphens, beginning with a letter and not ending in a hyphen",
        )
    return value


def _cluster_name(value: str) -> str:
    if value == KCP_TARGET:
        refuse("the name is reserved for kcp itself", f"use another than {KCP_TARGET}")
    return _label(value, longest=CLUSTER_NAME_MAX)


def _tenant_name(value: str) -> str:
    return _label(value, longest=TENANT_NAME_MAX)


def _namespace_name(value: str) -> str:
    if value == QUOTA_NAMESPACE:
        refuse("kcp keeps this namespace for the quota of a workspace", "use another name")
    if value.startswith(RESERVED_NAMESPACES):
        refuse(
            "the namespace belongs to the platform",
            f"use a name that doesn't begin with {', '.join(RESERVED_NAMESPACES)}",
        )
    return _label(value, longest=NAMESPACE_NAME_MAX)


def _workspace_name(value: str) -> str:
    return _label(value, longest=WORKSPACE_NAME_MAX)


def _workspace_path(value: str) -> str:
    if len(value) > WORKSPACE_PATH_MAX or not _PATH.fullmatch(value):
        refuse(
            "not a kcp workspace path", "write it from the root, names joined by colons: root:team:service"
        )
    return value


def _quantity(value: str) -> str:
    if not _QUANTITY.fullmatch(value):
        refuse("not a Kubernetes quantity", 'write a number with a unit, in quotes: "500m", "8", "16Gi"')
    return value


def _subject_name(value: str) -> str:
    if not value or not value.isprintable() or value != value.strip():
        refuse(
            "not a user's or group's name",
            "write it as the identity provider gives it, without spaces around",
        )
    if value.startswith("system:"):
        # system:masters, system:authenticated … would open a tenant to everybody or to kcp's own machinery.
        refuse("names beginning with system: belong to kcp", "name the users or groups themselves")
    return value


def _secret_key(value: str) -> str:
    if not _SECRET_KEY.fullmatch(value):
        refuse(
            "not a configuration key",
            "write the key alone, as in: pulumi config set --secret kcpKubeconfig",
        )
    return value


def _file_path(value: str) -> str:
    if not value or not value.isprintable():
        refuse("not a file's path", "write a path relative to the project's folder, or an absolute one")
    return value


ClusterName = Annotated[str, AfterValidator(_cluster_name)]
TenantName = Annotated[str, AfterValidator(_tenant_name)]
NamespaceName = Annotated[str, AfterValidator(_namespace_name)]
WorkspaceName = Annotated[str, AfterValidator(_workspace_name)]
WorkspacePath = Annotated[str, AfterValidator(_workspace_path)]
Quantity = Annotated[str, AfterValidator(_quantity)]
SubjectName = Annotated[str, AfterValidator(_subject_name)]
SecretKey = Annotated[str, AfterValidator(_secret_key)]
FilePath = Annotated[str, AfterValidator(_file_path)]
Count = Annotated[int, Field(strict=True, ge=1, le=100_000)]
Incarnation = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
