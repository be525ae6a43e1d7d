"""Reads a private key as people paste it: accepted where that is harmless, otherwise refused with what to do."""

from __future__ import annotations

import re

MINIMUM_BITS = 2048

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]*?)PRIVATE KEY-----(.*?)-----END \1PRIVATE KEY-----", re.DOTALL)
_BREAKS = re.compile(r"\\+[nr]|\s+")  # line ends: as they are, escaped, doubly escaped, or made into blanks
_MAKE_ONE = "make one with `openssl genrsa 2048`, and upload its certificate to the app"

_DECRYPT = "is encrypted: remove the password with `openssl pkey -in key.pem -out plain.pem`"

# What people give instead of the key, and what they are to do.
_MISTAKES = (
    ("BEGIN ENCRYPTED PRIVATE KEY", _DECRYPT),
    ("4,ENCRYPTED", _DECRYPT),
    ("BEGIN OPENSSH PRIVATE KEY", "is in OpenSSH's form: `ssh-keygen -p -m PEM -f key` turns it into PEM"),
    ("LS0tLS1CRUdJTi", "is a PEM in base64: decode it with `base64 -d`"),
    ("PuTTY-User-Key-File", "is in PuTTY's form: export it as PEM"),
)
_OTHERS = (
    ("BEGIN CERTIFICATE", "is a certificate, which belongs in the app: give the private key that was made with it"),
    ("BEGIN PUBLIC KEY", "is a public key: give the private key that was made with it"),
    (
        "BEGIN",
        "is cut off, or is not a private key: expected all lines from -----BEGIN PRIVATE KEY----- to the END line",
    ),
)


class UnusableKeyError(Exception):
    """The text says why, after the name of the variable."""


def text_of(content: bytes) -> str:
    """What a key file holds, as text.

    Raises: UnusableKeyError for a file that is none.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or content[1:2] == b"\0" or content[:1] == b"\0":
        raise UnusableKeyError("is UTF-16: save the file as UTF-8 or ASCII")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnusableKeyError(
            "is binary (DER, PKCS #12 or a Java key store): "
            "`openssl pkey -inform DER -in key.der -out key.pem` turns DER into PEM"
        ) from None


def normal_pem(text: str) -> str:
    """The key in *text* as a PEM with the usual line ends; a certificate beside it is left out.

    Raises: UnusableKeyError with the cure.
    """
    _refuse(text, _MISTAKES)
    found = _BLOCK.search(text)
    if found is None:
        _refuse(text, _OTHERS)
        if text.startswith(("/", "~", ".")) or text.endswith((".pem", ".key", ".der", ".p12", ".pfx")):
            raise UnusableKeyError("looks like a path: give that in SF_PRIVATE_KEY_FILE")
        raise UnusableKeyError("expected a PEM private key, which begins with -----BEGIN PRIVATE KEY-----")
    body = _BREAKS.sub("", found[2])
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    label = f"{found[1]}PRIVATE KEY-----"
    pem = "\n".join([f"-----BEGIN {label}", *lines, f"-----END {label}", ""])
    _check(pem)
    return pem


def _refuse(text: str, mistakes: tuple[tuple[str, str], ...]) -> None:
    for sign, problem in mistakes:
        if sign in text:
            raise UnusableKeyError(problem)


def _check(pem: str) -> None:
    # Only a process that has the key pays for the library.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UnusableKeyError("can't be read as a key: it is damaged or cut off") from None
    if not isinstance(key, RSAPrivateKey):
        raise UnusableKeyError(f"is not an RSA key, which signing in needs: {_MAKE_ONE}")
    if key.key_size < MINIMUM_BITS:
        raise UnusableKeyError(f"has {key.key_size} bits, at least {MINIMUM_BITS} are needed: {_MAKE_ONE}")
