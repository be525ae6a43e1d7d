"""The keys of CRMSYNC_SECRET_KEY: the current one encrypts, and the previous ones still decrypt."""

from __future__ import annotations

import contextlib
import hmac
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crmsync.errors import ConfigurationError
from crmsync.passwords import SECRET_KEY_FILE, kept_secret
from crmsync.settings import Secret

PREVIOUS_KEY_FILE = f"{SECRET_KEY_FILE}.previous"
_NONCE_BYTES = 12


@dataclass(frozen=True, repr=False)
class Key:
    """One key, from which those for each purpose are made. Its id reveals nothing of it."""

    digest: bytes

    @classmethod
    def of(cls, text: str) -> Key:
        return cls(sha256(text.encode()).digest())

    @property
    def id(self) -> str:
        return sha256(b"id" + self.digest).hexdigest()[:12]

    @property
    def fernet(self) -> Fernet:
        return Fernet(urlsafe_b64encode(self.digest))

    @property
    def sealing(self) -> AESGCM:
        return AESGCM(sha256(b"seal" + self.digest).digest())

    def mark(self, secret: Secret) -> str:
        marking = sha256(b"mark" + self.digest).digest()
        return hmac.new(marking, secret.reveal().encode(), sha256).hexdigest()


class KeyRing:
    """Keys, the first of which seals."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = list(dict.fromkeys(keys))
        self._fernet = MultiFernet([key.fernet for key in self._keys])

    @classmethod
    def of(cls, key: Secret | None, previous: Secret | None, home: Path) -> KeyRing:
        """As configured; without a key the one that was made on first start, and the one before it.

        Raises: ConfigurationError, which names the variable that is needed instead.
        """
        return cls([Key.of(text) for text in key_texts(key, previous, home)])

    @property
    def ids(self) -> list[str]:
        """The ids of all keys, first that of the one that seals."""
        return [key.id for key in self._keys]

    def seal(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str | None:
        """The text that was sealed; None if it was sealed with another key: then it counts as not there."""
        with contextlib.suppress(InvalidToken):
            return self._fernet.decrypt(sealed.encode()).decode()
        return None

    def is_sealed_anew(self, sealed: str) -> bool:
        """Whether the first key opens it."""
        try:
            self._keys[0].fernet.decrypt(sealed.encode())
        except InvalidToken:
            return False
        return True

    def mark(self, secret: Secret) -> str:
        """A fingerprint that distinguishes two secrets, and from which, without the key, nothing can be guessed."""
        return self._keys[0].mark(secret)

    def marks(self, secret: Secret) -> tuple[str, ...]:
        """The fingerprints by all keys, the present one's first."""
        return tuple(key.mark(secret) for key in self._keys)

    def seal_for(self, text: str, belongs_to: str) -> str:
        """*text*, which opens only where it *belongs_to*; before the colon stands the id of the key."""
        nonce = os.urandom(_NONCE_BYTES)
        key = self._keys[0]
        sealed = nonce + key.sealing.encrypt(nonce, text.encode(), belongs_to.encode())
        return f"{key.id}:{urlsafe_b64encode(sealed).decode()}"

    def open_for(self, sealed: str, belongs_to: str) -> str | None:
        """The text that was sealed; None if with another key or for another purpose, or if it was changed."""
        key_id, _, text = sealed.partition(":")
        key = next((each for each in self._keys if each.id == key_id), None)
        if key is None:
            return None
        with contextlib.suppress(InvalidTag, ValueError):
            content = urlsafe_b64decode(text)
            return key.sealing.decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], belongs_to.encode()).decode()
        return None


def key_texts(key: Secret | None, previous: Secret | None, home: Path) -> list[str]:
    """The keys as they are written, the present one first. Raises: ConfigurationError, as KeyRing.of()."""
    texts = [key.reveal()] if key else [kept_key(home), *_kept_before(home)]
    return [*texts, *([previous.reveal()] if previous else [])]


def key_id_of(sealed: str) -> str:
    """The id of the key that seal_for() used."""
    return sealed.partition(":")[0]


def kept_key(home: Path) -> str:
    """The key that was made on first start.

    Raises: ConfigurationError, which names the variable that is needed instead.
    """
    try:
        text = kept_secret(home / SECRET_KEY_FILE)
    except OSError as error:
        raise _no_key(f"must be set, because {home} can't be used ({error.strerror})") from error
    if not text.strip():
        raise _no_key(f"must be set, because {home / SECRET_KEY_FILE} is empty")
    return text


def _kept_before(home: Path) -> list[str]:
    with contextlib.suppress(OSError):
        text = (home / PREVIOUS_KEY_FILE).read_text()
        return [text] if text.strip() else []
    return []


def renew_kept_key(home: Path) -> None:
    """Make another key for the state directory; the one before it stays beside it, and still opens.

    Raises: ConfigurationError.
    """
    kept_key(home)
    present, previous = home / SECRET_KEY_FILE, home / PREVIOUS_KEY_FILE
    os.replace(present, previous)  # whoever asks in between finds the previous one, and makes the next
    kept_key(home)


def _no_key(problem: str) -> ConfigurationError:
    return ConfigurationError(
        "There is no key to encrypt with.",
        field_errors={"CRMSYNC_SECRET_KEY": problem},
        advice="Set CRMSYNC_SECRET_KEY to the same 32 or more characters for all processes.",
    )
