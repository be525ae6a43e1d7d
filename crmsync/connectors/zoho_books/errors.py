"""What an error answer of Zoho Books means, decided by its code; its texts are localised and never read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from crmsync import errors
from crmsync.connectors.way_out.answers import Failure, Reply, retry_after_seconds

SYSTEM = "Zoho Books"
SUCCESS = 0
NO_CONTENT = 204
NOT_FOUND = 404
_UNAUTHORIZED = 401

_PERMISSION = Failure(
    error=errors.AuthenticationError,
    message="Zoho Books refused the call, also with a new token: a permission is missing.",
    advice="Give the user and the refresh token ZohoBooks.contacts, .invoices, .customerpayments and .settings; "
    "then `crmsync doctor`.",
)
_NO_RECORD = Failure(
    error=errors.RecordNotFoundError, message="The record does not exist in Zoho Books, or crmsync may not see it."
)
# Code 5, "Invalid URL": no word about the record, and who reads a payment must not take it for a deleted one.
_NO_ADDRESS = Failure(
    error=errors.RejectedError,
    message="Zoho Books does not know this address.",
    advice="Check ZOHO_API_URL, then run `crmsync doctor`.",
)
_NOT_SIGNED_IN = Failure(
    error=errors.AccountRefusedError,
    message="Zoho Books does not accept the token, also a new one.",
    advice="ZOHO_ACCOUNTS_URL and ZOHO_API_URL must be of the data centre that the organization is in; "
    "run `crmsync doctor`.",
)
_NO_ORGANIZATION = Failure(
    error=errors.AccountRefusedError,
    message="Zoho Books does not know the organization, or the user of the refresh token has no access to it.",
    advice="Check ZOHO_ORGANIZATION_ID and that user, then run `crmsync doctor`.",
)
_PLAN_IS_OVER = Failure(
    error=errors.AccountRefusedError,
    message="The plan or trial of the organization is over in Zoho Books.",
    advice="Renew or upgrade its subscription there.",
)
_PAGE = Failure(
    error=errors.VendorUnavailableError,
    message="Something in front of Zoho Books refused the call, also with a new token.",
)
_INTERNAL = Failure(error=errors.VendorUnavailableError, message="Zoho Books reports an internal error.")
_REFUSES_ALL = Failure(
    error=errors.AccountRefusedError,
    message="Zoho Books refuses this organization as a whole: even calls that concern no record.",
    advice="Sign in there and check the organization: its subscription, and the user of the refresh token.",
)
_INACTIVE = Failure(
    error=errors.AccountRefusedError,
    message="The organization, or the user of the refresh token, is not active in Zoho Books.",
    advice="Activate it there.",
)
_INTERNAL_CODE = 1000
_NOT_ALLOWED = 57
_NOT_ALLOWED_STATUS = (200, 401, 403)  # elsewhere it may be about the record
_TABLE: Mapping[int, Failure] = {
    14: _NOT_SIGNED_IN,
    _NOT_ALLOWED: _PERMISSION,
    _INTERNAL_CODE: _INTERNAL,
    1002: _NO_RECORD,
    # crmsync never chooses a number: the series of the organisation has collided, the next attempt gets the next one.
    1001: Failure(
        error=errors.ConcurrentUpdateError, message="Zoho Books has already used the number of this document."
    ),
    3062: Failure(
        error=errors.AmbiguousMatchError,
        message="Zoho Books already has a customer or vendor with this name.",
        advice="If it is this customer, give its contact id with the replay; otherwise rename one of the two.",
    ),
}
# Of a value in a record, without a sentence of our own.
_VALUES = frozenset({2, 4, 5, 15, 37, 1038, 4097})
# How many calls it allows, under whatever status.
_LIMITS: Mapping[int, Failure] = {
    44: Failure(error=errors.RateLimitedError, message="Zoho Books allows no more calls in this minute."),
    45: Failure(error=errors.RateLimitedError, message="Zoho Books allows no more calls today."),
    1070: Failure(error=errors.RateLimitedError, message="Zoho Books is handling too many calls at once."),
}
# What concerns the organization and no record, under whatever status.
_ACCOUNT: Mapping[int, Failure] = {
    6041: _NO_ORGANIZATION,
    9017: _NO_ORGANIZATION,
    103001: _PLAN_IS_OVER,
}
_NUMBER = re.compile(r"[0-9]{1,12}")

# code → seconds to wait where the answer doesn't say, and the most that it may say. X-Rate-Limit-Reset may speak of
# the day although only the minute is used up (seen in 2019, documented nowhere).
_WAITS: Mapping[int, tuple[float, float]] = {44: (60.0, 60.0), 45: (3600.0, 86_400.0), 1070: (5.0, 60.0)}


def speaks(reply: Reply) -> bool:
    """Zoho's own answer: JSON with a code.

    >>> speaks(Reply(404, {}, {"code": 1002})), speaks(Reply(404, {}, {"message": "no route"})), speaks(Reply(204, {}))
    (True, False, False)
    """
    return _code(reply.body) is not None


def speaks_list(reply: Reply) -> bool:
    """The same, or no content: so may an empty list be answered, and nothing else."""
    return reply.status == NO_CONTENT or speaks(reply)


def explain(reply: Reply) -> Failure | None:
    """What an error answer means; None if the answer is a success: `code` 0, or no content."""
    code = _code(reply.body)
    if reply.status == NO_CONTENT or (reply.status < 300 and code == SUCCESS):
        return None
    if code is None:
        return _PAGE if reply.status == _UNAUTHORIZED else None
    return _failure(reply, code)


def explain_sign_in(answer: Mapping[str, Any]) -> Failure | None:
    """What an answer to the sign-in says of the account, in the codes of the API."""
    return _ACCOUNT.get(_code(answer) or SUCCESS)


def _code(body: Any) -> int | None:
    value = body.get("code") if isinstance(body, dict) else None
    return int(value) if isinstance(value, int | str) and _NUMBER.fullmatch(str(value)) else None


def of_account(organization_id: str, reply: Reply, code: str) -> Failure | None:
    """What the list of organizations, which concerns no record, says of ours after a call was refused with *code*."""
    refusal = explain(reply)
    if refusal is not None:
        return _refused_as_well(refusal, code)
    rows = reply.body.get("organizations") if isinstance(reply.body, dict) else None
    if not isinstance(rows, list):
        return None
    own = [row for row in rows if isinstance(row, dict) and str(row.get("organization_id")) == organization_id]
    if not own:
        return replace(_NO_ORGANIZATION, code=code)
    is_active = own[0].get("is_org_active") is not False and own[0].get("user_status", "active") == "active"
    return None if is_active else replace(_INACTIVE, code=code)


def _refused_as_well(refusal: Failure, code: str) -> Failure | None:
    if refusal.error is errors.AccountRefusedError:
        return refusal
    return replace(_REFUSES_ALL, code=code, words=refusal.words) if refusal.code == code else None


def _failure(reply: Reply, code: int) -> Failure:
    known = _ACCOUNT.get(code) or _LIMITS.get(code) or _told(code, reply.status)
    is_doubtful = known is None and code not in _VALUES and reply.status < 500
    known = known or (_NO_ADDRESS if reply.status == NOT_FOUND else Failure(is_doubtful=is_doubtful))
    return replace(known, code=str(code), retry_after_seconds=_wait(reply.headers, code), words=_words(reply.body))


def _told(code: int, status: int) -> Failure | None:
    """What a code of _TABLE says under this status."""
    if code == _NOT_ALLOWED and status not in _NOT_ALLOWED_STATUS:
        return None
    return _TABLE.get(code) if status < 500 or code == _INTERNAL_CODE else None


def _words(body: Mapping[str, Any]) -> str:
    text = body.get("message")
    return text if isinstance(text, str) else ""


def _wait(headers: Mapping[str, str], code: int) -> float | None:
    if code not in _WAITS:
        return None
    default, longest = _WAITS[code]
    asked = retry_after_seconds(headers)
    asked = _reset(headers) if asked is None else asked
    return asked if asked is not None and 0 < asked <= longest else default


def _reset(headers: Mapping[str, str]) -> float | None:
    """X-Rate-Limit-Reset, in seconds from now."""
    value = headers.get("X-Rate-Limit-Reset", "").strip()
    return float(value) if value.isascii() and value.isdecimal() else None
