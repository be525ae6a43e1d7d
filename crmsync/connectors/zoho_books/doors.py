"""The webhook of Zoho Books: a payment was recorded. What was paid is read from the books, never from the call."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from crmsync.connectors.doors import PROBE, Announced, Arrival, Knock, Shut
from crmsync.connectors.kit import probe, signatures
from crmsync.connectors.zoho_books import webhooks
from crmsync.connectors.zoho_books.settings import ZohoBooksSettings
from crmsync.domain.webhooks import WebhookEvent

FORM = "zoho_payment"


def form(arrival: Arrival) -> str:
    return FORM


def admit(arrival: Arrival, settings: ZohoBooksSettings | None) -> None:
    """The body is part of what is signed."""


def read(arrival: Arrival, settings: ZohoBooksSettings | None, body: bytes, now: datetime) -> Announced:
    content_type = arrival.content_type or None
    signature = next(
        (value for name, value in arrival.headers.items() if name.lower() == webhooks.SIGNATURE_HEADER.lower()), None
    )
    secrets = settings.webhook_secrets if settings else ()
    webhooks.verify(arrival.query, content_type, body, signature, secrets)
    if probe.is_probe(body):
        return PROBE
    notice = webhooks.parse(content_type, body, arrival.query)
    return Announced((WebhookEvent(notice.payment_key),), {notice.payment_key: notice.invoice_keys})


def knocks(settings: ZohoBooksSettings, now: datetime) -> Iterator[Knock | Shut]:
    if not settings.webhook_secrets:
        yield Shut(
            "",
            "refuses everything: ZOHO_WEBHOOK_SECRET is not set, so payments arrive by catch-up only, minutes late",
            True,
        )
        return
    body = probe.body()
    proof = {webhooks.SIGNATURE_HEADER: signatures.sign(settings.webhook_secrets[0], body)}
    yield Knock("payments", "ZOHO_WEBHOOK_SECRET", body, {**proof, "Content-Type": "application/json"})
