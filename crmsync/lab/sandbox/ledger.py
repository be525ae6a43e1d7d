"""What happened in the stand-ins: each creation, change and mail, in order."""

import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

from crmsync.lab.sandbox.clock import Clock

REFERENCED = ("orders", "invoices", "customers", "contacts", "payments")


class Ledger:
    """The history of writes, and the mails; a mail is listed once per time it went out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._events: list[dict[str, Any]] = []
        self._mails: list[dict[str, Any]] = []

    def note(self, system: str, action: str, kind: str, key: str, **details: Any) -> None:
        """Record one write: `action` is created, changed, deleted, mailed or a status."""
        event = {"at": self._clock.now().isoformat(), "system": system, "action": action, "kind": kind, "id": key}
        with self._lock:
            self._events.append({**event, **details})

    def mail(self, invoice_id: str, **details: Any) -> None:
        """Record one mail that left for a customer."""
        with self._lock:
            self._mails.append({"at": self._clock.now().isoformat(), "invoice_id": invoice_id, **details})

    def mail_counts(self) -> Counter[str]:
        """Invoice id → how often it was mailed."""
        with self._lock:
            return Counter(mail["invoice_id"] for mail in self._mails)

    @property
    def events(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._events)

    @property
    def mails(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._mails)

    def reset(self) -> None:
        with self._lock:
            self._events.clear()
            self._mails.clear()


def duplicates(documents: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, int]]:
    """References that more than one document of a kind carries, with how many do."""
    return {kind: _repeated(row["reference"] for row in documents.get(kind, ())) for kind in REFERENCED}


def _repeated(references: Iterable[str | None]) -> dict[str, int]:
    return {ref: number for ref, number in Counter(filter(None, references)).items() if number > 1}
