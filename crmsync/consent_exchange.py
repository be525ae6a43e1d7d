"""What a worker does with the code of a consent: it becomes the refresh token of the connection that it is for."""

from __future__ import annotations

import json

from crmsync import connections
from crmsync.connection_book import Known
from crmsync.connectors import registry
from crmsync.connectors.consent import Grant, Granted
from crmsync.consents import CHANGED, Page, page_of
from crmsync.domain.accounts import refusal
from crmsync.domain.connections import ConnectionChangedError
from crmsync.domain.consents import ConsentRefusedError, ConsentRequest, ConsentStatus
from crmsync.environment import Secret
from crmsync.errors import CrmsyncError
from crmsync.services import Services
from crmsync.store.consents import KeptConsent

DONE = "crmsync may work with this account now."
_FAULT = "Something went wrong in crmsync; its log says where. Ask for consent once more."


def exchange(using: Services, consent_id: str) -> None:
    """Exchange the code of a consent, once: a second call finds it taken.

    The store keeps the outcome, in our own words.
    """
    kept = _taken(using, consent_id)
    if kept is None:
        return
    status, message = ConsentStatus.FAILED, _FAULT
    try:
        _exchange(using, kept)
        status, message = ConsentStatus.DONE, DONE
    except ConnectionChangedError:
        message = CHANGED
    except CrmsyncError as error:
        message = error.with_advice
    finally:
        with using.store.begin() as uow:
            uow.consents.end(consent_id, status, message)
            if status is ConsentStatus.FAILED:
                uow.connections.remarked(kept.request.connection, message)
        using.book.forget(kept.request.connection)


def _taken(using: Services, consent_id: str) -> KeptConsent | None:
    with using.store.begin() as uow:
        kept = uow.consents.get(consent_id)
        steps = ConsentStatus.RETURNED, ConsentStatus.EXCHANGING
        is_mine = kept is not None and uow.consents.advance(consent_id, *steps, sealed="")
    return kept if is_mine else None


def _exchange(using: Services, kept: KeptConsent) -> None:
    """Raises: CrmsyncError."""
    request = kept.request
    known = using.book.get(request.connection)
    page = page_of(using, connections.show(using, request.tenant, request.connection))
    opened = using.vault.open_for(kept.sealed, page.seal(request))
    if opened is None or known.connection.version != page.connection.version:
        raise ConsentRefusedError(CHANGED)
    granted = page.consent.exchange(
        known.settings,
        _grant(page, request, opened),
        is_outside=known.is_outside and not using.settings.allow_private_addresses,
    )
    _keep(using, request, page, known, granted)


def _grant(page: Page, request: ConsentRequest, opened: str) -> Grant:
    """Raises: ConsentRefusedError where the verifier is missing: a code without it could be anybody's."""
    held = json.loads(opened)
    if not held.get("verifier"):
        raise ConsentRefusedError(CHANGED)
    verifier = Secret(held["verifier"]) if page.consent.has_pkce else None
    return Grant(Secret(held["code"]), request.redirect_uri, verifier)


def _keep(using: Services, request: ConsentRequest, page: Page, known: Known, granted: Granted) -> None:
    """Raises: OtherAccountError; ConnectionChangedError, where it isn't the connection any more that was asked for."""
    secret = {page.consent.secret: granted.refresh_token.reveal()}
    with using.store.begin() as uow:
        changed = connections.consented(
            using,
            uow,
            request.act,
            request.tenant,
            request.connection,
            secret,
            expected_version=known.connection.version,
        )
        settings = using.book.settings_of(connections.kept_one(using, uow, request.tenant, changed.id))
        claim = registry.system_named(changed.system).claim(settings)
        told = granted.account or claim.identity
        refused = refusal(changed.id, claim, uow.accounts.get(changed.id), told) if told else None
        if refused is not None:
            raise refused.error()
        if told:
            uow.accounts.confirm(changed.id, identity=told, credentials=using.vault.mark(claim.signs_in_with()))
        uow.breakers.probe_now(changed.id)  # it may be open because the consent of before had ended
