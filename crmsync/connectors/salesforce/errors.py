"""What an error answer of Salesforce means, decided by HTTP status and error code, never by its text.

Two things are read from a text, because they are named nowhere else: which of our own fields an INVALID_FIELD speaks
of, and the code of the cause inside the text of an automation that failed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from crmsync import errors
from crmsync.connectors.salesforce.causes import PROBLEMS, RETIRED, TABLE, cause, weight
from crmsync.connectors.way_out.answers import Explain, Failure, Reply, Speaks

SYSTEM = "Salesforce"

DAILY_QUOTA_WAIT_SECONDS = 900.0  # the quota counts the last 24 hours: some of it returns all the time
CONCURRENCY_WAIT_SECONDS = 30.0  # a call counts once it has lasted for 20 seconds

UNKNOWN_FIELD = "INVALID_FIELD"

_GONE = 410
_UNAUTHORIZED = 401
_WRITTEN = (201, 204)
_PAGE = Failure(
    error=errors.VendorUnavailableError,
    message="Something in front of Salesforce refused the call, also with a new token.",
)
_REFUSED = "is refused"
_UNKNOWN = "does not exist, or the integration user may not see it"

_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,79}")
_FIELD = re.compile(r"[A-Za-z0-9_.]{1,80}")
_USAGE = re.compile(r"api-usage=(\d{1,12})/(\d{1,12})")
_NO_SUCH_COLUMN = re.compile(r"No such column '([A-Za-z0-9_.]{1,80})'")
_QUOTED = re.compile(r"'([A-Za-z0-9_.]{1,80})'")


@dataclass(frozen=True, slots=True)
class _Problem:
    """One item of an error answer."""

    code: str
    fields: tuple[str, ...]
    text: str


def speaks_with(*names: str) -> Speaks:
    """Salesforce's own answer to a call: an object that has these *names*; JSON with a code where it is an error.

    Each call says what it is answered: any object at all is what gateways give as well, and a write that they have
    answered is not done.

    >>> rows = speaks_with("records")
    >>> [rows(Reply(200, {}, body)) for body in ({"records": []}, {}, [], {"success": False})]
    [True, False, False, False]
    >>> rows(Reply(404, {}, [{"errorCode": "NOT_FOUND"}])), rows(Reply(404, {}, {"message": "no route"}))
    (True, False)
    """
    return lambda reply: _is_own_error(reply) if reply.status >= 400 else _has(reply.body, names)


def speaks_results(reply: Reply) -> bool:
    """What became of each row, in a list."""
    if reply.status >= 400:
        return _is_own_error(reply)
    return isinstance(reply.body, list) and any(_has(result, ("success",)) for result in reply.body)


def speaks_versions(reply: Reply) -> bool:
    """A list of versions; an empty one is a gateway's."""
    if reply.status >= 400:
        return _is_own_error(reply)
    return isinstance(reply.body, list) and bool(reply.body) and all(_has(each, ("version",)) for each in reply.body)


def speaks_done(reply: Reply) -> bool:
    """What a write of fields or a part of a job is answered: nothing, or that it is done.

    >>> [speaks_done(reply) for reply in (Reply(204, {}), Reply(200, {}, {}, "{}"), Reply(204, {}, text="<html>"))]
    [True, False, False]
    """
    if reply.status >= 400:
        return _is_own_error(reply)
    is_told = isinstance(reply.body, dict) and reply.body.get("success") is True
    return is_told or (reply.status in _WRITTEN and not reply.text.strip())


def speaks_csv(reply: Reply) -> bool:
    """An answer that is read line by line, of which only the head is known: a page or an object is no list of rows."""
    if reply.status >= 400:
        return _is_own_error(reply)
    content_type = reply.headers.get("Content-Type", "").lower()
    return "html" not in content_type and "json" not in content_type


def _is_own_error(reply: Reply) -> bool:
    return reply.status == _GONE or any(_problems(reply.body, "errorCode"))


def _has(value: Any, names: Iterable[str]) -> bool:
    return isinstance(value, dict) and all(name in value for name in names)


def explainer(asked: Iterable[str]) -> Explain:
    """Explains the answers to calls that name the fields *asked*, which some organizations lack."""
    return partial(_explain, {name.lower(): name for name in asked})


def _explain(asked: Mapping[str, str], reply: Reply) -> Failure | None:
    if reply.status < 300:
        return None  # whether it can be read is for api.py to say: some answers are JSON and some CSV
    problems = list(_problems(reply.body, "errorCode"))
    return replace(_failure(asked, reply, problems), words="\n".join(problem.text for problem in problems))


def _failure(asked: Mapping[str, str], reply: Reply, problems: list[_Problem]) -> Failure:
    if reply.status == _GONE:
        return replace(RETIRED, code=_code(problems))
    if reply.status == _UNAUTHORIZED and not problems:
        return _PAGE
    # At 5xx nothing is certain but the code's name.
    return _by_code(asked, reply, problems) if reply.status < 500 else Failure(code=_code(problems))


def _by_code(asked: Mapping[str, str], reply: Reply, problems: list[_Problem]) -> Failure:
    code = _code(problems)
    if code == UNKNOWN_FIELD:
        return _unknown_field(asked, _deciding(problems).text)
    if code == "REQUEST_LIMIT_EXCEEDED":
        return _limit_exceeded(reply.headers)
    return replace(TABLE.get(code, Failure()), code=code, field_errors=_field_errors(problems))


def refusal(row_errors: Any) -> str:
    """Why a row of a collection was refused, by the error that decides. Their code has a key of its own.

    >>> refusal([{"statusCode": "NUMBER_OUTSIDE_VALID_RANGE", "message": "…", "fields": ["Stock__c"]}])
    'NUMBER_OUTSIDE_VALID_RANGE: Stock__c is outside the valid range'
    """
    problem = _deciding(list(_problems(row_errors, "statusCode")))
    return _reason(problem.code, problem.fields)


def bulk_refusal(text: str, ours: Collection[str]) -> str:
    """The same for a row of a bulk job, whose *text* is CODE:sentence:fields --; only fields of *ours* are named.

    >>> bulk_refusal("UNABLE_TO_LOCK_ROW:unable to obtain access to Ann's record:--", ["Stock__c"])
    'UNABLE_TO_LOCK_ROW: Another change has locked the record in Salesforce.'
    """
    code, fields = text.partition(":")[0], text.rpartition(":")[2].strip().removesuffix("--").split(",")
    named = {field.strip() for field in fields}
    found = cause(code, text.partition(":")[2]) if _CODE.fullmatch(code) else ""
    return _reason(found, tuple(field for field in ours if field in named))


@lru_cache(maxsize=256)  # a hundred thousand rows may be refused for one reason
def _reason(code: str, fields: tuple[str, ...]) -> str:
    problem = PROBLEMS.get(code, _REFUSED)
    known = TABLE.get(code, Failure()).message
    words = "; ".join(f"{field} {problem}" for field in fields) or known or f"The record {problem}."
    return f"{code}: {words}" if code else words


def _problems(body: Any, code_key: str) -> Iterator[_Problem]:
    """The items that have the documented form."""
    for item in body if isinstance(body, list) else ():
        if isinstance(item, dict) and _CODE.fullmatch(str(item.get(code_key))):
            text = str(item.get("message"))
            yield _Problem(cause(item[code_key], text), tuple(_names(item.get("fields"))), text)


def _names(fields: Any) -> Iterator[str]:
    for field in fields if isinstance(fields, list) else ():
        if isinstance(field, str) and _FIELD.fullmatch(field):
            yield field


def _deciding(problems: list[_Problem]) -> _Problem:
    """The first of those that tell most."""
    return max(problems, key=lambda problem: weight(problem.code), default=_Problem("", (), ""))


def _code(problems: list[_Problem]) -> str:
    return _deciding(problems).code


def _field_errors(problems: list[_Problem]) -> dict[str, str]:
    return {field: PROBLEMS.get(problem.code, _REFUSED) for problem in problems for field in problem.fields}


def _unknown_field(asked: Mapping[str, str], text: str) -> Failure:
    """The text of a query also quotes the query, so that only its sentence tells which field is meant."""
    named = _NO_SUCH_COLUMN.findall(text) or _QUOTED.findall(text)
    ours = [asked[name.lower()] for name in named if name.lower() in asked]
    return replace(TABLE[UNKNOWN_FIELD], code=UNKNOWN_FIELD, field_errors=dict.fromkeys(ours, _UNKNOWN))


def _limit_exceeded(headers: Mapping[str, str]) -> Failure:
    """One code stands for two limits. The header tells whether the quota is used up; the texts are documented nowhere.

    Without the header the longer wait is taken.
    """
    usage = [(int(used), int(allowed)) for used, allowed in _USAGE.findall(headers.get("Sforce-Limit-Info") or "")]
    has_quota = bool(usage) and all(used < allowed for used, allowed in usage)
    return Failure(
        code="REQUEST_LIMIT_EXCEEDED",
        error=errors.RateLimitedError,
        message=f"Salesforce allows no more calls {'at the same time' if has_quota else 'for now: its quota is used'}.",
        retry_after_seconds=CONCURRENCY_WAIT_SECONDS if has_quota else DAILY_QUOTA_WAIT_SECONDS,
    )
