"""Classifies a vendor's answer: the application's own or somebody else's, a success or an error of errors.py."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from crmsync import errors
from crmsync.connectors.way_out.faults import proxy_refusal
from crmsync.connectors.way_out.transport import text

DIGITS_MAX = 25
LONGEST_WAIT_SECONDS = 7 * 86_400.0  # a vendor that asks for more is not believed


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
    is_doubtful: bool = False  # an unknown code, which may concern the account: see second_look.py
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

Explain = Callable[[Reply], "Failure | None"]
"""Reads a vendor's answer: a Failure if it reports one (even under 200), None if all is well."""

Speaks = Callable[[Reply], bool]
"""Whether an answer is the application's own, and not a page of its edge, of a gateway or of a login.

A vendor declares it once, `VendorClient(…, speaks=speaks_json)`, and a call that answers something else than the others
(a CSV, XML metadata) says so itself: `call(…, speaks=lambda reply: …)`. What is not the application's own is an outage,
see is_foreign(), and never comes to Explain.
"""

# The status alone says what these mean, whoever answers: sign in (again), come back later, the call is too large.
_PLAIN_STATUS = frozenset({401, 408, 413, 414, 425, 429, 431})
_PROXY_REFUSED = 407
_EMPTY_STATUS = frozenset({204, 205})


def speaks_anything(reply: Reply) -> bool:
    return True


def speaks_json(reply: Reply) -> bool:
    """The application answers an object or a list of JSON, or no content under a status that says so.

    >>> [speaks_json(reply) for reply in (Reply(404, {}, [{"errorCode": "NOT_FOUND"}]), Reply(204, {}), Reply(404, {}))]
    [True, True, False]
    """
    return isinstance(reply.body, dict | list) or (reply.status in _EMPTY_STATUS and not reply.text.strip())


def is_foreign(reply: Reply, speaks: Speaks) -> bool:
    """Whether somebody else than the application has answered, so that the call's outcome is unknown.

    The one rule for it: a redirect always (the application moves nothing), and everything that it does not speak, save
    where the status alone says all.

    >>> [is_foreign(Reply(status, {}, text="<html>"), speaks_json) for status in (200, 302, 404, 420, 401, 429, 503)]
    [True, True, True, True, False, False, False]
    """
    if 300 <= reply.status < 400 or reply.status == _PROXY_REFUSED:
        return True
    return reply.status not in _PLAIN_STATUS and reply.status < 500 and not speaks(reply)


def foreign_answer(system: str, operation: str, reply: Reply) -> errors.VendorUnavailableError:
    """An outage: whether the call has come to the application is unknown."""
    if reply.status == _PROXY_REFUSED:
        return proxy_refusal(system, operation, reply.status)
    return errors.VendorUnavailableError(
        f"Something in front of {system}, such as a proxy or a maintenance page, answered instead ({operation}).",
        system=system,
        operation=operation,
        code=f"HTTP {reply.status}",
        retry_after_seconds=retry_after_seconds(reply.headers),
    )


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

    None for what is no wait: the past, of a date by another clock, or an instant that somebody wrote as seconds.

    >>> [retry_after_seconds({"Retry-After": told}) for told in ("7", "1.5", "?", "0", "-5", "1795169472", "inf")]
    [7.0, 1.5, None, None, None, None, None]
    """
    value = headers.get("Retry-After")
    if value is None:
        return None
    try:
        return _believed(float(value))
    except ValueError:
        pass
    try:
        return _believed((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _believed(seconds: float) -> float | None:
    return seconds if 0 < seconds <= LONGEST_WAIT_SECONDS else None


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


def is_reasonable(number: Decimal) -> bool:
    """Whether a number may be an amount or a quantity; one of a million digits would fill the memory when it is shown.

    >>> [is_reasonable(Decimal(number)) for number in ("99.995", "-1E+7", "1E+400000000", "1E-999", "NaN")]
    [True, True, False, False, False]
    """
    if not number.is_finite():
        return False
    return abs(number.adjusted()) < DIGITS_MAX and abs(int(number.as_tuple().exponent)) < 2 * DIGITS_MAX


def reply_of(response: requests.Response, body: bytes) -> Reply:
    readable = text(response, body)
    return Reply(response.status_code, response.headers, _parsed(readable), readable)


def _parsed(text: str) -> Any:
    """None for what is no JSON, or is none that a program can hold."""
    try:
        body = jsonlib.loads(text.removeprefix("\ufeff"), parse_float=Decimal)
        return _storable(body) if "\\u" in text else body
    except (ValueError, ArithmeticError, RecursionError):
        return None


def _storable(value: Any) -> Any:
    """*value* without what no database takes as text: NUL, and halves of characters.

    >>> _storable({"a\\0": ["x\\0y", "\\ud800", Decimal(1)]})
    {'a': ['xy', '?', Decimal('1')]}
    """
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_storable(each) for each in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(each) for key, each in value.items()}
    return value
