"""Server certificates that secrets of the stack hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from stacks.mutual_tls import PRIVATE_KEY, extension

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_certificate(text: str, hosts: Sequence[str]) -> tuple[str, str]:
    """Take a certificate with its chain, and its key, apart.

    Parameters
    ----------
    text
        Both, PEM, in any order.
    hosts
        The DNS names that the certificate must have.

    Raises
    ------
    ValueError
        It can't be used; says what it is or has.
    """
    found = PRIVATE_KEY.search(text)
    if found is None:
        raise ValueError("holds no private key")
    try:
        key = serialization.load_pem_private_key(found[0].encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("holds a private key that is broken, or has a password") from None
    chain = PRIVATE_KEY.sub("", text)
    try:
        leaf = x509.load_pem_x509_certificates(chain.encode())[0]
    except ValueError:
        raise ValueError("holds no certificate, or a broken one") from None
    if leaf.public_key() != key.public_key():
        raise ValueError("holds a private key that is not its first certificate's")
    if leaf.not_valid_after_utc <= datetime.now(UTC):
        raise ValueError(f"holds a certificate that ended {leaf.not_valid_after_utc:%Y-%m-%d}")
    names = extension(leaf, x509.SubjectAlternativeName)
    if names is None:
        raise ValueError("holds a certificate without names")
    held = set(names.get_values_for_type(x509.DNSName))
    for host in hosts:
        if not {host, f"*.{host.partition('.')[2]}"} & held:
            raise ValueError(f"holds a certificate that has not the name {host}")
    return chain.strip() + "\n", found[0].strip() + "\n"
