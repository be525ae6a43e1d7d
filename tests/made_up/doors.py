"""The webhook of Ledgerly: a payment was recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

from crmsync.connectors.doors import PROBE, Announced, Arrival, Knock, Shut
from crmsync.connectors.kit import probe, signatures
from crmsync.domain.webhooks import WebhookEvent
from tests.made_up import LedgerlySettings

HEADER = "X-Ledgerly-Secret"


def form(arrival: Arrival) -> str:
    return "ledgerly_payment"


def admit(arrival: Arrival, settings: LedgerlySettings | None) -> None:
    """What it sends proves by a header that it is authentic."""
    given = next((value for name, value in arrival.headers.items() if name.lower() == HEADER.lower()), "")
    secret = settings.webhook_secret if settings else None
    signatures.require_secret(given, [secret] if secret else [], what=HEADER)


def read(arrival: Arrival, settings: LedgerlySettings | None, body: bytes, now: datetime) -> Announced:
    if probe.is_probe(body):
        return PROBE
    return Announced((WebhookEvent(str(json.loads(body)["payment"])),))


def knocks(settings: LedgerlySettings, now: datetime) -> Iterator[Knock | Shut]:
    if settings.webhook_secret is None:
        yield Shut("", "refuses everything: LEDGERLY_WEBHOOK_SECRET is not set", is_fault=False)
        return
    proof = {HEADER: settings.webhook_secret.reveal(), "Content-Type": "application/json"}
    yield Knock("payments", "LEDGERLY_WEBHOOK_SECRET", probe.body(), proof)
