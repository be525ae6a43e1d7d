"""What an answer of Salesforce means, decided by HTTP status and error code; its texts go nowhere.

One thing is read from a text: which of our own fields an INVALID_FIELD speaks of, because it is named nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from crmsync import errors
from crmsync.connectors.http import Explain, Failure, Reply

DAILY_QUOTA_WAIT_SECONDS = 900.0  # the quota counts the last 24 hours: some of it returns all the time
CONCURRENCY_WAIT_SECONDS = 30.0  # a call counts once it has lasted for 20 seconds
APPROVAL_WAIT_SECONDS = 3600.0  # a person has to approve or reject the record

_GONE = 410

_RETIRED = Failure(
    error=errors.PermanentError,
    message="Salesforce has retired this version of its API.",
    advice="Set SF_API_VERSION to a newer one, then run `crmsync doctor`.",
)
_PERMISSION = Failure(
    error=errors.AuthenticationError,
    message="The integration user may not do this in Salesforce.",
    advice="Give it read access to Opportunity, Account, Product2, Contact and their fields, and edit access to the "
    "fields that crmsync writes; then run `crmsync doctor`.",
)
_NO_API = Failure(
    error=errors.AuthenticationError,
    message="Salesforce has switched its API off for this organization or user.",
    advice="Give the integration user the permission API Enabled, then run `crmsync doctor`.",
)
_NO_RECORD = Failure(
    error=errors.RecordNotFoundError, message="The record does not exist in Salesforce, or crmsync may not see it."
)
_MISUNDERSTOOD = Failure(
    error=errors.PermanentError,
    message="Salesforce did not understand the call; this is an error of crmsync, please report it.",
)
_BUSY = Failure(error=errors.VendorUnavailableError, message="Salesforce could not finish the call in time.")

_TABLE: Mapping[str, Failure] = {
    "INVALID_SESSION_ID": Failure(
        error=errors.AuthenticationError,
        message="Salesforce refused the call, also with a new token.",
        advice="Check the integration user and the app's scope `api`, then run `crmsync doctor`.",
    ),
    "INSUFFICIENT_ACCESS": _PERMISSION,
    "INSUFFICIENT_ACCESS_OR_READONLY": _PERMISSION,
    "INVALID_TYPE": _PERMISSION,  # an object that the user may not see does not exist for it
    "API_DISABLED_FOR_ORG": _NO_API,
    "API_CURRENTLY_DISABLED": _NO_API,
    "NOT_FOUND": _NO_RECORD,
    "ENTITY_IS_DELETED": _NO_RECORD,
    "INVALID_FIELD": Failure(
        error=errors.PermanentError,
        message="Salesforce lacks a field that crmsync needs, or hides it from the integration user.",
        advice="Create the field, give the integration user access to it by field-level security, or name another "
        "one in the environment; `crmsync doctor` tells which fields are at fault.",
    ),
    "UNABLE_TO_LOCK_ROW": Failure(
        error=errors.ConcurrentUpdateError, message="Another change holds the record in Salesforce."
    ),
    "ENTITY_IS_LOCKED": Failure(
        error=errors.ConcurrentUpdateError,
        message="The record is locked in Salesforce by an approval process.",
        retry_after_seconds=APPROVAL_WAIT_SECONDS,
    ),
    "QUERY_TIMEOUT": _BUSY,
    "SERVER_UNAVAILABLE": _BUSY,
    "INVALID_QUERY_LOCATOR": _BUSY,  # the cursor is gone: the next attempt reads from the first page
    "MALFORMED_ID": _MISUNDERSTOOD,
    "MALFORMED_QUERY": _MISUNDERSTOOD,
    "JSON_PARSER_ERROR": _MISUNDERSTOOD,
    "UNSUPPORTED_API_VERSION": _RETIRED,
    "STORAGE_LIMIT_EXCEEDED": Failure(
        error=errors.PermanentError,
        message="The storage of the Salesforce organization is full.",
        advice="Free or buy storage, then replay.",
    ),
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": Failure(
        error=errors.RejectedError,
        message="An automation of the Salesforce organization (a trigger or flow) failed on this change.",
        advice="Ask the administrator to change the record by hand: Salesforce then shows what failed. Then replay.",
    ),
}

_PROBLEMS: Mapping[str, str] = {
    "REQUIRED_FIELD_MISSING": "is required",
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": "is refused by a validation rule of the organization",
    "STRING_TOO_LONG": "is too long",
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": "is not among the values of its picklist",
    "INVALID_EMAIL_ADDRESS": "is no e-mail address",
    "NUMBER_OUTSIDE_VALID_RANGE": "is outside of the valid range",
    "INVALID_FIELD_FOR_INSERT_UPDATE": "can't be written: it is calculated, or the user may only read it",
    "DUPLICATE_VALUE": "must be unique, and another record has this value",
}
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


def explainer(asked: Iterable[str]) -> Explain:
    """Explains the answers to calls that name the fields *asked*, which some organizations lack."""
    return partial(_explain, {name.lower(): name for name in asked})


def _explain(asked: Mapping[str, str], reply: Reply) -> Failure | None:
    if reply.status < 300:
        return None  # whether it can be read is for api.py to say: some answers are JSON and some CSV
    problems = list(_problems(reply.body, "errorCode"))
    if reply.status == _GONE:
        return replace(_RETIRED, code=_code(problems))
    # At 5xx nothing is certain but the code's name.
    return _by_code(asked, reply, problems) if reply.status < 500 else Failure(code=_code(problems))


def _by_code(asked: Mapping[str, str], reply: Reply, problems: list[_Problem]) -> Failure | None:
    code = _code(problems)
    if code == "INVALID_FIELD":
        return _unknown_field(asked, problems[0].text)
    if code == "REQUEST_LIMIT_EXCEEDED":
        return _limit_exceeded(reply.headers)
    return replace(_TABLE.get(code, Failure()), code=code, field_errors=_field_errors(problems))


def refusal(row_errors: Any) -> str:
    """Why a row of a collection was refused, by the first of its errors. Their code has a key of its own.

    >>> refusal([{"statusCode": "NUMBER_OUTSIDE_VALID_RANGE", "message": "…", "fields": ["Stock__c"]}])
    'NUMBER_OUTSIDE_VALID_RANGE: Stock__c is outside of the valid range'
    """
    problem = next(_problems(row_errors, "statusCode"), None)
    return _reason(problem.code, problem.fields) if problem else _reason("", ())


def bulk_refusal(text: str, ours: Collection[str]) -> str:
    """The same for a row of a bulk job, whose *text* is CODE:sentence:fields --; only fields of *ours* are named.

    >>> bulk_refusal("UNABLE_TO_LOCK_ROW:unable to obtain access to Ann's record:--", ["Stock__c"])
    'UNABLE_TO_LOCK_ROW: Another change holds the record in Salesforce.'
    """
    code, fields = text.partition(":")[0], text.rpartition(":")[2].strip().removesuffix("--").split(",")
    named = {field.strip() for field in fields}
    return _reason(code if _CODE.fullmatch(code) else "", tuple(field for field in ours if field in named))


@lru_cache(maxsize=256)  # a hundred thousand rows may be refused for one reason
def _reason(code: str, fields: tuple[str, ...]) -> str:
    problem = _PROBLEMS.get(code, _REFUSED)
    known = _TABLE.get(code, Failure()).message
    words = "; ".join(f"{field} {problem}" for field in fields) or known or f"The record {problem}."
    return f"{code}: {words}" if code else words


def _problems(body: Any, code_key: str) -> Iterator[_Problem]:
    """The items that have the documented form."""
    for item in body if isinstance(body, list) else ():
        if isinstance(item, dict) and _CODE.fullmatch(str(item.get(code_key))):
            yield _Problem(item[code_key], tuple(_names(item.get("fields"))), str(item.get("message")))


def _names(fields: Any) -> Iterator[str]:
    for field in fields if isinstance(fields, list) else ():
        if isinstance(field, str) and _FIELD.fullmatch(field):
            yield field


def _code(problems: list[_Problem]) -> str:
    return problems[0].code if problems else ""


def _field_errors(problems: list[_Problem]) -> dict[str, str]:
    return {field: _PROBLEMS.get(problem.code, _REFUSED) for problem in problems for field in problem.fields}


def _unknown_field(asked: Mapping[str, str], text: str) -> Failure:
    """The text of a query also quotes the query, so that only its sentence tells which field is meant."""
    named = _NO_SUCH_COLUMN.findall(text) or _QUOTED.findall(text)
    ours = [asked[name.lower()] for name in named if name.lower() in asked]
    return replace(_TABLE["INVALID_FIELD"], code="INVALID_FIELD", field_errors=dict.fromkeys(ours, _UNKNOWN))


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
