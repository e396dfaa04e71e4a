"""Where a stack's state lies and what encrypts its secrets, told without asking the engine.

An environment that others depend on needs a state that outlives one machine, and a key that can be taken back
from whoever leaves: docs/state.md.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from stacks.problems import key_path
from stacks.yaml_text import YamlError, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stacks.settings import EnvironmentSettings

_LOCAL_FOLDER: Final = ".local"
"""Folder of the embedded environment in the project's folder."""

_PULUMI_CLOUD: Final = ("https", "http")


class Secrets(StrEnum):
    """What encrypts the secrets of a stack's settings and state."""

    PASSPHRASE = "passphrase"  # noqa: S105 -- the name of a way, not a passphrase
    KEY_SERVICE = "key service"
    BACKEND = "backend"


def elsewhere(settings: EnvironmentSettings) -> list[str]:
    """Find the API servers that are not the embedded environment's own.

    Parameters
    ----------
    settings
        The environment's settings.

    Returns
    -------
    list of str
        The keys of their kubeconfigs, sorted; none where the environment is local.
    """
    return sorted(
        key_path([*place, "kubeconfig"])
        for place, kubeconfig in settings.kubeconfigs()
        if kubeconfig.path is None or not is_local(kubeconfig.path)
    )


def is_local(path: str) -> bool:
    """Tell whether a file lies in the embedded environment's folder.

    Parameters
    ----------
    path
        The file, as a stack file names it.
    """
    # One that leads out again by ".." may lie anywhere.
    parts = PurePosixPath(path).parts
    return parts[:1] == (_LOCAL_FOLDER,) and ".." not in parts


def backend_url(project: Path, variables: Mapping[str, str]) -> str | None:
    """Find the URL of the backend that the Pulumi CLI would use, by the CLI's own rules.

    Parameters
    ----------
    project
        The project's folder.
    variables
        The process's environment variables.

    Returns
    -------
    str or None
        None where nobody is logged in. It may hold credentials: not to be shown.
    """
    if url := variables.get("PULUMI_BACKEND_URL"):
        return url
    backend = _mapping(project / "Pulumi.yaml").get("backend")
    if isinstance(backend, dict) and backend.get("url"):
        return str(backend["url"])
    home = variables.get("PULUMI_CREDENTIALS_PATH") or variables.get("PULUMI_HOME")
    folder = Path(home) if home else Path.home() / ".pulumi"
    current = _mapping(folder / "credentials.json").get("current")
    return str(current) if current else None


def secrets_provider(stack_file: Path, url: str | None, variables: Mapping[str, str]) -> Secrets | None:
    """Find what encrypts a stack's secrets, by the Pulumi CLI's own rules.

    Parameters
    ----------
    stack_file
        The stack's file; it need not exist.
    url
        URL of the backend, where it is known.
    variables
        The process's environment variables.

    Returns
    -------
    Secrets or None
        None where only the state can tell.
    """
    file = _mapping(stack_file)
    named = str(file.get("secretsprovider") or "default").partition(":")[0]
    if named not in ("default", Secrets.PASSPHRASE):
        return Secrets.KEY_SERVICE
    if named == Secrets.PASSPHRASE or file.get("encryptionsalt"):
        return Secrets.PASSPHRASE
    if url is None or variables.get("PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER", "").lower() in ("1", "true"):
        return None
    return Secrets.BACKEND if _scheme(url) in _PULUMI_CLOUD else Secrets.PASSPHRASE


def state_warnings(
    settings: EnvironmentSettings, *, project: Path, stack_file: Path, variables: Mapping[str, str]
) -> list[str]:
    """Warn of a state that is not safe enough for an environment that is not local.

    Parameters
    ----------
    settings
        The environment's settings.
    project
        The project's folder.
    stack_file
        The stack's file.
    variables
        The process's environment variables.

    Returns
    -------
    list of str
        One line for each warning: what, why, and the mend; never a URL, which may hold credentials.
    """
    if not elsewhere(settings):
        return []
    warnings = []
    url = backend_url(project, variables)
    if url is not None and _scheme(url) == "file":
        warnings.append(
            "state: it lies in a folder (file://), and this environment is not local: others can't reach it,"
            " and it is lost with its disk; keep it in Pulumi Cloud or a bucket (docs/state.md)"
        )
    if secrets_provider(stack_file, url, variables) is Secrets.PASSPHRASE:
        warnings.append(
            "secrets: a passphrase encrypts them, and this environment is not local: whoever knew it once can"
            " read every state and stack file from then on; use a key service:"
            " pulumi stack change-secrets-provider (docs/state.md)"
        )
    return warnings


def _scheme(url: str) -> str:
    # All that is looked at, of whatever stands there: what is no URL is left to the CLI too.
    return url.partition(":")[0].lower()


def _mapping(path: Path) -> dict[str, Any]:
    """Read a mapping of a YAML or JSON file; what the CLI itself refuses is left to the CLI."""
    try:
        text = path.read_text()
        document = json.loads(text) if path.suffix == ".json" else parse(text)
    except (OSError, ValueError, YamlError):
        return {}
    return document if isinstance(document, dict) else {}
