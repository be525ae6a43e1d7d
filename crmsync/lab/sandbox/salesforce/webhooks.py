"""What Salesforce sends: a signed JSON callout, and Outbound Messages that repeat until acknowledged.

Source: shared fact sheet, sections 9 and 10. The session id of an Outbound Message is always empty since February 2026.
"""

import hashlib
import hmac
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from itertools import count
from typing import Any
from xml.sax.saxutils import escape

from crmsync.lab.sandbox.kernel.account import Answer, post
from crmsync.lab.sandbox.kernel.http import dumps
from crmsync.lab.sandbox.kernel.ledger import Clock
from crmsync.lab.sandbox.salesforce.org import Org
from crmsync.lab.sandbox.salesforce.values import Record, make_id

MOST_PER_ENVELOPE = 100
LIFE_SECONDS = 24 * 3600
LONGEST_WAIT_SECONDS = 2 * 3600
FIELDS = ("AccountId", "Amount", "CloseDate", "CurrencyIsoCode", "LastModifiedDate", "Name", "StageName")
SIGNATURE = "X-Crmsync-Signature"


def sign(secret: str, body: bytes) -> str:
    """The value of the signature header of a JSON callout."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def send_json(url: str, deal_id: str, secret: str) -> Answer:
    """Tell a receiver that a deal was won. Nothing repeats a callout that fails."""
    body = dumps({"opportunityId": deal_id})
    return post(url, body, {"Content-Type": "application/json", SIGNATURE: sign(secret, body)})


@dataclass
class Notification:
    """One queued message; the record's values are read when it is sent."""

    id: str
    record_id: str
    queued_at: float
    next_at: float
    tries: int = 0


class OutboundMessages:
    """The queue of one outbound message on Opportunity."""

    def __init__(
        self, org: Callable[[], Org], organization: Callable[[], str], base: Callable[[], str], clock: Clock
    ) -> None:
        self._org, self._organization, self._base, self._clock = org, organization, base, clock
        self._numbers = count(1)
        self._lock = threading.Lock()
        self.queue: list[Notification] = []
        self.first_wait_seconds = 30.0

    def enqueue(self, record_id: str) -> str:
        """Queue a message about a record; returns the notification's id, the same on every try.

        The caller delivers it; it comes due by itself when the first wait is over."""
        now = self._clock.seconds()
        with self._lock:
            first = now + self.first_wait_seconds
            notification = Notification(make_id("04l", next(self._numbers), self._org().pod), record_id, now, first)
            self.queue.append(notification)
        return notification.id

    def deliver(self, url: str, *, due_only: bool = False) -> list[Answer]:
        """Send what is queued, in envelopes of at most 100; what is acknowledged leaves the queue."""
        now = self._clock.seconds()
        with self._lock:
            self.queue = [one for one in self.queue if now - one.queued_at < LIFE_SECONDS]
            waiting = [one for one in self.queue if one.next_at <= now or not due_only]
        answers = []
        for start in range(0, len(waiting), MOST_PER_ENVELOPE):
            answers.append(self._send(url, waiting[start : start + MOST_PER_ENVELOPE]))
        return answers

    def _send(self, url: str, batch: list[Notification]) -> Answer:
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
        answer = post(url, self.envelope(batch), headers, timeout=60)
        acknowledged = answer.status == 200 and is_ack(answer.text)
        with self._lock:
            for one in batch:
                one.tries += 1
                wait = min(LONGEST_WAIT_SECONDS, self.first_wait_seconds * 2 ** (one.tries - 1))
                one.next_at = self._clock.seconds() + wait
            if acknowledged:
                self.queue = [one for one in self.queue if one not in batch]
        return answer

    def envelope(self, batch: list[Notification]) -> bytes:
        """The SOAP envelope of a batch, with the records' latest values; null fields are left out."""
        organization, base = self._organization(), self._base()
        parts = [_notification(one, self._org().peek("Opportunity", one.record_id) or {}) for one in batch]
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
            'xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
            '<soapenv:Body><notifications xmlns="http://soap.sforce.com/2005/09/outbound">'
            f"<OrganizationId>{organization}</OrganizationId><ActionId>{make_id('04k', 1)}</ActionId>"
            f'<SessionId xsi:nil="true"/><EnterpriseUrl>{base}/services/Soap/c/68.0/{organization[:15]}</EnterpriseUrl>'
            f"<PartnerUrl>{base}/services/Soap/u/68.0/{organization[:15]}</PartnerUrl>{''.join(parts)}"
            "</notifications></soapenv:Body></soapenv:Envelope>"
        ).encode()


def _notification(one: Notification, record: Record) -> str:
    fields = "".join(
        f"<sf:{name}>{escape(_shown(record[name]))}</sf:{name}>" for name in FIELDS if record.get(name) is not None
    )
    return (
        f'<Notification><Id>{one.id}</Id><sObject xsi:type="sf:Opportunity" '
        f'xmlns:sf="urn:sobject.enterprise.soap.sforce.com"><sf:Id>{one.record_id}</sf:Id>{fields}</sObject>'
        "</Notification>"
    )


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return value.isoformat() if isinstance(value, date) else str(value)


def is_ack(text: str) -> bool:
    """Whether a receiver's SOAP answer acknowledges the batch."""
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        root = fromstring(text)
    except ParseError:
        return False
    ack = root.find(".//{http://soap.sforce.com/2005/09/outbound}Ack")
    return ack is not None and (ack.text or "").strip().lower() == "true"
