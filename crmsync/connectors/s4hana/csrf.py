"""CSRF tokens: every write carries one, together with the cookies of its session.

A token and its cookies are kept as one value, so that no thread can send the one with the other of a later session.
Reads send the cookies too: SAP limits the number of open sessions, so all calls of a process share one. A session ends
without a word: its node goes down, a gateway's sign-in runs out, and from then on whoever sends these cookies meets a
log-in page, a refusal or silence. So where a call fails in that way the session is left, and the next call begins anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.cookies import get_cookie_header

from crmsync import errors
from crmsync.connectors.kit.calls import Call
from crmsync.connectors.kit.http import VendorClient
from crmsync.connectors.s4hana.errors import FORBIDDEN, NOT_ALLOWED, SYSTEM, TOKEN_HEADER, NoTokenHereError, outcome
from crmsync.connectors.s4hana.odata import Address
from crmsync.connectors.signing_in.auth import Authorizer
from crmsync.connectors.signing_in.renewals import Renewal
from crmsync.connectors.way_out.lease import is_in_step

YOUNG_SECONDS = 60.0
PATIENCE_SECONDS = 0.5  # for a token that another thread fetches: most come sooner
_OPERATION = "csrf_token"
_FETCH = {TOKEN_HEADER: "Fetch"}


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """The headers that a write sends: the token and the cookies it is bound to."""

    headers: Mapping[str, str]
    fetched_at: float = field(default_factory=lambda: time.monotonic())

    @property
    def may_be_stale(self) -> bool:
        """Whether a 403 may mean this token, although the answer does not say so: gateways take its header off."""
        return time.monotonic() - self.fetched_at > YOUNG_SECONDS


class Tokens:
    """One token per service and process; *http*'s session keeps cookies and does nothing but fetch tokens."""

    def __init__(self, http: VendorClient, address: Address) -> None:
        self._http = http
        self._address = address
        self._tokens: dict[str, Token] = {}
        self._lock = threading.RLock()
        self._is_left = False
        self._began_at = 0.0
        self.cookies: Mapping[str, str] = {}

    @contextmanager
    def in_session(self) -> Iterator[None]:
        """Calls inside the block belong to the session; an outage may be its end, so it is left then."""
        try:
            yield
        except errors.CrmsyncError as error:
            if error.is_outage:
                self.leave()
            raise

    def cookie_headers(self) -> Mapping[str, str]:
        return self.cookies

    def leave_if_old(self) -> bool:
        """Leave a session in which a refusal may mean no more than its end; whether there was one."""
        return time.monotonic() - self._began_at > YOUNG_SECONDS and self.leave()

    def leave(self) -> bool:
        """Whether there was a session.

        Its cookies go at once, or before the next token is fetched: whoever fetches one now must keep those of its own.
        """
        was_in_one, self.cookies, self._is_left = bool(self.cookies), {}, True
        self._tokens.clear()
        if self._lock.acquire(blocking=False):
            try:
                self._forget_cookies()
            finally:
                self._lock.release()
        return was_in_one

    def _forget_cookies(self) -> None:
        if self._is_left:
            self._is_left = False
            self._http.session.cookies.clear()

    def of(self, service: str) -> Token:
        return self._tokens.get(service) or self.renewed(service, stale=None)

    def renewed(self, service: str, *, stale: Token | None) -> Token:
        """A token other than *stale*: another thread's if there is one.

        Raises: definite errors, for the write that needed the token was not sent.
        """
        with self._alone():
            current = self._tokens.get(service)
            if current is None or current is stale:
                self._forget_cookies()
                with outcome(is_definite=True):
                    current = self._tokens[service] = self._fetch(service)
        return current

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Raises: NotNowError in a step, which comes back: a token that does not come must not hold all threads."""
        if not self._lock.acquire(timeout=PATIENCE_SECONDS if is_in_step() else -1):
            raise errors.NotNowError("Another run fetches a CSRF token.", wait_seconds=1, system=SYSTEM)
        try:
            yield
        finally:
            self._lock.release()

    def _fetch(self, service: str) -> Token:
        """From the service's root, or from its metadata where the root gives none, whatever it answers.

        Some services have no readable root, and some gateways leave the token out there (SAP/cloud-sdk-js#2430).
        """
        try:
            return self._ask(self._address.url(service), {})
        except (NoTokenHereError, errors.VendorUnavailableError) as error:
            if not isinstance(error, NoTokenHereError) and not _is_answered(error):
                raise
        try:
            return self._ask(self._address.url(service, "$metadata"), {"Accept": "application/xml"})
        except NoTokenHereError as error:
            raise self._http.own(_no_token(error)) from None

    def _ask(self, url: str, headers: Mapping[str, str]) -> Token:
        with self.in_session():
            reply = self._http.send(Call(_OPERATION, "GET", url, headers={**_FETCH, **headers}))
        self.cookies, self._began_at = self._cookies_for(url), time.monotonic()
        return Token({TOKEN_HEADER: reply.headers[TOKEN_HEADER], **self.cookies})

    def _cookies_for(self, url: str) -> Mapping[str, str]:
        """Every cookie of the session, whatever its name: names vary by system and client."""
        header = get_cookie_header(self._http.session.cookies, requests.Request("GET", url).prepare())
        return {"Cookie": header} if header else {}


class SessionAuthorizer:
    """*credentials*, which are not what was refused where a session is over: that is left, and the call repeated."""

    def __init__(self, credentials: Authorizer) -> None:
        self._credentials = credentials
        self.tokens: Tokens | None = None  # which need a client, and that an authorizer

    def headers(self) -> Mapping[str, str]:
        return self._credentials.headers()

    def renew(self, stale: Mapping[str, str]) -> Renewal:
        has_left = self.tokens is not None and self.tokens.leave()
        return self._credentials.renew(stale) or (Renewal.FETCHED if has_left else Renewal.NOTHING)


def _is_answered(error: errors.CrmsyncError) -> bool:
    return (error.code or "").startswith("HTTP ")


def _no_token(error: NoTokenHereError) -> errors.CrmsyncError:
    """Neither address gave one: a missing permission, or whoever stands before SAP, which passes."""
    told: dict[str, Any] = {"system": SYSTEM, "operation": _OPERATION, "code": error.code}
    if error.code == f"HTTP {FORBIDDEN}":
        return errors.AuthenticationError(NOT_ALLOWED, **told)
    return errors.VendorUnavailableError(f"{SYSTEM} gave no CSRF token.", **told)
