"""Kubeconfigs: read, reduced to one context, made independent of other files, and written for the units.

They are written as JSON, which is YAML too: the units' runner then needs no YAML parser to start.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stacks import yaml_text

if TYPE_CHECKING:
    from collections.abc import Mapping

_CLUSTER_SUFFIX: Final = re.compile(r"/clusters/[^/]+/?$")
_FILE_KEYS: Final[Mapping[str, str]] = {
    "certificate-authority": "certificate-authority-data",
    "client-certificate": "client-certificate-data",
    "client-key": "client-key-data",
}


class KubeconfigError(Exception):
    """A kubeconfig can't be used.

    Parameters
    ----------
    why
        What is wrong with it.
    mend
        What to do about it.
    """

    def __init__(self, why: str, mend: str) -> None:
        self.why: Final = why
        self.mend: Final = mend
        super().__init__(f"{why}; {mend}")


@dataclass(frozen=True)
class Kubeconfig:
    """A kubeconfig of one context that refers to no other file.

    Attributes
    ----------
    server
        URL of the API server.
    cluster
        The cluster's other fields: its certificate authority, for one.
    user
        The user's fields, credentials among them; never shown.
    namespace
        Default namespace of the context, or None.
    """

    server: str
    cluster: Mapping[str, Any] = field(repr=False)
    user: Mapping[str, Any] = field(repr=False)
    namespace: str | None = None

    @property
    def certificate_authority(self) -> str | None:
        """The certificate authority's bundle: base64 of PEM, or None where the system's is to be used."""
        return self.cluster.get("certificate-authority-data")

    @property
    def kcp_url(self) -> str:
        """The address of kcp itself: the server without the path of a workspace."""
        return _CLUSTER_SUFFIX.sub("", self.server).rstrip("/")

    def at_workspace(self, path: str) -> Kubeconfig:
        """Address a workspace of the same kcp.

        Parameters
        ----------
        path
            Path of the workspace, from the root.
        """
        return Kubeconfig(f"{self.kcp_url}/clusters/{path}", self.cluster, self.user)

    def at_kcp(self) -> Kubeconfig:
        """Address kcp itself, no workspace."""
        return Kubeconfig(self.kcp_url, self.cluster, self.user)

    def render(self) -> str:
        """Write it out.

        Returns
        -------
        str
            JSON with sorted keys: the same credential gives the same text.
        """
        context = {"cluster": "target", "user": "target"}
        if self.namespace:
            context["namespace"] = self.namespace
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "target",
            "clusters": [{"name": "target", "cluster": {"server": self.server, **self.cluster}}],
            "contexts": [{"name": "target", "context": context}],
            "users": [{"name": "target", "user": dict(self.user)}],
        }
        return json.dumps(document, indent=1, sort_keys=True) + "\n"


def parse(text: str, base: Path) -> Kubeconfig:
    """Read a kubeconfig's current context.

    Parameters
    ----------
    text
        The kubeconfig, YAML or JSON.
    base
        Folder from which the files it refers to are found.

    Raises
    ------
    KubeconfigError
        It is not a kubeconfig, has no usable current context, or refers to a file that can't be read.
    """
    export = "write it anew with: kubectl config view --raw --minify --flatten"
    try:
        document = yaml_text.parse(text)
    except yaml_text.YamlError:
        # Not its message, which may have a key.
        raise KubeconfigError("the kubeconfig is not YAML", export) from None
    if not isinstance(document, dict) or not document:
        raise KubeconfigError("the kubeconfig is empty or not a mapping", export)
    current = document.get("current-context")
    if not current:
        raise KubeconfigError(
            "the kubeconfig has no current-context", "set one: kubectl config use-context NAME"
        )
    context = _named(document, "contexts", "context", current, export)
    cluster = dict(_named(document, "clusters", "cluster", context.get("cluster"), export))
    user = dict(_named(document, "users", "user", context.get("user"), export))
    server = cluster.pop("server", None)
    if not isinstance(server, str) or not server.startswith(("https://", "http://")):
        raise KubeconfigError("the kubeconfig's current context has no server URL", export)
    return Kubeconfig(server, _inlined(cluster, base), _inlined(user, base), context.get("namespace"))


def read(path: Path) -> Kubeconfig:
    """Read a kubeconfig file.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    KubeconfigError
        It can't be read or used.
    """
    return parse(_read_text(path, "kubeconfig file"), path.resolve().parent)


def _read_text(path: Path, what: str) -> str:
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise KubeconfigError(f"the {what} doesn't exist", "correct the path, or make the file") from None
    except (OSError, ValueError) as error:
        # A ValueError: bytes that are no text, or a path with a NUL in it.
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise KubeconfigError(
            f"the {what} can't be read ({reason})", "let its permissions allow it"
        ) from None
    if not text.strip():
        raise KubeconfigError(f"the {what} is empty", "write the kubeconfig into it")
    return text


def _named(
    document: Mapping[str, Any], plural: str, singular: str, name: object, mend: str
) -> Mapping[str, Any]:
    entries = document.get(plural)
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("name") == name:
            found = entry.get(singular) or {}
            if isinstance(found, dict):
                return found
    raise KubeconfigError(f"the kubeconfig's current context names a {singular} that is not there", mend)


def _inlined(fields: Mapping[str, Any], base: Path) -> dict[str, Any]:
    result = dict(fields)
    for key, data_key in _FILE_KEYS.items():
        if (name := result.pop(key, None)) and data_key not in result:
            text = _read_text(_path(base, name, key), f"file of {key} in the kubeconfig")
            result[data_key] = base64.b64encode(text.encode()).decode()
    if (name := result.pop("tokenFile", None)) and "token" not in result:
        result["token"] = _read_text(
            _path(base, name, "tokenFile"), "file of tokenFile in the kubeconfig"
        ).strip()
    return result


def _path(base: Path, name: object, key: str) -> Path:
    if not isinstance(name, str):
        raise KubeconfigError(f"{key} in the kubeconfig is not a path", "write the file's path there")
    return base / name
