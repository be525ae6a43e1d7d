"""Keeps a connection to the account that it first met, and alerts people, once, when it meets another."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol

from crmsync.domain.access import DEFAULT_TENANT
from crmsync.domain.accounts import Claim, Refusal, refusal, refused_at_start
from crmsync.store.engine import Store
from crmsync.store.vault import Vault

REFUSED_SECONDS = 60.0  # how long nobody signs in again to a connection that belongs to another account

Content = Callable[[Refusal], Mapping[str, Any]]


class Claims(Protocol):
    """What is said of the accounts of the connections."""

    def of_environment(self) -> Mapping[str, Claim]: ...

    def of(self, connection: str) -> Claim: ...


class AccountWatch:
    """*claims* is what the settings say of each connection now; *content* makes an alert of a refusal."""

    def __init__(self, store: Store, vault: Callable[[], Vault], claims: Claims, *, content: Content) -> None:
        self._store = store
        self._vault = vault
        self._claims = claims
        self._content = content
        self._met: set[tuple[str, Claim]] = set()  # by this process, so that a call asks the store only once
        self._refused: dict[str, tuple[Refusal, float]] = {}

    def check(self) -> None:
        """Raises: ConfigurationError if the environment names another account than the store belongs to."""
        with self._store.read() as uow:
            error = refused_at_start(self._claims.of_environment(), uow.accounts.all(DEFAULT_TENANT))
        if error is not None:
            raise error

    def unconfirmed(self) -> set[str]:
        """Connections whose credentials have changed, where only a sign-in shows whether the account has too."""
        told = [connection for connection, claim in self._claims.of_environment().items() if claim.is_told]
        with self._store.read() as uow:
            known = uow.accounts.all(DEFAULT_TENANT)
        return {each for each in told if each in known and not self.is_mark_of(each, known[each].credentials)}

    def has_new_credentials(self, connection: str) -> bool:
        """Whether no call has been taken with the present ones yet."""
        return not self._seen(connection)

    def mark(self, connection: str) -> str:
        """The fingerprint of the credentials. A token is kept with it, and never used with other credentials."""
        return self._vault().mark(self._claims.of(connection).signs_in_with())

    def is_mark_of(self, connection: str, mark: str) -> bool:
        """Whether *mark* is that of the present credentials."""
        return self._vault().is_mark_of(self._claims.of(connection).signs_in_with(), mark)

    def admit(self, connection: str) -> None:
        """Before a sign-in. Raises: OtherAccountError if the last one, a moment ago, met another account."""
        found, until = self._refused.get(connection, (None, 0.0))
        if found is not None and time.monotonic() < until:
            raise found.error()

    def met(self, connection: str) -> None:
        """The system has taken a call, so the account exists and is ours.

        The environment names it, or it is the one that these credentials were seen to belong to.
        """
        claim = self._claims.of(connection)
        if (connection, claim) in self._met:
            return
        identity = claim.identity or self._seen(connection)
        if identity:
            self._meet(connection, identity)
            self._met.add((connection, claim))

    def _seen(self, connection: str) -> str:
        with self._store.read() as uow:
            known = uow.accounts.get(connection)
        return known.identity if known is not None and self.is_mark_of(connection, known.credentials) else ""

    def signed_in(self, connection: str, told: str) -> None:
        """Check and keep the account that a sign-in *told*. Raises: OtherAccountError if its token must not be used."""
        if not self._claims.of(connection).is_told:
            return
        found = self._meet(connection, told)
        if found is not None:
            self._refuse(connection, found)
        self._refused.pop(connection, None)

    def _meet(self, connection: str, told: str) -> Refusal | None:
        claim, mark = self._claims.of(connection), self.mark(connection)
        with self._store.begin() as uow:
            known = uow.accounts.get(connection)
            found = refusal(connection, claim, known, told)
            if found is None and (told or claim.identity):
                uow.accounts.confirm(connection, identity=told or claim.identity, credentials=mark)
                uow.alerts.close(alert_cause(connection))
        return found

    def _refuse(self, connection: str, found: Refusal) -> NoReturn:
        self._refused[connection] = (found, time.monotonic() + REFUSED_SECONDS)
        with self._store.begin() as uow:
            tenant = uow.owners.tenant_of(connection)
            uow.alerts.add_once(tenant, alert_cause(connection), self._content(found), connection=connection)
        raise found.error()


def alert_cause(connection: str) -> str:
    return f"account:{connection}"
