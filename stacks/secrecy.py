"""Telling credentials from other values, so that none is shown or kept in plain."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_SECRET_TEXT: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    # A URL with a password in it.
    r"|[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@"
    # Tokens of GitHub and GitLab, and JSON Web Tokens, a ServiceAccount's among them.
    r"|\b(gh[pousr]_|github_pat_)[A-Za-z0-9_]{20,}|\bglpat-[\w-]{16,}|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}"
    # A kubeconfig, or the file of a container client, as text.
    r"|(^|[\s{,])[\"']?users[\"']?\s*:(?s:.)*[\"']?(token|client-key-data|password)[\"']?\s*:"
    r"|[\"']auths[\"']\s*:",
    re.MULTILINE,
)
_SECRET_NAME: Final = re.compile(r"token|passw|secret|credential|private|api_?key|client-key", re.IGNORECASE)
_KUBECONFIG_KEYS: Final = frozenset({"users", "clusters", "contexts"})


def looks_secret(value: object) -> bool:
    """Tell whether a value looks like a credential.

    Parameters
    ----------
    value
        A text, or a mapping: a kubeconfig pasted as YAML is one.
    """
    if isinstance(value, str):
        return _SECRET_TEXT.search(value) is not None
    return isinstance(value, Mapping) and (value.keys() >= _KUBECONFIG_KEYS or "auths" in value)


def names_secret(key: str) -> bool:
    """Tell whether a key is named as if its value were a credential.

    Parameters
    ----------
    key
        The key's name.
    """
    return _SECRET_NAME.search(key) is not None
