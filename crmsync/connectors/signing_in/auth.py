"""Credentials for calls: a user and a password, or a token that all processes share.

A token lives in the store and is renewed by one thread of one process at a time; each process keeps a copy for a while.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

import requests
from requests.auth import HTTPBasicAuth

from crmsync.connectors.signing_in.renewals import Renewal
from crmsync.connectors.way_out.lease import is_in_step
from crmsync.domain.tokens import AccessToken, RenewalLimit
from crmsync.errors import AuthenticationError, NotNowError, OtherAccountError, RateLimitedError, RetryableError
from crmsync.settings import Secret

# oauthlib refuses http:// unless this is set. settings.py has refused it already for all but this machine itself,
# where the sandbox and the tests live.
os.environ.setdefault("OAUTHLIB_INSECURE_TRANSPORT", "1")

SECOND_TRY_SECONDS = 30.0  # after which credentials that worked before are tried once more
PATIENCE_SECONDS = 8.0  # how long a command waits for another's sign-in; a worker has other work
_COPY_SECONDS = 30.0  # how long a process trusts its copy before it looks into the store again
_POLL_SECONDS = 0.1


Fetch = Callable[[], AccessToken]


class Authorizer(Protocol):
    """Adds credentials to a call."""

    def headers(self) -> Mapping[str, str]: ...

    def renew(self, stale: Mapping[str, str]) -> Renewal:
        """Replace credentials that were refused."""


class TokenStore(Protocol):
    """Keeps tokens for all processes, as store/vault.py does."""

    def read(self, connection: str) -> AccessToken | None: ...

    def renew(self, connection: str, *, stale: str | None, fetch: Fetch, limit: RenewalLimit | None) -> AccessToken:
        """A token other than *stale*: another process's if there is one, else what *fetch* brings.

        Raises: NotNowError while another process renews it; RateLimitedError above *limit*.
        """


class FreshTokens:
    """A store whose token is fetched anew the first time it is needed: what the kept one says may be of yesterday.

    Where the vendor gives no more tokens for now, the kept one must do, and *is_kept* says so.
    """

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self._fetched: set[str] = set()
        self.is_kept = False

    def read(self, connection: str) -> AccessToken | None:
        return self._store.read(connection) if connection in self._fetched else None

    def renew(self, connection: str, *, stale: str | None, fetch: Fetch, limit: RenewalLimit | None) -> AccessToken:
        kept = self._store.read(connection) if connection not in self._fetched else None
        try:
            stale = kept.value if kept else stale
            token = self._store.renew(connection, stale=stale, fetch=fetch, limit=limit)
        except RateLimitedError:
            if kept is None or not _is_fresh(kept):
                raise
            token, self.is_kept = kept, True
        self._fetched.add(connection)
        return token


class OwnTokens:
    """Tokens of a process that has no store to keep them in."""

    def __init__(self) -> None:
        self._tokens: dict[str, AccessToken] = {}

    def read(self, connection: str) -> AccessToken | None:
        return self._tokens.get(connection)

    def renew(self, connection: str, *, stale: str | None, fetch: Fetch, limit: RenewalLimit | None) -> AccessToken:
        kept = self._tokens.get(connection)
        if kept is None or kept.value == stale:
            kept = self._tokens[connection] = fetch()
        return kept


class SharedToken:
    """The authorizer of a vendor whose token is shared; *scheme* is the word before it in the header."""

    def __init__(
        self,
        connection: str,
        *,
        store: TokenStore,
        fetch: Fetch,
        scheme: str = "Bearer",
        limit: RenewalLimit | None = None,
    ) -> None:
        self._connection = connection
        self._store = store
        self._fetch = fetch
        self._scheme = scheme
        self._limit = limit
        self._copy: AccessToken | None = None
        self._copied_at = 0.0
        self._signing_in = threading.Lock()
        self._refused_at: float | None = None  # when credentials that had worked were refused for the first time
        self._outlived = ""  # the token that was to be replaced then

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"{self._scheme} {self.token().value}"}

    def renew(self, stale: Mapping[str, str]) -> Renewal:
        value = stale.get("Authorization", "").partition(" ")[2]
        fetched: list[AccessToken] = []

        def fetch() -> AccessToken:
            fetched.append(self._fetch())
            return fetched[0]

        self._renewed(value or None, fetch)
        return Renewal.FETCHED if fetched else Renewal.ADOPTED

    def token(self) -> AccessToken:
        """A token that is valid now. Raises: NotNowError while another thread or process signs in."""
        copy = self._copy
        if copy and _is_fresh(copy) and time.monotonic() - self._copied_at < _COPY_SECONDS:
            return copy
        kept = self._store.read(self._connection)
        if kept and _is_fresh(kept):
            return self._keep(kept)
        return self._renewed(kept.value if kept else None, self._fetch)

    def _renewed(self, stale: str | None, fetch: Fetch) -> AccessToken:
        """A sign-in that hangs holds one thread; only a command, which has nothing else to do, waits for another's."""
        give_up_at = time.monotonic() + (0 if is_in_step() else PATIENCE_SECONDS)
        while True:
            try:
                with self._alone():
                    return self._keep(self._store.renew(self._connection, stale=stale, fetch=fetch, limit=self._limit))
            except NotNowError as error:
                if time.monotonic() >= give_up_at or isinstance(error, OtherAccountError):
                    raise
            except AuthenticationError as error:
                raise self._judged(error, stale) from None
            time.sleep(_POLL_SECONDS)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Raises: NotNowError while another thread is at it, or the second try of refused credentials is not due."""
        if self._refused_at is not None and time.monotonic() < self._refused_at + SECOND_TRY_SECONDS:
            raise NotNowError("The sign-in was refused; crmsync tries once more.", wait_seconds=SECOND_TRY_SECONDS)
        if not self._signing_in.acquire(blocking=False):
            raise NotNowError("Another run is signing in.", wait_seconds=1)
        try:
            yield
        finally:
            self._signing_in.release()

    def _judged(self, error: AuthenticationError, stale: str | None) -> AuthenticationError | RetryableError:
        """Vendors refuse good credentials now and then: those that have worked get one more try."""
        if stale is None or not is_in_step() or self._refused_at is not None:
            return error
        self._refused_at, self._outlived = time.monotonic(), stale
        return RetryableError(
            f"{error.args[0]} The credentials have worked before, so crmsync tries once more.",
            retry_after_seconds=SECOND_TRY_SECONDS,
            system=error.system,
            operation=error.operation,
            code=error.code,
        )

    def _keep(self, token: AccessToken) -> AccessToken:
        self._copy, self._copied_at = token, time.monotonic()
        if token.value != self._outlived:  # what the store still has may look good, and say nothing of the credentials
            self._refused_at, self._outlived = None, ""
        return token


def _is_fresh(token: AccessToken) -> bool:
    return token.expires_at > datetime.now(UTC)


class BasicAuth:
    """The authorizer of a vendor that takes a user and a password with every call."""

    def __init__(self, user: str, password: Secret) -> None:
        request = requests.Request("GET", "http://unused").prepare()
        HTTPBasicAuth(user.encode(), password.reveal().encode())(request)
        self._headers = {"Authorization": request.headers["Authorization"]}

    def headers(self) -> Mapping[str, str]:
        return self._headers

    def renew(self, stale: Mapping[str, str]) -> Renewal:
        return Renewal.NOTHING
