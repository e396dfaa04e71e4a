"""Certificates and keys that secrets of the stack hold: read, checked, taken apart."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from stacks.problems import Problem, key_path, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from stacks.gateway_settings import TlsSettings
    from stacks.partial import Entry
    from stacks.sections import SecretReference

_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----\n?", re.DOTALL
)

Extension = TypeVar("Extension", bound=x509.ExtensionType)


def read_server_certificate(
    reference: SecretReference | TlsSettings | None,
    place: Sequence[str],
    hosts: Sequence[str],
    values: Entry,
) -> tuple[tuple[str, str] | None, list[Problem]]:
    """Read a server's certificate and key, PEM in any order; nothing of their value is ever told.

    Parameters
    ----------
    reference
        What the settings say of it; without a secret key there is nothing to read.
    place
        Path of the key under which they say that.
    hosts
        The DNS names that the certificate must have.
    values
        The stack's configuration, secrets among it, by key.

    Returns
    -------
    tuple
        The certificate with its chain, and its key, where they can be used; and what is wrong with them.
    """
    key = None if reference is None else reference.secret
    if key is None:
        return None, []
    try:
        return _read(str(values.get(key)), hosts), []
    except ValueError as error:
        problem = Problem(
            key=key_path([*place, "secret"]),
            value=shown(key),
            why=f"the value of that key {error}",
            mend="set the certificate, its chain and its key in one text:"
            f" cat CERTIFICATE KEY | pulumi config set --secret {key}",
        )
        return None, [problem]


def _read(text: str, hosts: Sequence[str]) -> tuple[str, str]:
    keys = keys_in(text)
    if not keys:
        raise ValueError("holds no private key")
    leaf = certificates_in(text)[0]
    key = key_of(leaf, keys)
    if key is None:
        raise ValueError("holds a private key that is not its first certificate's")
    if leaf.not_valid_after_utc <= datetime.now(UTC):
        raise ValueError(f"holds a certificate that ended {leaf.not_valid_after_utc:%Y-%m-%d}")
    held = dns_names(leaf)
    for host in hosts:
        if not {host, f"*.{host.partition('.')[2]}"} & held:
            raise ValueError(f"holds a certificate that has not the name {host}")
    return _PRIVATE_KEY.sub("", text).strip() + "\n", key


def certificates_in(text: str) -> list[x509.Certificate]:
    """Read all certificates of a PEM text, at least one.

    Raises
    ------
    ValueError
        There is none, or a broken one; says so.
    """
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise ValueError("holds no certificate, or a broken one") from None


def keys_in(text: str) -> dict[str, PrivateKeyTypes]:
    """Read all private keys of a PEM text, by their own text.

    Raises
    ------
    ValueError
        One can't be read; says so.
    """
    blocks = [found[0].strip() + "\n" for found in _PRIVATE_KEY.finditer(text)]
    try:
        return {one: serialization.load_pem_private_key(one.encode(), password=None) for one in blocks}
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("holds a private key that is broken, or has a password") from None


def key_of(certificate: x509.Certificate, keys: Mapping[str, PrivateKeyTypes]) -> str | None:
    """Return the text of a certificate's private key; None where it is not among the keys."""
    own = certificate.public_key()
    return next((text for text, key in keys.items() if key.public_key() == own), None)


def dns_names(certificate: x509.Certificate) -> set[str]:
    """Return the DNS names that a certificate is for."""
    names = extension(certificate, x509.SubjectAlternativeName)
    return set(names.get_values_for_type(x509.DNSName) if names else ())


def extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension | None:
    """Return what a certificate says by an extension; None where it has none of that kind."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
