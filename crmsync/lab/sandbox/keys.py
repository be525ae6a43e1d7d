"""The RSA key pair with which crmsync signs in at the stand-in of Salesforce."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Key:
    """A private key as PEM text, and the public key that checks its signatures."""

    private_pem: str
    public: Any


def make_key() -> Key:
    """A fresh key of 2048 bits."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Key(pem.decode(), private.public_key())
