"""What is known about kinds without asking an API server: which are refused, which fields are fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from local.plugins.kubernetes.objects import SECRET, Kind, Object
from local.plugins.protocol.errors import ProviderError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.plugins.kubernetes.settings import Settings
    from local.plugins.protocol.paths import Path
    from local.plugins.protocol.values import Value

PLUGIN: Final = "kubernetes"
REFUSED_MODULES: Final = ("helm.sh/", "kustomize", "yaml")
"""Modules of the package that hold no kinds but Charts, Directories, ConfigFiles and the like."""
_BUILT_IN_GROUPS: Final = frozenset({"", "apps", "autoscaling", "batch", "extensions", "policy"})

_SELECTOR: Final = (("spec", "selector"),)
_FORCE_NEW: Final[Mapping[tuple[str, str], tuple[Path, ...]]] = {
    ("", "PersistentVolumeClaim"): tuple(
        ("spec", name) for name in ("accessModes", "selector", "storageClassName", "volumeName")
    ),
    ("", "ResourceQuota"): (("spec", "scopes"),),
    ("", "Service"): (("spec", "clusterIP"),),
    ("apps", "DaemonSet"): _SELECTOR,
    ("apps", "Deployment"): _SELECTOR,
    ("apps", "StatefulSet"): tuple(
        ("spec", name)
        for name in (
            "podManagementPolicy",
            "revisionHistoryLimit",
            "selector",
            "serviceName",
            "volumeClaimTemplates",
        )
    ),
    ("batch", "Job"): tuple(
        ("spec", name) for name in ("completions", "parallelism", "selector", "template")
    ),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): (("roleRef",),),
    ("rbac.authorization.k8s.io", "RoleBinding"): (("roleRef",),),
    ("storage.k8s.io", "StorageClass"): (("parameters",), ("provisioner",)),
}
"""Fields whose change replaces the object, by group and kind (as provider/pkg/provider/diff.go has them)."""
_IDENTITY: Final[tuple[Path, ...]] = (("metadata", "name"), ("metadata", "namespace"))
_POD_MUTABLE: Final = frozenset(
    {"activeDeadlineSeconds", "tolerations", "containers", "initContainers", "schedulingGates"}
)


def resource_type(urn: str) -> str:
    """Return the type of the resource itself from an URN, for example ``kubernetes:apps/v1:Deployment``."""
    return urn.split("::")[2].rpartition("$")[2]


def kind_from_type(token: str) -> Kind:
    """Return the kind that a resource type names.

    Parameters
    ----------
    token : str
        For example ``kubernetes:core/v1:Namespace`` or ``kubernetes:tenancy.kcp.io/v1alpha1:Workspace``.

    Returns
    -------
    Kind
        With the core group's ``apiVersion`` as ``v1``.

    Raises
    ------
    ProviderError
        Where the token is no type of this package.
    """
    package, _, rest = token.partition(":")
    module, _, kind = rest.rpartition(":")
    if package != PLUGIN or not module or not kind:
        raise ProviderError(f"{token!r} is not a resource type of package {PLUGIN}")
    group, _, version = module.rpartition("/")
    return Kind(version if group == "core" else module, kind)


def refuse_unsupported(token: str, inputs: Mapping[str, Value]) -> None:
    """Refuse the types that are no Kubernetes kind, by name.

    Parameters
    ----------
    token : str
        The resource type.
    inputs : Mapping[str, Value]
        The resource's inputs.

    Raises
    ------
    UnsupportedError
        For Helm, Kustomize, YAML files, lists and patches.
    """
    module = token.split(":")[1] if ":" in token else ""
    if module.startswith(REFUSED_MODULES):
        raise UnsupportedError(f"resource type {token}", PLUGIN)
    kind = kind_from_type(token)
    built_in = kind.group in _BUILT_IN_GROUPS or kind.group.endswith(".k8s.io")
    if built_in and kind.kind.endswith("List"):
        raise UnsupportedError(f"list type {token}", PLUGIN, "write its items as resources of their own")
    if kind.kind.endswith("Patch") and (built_in or inputs.get("kind") == kind.kind.removesuffix("Patch")):
        raise UnsupportedError(f"patch type {token}", PLUGIN)


def force_new(obj: Object, settings: Settings) -> tuple[Path, ...]:
    """Return the fields whose change replaces an object.

    Parameters
    ----------
    obj : Object
        The new inputs.
    settings : Settings
        The provider's: by default a changed Secret or ConfigMap is replaced even though Kubernetes could
        update it, as the official plugin does, unless ``enableSecretMutable`` or ``enableConfigMapMutable``
        is set.

    Returns
    -------
    tuple of Path
        Identity first.
    """
    kind = Kind(str(obj.get("apiVersion", "")), str(obj.get("kind", "")))
    immutable = obj.get("immutable") is True
    if kind == SECRET:
        data: tuple[Path, ...] = (
            (("data",), ("stringData",)) if immutable or not settings.secret_mutable else ()
        )
        return (*_IDENTITY, ("type",), *data)
    if kind == Kind("v1", "ConfigMap"):
        return (
            *_IDENTITY,
            *((("data",), ("binaryData",)) if immutable or not settings.config_map_mutable else ()),
        )
    if kind == Kind("v1", "Pod"):
        return (*_IDENTITY, *(("spec", key) for key in obj.get("spec", {}) if key not in _POD_MUTABLE))
    return (*_IDENTITY, *_FORCE_NEW.get((kind.group, kind.kind), ()))
