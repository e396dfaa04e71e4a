"""Kubeconfig files: where the API server is, how to trust it, who to be.

Format: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/.
"""

from __future__ import annotations

import base64
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from local.plugins.protocol.errors import ProviderError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_PATH: Final = 4096


@dataclass(frozen=True, kw_only=True)
class Kubeconfig:
    """A parsed kubeconfig.

    Attributes
    ----------
    clusters, users, contexts : Mapping[str, Mapping[str, Any]]
        Entries by name.
    current_context : str
        Name of the context that counts unless another is chosen.
    directory : Path
        What relative paths in it are relative to.
    """

    clusters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    users: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    contexts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    current_context: str = ""
    directory: Path = field(default_factory=Path.cwd)


@dataclass(frozen=True, kw_only=True, repr=False)
class Connection:
    """How to reach an API server. Its representation is hidden, since it holds credentials.

    Attributes
    ----------
    server : str
        URL, in kcp with the path of a workspace.
    tls : ssl.SSLContext or None
        None for plain HTTP.
    server_name : str
        Host name the server's certificate must have; empty for the URL's.
    proxy : str
        URL of a proxy; empty for none.
    namespace : str
        The context's namespace; empty where it has none.
    token, token_file : str
        A bearer token, or where to read it anew for each request; empty for none.
    basic : tuple of (str, str) or None
        User name and password.
    """

    server: str
    tls: ssl.SSLContext | None
    server_name: str = ""
    proxy: str = ""
    namespace: str = ""
    token: str = ""
    token_file: str = ""
    basic: tuple[str, str] | None = None


def parse_kubeconfig(path_or_text: str) -> Kubeconfig:
    """Read a kubeconfig.

    Parameters
    ----------
    path_or_text : str
        Path of a file, or the file's text (YAML or JSON). Empty for none.

    Returns
    -------
    Kubeconfig
        Empty where the text is.

    Raises
    ------
    ProviderError
        Where the file cannot be read or is not a kubeconfig. The message quotes nothing of its text.
    """
    path = Path(path_or_text).expanduser() if _may_be_path(path_or_text) else None
    directory = Path.cwd()
    text = path_or_text
    if path is not None and path.is_file():
        directory = path.absolute().parent
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ProviderError(f"kubeconfig {path} cannot be read: {error}") from error
    elif (
        path is not None
        and (path_or_text.startswith(("/", "~", ".")) or ":" not in path_or_text)
        and path_or_text
    ):
        raise ProviderError(
            f"kubeconfig {path_or_text!r}: there is no such file, and the text is no kubeconfig"
        )
    try:
        document = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        place = f" at {getattr(error, 'problem_mark', None)}".splitlines()[0]
        raise ProviderError(
            f"the kubeconfig is not YAML{place}: give a path or a kubeconfig's text"
        ) from None
    if not isinstance(document, dict):
        raise ProviderError("the kubeconfig is not a mapping: give a path or a kubeconfig's text")
    return Kubeconfig(
        clusters=_entries(document, "clusters", "cluster"),
        users=_entries(document, "users", "user"),
        contexts=_entries(document, "contexts", "context"),
        current_context=str(document.get("current-context") or ""),
        directory=directory,
    )


def _may_be_path(text: str) -> bool:
    return len(text) < _MAX_PATH and "\n" not in text and not text.lstrip().startswith("{")


def _entries(document: Mapping[str, Any], section: str, key: str) -> dict[str, Mapping[str, Any]]:
    try:
        return {str(entry["name"]): entry.get(key) or {} for entry in document.get(section) or []}
    except (TypeError, KeyError, AttributeError):
        raise ProviderError(
            f"the kubeconfig's {section} is not a list of entries with a name and a {key}"
        ) from None


def environment_kubeconfig() -> str:
    """Return the path of the kubeconfig that counts where the Provider names none."""
    return os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())


def active_cluster(config: Kubeconfig, *, context: str = "", cluster: str = "") -> Mapping[str, Any] | None:
    """Return the entry of the cluster that a kubeconfig selects.

    Parameters
    ----------
    config : Kubeconfig
        The kubeconfig.
    context, cluster : str, optional
        Chosen entries, empty for the current ones.

    Returns
    -------
    Mapping or None
        None where there is none.
    """
    entry = config.contexts.get(context or config.current_context)
    name = cluster or (str(entry.get("cluster", "")) if entry else "")
    return config.clusters.get(name)


def connect(config: Kubeconfig, *, context: str = "", cluster: str = "") -> Connection:
    """Make a connection from a kubeconfig.

    Parameters
    ----------
    config : Kubeconfig
        The kubeconfig.
    context, cluster : str, optional
        Chosen entries, empty for the current ones.

    Returns
    -------
    Connection
        With certificates loaded.

    Raises
    ------
    ProviderError
        Where an entry or a file is missing or broken.
    UnsupportedError
        Where the user is to be had from a plugin (``exec``, ``auth-provider``).
    """
    chosen = context or config.current_context
    entry = config.contexts.get(chosen)
    if entry is None:
        raise ProviderError(
            f"the kubeconfig has no context {chosen!r}: it has {', '.join(config.contexts) or 'none'}"
        )
    target = active_cluster(config, context=context, cluster=cluster)
    if target is None or not target.get("server"):
        raise ProviderError(f"the kubeconfig's context {chosen!r} names no cluster with a server")
    user_name = str(entry.get("user") or "")
    user = config.users.get(user_name, {})
    if user_name and user_name not in config.users:
        raise ProviderError(
            f"the kubeconfig's context {chosen!r} names user {user_name!r}, which it does not have"
        )
    for plugin in ("exec", "auth-provider"):
        if user.get(plugin):
            raise UnsupportedError(
                f"kubeconfig user entry {plugin}", "kubernetes", "use a certificate, a token or a tokenFile"
            )
    server = str(target["server"]).rstrip("/")
    return Connection(
        server=server,
        tls=_tls(config, target, user) if server.startswith("https") else None,
        server_name=str(target.get("tls-server-name") or ""),
        proxy=str(target.get("proxy-url") or ""),
        namespace=str(entry.get("namespace") or ""),
        token=str(user.get("token") or ""),
        token_file=str(_path(config, user["tokenFile"]))
        if user.get("tokenFile") and not user.get("token")
        else "",
        basic=(str(user["username"]), str(user.get("password", ""))) if user.get("username") else None,
    )


def _path(config: Kubeconfig, path: object) -> Path:
    return config.directory / str(path)


def _content(config: Kubeconfig, entry: Mapping[str, Any], key: str) -> bytes | None:
    """Return what ``<key>-data`` or the file ``<key>`` holds, None where the entry has neither."""
    try:
        if entry.get(f"{key}-data"):
            return base64.b64decode(entry[f"{key}-data"], validate=True)
        return _path(config, entry[key]).read_bytes() if entry.get(key) else None
    except ValueError:
        raise ProviderError(f"the kubeconfig's {key}-data is not base64") from None
    except OSError as error:
        raise ProviderError(f"the kubeconfig's {key} cannot be read: {error}") from error


def _tls(config: Kubeconfig, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    authority = _content(config, cluster, "certificate-authority")
    try:
        context = ssl.create_default_context(cadata=authority.decode() if authority else None)
        # Kubernetes' own clients accept certificates without the extensions that this flag demands.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if cluster.get("insecure-skip-tls-verify"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        certificate, key = (_content(config, user, name) for name in ("client-certificate", "client-key"))
        if certificate and key:
            # OpenSSL loads files only; memory that has a name keeps the key off the disk.
            descriptor = os.memfd_create("client-certificate")
            try:
                os.write(descriptor, certificate + b"\n" + key)
                context.load_cert_chain(f"/proc/self/fd/{descriptor}")
            finally:
                os.close(descriptor)
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise ProviderError(f"the kubeconfig's certificates cannot be used: {error}") from error
    return context
