"""A consent that somebody has been asked for: what is remembered of it until it is given, refused or too late."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from crmsync.domain.audit import Act, Origin
from crmsync.errors import CrmsyncError

GOOD_FOR = timedelta(minutes=10)
KEPT = timedelta(days=1)  # after which nobody asks any more what came of it
_STATE_BYTES = _VERIFIER_BYTES = 32  # 256 bits; RFC 7636 wants a verifier of 43 characters at least
_STATE = re.compile(r"[A-Za-z0-9_-]{43}")
_CODE_LENGTH_MAX = 4096


class ConsentStatus(StrEnum):
    ASKED = "asked"  # the person is at the system's page
    RETURNED = "returned"  # the code is here, and no worker has taken it yet
    EXCHANGING = "exchanging"  # a worker has; nobody does so twice
    DONE = "done"
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        return self in (ConsentStatus.DONE, ConsentStatus.FAILED)


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """One that was asked for. *name* and *origin* are whose act it is; *message* says what came of it."""

    id: str
    tenant: str
    connection: str
    name: str
    origin: Origin
    redirect_uri: str
    status: ConsentStatus
    message: str
    asked_at: datetime
    expires_at: datetime

    @property
    def is_done(self) -> bool:
        return self.status is ConsentStatus.DONE

    @property
    def act(self) -> Act:
        return Act(self.name, self.origin)


class NoConsentPageError(CrmsyncError):
    """This system has no page for consent."""


class ConsentRefusedError(CrmsyncError):
    """What came back from the system's page is not taken."""


def new_id() -> str:
    return f"cst_{secrets.token_hex(8)}"


def new_state() -> str:
    return secrets.token_urlsafe(_STATE_BYTES)


def new_verifier() -> str:
    return secrets.token_urlsafe(_VERIFIER_BYTES)


def is_state(text: str) -> bool:
    """Whether it may be one of ours: nothing else is looked for."""
    return _STATE.fullmatch(text) is not None


def is_code(text: str) -> bool:
    """
    >>> is_code("1000.ab.cd"), is_code(""), is_code("two\\nlines"), is_code("x" * 5000)
    (True, False, False, False)
    """
    return 0 < len(text) <= _CODE_LENGTH_MAX and text.isprintable() and text.isascii()


def fingerprint(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def challenge_of(verifier: str) -> str:
    """The PKCE challenge of a verifier by S256, as RFC 7636 shows in its appendix B.

    >>> challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
    """
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def seal_of(request: ConsentRequest, client_id: str, authorize_url: str, token_url: str) -> str:
    """What verifier and code are sealed together with: they open for no other connection, and for no other client,
    page or address than those that the person was sent to."""
    return json.dumps(
        [
            *("consent", request.id, request.tenant, request.connection, request.redirect_uri),
            *(client_id, authorize_url, token_url),
        ]
    )


# What the page of a system says when it gives no code (RFC 6749, 4.1.2.1), in our words: theirs are not repeated.
_REFUSALS = {
    "access_denied": "Consent was refused, so nothing has changed.",
    "invalid_scope": "The system does not let this app have what crmsync needs.",
    "unauthorized_client": "The system does not let this app ask for consent.",
    "temporarily_unavailable": "The system can't be used for now.",
    "server_error": "The system failed.",
}
_REFUSED = "The system has given no consent."


def refusal_of(error: str) -> str:
    """
    >>> refusal_of("access_denied"), refusal_of("<b>")
    ('Consent was refused, so nothing has changed.', 'The system has given no consent.')
    """
    return _REFUSALS.get(error, _REFUSED)
