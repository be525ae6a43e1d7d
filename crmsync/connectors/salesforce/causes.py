"""What Salesforce's error codes mean, in our own words: in an answer, inside another code's text, in a row.

Source: api-rest/guide/errorcodes.md and the StatusCode list of the SOAP API; facts, section 3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from crmsync import errors
from crmsync.connectors.way_out.answers import Failure

APPROVAL_WAIT_SECONDS = 3600.0  # a person has to approve or reject the record
LOCK = "UNABLE_TO_LOCK_ROW"
MOVED = "URL_NOT_RESET"

_AGAIN = "Then replay."
_AUTOMATION = "An automation of the Salesforce organization (a trigger or flow) failed on this change."


def _refused(message: str, advice: str) -> Failure:
    return Failure(error=errors.RejectedError, message=message, advice=f"{advice} {_AGAIN}")


def _account(message: str, advice: str) -> Failure:
    return Failure(error=errors.AccountRefusedError, message=message, advice=advice)


RETIRED = _account(
    "Salesforce has retired this version of its API.",
    "Set SF_API_VERSION to a newer one, then run `crmsync doctor`.",
)
MISUNDERSTOOD = Failure(
    error=errors.PermanentError,
    message="Salesforce did not understand the call; this is an error in crmsync; please report it.",
)
BUSY = Failure(error=errors.VendorUnavailableError, message="Salesforce could not finish the call in time.")
_LOCKED = Failure(error=errors.ConcurrentUpdateError, message="Another change has locked the record in Salesforce.")
_QUOTA = Failure(
    error=errors.RateLimitedError,
    message="Salesforce allows no more of these calls for now.",
    retry_after_seconds=900.0,
)
_NO_RECORD = Failure(
    error=errors.RecordNotFoundError, message="The record does not exist in Salesforce, or crmsync may not see it."
)
_PERMISSION = Failure(
    error=errors.AuthenticationError,
    message="The integration user may not do this in Salesforce.",
    advice="Give it read access to Opportunity, Account, Product2, Contact and their fields, and edit access to the "
    "fields that crmsync writes; then run `crmsync doctor`.",
)
_NO_API = _account(
    "Salesforce has switched its API off for this organization or user.",
    "Give the integration user the permission API Enabled, then run `crmsync doctor`.",
)
_CLOSED = _account(
    "The Salesforce organization is closed: its trial or contract is over, or Salesforce has locked it.",
    "Check its subscription, or ask Salesforce.",
)
_USER = _account(
    "Salesforce does not let the integration user sign in.",
    "Check the user in Setup: active, password not expired, addresses and hours of its profile; "
    "then run `crmsync doctor`.",
)
_AUTOMATION_FAILED = _refused(
    _AUTOMATION,
    "Ask the administrator to change the record by hand: Salesforce then shows what failed; or to exempt the "
    "integration user from the automation.",
)
_RELATED = _refused(
    "The change needs a related record in Salesforce (account, price book, owner, campaign) that the integration user "
    "may not see or edit.",
    "Give the integration user access to it, or exempt it from the automation that writes there.",
)
_NO_RELATED = _refused(
    "The deal refers to a record in Salesforce that is gone or of another kind.",
    "Open the deal in Salesforce and correct its lookup fields and owner.",
)
_LIMIT = _refused(
    "The change goes beyond a limit of the Salesforce organization.",
    "Ask the administrator which one: changing the record by hand shows it.",
)
_POLICY = Failure(
    error=errors.AuthenticationError,
    message="A transaction security policy of the Salesforce organization refused the call.",
    advice="Ask the administrator to exempt the integration user from the policy, then replay.",
)

PROBLEMS: Mapping[str, str] = {
    "REQUIRED_FIELD_MISSING": "is required",
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": "is refused by a validation rule of the organization",
    "FIELD_FILTER_VALIDATION_EXCEPTION": "is refused by a lookup filter of the organization",
    "STRING_TOO_LONG": "is too long",
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": "is not among the values of its picklist",
    "INVALID_EMAIL_ADDRESS": "is not an e-mail address",
    "NUMBER_OUTSIDE_VALID_RANGE": "is outside the valid range",
    "INVALID_FIELD_FOR_INSERT_UPDATE": "can't be written: it is calculated, or the user may only read it",
    "DUPLICATE_VALUE": "must be unique, and another record has this value",
}
_SHOWS = "Open the deal in Salesforce and save it: it then shows the field, or correct the automation that writes it."
_WRITABLE = "Give the integration user edit access to the fields that crmsync writes; `crmsync doctor` shows which."
# Where Salesforce does not name the field, as inside an automation.
_OF_A_FIELD = {
    code: _refused(
        f"A field of the record {problem}.", _WRITABLE if code == "INVALID_FIELD_FOR_INSERT_UPDATE" else _SHOWS
    )
    for code, problem in PROBLEMS.items()
}

TABLE: Mapping[str, Failure] = {
    **_OF_A_FIELD,
    # whose session it is, and whether the organization lets anybody in
    "INVALID_SESSION_ID": _account(
        "Salesforce refused the call, also with a new token.",
        "Check the integration user and the app's scope `api`, then run `crmsync doctor`.",
    ),
    "INVALID_AUTH_HEADER": _USER,
    "API_DISABLED_FOR_ORG": _NO_API,
    "API_CURRENTLY_DISABLED": _NO_API,
    "CLIENT_NOT_ACCESSIBLE_FOR_USER": _account(
        "Salesforce does not let the integration user work through crmsync's app.",
        "Admit the user to the app (a permission set, or API access control), then run `crmsync doctor`.",
    ),
    "OAUTH_APP_BLOCKED": _account(
        "The administrator has blocked crmsync's app in Salesforce.", "Unblock it in Setup, then run `crmsync doctor`."
    ),
    "INACTIVE_ORG": _CLOSED,
    "ORG_LOCKED": _CLOSED,
    "TRIAL_EXPIRED": _CLOSED,
    "INACTIVE_USER": _USER,
    "INVALID_LOGIN": _USER,
    "INVALID_OPERATION_WITH_EXPIRED_PASSWORD": _USER,
    "LOGIN_DURING_RESTRICTED_DOMAIN": _USER,
    "LOGIN_DURING_RESTRICTED_TIME": _USER,
    "PASSWORD_LOCKOUT": _USER,
    "STORAGE_LIMIT_EXCEEDED": _account(
        "The storage of the Salesforce organization is full.", "Free or buy storage; the runs then continue."
    ),
    "UNSUPPORTED_API_VERSION": RETIRED,
    # what the user may do
    "FORBIDDEN": _PERMISSION,
    "INSUFFICIENT_ACCESS": _PERMISSION,
    "INSUFFICIENT_ACCESS_OR_READONLY": _PERMISSION,
    "FUNCTIONALITY_NOT_ENABLED": _PERMISSION,
    "INVALID_TYPE": _PERMISSION,  # an object that the user may not see does not exist for it
    "TXN_SECURITY_NO_ACCESS": _POLICY,
    "TXN_SECURITY_RUNTIME_EXCEPTION": _POLICY,
    "INVALID_FIELD": Failure(
        error=errors.PermanentError,
        message="Salesforce lacks a field that crmsync needs, or hides it from the integration user.",
        advice="Create the field, give the integration user access to it by field-level security, or name another "
        "one in the environment; `crmsync doctor` shows which fields are at fault.",
    ),
    # what passes
    LOCK: _LOCKED,
    "RECORD_IN_USE_BY_WORKFLOW": _LOCKED,
    "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE": _LOCKED,
    "ENTITY_IS_LOCKED": Failure(
        error=errors.ConcurrentUpdateError,
        message="The record is locked in Salesforce by an approval process.",
        retry_after_seconds=APPROVAL_WAIT_SECONDS,
    ),
    MOVED: Failure(
        error=errors.VendorUnavailableError, message="The organization now has another address in Salesforce."
    ),
    "QUERY_TIMEOUT": BUSY,
    "SERVER_UNAVAILABLE": BUSY,
    "REQUEST_RUNNING_TOO_LONG": BUSY,
    "FUNCTIONALITY_TEMPORARILY_UNAVAILABLE": BUSY,
    "TXN_SECURITY_METERING_ERROR": BUSY,
    "UNKNOWN_EXCEPTION": BUSY,
    "INVALID_QUERY_LOCATOR": BUSY,  # the cursor is gone: the next attempt reads from the first page
    "EXCEEDED_QUOTA": _QUOTA,
    "REQUEST_LIMIT_EXCEEDED": _QUOTA,  # how long it lasts is told by a header: see errors.py
    # what somebody must correct
    "NOT_FOUND": _NO_RECORD,
    "ENTITY_IS_DELETED": _NO_RECORD,
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": _AUTOMATION_FAILED,
    "CANNOT_EXECUTE_FLOW_TRIGGER": _AUTOMATION_FAILED,
    "FLOW_EXCEPTION": _AUTOMATION_FAILED,
    "APEX_ERROR": _AUTOMATION_FAILED,
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": _refused(
        "A validation rule of the Salesforce organization refused the change.",
        "Correct the deal so that the rule lets it pass, or exempt the integration user from the rule.",
    ),
    "FIELD_FILTER_VALIDATION_EXCEPTION": _refused(
        "A lookup filter of the Salesforce organization refused the change.",
        "Correct the lookup field on the deal, or make the filter optional for the integration user.",
    ),
    "FIELD_INTEGRITY_EXCEPTION": _refused(
        "A field of the record refers to something in Salesforce that does not match it.",
        "Open the deal in Salesforce and save it: it then shows the field.",
    ),
    "DUPLICATES_DETECTED": _refused(
        "A duplicate rule of the Salesforce organization refused the change.",
        "Exempt the integration user from the rule, let it report instead of block, or merge the duplicates.",
    ),
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": _RELATED,
    "TRANSFER_REQUIRES_READ": _RELATED,
    "INVALID_CROSS_REFERENCE_KEY": _NO_RELATED,
    "INVALID_CROSS_REFERENCE_TYPE_FOR_FIELD": _NO_RELATED,
    "INACTIVE_OWNER_OR_USER": _refused(
        "The record belongs to a user who is inactive in Salesforce.",
        "Give it to an active user, or let the integration user update records with inactive owners.",
    ),
    "LIMIT_EXCEEDED": _LIMIT,
    "CIRCULAR_DEPENDENCY": _NO_RELATED,
    # what crmsync has done wrong
    "MALFORMED_ID": MISUNDERSTOOD,
    "MALFORMED_QUERY": MISUNDERSTOOD,
    "JSON_PARSER_ERROR": MISUNDERSTOOD,
    "OPERATION_TOO_LARGE": MISUNDERSTOOD,
    "INVALID_ARGUMENT": MISUNDERSTOOD,
}

# Codes that only say where it happened: another code, the cause, may stand in their text.
WRAPPERS = frozenset(
    {
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "APEX_ERROR",
        "CANNOT_EXECUTE_FLOW_TRIGGER",
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "FIELD_INTEGRITY_EXCEPTION",
        "FLOW_EXCEPTION",
        "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
        "PROCESSING_HALTED",
        "UNKNOWN_EXCEPTION",
    }
)
RULE = "FIELD_CUSTOM_VALIDATION_EXCEPTION"  # its text is an administrator's, or what a trigger's code passes on
_PASSING = (errors.ConcurrentUpdateError, errors.VendorUnavailableError, errors.RateLimitedError)
# Inside an automation they speak of the record that it wrote, never of the account.
_RELATED_CODE = "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"
_INSIDE: Mapping[str, str] = dict.fromkeys(("INSUFFICIENT_ACCESS", "INSUFFICIENT_ACCESS_OR_READONLY"), _RELATED_CODE)

_OF_THE_ORGANIZATION = frozenset({"STORAGE_LIMIT_EXCEEDED"})  # wherever it stands: no record is at fault

_NAMED = re.compile(r"\b[A-Z]{2,}(?:_[A-Z]+)+\b")
# What Salesforce says of a lock, in the user's language, where a trigger passes the sentence on without its code.
_LOCK_SENTENCE = re.compile(
    r"record currently unavailable|exclusive access|exklusive[nr]? zugriff|accès exclusif|acceso exclusivo"
    r"|acesso exclusivo|accesso esclusivo|exclusieve toegang",
    re.IGNORECASE,
)


def passes(code: str) -> bool:
    """Whether the same call may succeed a little later."""
    error = TABLE.get(code, Failure()).error
    return error is not None and issubclass(error, _PASSING)


def cause(code: str, text: str) -> str:
    """The code that *code* stands for: where that only wraps others, or is unknown, the innermost that its text names.

    >>> cause("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "T: caused by: first error: UNABLE_TO_LOCK_ROW, unable to …: []")
    'UNABLE_TO_LOCK_ROW'
    >>> cause("STRING_TOO_LONG", "UNABLE_TO_LOCK_ROW is too long")
    'STRING_TOO_LONG'
    """
    if code not in WRAPPERS and code != RULE and code in TABLE:
        return code
    if _LOCK_SENTENCE.search(text):
        return LOCK
    named = [_INSIDE.get(each, each) for each in _NAMED.findall(text)]
    return next((each for each in reversed(named) if _explains(each, code)), code)


def weight(code: str) -> int:
    """Which of several errors decides: the organization's, then one that passes, then a cause; least where it happened.

    >>> codes = ("CANNOT_EXECUTE_FLOW_TRIGGER", "STRING_TOO_LONG", "UNABLE_TO_LOCK_ROW", "API_DISABLED_FOR_ORG")
    >>> [weight(code) for code in codes]
    [0, 1, 2, 3]
    """
    error = TABLE.get(code, Failure()).error
    if error is not None and issubclass(error, errors.AccountRefusedError):
        return 3
    return 2 if passes(code) else int(code not in WRAPPERS)


def _explains(inner: str, outer: str) -> bool:
    if passes(inner) or inner in _OF_THE_ORGANIZATION:
        return True
    is_refusal = TABLE.get(inner, Failure()).error is errors.RejectedError
    return outer != RULE and is_refusal and (inner not in WRAPPERS or inner == _RELATED_CODE)
