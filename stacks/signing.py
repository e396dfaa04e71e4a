"""The key that Tekton Chains signs with: read, checked, and its public half."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from stacks.problems import Problem, key_path, shown

if TYPE_CHECKING:
    from stacks.partial import Entry
    from stacks.tekton_settings import ChainsSettings

_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
"""Those that Chains reads (Go's crypto/x509), without the weak one."""

_OTHER_KEY: Final = "is not an EC private key of curve P-256, P-384 or P-521"

HOW_TO: Final = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """A key for signatures.

    Attributes
    ----------
    private
        The private key: PKCS #8, as PEM.
    public
        What its signatures are verified with: SubjectPublicKeyInfo, as PEM.
    """

    private: str = field(repr=False)
    public: str


def read_signing_key(settings: ChainsSettings, values: Entry) -> tuple[SigningKey | None, list[Problem]]:
    """Read the key that the settings refer to; nothing of its value is ever told.

    Parameters
    ----------
    settings
        The settings of Chains.
    values
        The stack's configuration, secrets among it, by key.

    Returns
    -------
    tuple
        The key, where Chains is on and it can be used, and what is wrong with it.
    """
    if settings.signing_key is None:
        return None, []
    key = settings.signing_key.secret
    try:
        found = _read(values.get(key))
    except ValueError as error:
        problem = Problem(
            key=key_path(["tekton", "chains", "signingKey", "secret"]),
            value=shown(key),
            why=f"the value of that key {error}",
            mend=f"make one: {HOW_TO} > FILE, and set it: pulumi config set --secret {key} < FILE",
        )
        return None, [problem]
    return (found if settings.enabled else None), []


def _read(value: object) -> SigningKey:
    try:
        key = serialization.load_pem_private_key(str(value).encode(), password=None)
    except TypeError:
        raise ValueError("is a private key with a password") from None
    except UnsupportedAlgorithm:
        # A curve that the library doesn't know; no kind of ValueError.
        raise ValueError(_OTHER_KEY) from None
    except ValueError:
        raise ValueError("is not a private key as PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, _CURVES):
        raise ValueError(_OTHER_KEY)  # noqa: TRY004
    # Written anew: Chains takes PKCS #8 alone, and the first block of the file.
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return SigningKey(private=private.decode(), public=public.decode())
