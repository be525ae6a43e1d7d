"""What an error answer of SAP says: its code and the field at fault, never its words."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from crmsync import errors
from crmsync.connectors.answers import Failure, Reply
from crmsync.connectors.s4hana.xml_errors import error_in_xml

SYSTEM = "SAP S/4HANA"
TOKEN_HEADER = "x-csrf-token"  # noqa: S105 - the name of a header

# Our sentence for codes whose meaning is published (ilia-inovaflow/s4hana-create-record-skills, 2026-05-12).
_SENTENCES = {
    "FSBP_ECC/030": f"{SYSTEM} wants a language for the address; check SAP_LANGUAGE.",
    "CVI_API/003": f"{SYSTEM} wants a currency for the sales area; the deal has none that it knows.",
}
SIGNED_OUT = "HTTP 401"
CREATED = 201
FORBIDDEN = 403
NOT_IMPLEMENTED = 501
_TOLD_BY_STATUS = (403, 412, 423, 428)
_FINAL = (401, 408, 429)  # what says the same at every address
_SIGNED_OUT = Failure(
    SIGNED_OUT,
    error=errors.AccountRefusedError,
    message=f"{SYSTEM} does not accept the credentials.",
    advice="Check the user, its password and whether it is locked there, then run `crmsync doctor`.",
)
NOT_ALLOWED = f"{SYSTEM} does not let the communication user do this; check its communication arrangements."
_LOCKED = f"A record in {SYSTEM} is locked by somebody who works on it."
_CODE = re.compile(r"[\w/.~-]{1,60}")
_FIELD = re.compile(r"[A-Za-z]\w{0,59}")
# Messages of the lock handler, and of documents, material masters and their values that somebody has open
# (SAP KBA 3645227 and public clients; the texts of classes MC, V2, VL and M3).
LOCK_CODES = frozenset({"MC/601", "MC/602", "V2/468", "VL/045", "M3/024", "M3/897"})
# Applications have classes of their own for it, so their English or German sentence counts as well: that somebody holds
# the record. To be wrong costs three more tries, to miss it a person's time.
_SOMEBODY = re.compile(
    r"\b(locked|blocked|held|being processed|currently (processed|edited|changed|maintained))"
    r" by (the )?(user|another|you)\b"
    r"|\b(gesperrt|bearbeitet|blockiert) (durch|von)\b"
    r"|\b(durch|von) (den |einem )?(anderen )?(Be|A)nutzer\b.*\b(gesperrt|bearbeitet)",
    re.IGNORECASE,
)
_GENERIC = "/IWBEP/"  # codes of the gateway, which say less than those of the application
_LOUD = ("warning", "error")


class StaleTokenError(errors.AuthenticationError):
    """SAP S/4HANA does not accept the CSRF token it just gave; a proxy may drop its cookies."""


class NoTokenHereError(errors.CrmsyncError):
    """SAP S/4HANA gives no CSRF token at this address."""


def speaks(reply: Reply) -> bool:
    """SAP's own answer: JSON, with `error` where it is one; or a status of its front end, whose page says no more.

    >>> speaks(Reply(404, {}, {"error": {"code": "X/1"}})), speaks(Reply(404, {}, text="<html>"))
    (True, False)
    >>> speaks(Reply(403, {}, text="<html>")), speaks(Reply(200, {}, {"d": {}})), speaks(Reply(200, {}, {"down": 1}))
    (True, True, False)
    """
    if reply.status >= 400:
        is_own = isinstance(reply.body, Mapping) and "error" in reply.body
        return is_own or reply.status in _TOLD_BY_STATUS or bool(error_in_xml(reply.text))
    body = reply.body
    # Right after a create it is SAP that has answered, whatever it means: whether it can be read is for others to say.
    is_own = isinstance(body, dict) and (not body or "d" in body or reply.status == CREATED)
    return is_own or isinstance(body, list)


@contextmanager
def outcome(*, is_definite: bool) -> Iterator[None]:
    """Mark what the block raises: a call before or after a create tells nothing else about the create."""
    try:
        yield
    except errors.CrmsyncError as error:
        error.is_definite = is_definite
        raise


def explain(reply: Reply, lock_codes: Collection[str] = ()) -> Failure | None:
    """The Failure that *reply* reports; a code among *lock_codes* means: try later, as those that are known do.

    Locked objects answer 400 with a code that varies by application.
    """
    if reply.status < 400:
        return None
    if is_stale_token(reply):
        return Failure(error=StaleTokenError, message=StaleTokenError.__doc__)
    if reply.status == 401:  # usually an HTML page
        return _SIGNED_OUT
    error = _error(reply.body) or error_in_xml(reply.text)
    entries = [error, *_faults(error)]
    words = _words(entries)
    lock = next((code for each in entries if (code := _code(each)) in LOCK_CODES or code in lock_codes), "")
    code = lock or _most_exact(entries)
    if reply.status < 500 and (lock or _SOMEBODY.search(words)):
        return Failure(code, error=errors.ConcurrentUpdateError, message=_LOCKED, words=words)
    sentence = NOT_ALLOWED if reply.status == FORBIDDEN else _SENTENCES.get(code)
    return Failure(code, field_errors=_field_errors(error), message=sentence, words=words)


def explain_token_fetch(reply: Reply) -> Failure | None:
    """Whatever answers without a token: it may come from elsewhere."""
    token = str(reply.headers.get(TOKEN_HEADER, "")).lower()
    if reply.status < 300 and token not in ("", "required"):
        return None
    is_final = reply.status in _FINAL or (reply.status >= 500 and reply.status != NOT_IMPLEMENTED)
    return explain(reply) if is_final else Failure(f"HTTP {reply.status}", error=NoTokenHereError)


def is_stale_token(reply: Reply) -> bool:
    """Any other 403 is a missing permission and must surface (SAP KBA 3048103); but see Tokens.may_be_stale()."""
    if reply.status != FORBIDDEN:
        return False
    return str(reply.headers.get(TOKEN_HEADER, "")).lower() == "required" or "csrf token" in reply.text[:2000].lower()


def remarks(headers: Mapping[str, str]) -> list[str]:
    """The codes of warnings in the `sap-message` header of a success; the header may be URL-encoded.

    >>> remarks({"sap-message": '{"code":"V1/555","severity":"warning","details":[{"code":"V4/2","severity":"info"}]}'})
    ['V1/555']
    """
    message = _header_json(headers.get("sap-message", ""))
    entries = [message, *_mappings(message.get("details"))]
    return [code for entry in entries if entry.get("severity") in _LOUD and (code := _code(entry))]


def _header_json(text: str) -> Mapping[str, Any]:
    for form in (text, unquote(text)):
        try:
            value = json.loads(form)
        except ValueError:
            continue
        return value if isinstance(value, Mapping) else {}
    return {}


def _error(body: Any) -> Mapping[str, Any]:
    error = body.get("error") if isinstance(body, Mapping) else None
    return error if isinstance(error, Mapping) else {}


def _faults(error: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The error details of severity `error`; others are remarks on the way."""
    inner = error.get("innererror")
    details = _mappings(inner.get("errordetails")) if isinstance(inner, Mapping) else []
    return [detail for detail in details if detail.get("severity") == "error"]


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _most_exact(entries: list[Mapping[str, Any]]) -> str:
    codes = [code for entry in entries if (code := _code(entry))]
    return next((code for code in codes if not code.startswith(_GENERIC)), codes[0] if codes else "")


def _words(entries: list[Mapping[str, Any]]) -> str:
    """What SAP itself says, each sentence once."""
    texts = (
        message.get("value") if isinstance(message := entry.get("message"), Mapping) else message for entry in entries
    )
    return "\n".join(dict.fromkeys(text.strip() for text in texts if isinstance(text, str) and text.strip()))


def _code(entry: Mapping[str, Any]) -> str:
    code = entry.get("code")
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _field_errors(error: Mapping[str, Any]) -> dict[str, str]:
    """The first field that SAP names; the last detail is often a generic one without any."""
    for fault in _faults(error):
        field = str(fault.get("target") or fault.get("propertyref") or "").rsplit("/", maxsplit=1)[-1]
        if _FIELD.fullmatch(field):
            return {field: "refused"}
    return {}
