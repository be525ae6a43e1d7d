"""One HTTP client for every vendor: a keep-alive session, deadlines, one refresh after a 401, one error table.

It never retries (the worker does), never sleeps, and no error text holds a vendor's own words.
"""

from __future__ import annotations

import json as jsonlib
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import partial
from typing import Any, Protocol, TypeVar

import requests

from crmsync import errors
from crmsync.connectors.budget import UNLIMITED, Budget
from crmsync.connectors.renewals import Renewals
from crmsync.connectors.transport import content, exchange, lines, new_session, text
from crmsync.log import CORRELATION_HEADER, correlation_id

LONGEST_WAIT_SECONDS = 7 * 86_400.0  # a vendor that asks for more is not believed
STREAM_SECONDS = 300.0  # for an answer that is read line by line, outside of a step; in one, until its lease ends
RENEWALS_MAX = 2  # the second only where the first brought another process's token

__all__ = ["VendorClient", "new_session"]

UNAUTHORIZED = 401
READS = frozenset({"GET", "HEAD", "OPTIONS"})
# Of the headers of a write, those that say what it does; others may hold a CSRF token and its cookies.
_JSON = {"Content-Type": "application/json"}
_TELLING_HEADERS = frozenset({"content-type", "x-upsert", "x-unique-identifier-key", "x-unique-identifier-value"})

_deadline: ContextVar[float | None] = ContextVar("crmsync_deadline", default=None)
_is_rehearsal: ContextVar[bool] = ContextVar("crmsync_is_rehearsal", default=False)


@contextmanager
def deadline(ends_at: float) -> Iterator[None]:
    """Let no vendor call inside the block start that could last beyond *ends_at*, as time.monotonic() counts."""
    token = _deadline.set(ends_at)
    try:
        yield
    finally:
        _deadline.reset(token)


def extend_deadline(ends_at: float) -> None:
    """The lease was renewed: calls may last until *ends_at*."""
    if _deadline.get() is not None:
        _deadline.set(ends_at)


def is_in_step() -> bool:
    """Whether a worker is at a step: it has other work, and comes back."""
    return _deadline.get() is not None


def seconds_for(system: str, seconds: float) -> float:
    """*seconds*, the time that a call may take, if the run's lease outlasts it.

    Raises: NotNowError where it does not: the next attempt has a lease of its own.
    """
    limit = _deadline.get()
    if limit is not None and time.monotonic() + seconds > limit:
        raise errors.NotNowError("The lease is too short for another call.", wait_seconds=1, system=system)
    return seconds


def seconds_of_sign_in(system: str, seconds: float) -> float:
    """*seconds*, or half of what the run's lease leaves, where that is less: the call needs its time as well.

    Raises: NotNowError where nothing is left.
    """
    limit = _deadline.get()
    left = seconds if limit is None else max(0.1, (limit - time.monotonic()) / 2)
    return seconds_for(system, min(seconds, left))


@dataclass(frozen=True, slots=True)
class Write:
    """A call that would change something at a vendor, as it would be sent, without credentials; *body* is JSON."""

    operation: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: Any = None


class WouldWriteError(Exception):
    """This call would change something at a vendor; in a rehearsal it is not sent."""

    def __init__(self, write: Write) -> None:
        super().__init__(write.operation)
        self.write = write


@contextmanager
def rehearsal() -> Iterator[None]:
    """Inside the block calls that read go out, and one that would write raises WouldWriteError instead.

    It has no answer to give, so whatever a caller does, nothing can pass for done.

    Raises: RuntimeError inside a deadline, for that is where a worker does a step.
    """
    if _deadline.get() is not None:
        raise RuntimeError("a worker does not rehearse")
    token = _is_rehearsal.set(True)
    try:
        yield
    finally:
        _is_rehearsal.reset(token)


class Renewal(StrEnum):
    """What became of credentials that were refused."""

    NOTHING = ""  # there is nothing to renew
    ADOPTED = "adopted"  # another process has brought new ones meanwhile, which may have ended as well
    FETCHED = "fetched"  # these are new


class Authorizer(Protocol):
    """Adds credentials to a call; see auth.py."""

    def headers(self) -> Mapping[str, str]: ...

    def renew(self, stale: Mapping[str, str]) -> Renewal:
        """Replace credentials that were refused."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is not an error. *body* is parsed JSON with Decimal for every fraction, else None."""

    status: int
    headers: Mapping[str, str]
    body: Any = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a vendor's error answer says, without its words: its code, the fields at fault, how long to wait."""

    code: str = ""
    field_errors: Mapping[str, str] = field(default_factory=dict)
    retry_after_seconds: float | None = None
    error: type[errors.CrmsyncError] | None = None  # where the vendor's code says more than the status
    message: str | None = None  # our own sentence for the vendor's code
    advice: str | None = None  # what a person can do about it; not kept where the worker tries again
    words: str = field(default="", repr=False)  # the vendor's own: they go where errors.CrmsyncError.words says


# What a status means where the vendor's own code does not say more. Anything else of 4xx: RejectedError.
STATUS_ERRORS: Mapping[int, type[errors.CrmsyncError]] = {
    401: errors.AuthenticationError,
    403: errors.AuthenticationError,
    404: errors.RecordNotFoundError,
    405: errors.UnexpectedAnswerError,
    406: errors.UnexpectedAnswerError,
    408: errors.VendorUnavailableError,
    409: errors.ConcurrentUpdateError,
    410: errors.UnexpectedAnswerError,
    412: errors.ConcurrentUpdateError,
    415: errors.UnexpectedAnswerError,
    423: errors.ConcurrentUpdateError,
    425: errors.RateLimitedError,
    428: errors.ConcurrentUpdateError,
    429: errors.RateLimitedError,
}

Answer = tuple[Reply, "errors.CrmsyncError | None"]
T = TypeVar("T")

Address = str | Callable[[], str]
"""Where a call goes; a function where a new token may bring another address."""

Explain = Callable[[Reply], "Failure | None"]
"""Reads a vendor's answer: a Failure if it reports one (even under 200), None if all is well."""

ReadLines = Callable[[Iterator[str]], Any]
"""Reads an answer of any size; an error of errors.py that it raises is the call's."""

Speaks = Callable[[Reply], bool]
"""Whether an answer is the application's own, and not a page of its edge, of a gateway or of a login.

A vendor declares it once, `VendorClient(…, speaks=speaks_json)`, and a call that answers something else than the others
(a CSV, XML metadata) says so itself: `call(…, speaks=lambda reply: …)`. What is not the application's own is an outage,
see is_foreign(), and never comes to Explain.
"""

# The status alone says what these mean, whoever answers: sign in (again), come back later, the call is too large.
_PLAIN_STATUS = frozenset({401, 407, 408, 413, 414, 425, 429, 431})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_EMPTY_STATUS = frozenset({204, 205})


def speaks_anything(reply: Reply) -> bool:
    return True


def speaks_json(reply: Reply) -> bool:
    """The application answers an object or a list of JSON, or no content under a status that says so.

    >>> [speaks_json(reply) for reply in (Reply(404, {}, [{"errorCode": "NOT_FOUND"}]), Reply(204, {}), Reply(404, {}))]
    [True, True, False]
    """
    return isinstance(reply.body, dict | list) or (reply.status in _EMPTY_STATUS and not reply.text.strip())


def speaks_csv(reply: Reply) -> bool:
    """For answers that are read line by line, of which only the head is known: a page of HTML is not ours."""
    return "html" not in reply.headers.get("Content-Type", "").lower()


def is_foreign(reply: Reply, speaks: Speaks) -> bool:
    """Whether somebody else than the application has answered, so that the call's outcome is unknown.

    The one rule for it: a redirect always (the application moves nothing), and everything that it does not speak, save
    where the status alone says all.

    >>> [is_foreign(Reply(status, {}, text="<html>"), speaks_json) for status in (200, 302, 404, 420, 401, 429, 503)]
    [True, True, True, True, False, False, False]
    """
    if reply.status in _REDIRECTS:
        return True
    return reply.status not in _PLAIN_STATUS and reply.status < 500 and not speaks(reply)


class VendorClient:
    """Sends calls to one vendor, as its *budget* allows, and turns every failure into the error tree."""

    def __init__(
        self,
        *,
        system: str,
        session: requests.Session,
        authorizer: Authorizer | None,
        explain: Explain,
        call_seconds: float,
        headers: Mapping[str, str] | None = None,
        budget: Budget = UNLIMITED,
        speaks: Speaks = speaks_anything,
    ) -> None:
        self.system = system
        self.session = session
        self._authorizer = authorizer
        self._explain = explain
        self._call_seconds = call_seconds
        self._headers = dict(headers or {})
        self._budget = budget
        self._speaks = speaks
        self._renewals: defaultdict[str, Renewals] = defaultdict(Renewals)

    def call(
        self,
        operation: str,
        method: str,
        url: Address,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        speaks: Speaks | None = None,
        read: ReadLines | None = None,
        scope: str = "",
    ) -> Reply:
        """Send one call, with one refresh after a 401; *operation* is its stable name in errors and logs.

        An answer of any size is handed to *read*, line by line as it comes; what that returns is the reply's body.
        *scope* names the calls that stand and fall with the same permission; by default each operation does alone.

        Raises: the errors of errors.py; `is_definite` tells whether the vendor has surely not done it. Where the
        budget has no room, nothing is sent: RateLimitedError with code OVER_BUDGET, or NotNowError. In a rehearsal
        WouldWriteError.
        """
        call = _call(operation, method, url, params, json, data, headers, speaks or self._speaks, read)
        scope = scope or operation
        if _is_rehearsal.get() and method not in READS:
            raise WouldWriteError(_write(call))
        self._budget.admit(operation)
        reply, error = self._signed(call, scope)
        if isinstance(error, errors.AccountRefusedError):
            self._account_refused(error, "" if reply.status == UNAUTHORIZED else operation)
        if isinstance(error, errors.RateLimitedError):
            self._budget.refused(error.retry_after_seconds)
        if error is not None:
            raise error
        return reply

    def signed_in(self, sign_in: Callable[[], T]) -> T:
        """What *sign_in* brings, which may ask the vendor for a token.

        Raises: AccountRefusedError, and from then on all calls wait until the vendor signs us in again.
        """
        self._budget.admit()
        try:
            return sign_in()
        except errors.AuthenticationError as error:
            refused = of_account(error)
            self._account_refused(refused, "")
            raise refused from None
        except (errors.VendorUnavailableError, errors.CertificateError) as error:
            self._budget.signed_out(error)
            raise

    def _account_refused(self, error: errors.AccountRefusedError, operation: str) -> None:
        self._budget.account_refused(operation, " ".join(filter(None, (str(error), error.advice))))

    def _signed(self, call: _Call, scope: str) -> Answer:
        """The answer to *call*, with credentials that were renewed where they had ended."""
        if self._authorizer is None:
            return self._send(call, {})
        credentials = self.signed_in(self._authorizer.headers)
        answer = self._send(call, credentials)
        if not _is_unauthorized(answer):
            return answer
        again = partial(self._renewed, call, self._authorizer, credentials, answer)
        return self._renewals[scope].answer(answer, time.monotonic(), again, _is_unauthorized)

    def _renewed(self, call: _Call, authorizer: Authorizer, credentials: Mapping[str, str], answer: Answer) -> Answer:
        for _ in range(RENEWALS_MAX):
            renewal = self.signed_in(partial(authorizer.renew, credentials))
            if not renewal:
                break
            credentials = self.signed_in(authorizer.headers)
            answer = self._send(call, credentials)
            if renewal is not Renewal.ADOPTED or not _is_unauthorized(answer):
                break
        return answer

    def _send(self, call: _Call, credentials: Mapping[str, str]) -> Answer:
        address = call.address
        with self._budget.call(call.operation):
            reply = self._exchange(call, address, credentials)
            if is_foreign(reply, call.speaks):
                raise foreign_answer(self.system, call.operation, reply)
        error = self._error(call.operation, reply)
        is_refused = reply.status == UNAUTHORIZED or isinstance(error, errors.AccountRefusedError)
        learn = self._budget.unsettled if is_refused else self._budget.learn
        learn(reply.headers, reply.status)
        return reply, error

    def _exchange(self, call: _Call, address: str, credentials: Mapping[str, str]) -> Reply:
        with exchange(self.system, call.operation, seconds=self._seconds(call)):
            response = self.session.request(
                call.method,
                address,
                params=call.params,
                data=call.body,
                headers={**self._headers, **call.headers, **credentials, **_correlation()},
                stream=True,
            )
            with response:
                return _streamed(response, call) if call.read else reply_of(response, content(response))

    def _seconds(self, call: _Call) -> float:
        """Raises: NotNowError where the run's lease is too short."""
        seconds, limit = seconds_for(self.system, self._call_seconds), _deadline.get()
        if call.read is None:
            return seconds
        return limit - time.monotonic() if limit is not None else STREAM_SECONDS

    def _error(self, operation: str, reply: Reply) -> errors.CrmsyncError | None:
        failure = self._explain(reply)
        if failure is None and reply.status < 400:
            return None
        return error_of(self.system, operation, reply, failure or Failure())


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


def foreign_answer(system: str, operation: str, reply: Reply) -> errors.VendorUnavailableError:
    """An outage: whether the call has come to the application is unknown."""
    return errors.VendorUnavailableError(
        f"Something before {system} answered {operation} in its place.",
        system=system,
        operation=operation,
        code=f"HTTP {reply.status}",
        retry_after_seconds=retry_after_seconds(reply.headers),
    )


@dataclass(frozen=True, slots=True)
class _Call:
    """One call before its credentials; *body* as it goes over the wire."""

    operation: str
    method: str
    url: Address
    params: Mapping[str, str] | None
    body: Any
    headers: Mapping[str, str]
    speaks: Speaks
    read: ReadLines | None

    @property
    def address(self) -> str:
        return self.url if isinstance(self.url, str) else self.url()


def _call(
    operation: str,
    method: str,
    url: Address,
    params: Mapping[str, str] | None,
    json: Any,
    data: Any,
    headers: Mapping[str, str] | None,
    speaks: Speaks,
    read: ReadLines | None,
) -> _Call:
    if json is None:
        return _Call(operation, method, url, params, data, headers or {}, speaks, read)
    return _Call(operation, method, url, params, encode(json), {**_JSON, **(headers or {})}, speaks, read)


def _write(call: _Call) -> Write:
    telling = {name: value for name, value in call.headers.items() if name.lower() in _TELLING_HEADERS}
    address = requests.Request(call.method, call.address, params=call.params).prepare().url or call.address
    return Write(call.operation, call.method, address, telling, _readable(call.body))


def _readable(body: Any) -> Any:
    text = body.decode() if isinstance(body, bytes) else body
    try:
        return jsonlib.loads(text)
    except (TypeError, ValueError):  # a form, a CSV, nothing
        return text


def error_of(system: str, operation: str, reply: Reply, failure: Failure) -> errors.CrmsyncError:
    """The error for an answer: by the vendor's code where it is known, else by status."""
    error = _error_of(system, operation, reply, failure)
    error.words = failure.words
    return error


def _error_of(system: str, operation: str, reply: Reply, failure: Failure) -> errors.CrmsyncError:
    error_type = failure.error or _by_status(reply.status)
    message = failure.message or f"{system} answered {operation} with {reply.status}."
    common: dict[str, Any] = {"system": system, "operation": operation, "code": failure.code or f"HTTP {reply.status}"}
    if issubclass(error_type, errors.RetryableError):
        wait = failure.retry_after_seconds
        wait = wait if wait is not None else retry_after_seconds(reply.headers)
        return error_type(message, retry_after_seconds=wait, **common)
    return error_type(message, field_errors=failure.field_errors, advice=failure.advice, **common)


def _by_status(status: int) -> type[errors.CrmsyncError]:
    if status >= 500:
        return errors.VendorUnavailableError
    if 300 <= status < 400:
        return errors.UnexpectedAnswerError
    return STATUS_ERRORS.get(status, errors.RejectedError)


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Retry-After as seconds from now; the header may hold seconds or a date.

    >>> retry_after_seconds({"Retry-After": "7"}), retry_after_seconds({}), retry_after_seconds({"Retry-After": "?"})
    (7.0, None, None)
    """
    value = headers.get("Retry-After")
    if value is None:
        return None
    try:
        return _bounded(float(value))
    except ValueError:
        pass
    try:
        return _bounded((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _bounded(seconds: float) -> float | None:
    return min(max(0.0, seconds), LONGEST_WAIT_SECONDS) if math.isfinite(seconds) else None


def encode(value: Any) -> bytes:
    """JSON; a Decimal becomes a number of exactly its value (vendors that want strings get strings from the mapper).

    >>> encode({"rate": Decimal("235.10"), "quantity": Decimal(200)})
    b'{"rate": 235.1, "quantity": 200}'
    """
    return jsonlib.dumps(value, default=_encode_decimal, ensure_ascii=False).encode()


def _encode_decimal(value: Any) -> int | float:
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} has no JSON form")
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    if Decimal(repr(number)) != value:
        raise errors.MappingError(f"The number {value} has more digits than a JSON number can hold.")
    return number


def _correlation() -> dict[str, str]:
    current = correlation_id()
    return {CORRELATION_HEADER: current} if current else {}


def _streamed(response: requests.Response, call: _Call) -> Reply:
    """A success as *call* reads it, if its head looks like the application's."""
    head = Reply(response.status_code, response.headers)
    if call.read is None or head.status >= 300:
        return reply_of(response, content(response))
    return head if is_foreign(head, call.speaks) else replace(head, body=call.read(lines(response)))


def reply_of(response: requests.Response, body: bytes) -> Reply:
    readable = text(response, body)
    return Reply(response.status_code, response.headers, _parsed(readable), readable)


def _parsed(text: str) -> Any:
    """None for what is no JSON, or is none that a program can hold."""
    try:
        return jsonlib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        return None
