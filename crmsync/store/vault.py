"""Encrypts secrets at rest; a token is renewed by one process at a time and read by all."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from crmsync.domain.tokens import AccessToken, RenewalLimit
from crmsync.errors import NotNowError, RateLimitedError
from crmsync.settings import Secret
from crmsync.store.engine import Store
from crmsync.store.keys import KeyRing

RENEWAL_SECONDS = 30.0  # longer than the sign-in may take; after it another process may try
WAIT_SECONDS = 1.0  # how long a call waits for another process's renewal: a good one is over by then
_POLL_SECONDS = 0.05
Value = TypeVar("Value")


class Vault:
    """Seals with the key of CRMSYNC_SECRET_KEY, or one made on first start and kept in the state directory.

    What the key before it has sealed is opened as well. Where the keys are kept in the state directory, those that
    another process has made since are found when they are needed.
    """

    def __init__(self, key: Secret | None, home: Path, previous: Secret | None = None) -> None:
        self._read: Callable[[], KeyRing] = partial(KeyRing.of, key, previous, home)
        self._is_kept = key is None
        self._ring = self._read()

    @property
    def ring(self) -> KeyRing:
        return self._ring

    def seal(self, text: str) -> str:
        return self._ring.seal(text)

    def open(self, sealed: str) -> str | None:
        """The text that was sealed; None if it was sealed with another key: then it counts as not there."""
        return self._tried(lambda: self._ring.open(sealed))

    def seal_for(self, text: str, belongs_to: str) -> str:
        return self._ring.seal_for(text, belongs_to)

    def open_for(self, sealed: str, belongs_to: str) -> str | None:
        """The text that was sealed; None if with another key or for another purpose, or if it was changed."""
        return self._tried(lambda: self._ring.open_for(sealed, belongs_to))

    def mark(self, secret: Secret) -> str:
        """A fingerprint that distinguishes two secrets, and from which, without the key, nothing can be guessed."""
        return self._ring.mark(secret)

    def is_mark_of(self, secret: Secret, mark: str) -> bool:
        """Whether *mark* is the secret's, by any of the keys."""
        return self._tried(lambda: mark in self._ring.marks(secret) or None) or False

    def reread(self) -> bool:
        """Whether the state directory has another key by now."""
        if not self._is_kept:
            return False
        before, self._ring = self._ring.ids, self._read()
        return self._ring.ids != before

    def _tried(self, what: Callable[[], Value | None]) -> Value | None:
        found = what()
        return what() if found is None and self.reread() else found


class Owners(Protocol):
    """Whose the tokens are: store/account_watch.py."""

    def mark(self, connection: str) -> str: ...

    def is_mark_of(self, connection: str, mark: str) -> bool: ...

    def admit(self, connection: str) -> None: ...

    def signed_in(self, connection: str, told: str) -> None: ...


class SharedTokens:
    """The token store of the connectors. A token that other credentials brought, or another account's, is not used."""

    def __init__(self, store: Store, vault: Vault, owners: Owners) -> None:
        self._store = store
        self._vault = vault
        self._owners = owners

    def read(self, connection: str) -> AccessToken | None:
        with self._store.read() as uow:
            row = uow.tokens.get(connection)
        if row is None or row.expires_at is None or not self._owners.is_mark_of(connection, row.credentials):
            return None
        value = self._vault.open(row.value)
        return AccessToken(value, row.expires_at, row.instance_url) if value else None

    def renew(
        self,
        connection: str,
        *,
        stale: str | None,
        fetch: Callable[[], AccessToken],
        limit: RenewalLimit | None,
    ) -> AccessToken:
        """A token other than *stale*: another process's if there is one, else what *fetch* brings.

        Raises: NotNowError if another process takes long to renew it; RateLimitedError above *limit*.
        """
        give_up_at = time.monotonic() + WAIT_SECONDS
        while True:
            token = self.read(connection)
            if token is not None and token.value != stale and token.expires_at > self._store.clock():
                return token
            if self._begin(connection):
                return self._fetched(connection, stale, fetch, limit)
            if time.monotonic() > give_up_at:
                raise NotNowError("Another process is signing in.", wait_seconds=1)
            time.sleep(_POLL_SECONDS)

    def _begin(self, connection: str) -> bool:
        with self._store.begin() as uow:
            return uow.tokens.begin_renewal(connection, seconds=RENEWAL_SECONDS)

    def _fetched(
        self, connection: str, stale: str | None, fetch: Callable[[], AccessToken], limit: RenewalLimit | None
    ) -> AccessToken:
        try:
            # Between our read and our turn another process may have finished its own renewal.
            token = self.read(connection)
            if token is None or token.value == stale or token.expires_at <= self._store.clock():
                self._owners.admit(connection)
                self._count(connection, limit)
                token = fetch()
                self._owners.signed_in(connection, token.account)
                self._save(connection, token)
            return token
        finally:
            with self._store.begin() as uow:
                uow.tokens.end_renewal(connection)

    def _count(self, connection: str, limit: RenewalLimit | None) -> None:
        """Raises: RateLimitedError, with the wait, instead of asking for one token too many."""
        if limit is None:
            return
        with self._store.begin() as uow:
            row = uow.tokens.get(connection)
            window = timedelta(seconds=limit.seconds)
            recent = [instant for instant in (row.renewals if row else ()) if instant > uow.now - window]
            if len(recent) < limit.count:
                uow.tokens.count_renewal(connection, keep_seconds=limit.seconds)
                return
            wait = (min(recent) + window - uow.now).total_seconds()
        raise RateLimitedError(
            "crmsync has asked for as many tokens as the vendor allows for now.",
            retry_after_seconds=wait,
            system=connection,
            operation="token",
        )

    def _save(self, connection: str, token: AccessToken) -> None:
        sealed, mark = self._vault.seal(token.value), self._owners.mark(connection)
        kept = {"value": sealed, "instance_url": token.instance_url, "credentials": mark}
        with self._store.begin() as uow:
            uow.tokens.save(connection, expires_at=token.expires_at, **kept)
