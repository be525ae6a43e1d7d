"""What people do to let crmsync into a system by consent in the browser, by API and command line alike.

    start()      the address of the system's page, and what must come back from it
    returned()   something has come back: it acts on a state that is known, not used yet and not too old, or on nothing

What a code is worth is found out by a worker: consent_exchange.py.

Whoever starts it is who acts: the change of the connection stands in the audit under that name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crmsync import connections
from crmsync.connectors import registry
from crmsync.connectors.consent import Consent
from crmsync.domain.audit import Act
from crmsync.domain.connections import Connection, ReadOnlyConnectionError
from crmsync.domain.consents import (
    GOOD_FOR,
    ConsentRefusedError,
    ConsentRequest,
    ConsentStatus,
    NoConsentPageError,
    challenge_of,
    fingerprint,
    is_code,
    is_state,
    new_id,
    new_state,
    new_verifier,
    refusal_of,
    seal_of,
)
from crmsync.errors import ConfigurationError
from crmsync.services import Services
from crmsync.store import UnitOfWork

CALLBACK = "/api/erp/oauth/callback"
UNKNOWN = (
    "This answer belongs to no consent that was asked for here: it was used already, or the ten minutes are over. "
    "Nothing has changed."
)
CHANGED = "The connection was changed since it was asked for, so nothing was sent. Ask for consent once more."
_ELSEWHERE = (
    "The answer comes from another server than the one that was asked, so its code was sent nowhere. Check the "
    "address of the server in the connection's settings (a vendor may have one for each data centre)."
)
_NO_CODE = "The system has sent neither a code nor a reason."


@dataclass(frozen=True, slots=True, repr=False)
class Started:
    """*address* holds the state, which is a secret: it is shown once, to the person who asked, and stored nowhere."""

    request: ConsentRequest
    address: str


@dataclass(frozen=True, slots=True)
class Page:
    """The page of a connection's system, and the settings by which it is asked: no secret is needed for that."""

    connection: Connection
    consent: Consent
    settings: Any

    def seal(self, request: ConsentRequest) -> str:
        urls = self.consent.authorize_url(self.settings), self.consent.token_url(self.settings)
        return seal_of(request, self.settings.client_id, *urls)


def callback_url(using: Services) -> str:
    """Where systems send the browser back to. Raises: ConfigurationError, which names the variable."""
    address = using.settings.receiver_url
    if not address:
        name = "CRMSYNC_DOORS_URL" if using.settings.admin_port else "CRMSYNC_PUBLIC_URL"
        missing = {name: "must say at which address browsers reach crmsync"}
        raise ConfigurationError("A system can't send the browser back to crmsync.", field_errors=missing)
    return f"{address.rstrip('/')}{CALLBACK}"


def start(using: Services, uow: UnitOfWork, act: Act, tenant: str | None, connection_id: str) -> Started:
    """Ask for consent to a connection.

    Raises: UnknownConnectionError, ReadOnlyConnectionError, NoConsentPageError, ConfigurationError.
    """
    page = page_of(using, connections.show(using, tenant, connection_id))
    state, verifier = new_state(), new_verifier()
    request = ConsentRequest(
        id=new_id(),
        tenant=page.connection.tenant,
        connection=page.connection.id,
        name=act.name,
        origin=act.origin,
        redirect_uri=callback_url(using),
        status=ConsentStatus.ASKED,
        message="",
        asked_at=uow.now,
        expires_at=uow.now + GOOD_FOR,
    )
    sealed = using.vault.seal_for(json.dumps({"verifier": verifier}), page.seal(request))
    uow.consents.add(request, state_hash=fingerprint(state), sealed=sealed)
    address = page.consent.address(
        page.settings, redirect_uri=request.redirect_uri, state=state, challenge=challenge_of(verifier)
    )
    return Started(request, address)


def returned(using: Services, uow: UnitOfWork, answer: Mapping[str, str]) -> ConsentRequest:
    """The browser has come back with *answer*. What is not the answer to a question of ours changes nothing.

    The request as it is now: with its code, for a worker to exchange, or over, with a message that says why.
    Raises: ConsentRefusedError where the state is not known, was used, or is too old.
    """
    state = answer.get("state", "")
    kept = uow.consents.of_state(fingerprint(state)) if is_state(state) else None
    if kept is None or kept.request.status is not ConsentStatus.ASKED or kept.request.expires_at <= uow.now:
        raise ConsentRefusedError(UNKNOWN)
    request = kept.request
    code, why_not = _code_of(using, request, kept.sealed, answer)
    if why_not:
        uow.consents.end(request.id, ConsentStatus.FAILED, why_not)
    elif not uow.consents.advance(request.id, ConsentStatus.ASKED, ConsentStatus.RETURNED, sealed=code):
        raise ConsentRefusedError(UNKNOWN)
    return now(uow, request.id)


def now(uow: UnitOfWork, consent_id: str) -> ConsentRequest:
    """What has become of it. Raises: ConsentRefusedError where it is forgotten."""
    kept = uow.consents.get(consent_id)
    if kept is None:
        raise ConsentRefusedError(UNKNOWN)
    return kept.request


def _code_of(using: Services, request: ConsentRequest, sealed: str, answer: Mapping[str, str]) -> tuple[str, str]:
    """What is to be kept, sealed, and "" ; or why nothing is."""
    page = page_of(using, connections.show(using, request.tenant, request.connection))
    opened = using.vault.open_for(sealed, page.seal(request))
    if opened is None:
        return "", CHANGED
    if page.consent.is_from_elsewhere(page.settings, answer):
        return "", _ELSEWHERE
    if answer.get("error"):
        return "", refusal_of(answer["error"])
    if not is_code(answer.get("code", "")):
        return "", _NO_CODE
    with_code = {**json.loads(opened), "code": answer["code"]}
    return using.vault.seal_for(json.dumps(with_code), page.seal(request)), ""


def page_of(using: Services, of: Connection) -> Page:
    """The system's consent page for a connection. Raises: ReadOnlyConnectionError, NoConsentPageError."""
    system = registry.system_named(of.system)
    if system.consent is None:
        raise NoConsentPageError(f"{system.title} has no page for consent: give its credentials instead.")
    if of.is_of_environment:
        advice = f"Set its variables, {system.prefixes[0]}…, or make a connection and let that one be consented to."
        raise ReadOnlyConnectionError(f"{of.id} is configured by the environment.", advice=advice)
    if of.auth_kind != system.consent.auth_kind:
        advice = f"Set {system.auth_setting} to {system.consent.auth_kind}."
        raise NoConsentPageError(f"{of.name} signs in by {of.auth_kind}, without consent.", advice=advice)
    settings, _ = system.read_mapping(of.settings, allow_http=using.settings.allow_http)
    return Page(of, system.consent, settings)
