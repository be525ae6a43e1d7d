"""The HTTP client for every vendor: keep-alive, deadlines, one token refresh after a 401, and one table of errors.

It never retries (the worker does), never sleeps, and no error text holds a vendor's own words.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import requests

from crmsync import errors
from crmsync.connectors.kit.calls import Address, Call
from crmsync.connectors.kit.rehearsal import WouldWriteError, is_rehearsed, write_of
from crmsync.connectors.kit.second_look import SecondLook
from crmsync.connectors.limits.budget import UNLIMITED, Budget
from crmsync.connectors.signing_in.auth import Authorizer
from crmsync.connectors.signing_in.renewals import Renewal, Renewals, SecondTry, Worth
from crmsync.connectors.way_out.answers import (
    Explain,
    Failure,
    Reply,
    Speaks,
    error_of,
    foreign_answer,
    is_foreign,
    reply_of,
    speaks_anything,
)
from crmsync.connectors.way_out.lease import lease_ends_at, seconds_for
from crmsync.connectors.way_out.transport import READS, Session, content, exchange, lines
from crmsync.log import CORRELATION_HEADER, correlation_id

STREAM_SECONDS = 300.0  # for an answer that is read line by line, outside of a step; in one, until its lease ends
RENEWALS_MAX = 2  # the second only where the first brought another process's token
UNAUTHORIZED, INTERNAL_ERROR = 401, 500

Answer = tuple[Reply, "errors.CrmsyncError | None"]
T = TypeVar("T")
E = TypeVar("E", bound=errors.CrmsyncError)


class VendorClient:
    """Sends calls to one vendor, as its *budget* allows, and turns every failure into the error tree."""

    def __init__(
        self,
        *,
        system: str,
        session: Session,
        authorizer: Authorizer | None,
        explain: Explain,
        call_seconds: float,
        headers: Mapping[str, str] | None = None,
        budget: Budget = UNLIMITED,
        speaks: Speaks = speaks_anything,
        refused_hold_seconds: float = 0.0,
        second_look: SecondLook | None = None,
    ) -> None:
        """After a sign-in that was refused nobody tries another for *refused_hold_seconds*: it may lock the user."""
        self.system = system
        self.session = session
        self._authorizer = authorizer
        self._explain = explain
        self._call_seconds = call_seconds
        self._headers = dict(headers or {})
        self._budget = budget
        self._speaks = speaks
        self._refused_hold_seconds = refused_hold_seconds
        self._second_look = second_look
        self._renewals: defaultdict[str, Renewals] = defaultdict(Renewals)
        self._second_try = SecondTry(system, is_for_password=bool(refused_hold_seconds))
        self._good_reads: dict[str, Call] = {}  # the latest of each scope that a token was good for

    def call(self, operation: str, method: str, url: Address, **options: Any) -> Reply:
        """send(), of a call with these *options*."""
        return self.send(Call(operation, method, url, **options))

    def send(self, call: Call) -> Reply:
        """Send one call, with one refresh after a 401.

        Raises: the errors of errors.py; `is_definite` says whether the vendor has certainly not done it. Where the
        budget has no room, nothing is sent: RateLimitedError with code OVER_BUDGET, or NotNowError. In a rehearsal
        WouldWriteError.
        """
        if is_rehearsed() and call.method not in READS:
            raise WouldWriteError(write_of(call))
        with self._owning():
            return self._sent(call)

    def _sent(self, call: Call) -> Reply:
        self._second_try.await_it()
        self._budget.admit(call.operation)
        reply, error = self._signed(call)
        if reply.status == UNAUTHORIZED and not self._renewals[call.needs].is_fruitless:
            self._second_try.ask_for_it()
        if isinstance(error, errors.AccountRefusedError):
            self._account_refused(error, "" if reply.status == UNAUTHORIZED else call.operation)
        if isinstance(error, errors.RateLimitedError):
            self._budget.refused(error.retry_after_seconds)
        if error is not None:
            raise error
        if call.method in READS and call.read is None:
            self._good_reads[call.needs] = call
        return reply

    def signed_in(self, sign_in: Callable[[], T]) -> T:
        """What *sign_in* brings, which may ask the vendor for a token.

        Raises: AccountRefusedError, and from then on all calls wait until the vendor signs us in again.
        """
        with self._owning():
            self._budget.admit()
            try:
                return sign_in()
            except errors.AuthenticationError as error:
                raise self.refused(error) from None
            except (errors.VendorUnavailableError, errors.CertificateError) as error:
                self._budget.signed_out(error)
                raise

    @contextmanager
    def _owning(self) -> Iterator[None]:
        """What is raised inside the block is of this connection."""
        try:
            yield
        except errors.CrmsyncError as error:
            self.own(error)
            raise

    def own(self, error: E) -> E:
        """*error*, as one of this connection: a company may have two to one vendor."""
        error.connection = error.connection or self._budget.connection
        return error

    def moved(self) -> None:
        """The system has another address. What failed at the old one may have opened the breaker, so the next call of
        this thread goes through it.
        """
        self._budget.moved()

    def refused(self, error: errors.AuthenticationError) -> errors.AccountRefusedError:
        """*error*, as one of the account: from now on all calls wait."""
        refused = self.own(of_account(error))
        self._account_refused(refused, "")
        return refused

    def _account_refused(self, error: errors.AccountRefusedError, operation: str) -> None:
        hold = 0.0 if operation else self._refused_hold_seconds
        seldom = f"crmsync tries once every {hold / 60:.0f} minutes, so that the user is not locked." if hold else ""
        reason = " ".join(filter(None, (error.with_advice, seldom)))
        self._budget.account_refused(operation, reason, code=error.code or "", hold_seconds=hold)

    def _signed(self, call: Call) -> Answer:
        """The answer to *call*, with credentials that were renewed where they had ended."""
        if self._authorizer is None:
            return self._send(call, {})
        credentials = self.signed_in(self._authorizer.headers)
        answer = self._send(call, credentials)
        if not _is_unauthorized(answer):
            return answer
        again = partial(self._renewed, call, self._authorizer, credentials, answer)
        return self._renewals[call.needs].answer(answer, time.monotonic(), again)

    def _renewed(
        self, call: Call, authorizer: Authorizer, credentials: Mapping[str, str], answer: Answer
    ) -> tuple[Answer, Worth]:
        for _ in range(RENEWALS_MAX):
            renewal = self.signed_in(partial(authorizer.renew, credentials))
            if not renewal:
                break
            credentials = self.signed_in(authorizer.headers)
            answer = self._send(call, credentials)
            if renewal is not Renewal.ADOPTED or not _is_unauthorized(answer):
                break
        return answer, self._worth(answer, call.needs, credentials)

    def _worth(self, answer: Answer, scope: str, credentials: Mapping[str, str]) -> Worth:
        """What a new token was worth. If it is refused itself, that says nothing of this call: the breaker probes."""
        if not _is_unauthorized(answer):
            return Worth.HELPED
        if isinstance(answer[1], errors.AccountRefusedError):
            return Worth.UNKNOWN
        may_be_dead = self._second_try.is_open and not self._is_good_elsewhere(scope, credentials)
        return Worth.UNKNOWN if may_be_dead else Worth.NOTHING

    def _is_good_elsewhere(self, scope: str, credentials: Mapping[str, str]) -> bool:
        """Whether another read is allowed: some vendors have one code for a dead token and one without the scope."""
        other = next((call for name, call in self._good_reads.items() if name != scope), None)
        return other is not None and not _is_unauthorized(self._send(other, credentials))

    def _send(self, call: Call, credentials: Mapping[str, str]) -> Answer:
        address, headers = call.address, {**self._headers, **call.own_headers, **credentials}
        with self._budget.call(call.operation):
            reply = self._exchange(call, address, headers)
            if self._is_foreign(reply, call):
                raise foreign_answer(self.system, call.operation, reply)
        error = self._error(call, reply, credentials)
        is_refused = reply.status == UNAUTHORIZED or isinstance(error, errors.AccountRefusedError)
        learn = self._budget.unsettled if is_refused else self._budget.learn
        # Some outages come with status 400 or 200.
        is_outage = isinstance(error, errors.VendorUnavailableError)
        learn(reply.headers, max(reply.status, INTERNAL_ERROR) if is_outage else reply.status)
        return reply, error

    def _exchange(self, call: Call, address: str, headers: Mapping[str, str]) -> Reply:
        with exchange(self.system, call.operation, seconds=self._seconds(call)):
            response = self.session.ask(
                call.method, address, params=call.params, body=call.body, headers={**headers, **_correlation()}
            )
            with response:
                return self._streamed(response, call) if call.read else reply_of(response, content(response))

    def _streamed(self, response: requests.Response, call: Call) -> Reply:
        """A success as *call* reads it, if its head is the application's."""
        head = Reply(response.status_code, response.headers)
        if call.read is None or head.status >= 300:
            return reply_of(response, content(response))
        return head if self._is_foreign(head, call) else replace(head, body=call.read(lines(response)))

    def _is_foreign(self, reply: Reply, call: Call) -> bool:
        return is_foreign(reply, call.speaks or self._speaks)

    def _seconds(self, call: Call) -> float:
        """Raises: NotNowError where the run's lease is too short."""
        seconds, limit = seconds_for(self.system, self._call_seconds), lease_ends_at()
        if call.read is None:
            return seconds
        return STREAM_SECONDS if limit is None else max(seconds, limit - time.monotonic())

    def _error(self, call: Call, reply: Reply, credentials: Mapping[str, str]) -> errors.CrmsyncError | None:
        failure = self._explain(reply)
        if failure is None and reply.status < 400:
            return None
        if failure is not None and failure.is_doubtful and self._second_look is not None:
            failure = self._second_look.judged(failure, partial(self._read_again, call, credentials))
        return error_of(self.system, call.operation, reply, failure or Failure())

    def _read_again(self, call: Call, credentials: Mapping[str, str], url: str) -> Reply | None:
        """What stands at *url*, read on behalf of *call*; None where that is not to be had now."""
        look = Call(call.operation, "GET", url)
        try:
            with self._budget.call(look.operation):
                reply = self._exchange(look, url, credentials)
        except errors.CrmsyncError:
            return None
        self._budget.unsettled(reply.headers, reply.status)
        return None if reply.status >= INTERNAL_ERROR or self._is_foreign(reply, look) else reply


def _is_unauthorized(answer: Answer) -> bool:
    return answer[0].status == UNAUTHORIZED


def of_account(error: errors.AuthenticationError) -> errors.AccountRefusedError:
    """A sign-in that is refused says nothing of the record that somebody signed in for."""
    if isinstance(error, errors.AccountRefusedError):
        return error
    refused = errors.AccountRefusedError(
        str(error.args[0]), system=error.system, operation=error.operation, code=error.code, advice=error.advice
    )
    refused.words = error.words
    return refused


def _correlation() -> dict[str, str]:
    current = correlation_id()
    return {CORRELATION_HEADER: current} if current else {}
