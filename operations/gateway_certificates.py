"""Making the certificates by which gateways and events listeners know each other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from components.gateway_config import LISTENER_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable

DAYS: Final = 365
"""How long they hold by default."""

_GATEWAY_NAME: Final = "gateway.pipeline-service"
_BACKDATED: Final = timedelta(minutes=5)
"""Clocks differ."""


def make_bundle(hosts: Iterable[str] = (), *, days: int = DAYS, now: datetime | None = None) -> str:
    """Make an authority, a certificate for gateways and one for events listeners.

    The authority's key is thrown away: it made all that it ever makes.

    Parameters
    ----------
    hosts
        Names that the listeners' certificate has beside that of every listener: those of Routes.
    days
        How many days they hold.
    now
        The present time; by default the clock's.

    Returns
    -------
    str
        The bundle, as PEM, with the keys of the two.
    """
    begins = (now or datetime.now(UTC)) - _BACKDATED
    ends = begins + _BACKDATED + timedelta(days=days)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    issuer = _name("pipeline-service events")

    def certificate(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
                critical=False,
            )
        )

    def leaf(names: list[str], usage: x509.ObjectIdentifier) -> str:
        key = ec.generate_private_key(ec.SECP256R1())
        made = (
            certificate(_name(names[0]), key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(map(x509.DNSName, names)), critical=False)
            .sign(authority_key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return _pem(made) + private.decode()

    authority = (
        certificate(issuer, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    return (
        _pem(authority)
        + leaf([_GATEWAY_NAME], ExtendedKeyUsageOID.CLIENT_AUTH)
        + leaf([LISTENER_NAME, *sorted(set(hosts))], ExtendedKeyUsageOID.SERVER_AUTH)
    )


def _name(text: str) -> x509.Name:
    # A common name has 64 characters at most; what counts are the alternative names.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
