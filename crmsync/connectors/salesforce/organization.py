"""Where an organization is: the address that comes with the token, and what to do when it has moved."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from typing import Any, Protocol

from crmsync.connectors.kit.calls import Call
from crmsync.connectors.kit.http import VendorClient
from crmsync.connectors.salesforce.addresses import has_moved, is_trusted, may_have_moved, trusted
from crmsync.connectors.salesforce.errors import SYSTEM
from crmsync.connectors.signing_in.auth import Authorizer
from crmsync.connectors.way_out.answers import Reply
from crmsync.domain.tokens import AccessToken
from crmsync.errors import AccountRefusedError, CrmsyncError, NotNowError, VendorUnavailableError

ASK_AGAIN_SECONDS = 300.0  # where the organization may have moved
ASK_SOON_SECONDS = 10.0  # where it surely has: the sign-in may name the old address for a while
PATIENCE_SECONDS = 120.0  # after which a person must hear of it


class TokenAuthorizer(Authorizer, Protocol):
    """An authorizer that shows its token, which knows the API's address; auth.SharedToken is one."""

    def token(self) -> AccessToken: ...


class Organization:
    """One organization, to which calls are sent wherever it lives."""

    def __init__(
        self,
        client: VendorClient,
        authorizer: TokenAuthorizer,
        *,
        login_url: str,
        extra_hosts: Collection[str] = (),
    ) -> None:
        self._client = client
        self._authorizer = authorizer
        self._login_url = login_url
        self._extra_hosts = extra_hosts
        self._trusted = ""
        self._asked_at = float("-inf")
        self._lost_since: float | None = None  # when an address was first given up of which no other was named
        self._lock = threading.Lock()

    def account(self) -> str:
        """Whose account the token belongs to, as the token answer said."""
        return self._authorizer.token().account

    def address(self) -> str:
        """The organization's address, signing in where no token is at hand.

        Raises: AccountRefusedError for an address to which no credentials may be sent; then all calls wait.
        """
        return self._client.signed_in(self._address)

    def _address(self) -> str:
        """That of the token at hand; one that is not to be trusted may be of yesterday, so it is asked for anew."""
        address = self._authorizer.token().instance_url
        if address == self._trusted:
            return address
        if not is_trusted(address, self._login_url, self._extra_hosts) and self._may_ask(ASK_SOON_SECONDS):
            self._authorizer.renew(self._authorizer.headers())
            address = self._authorizer.token().instance_url
        self._trusted = trusted(address, self._login_url, self._extra_hosts)
        return address

    def send(self, operation: str, method: str, path: str, **options: Any) -> Reply:
        """One call to the organization's address; where that has moved, once more at the new one.

        Whatever we write there may be written twice: an update of fields, a part of a job that is not closed yet.
        """
        address = self.address()

        call = Call(operation, method, lambda: f"{self.address()}{path}", **options)
        try:
            reply = self._client.send(call)
        except CrmsyncError as error:
            if not may_have_moved(error):
                raise
            self._follow(error, address)
            reply = self._client.send(call)
        self._lost_since = None
        return reply

    def own(self, error: VendorUnavailableError) -> VendorUnavailableError:
        """*error*, as one of this organization's connection."""
        return self._client.own(error)

    def _follow(self, error: CrmsyncError, address: str) -> None:
        """Sign in anew, for the address that the organization has instead of *address*.

        Raises: *error* where it has none; where it surely has, and the sign-in does not name it yet, NotNowError, and
        AccountRefusedError after a while.
        """
        is_certain = has_moved(error)
        if self._has_moved(address, ASK_SOON_SECONDS if is_certain else ASK_AGAIN_SECONDS):
            self._lost_since = None
            self._client.moved()
        elif is_certain:
            raise self._not_yet()
        else:
            raise error

    def _has_moved(self, address: str, seconds: float) -> bool:
        """Whether a new sign-in names another address than *address*; asked in vain at most once in *seconds*.

        Past the breaker: what this finds out is why nobody answers.
        """
        try:
            if self._address() == address and self._may_ask(seconds):
                self._authorizer.renew(self._authorizer.headers())
            is_elsewhere = self._address() != address
        except CrmsyncError:
            return False  # the call's own failure says more
        if is_elsewhere:
            self._asked_at = float("-inf")
        return is_elsewhere

    def _may_ask(self, seconds: float) -> bool:
        with self._lock:
            is_due = time.monotonic() - self._asked_at > seconds
            self._asked_at = time.monotonic() if is_due else self._asked_at
            return is_due

    def _not_yet(self) -> CrmsyncError:
        now = time.monotonic()
        self._lost_since = self._lost_since or now
        if now - self._lost_since < PATIENCE_SECONDS:
            what = "The organization now has another address in Salesforce, and the sign-in does not name it yet."
            return NotNowError(what, wait_seconds=ASK_SOON_SECONDS, system=SYSTEM)
        return self._client.refused(
            AccountRefusedError(
                "The organization now has another address in Salesforce, but the sign-in still names the old one.",
                system=SYSTEM,
                operation="token",
                advice="Set SF_LOGIN_URL to its current My Domain or to https://login.salesforce.com, restart, then "
                "run `crmsync doctor`.",
            )
        )
