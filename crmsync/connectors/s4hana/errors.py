"""What an error answer of SAP means: its code and the field at fault, never its text."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from crmsync import errors
from crmsync.connectors.s4hana.messages import Message, error_in_xml, in_error, in_header
from crmsync.connectors.way_out.answers import Failure, Reply

SYSTEM = "SAP S/4HANA"
TOKEN_HEADER = "x-csrf-token"  # noqa: S105 - the name of a header

_TOO_FINE = f"{SYSTEM} keeps fewer decimals for this currency than the amount has."
# Our sentence for codes whose meaning is published (ilia-inovaflow/s4hana-create-record-skills, 2026-05-12; SAP
# KBA 3450476).
_SENTENCES = {
    "00/088": _TOO_FINE,
    "00088": _TOO_FINE,
    "FSBP_ECC/030": f"{SYSTEM} requires a language for the address; check SAP_LANGUAGE.",
    "CVI_API/003": f"{SYSTEM} requires a currency for the sales area; the deal has none that it knows.",
}
SIGNED_OUT = "HTTP 401"
CREATED = 201
FORBIDDEN = 403
NOT_IMPLEMENTED = 501
_TOLD_BY_STATUS = (403, 412, 423, 428)
_NO_TOKENS = ("", "required", "fetch", "null", "none", "undefined")  # some gateways give back what they were sent
_FINAL = (401, 408, 429)  # what says the same at every address
_SIGNED_OUT = Failure(
    SIGNED_OUT,
    error=errors.AccountRefusedError,
    message=f"{SYSTEM} does not accept the credentials.",
    advice="Check the user, its password and whether it is locked there, then run `crmsync doctor`.",
)
NOT_ALLOWED = f"{SYSTEM} does not allow the communication user to do this; check its communication arrangements."
_LOCKED = f"A record in {SYSTEM} is locked by somebody who works on it."
# Messages of the lock handler, and of documents, material masters and their values that somebody has open
# (SAP KBA 3645227 and public clients; the texts of classes MC, V2, VL and M3).
LOCK_CODES = frozenset({"MC/601", "MC/602", "V2/468", "VL/045", "M3/024", "M3/897"})
# Applications have classes of their own for it, so their sentence counts as well: that somebody holds the record. It is
# in the language of SAP_LANGUAGE. To be wrong costs three more tries, to miss it a person's time.
_HELD = re.compile(
    r"\b(un)?lock|\bheld\b|\bblocked\b|\b(being|currently|already) (processed|edited|changed|maintained|used)\b"
    r"|gesperrt|blockiert|bearbeitet|in bearbeitung|verrouill|bloqu|en cours de|(trat|proces|process|modific)ad[oa]"
    r"|blocc|elabora|geblokk|verwerk|bewerk|zablok|przetwarz",
    re.IGNORECASE,
)
_BY_SOMEBODY = re.compile(
    r"\b(by|durch|von|par|por|pel[oa]|da|dall|door|przez)\W{1,2}"
    r"((the|another|den|dem|einem|einen|anderen|el|la|l|un|otro|altro|de|een|andere|innego)\W{1,2}){0,2}"
    r"((user|you|benutzern?|anwendern?|utilisateur|usuari[oa]|usu[aá]ri[oa]|utilizador|utente|gebruiker"
    r"|u[zż]ytkownika)\b|(?-i:[A-Z][A-Z0-9_]{2,11}\b))",
    re.IGNORECASE,
)
_GENERIC = ("/IWBEP/", "SY/")  # codes of the gateway, which say less than those of the application
NO_SERVICE = "/IWFND/MED/170"
_SERVICE_IS_OFF = Failure(
    NO_SERVICE,
    error=errors.AccountRefusedError,
    message=f"{SYSTEM} does not offer a service that crmsync needs.",
    advice="Activate its communication scenario (`crmsync doctor` shows which service it is); the runs then continue.",
)


class StaleTokenError(errors.AuthenticationError):
    """SAP S/4HANA does not accept the CSRF token it just gave; a proxy may drop its cookies."""


class NoTokenHereError(errors.CrmsyncError):
    """SAP S/4HANA gives no CSRF token at this address."""


def unexpected(operation: str, what: str) -> errors.UnexpectedAnswerError:
    return errors.UnexpectedAnswerError(f"{SYSTEM} {what}.", system=SYSTEM, operation=operation)


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
    return (isinstance(body, dict) and "d" in body) or (isinstance(body, dict | list) and reply.status == CREATED)


@contextmanager
def outcome(*, is_definite: bool) -> Iterator[None]:
    """Mark what the block raises: a call before or after a create says nothing else about the create."""
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
    found = in_error(_error(reply.body) or error_in_xml(reply.text))
    faults = [message for message in found if message.is_fault]
    words = _words(faults)
    lock = next((message.code for message in found if message.code in LOCK_CODES or message.code in lock_codes), "")
    code = lock or _most_exact(faults)
    if reply.status < 500 and (lock or any(_is_lock(message.text) for message in found)):
        return Failure(code, error=errors.ConcurrentUpdateError, message=_LOCKED, words=words)
    if code == NO_SERVICE:
        return replace(_SERVICE_IS_OFF, words=words)
    sentence = NOT_ALLOWED if reply.status == FORBIDDEN else _SENTENCES.get(code)
    return Failure(code, field_errors=_field_errors(faults), message=sentence, words=words)


def explain_token_fetch(reply: Reply) -> Failure | None:
    """Whatever answers without a token: it may come from elsewhere."""
    token = str(reply.headers.get(TOKEN_HEADER, "")).lower()
    if reply.status < 300 and token not in _NO_TOKENS:
        return None
    is_final = reply.status in _FINAL or (reply.status >= 500 and reply.status != NOT_IMPLEMENTED)
    return explain(reply) if is_final else Failure(f"HTTP {reply.status}", error=NoTokenHereError)


def is_stale_token(reply: Reply) -> bool:
    """Any other 403 is a missing permission and must surface (SAP KBA 3048103); but see Tokens.may_be_stale()."""
    if reply.status != FORBIDDEN:
        return False
    return str(reply.headers.get(TOKEN_HEADER, "")).lower() == "required" or "csrf token" in reply.text[:2000].lower()


def remarks(headers: Mapping[str, str]) -> list[str]:
    """The codes of all that is more than information in the `sap-message` header of a success.

    >>> remarks({"sap-message": '{"code":"V1/399","severity":"warning","details":[{"code":"V4/2","severity":"info"}]}'})
    ['V1/399']
    """
    found = in_header(headers.get("sap-message", ""))
    return list(dict.fromkeys(message.code for message in found if message.code and message.is_loud))


def _error(body: Any) -> Mapping[str, Any]:
    error = body.get("error") if isinstance(body, Mapping) else None
    return error if isinstance(error, Mapping) else {}


def _is_lock(text: str) -> bool:
    """
    >>> _is_lock("Customer 4711 is currently being processed by user ALEE"), _is_lock("Blocked for sales area 1010")
    (True, False)
    """
    return bool(_HELD.search(text) and _BY_SOMEBODY.search(text))


def _most_exact(faults: list[Message]) -> str:
    codes = [message.code for message in faults if message.code]
    return next((code for code in codes if not code.startswith(_GENERIC)), codes[0] if codes else "")


def _words(faults: list[Message]) -> str:
    """What SAP itself says, each sentence once."""
    return "\n".join(dict.fromkeys(message.text for message in faults if message.text))


def _field_errors(faults: list[Message]) -> dict[str, str]:
    """The first field that SAP names; the last detail is often a generic one without any."""
    return next(({message.field: "refused"} for message in faults if message.field), {})
