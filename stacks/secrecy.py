"""Telling credentials from other values, so that none is shown or kept in plain."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_SECRET_TEXT: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    # A URL with a password in it; a port with a fragment behind it, as in some names of users, is none.
    r"|[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:(?!\d{1,5}[#?])[^/\s@]+@"
    # Tokens of GitHub and GitLab, and JSON Web Tokens, a ServiceAccount's among them.
    r"|\b(gh[pousr]_|github_pat_)[A-Za-z0-9_]{20,}|\bglpat-[\w-]{16,}|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}"
    # A kubeconfig, or the file of a container client, as text: their keys where keys stand, not within prose.
    r"|(^|[{,])\s*[\"']?users[\"']?\s*:(?s:.)*(^|[{,]|-\s)\s*[\"']?(token|client-key-data|password)[\"']?\s*:"
    r"|[\"']auths[\"']\s*:\s*\{",
    re.MULTILINE,
)
_KUBECONFIG_KEYS: Final = ("users", "clusters", "contexts")
_REGISTRY_KEYS: Final = ("auth", "password", "identitytoken", "registrytoken")


def looks_secret(value: object) -> bool:
    """Tell whether a value looks like a credential.

    Parameters
    ----------
    value
        A text, or a mapping: a kubeconfig pasted as YAML is one.
    """
    if isinstance(value, str):
        return _SECRET_TEXT.search(value) is not None
    if not isinstance(value, Mapping):
        return False
    # Tenants may well be named as these keys are.
    if all(isinstance(value.get(key), list) for key in _KUBECONFIG_KEYS):
        return True
    registries = value.get("auths")
    return isinstance(registries, Mapping) and any(
        isinstance(registry, Mapping) and not registry.keys().isdisjoint(_REGISTRY_KEYS)
        for registry in registries.values()
    )
