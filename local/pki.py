"""Certificates of the embedded environment: one authority for each kcp or cluster, kept under ``.local/``."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from releases.files import write_atomic

_LIFETIME = dt.timedelta(days=365)
_RENEW_BEFORE = dt.timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """Files of a certificate and its private key, both PEM."""

    certificate: Path
    key: Path

    @property
    def credential(self) -> dict[str, str]:
        """The fields of a kubeconfig's user."""
        return {
            "client-certificate-data": base64.b64encode(self.certificate.read_bytes()).decode(),
            "client-key-data": base64.b64encode(self.key.read_bytes()).decode(),
        }


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Whom a certificate speaks for.

    Parameters
    ----------
    common_name
        The user, as Kubernetes reads it.
    groups
        The user's groups, as Kubernetes reads them (organisations).
    names
        Host names and IP addresses, for a server's certificate.
    """

    common_name: str
    groups: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def _alternative_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    # Not PKCS #8: the API server does not read the public half from that.
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _fresh(path: Path) -> bool:
    if not path.exists():
        return False
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.not_valid_after_utc - dt.datetime.now(dt.UTC) > _RENEW_BEFORE


class Authority:
    """A certificate authority in a folder; made on first use and again when it nears its end.

    Parameters
    ----------
    folder
        Where its files and those that it signs are kept; private keys are 0600.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.pair = KeyPair(certificate=folder / "ca.crt", key=folder / "ca.key")
        if not (_fresh(self.pair.certificate) and self.pair.key.exists()):
            key = ec.generate_private_key(ec.SECP256R1())
            name = x509.Name(
                [x509.NameAttribute(NameOID.COMMON_NAME, f"pipeline-service-{folder.parent.name}")]
            )
            certificate = (
                self._builder(name, name, key.public_key(), lifetime=_LIFETIME * 5)
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                .sign(key, hashes.SHA256())
            )
            # What the old authority signed is worthless under a new one.
            for old in folder.glob("*.crt"):
                old.unlink()
            write_atomic(self.pair.key, _pem(key), mode=0o600)
            write_atomic(self.pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))

    @staticmethod
    def _builder(
        subject: x509.Name,
        issuer: x509.Name,
        key: ec.EllipticCurvePublicKey,
        *,
        lifetime: dt.timedelta,
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + lifetime)
        )

    def issue(self, name: str, identity: Identity) -> KeyPair:
        """Return the key pair ``name`` for ``identity``; one that is there, fits and is fresh is kept."""
        pair = KeyPair(certificate=self._folder / f"{name}.crt", key=self._folder / f"{name}.key")
        wanted = self._folder / f"{name}.identity"
        if (
            _fresh(pair.certificate)
            and pair.key.exists()
            and wanted.exists()
            and wanted.read_text() == repr(identity)
        ):
            return pair
        issuer = x509.load_pem_x509_certificate(self.pair.certificate.read_bytes())
        issuer_key = serialization.load_pem_private_key(self.pair.key.read_bytes(), password=None)
        if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self.pair.key} does not hold an elliptic curve key")
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in identity.groups),
                x509.NameAttribute(NameOID.COMMON_NAME, identity.common_name),
            ]
        )
        usage = [
            ExtendedKeyUsageOID.CLIENT_AUTH,
            *([ExtendedKeyUsageOID.SERVER_AUTH] if identity.names else []),
        ]
        builder = self._builder(subject, issuer.subject, key.public_key(), lifetime=_LIFETIME).add_extension(
            x509.ExtendedKeyUsage(usage), critical=False
        )
        if identity.names:
            alternatives = x509.SubjectAlternativeName([_alternative_name(n) for n in identity.names])
            builder = builder.add_extension(alternatives, critical=False)
        write_atomic(pair.key, _pem(key), mode=0o600)
        certificate = builder.sign(issuer_key, hashes.SHA256())
        write_atomic(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))
        write_atomic(wanted, repr(identity))
        return pair

    def signing_key(self, name: str) -> Path:
        """Return the file of a private key for signing service account tokens, made on first use."""
        path = self._folder / f"{name}.key"
        if not path.exists():
            write_atomic(path, _pem(ec.generate_private_key(ec.SECP256R1())), mode=0o600)
        return path


def kubeconfig(*, server: str, authority: bytes, user: str, credential: Mapping[str, str]) -> str:
    """Return a self-contained kubeconfig (YAML) for ``user`` at ``server``.

    Parameters
    ----------
    server
        URL of the API server.
    authority
        Its certificate authority, PEM.
    user
        Name of the user, for whoever reads the file.
    credential
        The fields of the kubeconfig's user: `KeyPair.credential`, or a token.
    """
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "default",
                "cluster": {
                    "server": server,
                    "certificate-authority-data": base64.b64encode(authority).decode(),
                },
            }
        ],
        "users": [{"name": user, "user": dict(credential)}],
        "contexts": [{"name": "default", "context": {"cluster": "default", "user": user}}],
        "current-context": "default",
    }
    return yaml.safe_dump(document, sort_keys=False)
