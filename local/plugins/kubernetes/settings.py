"""The provider's configuration, and when a change of it replaces everything the provider manages."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from local.plugins.kubernetes.kubeconfig import active_cluster, parse_kubeconfig
from local.plugins.protocol.differences import differences
from local.plugins.protocol.errors import ProviderError, UnsupportedError
from local.plugins.protocol.values import UNKNOWN, reveal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.plugins.protocol.values import Properties

CLUSTER_IDENTIFIER: Final = "clusterIdentifier"
_ENVIRONMENT: Final = {
    "deleteUnreachable": "PULUMI_K8S_DELETE_UNREACHABLE",
    "skipUpdateUnreachable": "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE",
    "enableServerSideApply": "PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY",
    "enableConfigMapMutable": "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE",
    "enableSecretMutable": "PULUMI_K8S_ENABLE_SECRET_MUTABLE",
    "enablePatchForce": "PULUMI_K8S_ENABLE_PATCH_FORCE",
    "upsertExistingObjects": "PULUMI_K8S_UPSERT_EXISTING_OBJECTS",
}
"""Flags that an environment variable sets where the configuration does not."""
_REFUSED: Final = (
    "alwaysRender",
    "helmReleaseSettings",
    "kubeClientSettings",
    "rejectUnknownResources",
    "renderYamlToDirectory",
    "strictMode",
)
_KNOWN: Final = frozenset(
    {
        *_ENVIRONMENT,
        *_REFUSED,
        CLUSTER_IDENTIFIER,
        "cluster",
        "context",
        "kubeconfig",
        "namespace",
        "skipHookWarnings",
        "suppressDeprecationWarnings",
        "suppressHelmHookWarnings",
        "version",
    }
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What one Provider resource is configured with.

    Attributes
    ----------
    kubeconfig : str
        A kubeconfig's text or path; empty for the environment's.
    context, cluster : str
        Which of its entries count; empty for its current ones.
    namespace : str
        Namespace of objects that name none; empty for the context's.
    delete_unreachable : bool
        Whether objects of an unreachable API server are dropped from the state.
    skip_update_unreachable : bool
        Whether they are left as they are.
    config_map_mutable, secret_mutable : bool
        Whether changed data updates a ConfigMap or Secret; otherwise it replaces it.
    patch_force : bool
        Whether an update takes over fields that another field manager owns.
    upsert : bool
        Whether a creation takes over an object that exists, rather than fail.
    """

    kubeconfig: str = ""
    context: str = ""
    cluster: str = ""
    namespace: str = ""
    delete_unreachable: bool = False
    skip_update_unreachable: bool = False
    config_map_mutable: bool = False
    secret_mutable: bool = False
    patch_force: bool = False
    upsert: bool = False

    @classmethod
    def from_variables(
        cls, variables: Mapping[str, str], environment: Mapping[str, str] = os.environ
    ) -> Self:
        """Read the configuration that the engine sends.

        Parameters
        ----------
        variables : Mapping[str, str]
            ``kubernetes:config:<key>`` to value, booleans as ``true`` and ``false``.
        environment : Mapping[str, str], optional
            The process's environment, for flags that the configuration leaves open.

        Returns
        -------
        Settings
            The configuration.

        Raises
        ------
        UnsupportedError
            Where it asks for what the stand-in does not do.
        """
        config = {key.removeprefix("kubernetes:config:"): value for key, value in variables.items()}

        def flag(name: str, *, default: bool = False) -> bool:
            text = config.get(name, environment.get(_ENVIRONMENT[name], str(default)))
            return text.lower() == "true"

        if not flag("enableServerSideApply", default=True):
            raise UnsupportedError(
                "enableServerSideApply: false",
                "kubernetes",
                "leave it out: only server-side apply is implemented",
            )
        return cls(
            kubeconfig=config.get("kubeconfig", ""),
            context=config.get("context", ""),
            cluster=config.get("cluster", ""),
            namespace=config.get("namespace", ""),
            delete_unreachable=flag("deleteUnreachable"),
            skip_update_unreachable=flag("skipUpdateUnreachable"),
            config_map_mutable=flag("enableConfigMapMutable"),
            secret_mutable=flag("enableSecretMutable"),
            patch_force=flag("enablePatchForce"),
            upsert=flag("upsertExistingObjects"),
        )


def check_settings(inputs: Properties) -> dict[str, str]:
    """Find what is wrong with a Provider's inputs.

    Parameters
    ----------
    inputs : Properties
        As the program gave them.

    Returns
    -------
    dict of str to str
        Input to reason; empty where all is well.
    """
    failures = {}
    for key, wrapped in inputs.items():
        value = reveal(wrapped)
        if key in _REFUSED and value not in (None, False, "", "false"):
            failures[key] = str(UnsupportedError(f"provider input {key}", "kubernetes"))
        elif key not in _KNOWN and not key.startswith("__"):
            failures[key] = (
                f"{key} is not an input of kubernetes:Provider that this stand-in knows: remove it"
            )
        elif key == "kubeconfig" and isinstance(value, str) and value:
            try:
                parse_kubeconfig(value)
            except ProviderError as error:
                failures[key] = str(error)
    return failures


def replacing_settings(old: Properties, new: Properties) -> tuple[list[str], list[str]]:
    """Find which changes of a Provider's inputs replace all that it manages.

    Parameters
    ----------
    old, new : Properties
        The Provider's inputs.

    Returns
    -------
    tuple of (list of str, list of str)
        The inputs that changed, and those among them that replace. With an unchanged ``clusterIdentifier``
        none does; a changed one always does; without one a changed or unknown active cluster does.
    """
    old, new = reveal(old), reveal(new)
    changed = sorted({str(path[0]) for path in differences(old, new)} - {"version"})
    identified = new.get(CLUSTER_IDENTIFIER)
    if identified is not None and old.get(CLUSTER_IDENTIFIER) is not None:
        return changed, [CLUSTER_IDENTIFIER] if CLUSTER_IDENTIFIER in changed else []
    candidates: list[str] = [key for key in ("kubeconfig", "context", "cluster") if key in changed]
    if any(new.get(key) is UNKNOWN for key in candidates):
        return changed, [key for key in candidates if new.get(key) is UNKNOWN]
    if candidates and _active_cluster(old) != _active_cluster(new):
        return changed, candidates
    return changed, []


def _active_cluster(inputs: Properties) -> object:
    kubeconfig = inputs.get("kubeconfig") or ""
    if not isinstance(kubeconfig, str):
        return kubeconfig
    return active_cluster(
        parse_kubeconfig(kubeconfig), context=inputs.get("context") or "", cluster=inputs.get("cluster") or ""
    )
