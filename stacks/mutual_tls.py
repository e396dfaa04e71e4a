"""The certificates by which gateways and events listeners know each other: read, checked, taken apart.

The bundle is one PEM text: certificates of authorities, and two certificates that one of them made, each with
its key. Which is which tells what they may be used for, so that their order means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from components.gateway_config import LISTENER_NAME
from stacks.certificates import certificates_in, dns_names, extension, key_of, keys_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

HOW_TO: Final = "make it anew: .venv/bin/python -m operations gateway certificates"

WARNING: Final = timedelta(days=30)
"""How long before its end a certificate is warned of."""


class BundleError(Exception):
    """The bundle can't be used; the text says why, and nothing of its content."""


@dataclass(frozen=True, kw_only=True)
class MutualTls:
    """The certificates.

    Attributes
    ----------
    authority
        Certificates of the authorities, PEM.
    gateway
        The gateways' certificate, and its key, PEM.
    listener
        The listeners' certificate, and its key, PEM.
    expires
        When the first of them ends.
    """

    authority: str
    gateway: str = field(repr=False)
    listener: str = field(repr=False)
    expires: datetime

    def ends_soon(self, now: datetime) -> bool:
        """Tell whether a certificate ends within the time of `WARNING`.

        Parameters
        ----------
        now
            The present time.
        """
        return self.expires - now < WARNING


def read_bundle(text: str, hosts: Iterable[str] = (), now: datetime | None = None) -> MutualTls:
    """Read a bundle.

    Parameters
    ----------
    text
        The bundle.
    hosts
        Names that the listeners' certificate must have beside that of every listener.
    now
        The present time; by default the clock's.

    Raises
    ------
    BundleError
        It can't be used.
    """
    try:
        certificates, keys = certificates_in(text), keys_in(text)
    except ValueError as error:
        raise BundleError(f"it {error}") from None
    authorities = [one for one in certificates if _is_authority(one)]
    if not authorities:
        raise BundleError("it holds no certificate of an authority")
    leaves = [one for one in certificates if one not in authorities]
    gateway = _leaf(leaves, ExtendedKeyUsageOID.CLIENT_AUTH, "gateways")
    listener = _leaf(leaves, ExtendedKeyUsageOID.SERVER_AUTH, "events listeners")
    for leaf, whose in ((gateway, "gateways"), (listener, "events listeners")):
        if not any(_made(authority, leaf) for authority in authorities):
            raise BundleError(f"the certificate of {whose} was made by none of its authorities")
    _refuse_names(listener, {LISTENER_NAME, *hosts})
    present = now or datetime.now(UTC)
    used = [*authorities, gateway, listener]
    for one in used:
        if not one.not_valid_before_utc <= present < one.not_valid_after_utc:
            raise BundleError(
                f"a certificate in it holds from {one.not_valid_before_utc:%Y-%m-%d}"
                f" to {one.not_valid_after_utc:%Y-%m-%d}, and not today"
            )
    return MutualTls(
        authority="".join(map(_pem, authorities)),
        gateway=_pem(gateway) + _key_of(gateway, keys, "gateways"),
        listener=_pem(listener) + _key_of(listener, keys, "events listeners"),
        expires=min(one.not_valid_after_utc for one in used),
    )


def _is_authority(certificate: x509.Certificate) -> bool:
    found = extension(certificate, x509.BasicConstraints)
    return found is not None and found.ca


def _leaf(leaves: list[x509.Certificate], usage: x509.ObjectIdentifier, whose: str) -> x509.Certificate:
    found = [one for one in leaves if usage in (extension(one, x509.ExtendedKeyUsage) or ())]
    if len(found) != 1:
        raise BundleError(f"it holds {len(found)} certificates of {whose} instead of one")
    return found[0]


def _made(authority: x509.Certificate, leaf: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _refuse_names(listener: x509.Certificate, wanted: set[str]) -> None:
    if missing := sorted(wanted - dns_names(listener)):
        raise BundleError(f"the certificate of events listeners has not the name {', '.join(missing)}")


def _key_of(certificate: x509.Certificate, keys: Mapping[str, PrivateKeyTypes], whose: str) -> str:
    if (key := key_of(certificate, keys)) is None:
        raise BundleError(f"it holds no private key of the certificate of {whose}")
    return key


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
