"""What a sandbox remembers of all accounts: its own time, what was written and mailed, how often it was called."""

import threading
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

# The sandbox's own time: the real clock plus what a test has advanced it by.


class Clock:
    """A clock that tests can move forward, so that tokens, locators and windows expire without waiting."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def seconds(self) -> float:
        return self.now().timestamp()

    def advance(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)

    def reset(self) -> None:
        """Back to the real time."""
        self._ahead = timedelta()


# What happened in the stand-ins: each creation, change and mail, in order.


REFERENCED = ("orders", "invoices", "customers", "contacts", "payments")


class Notes:
    """What one account writes into the ledger."""

    def __init__(self, ledger: "Ledger", account: str) -> None:
        self._ledger, self._account = ledger, account

    def note(self, action: str, kind: str, key: str, **details: Any) -> None:
        """Record one write: `action` is created, changed, deleted, mailed or a status."""
        self._ledger.add_event(self._account, action=action, kind=kind, id=key, **details)

    def mail(self, invoice_id: str, **details: Any) -> None:
        """Record one mail that left for a customer."""
        self._ledger.add_mail(self._account, invoice_id=invoice_id, **details)

    def mail_counts(self) -> Counter[str]:
        """Invoice id → how often it was mailed."""
        return Counter(mail["invoice_id"] for mail in self._ledger.mails((self._account,)))


class Ledger:
    """The history of writes of all accounts, and the mails; a mail is listed once per time it went out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._events: list[dict[str, Any]] = []
        self._mails: list[dict[str, Any]] = []

    def of(self, account: str) -> Notes:
        """Where one account writes."""
        return Notes(self, account)

    def add_event(self, account: str, **details: Any) -> None:
        with self._lock:
            self._events.append({"at": self._clock.now().isoformat(), "system": account, **details})

    def add_mail(self, account: str, **details: Any) -> None:
        with self._lock:
            self._mails.append({"at": self._clock.now().isoformat(), "system": account, **details})

    def events(self, accounts: Collection[str]) -> list[dict[str, Any]]:
        with self._lock:
            return [event for event in self._events if event["system"] in accounts]

    def mails(self, accounts: Collection[str]) -> list[dict[str, Any]]:
        with self._lock:
            return [mail for mail in self._mails if mail["system"] in accounts]

    def reset(self) -> None:
        with self._lock:
            self._events.clear()
            self._mails.clear()


def duplicates(documents: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, int]]:
    """References that more than one document of a kind carries, with how many do."""
    return {kind: _repeated(row["reference"] for row in documents.get(kind, ())) for kind in REFERENCED}


def _repeated(references: Iterable[str | None]) -> dict[str, int]:
    return {ref: number for ref, number in Counter(filter(None, references)).items() if number > 1}


# How often each operation of each system was called.


OVERHEAD = ("token", "csrf")


class Calls:
    """Counts by system and operation; sign-in calls (token, csrf) are also summed apart."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[str]] = {}

    def count(self, system: str, operation: str) -> None:
        with self._lock:
            self._counts.setdefault(system, Counter())[operation] += 1

    def reset(self) -> None:
        with self._lock:
            self._counts.clear()

    def report(self) -> dict[str, Any]:
        """Per system: calls by operation, and the sums `business` and `overhead` (token and csrf calls)."""
        with self._lock:
            return {system: _summed(counts) for system, counts in sorted(self._counts.items())}


def _summed(counts: Counter[str]) -> dict[str, Any]:
    overhead = sum(counts[name] for name in OVERHEAD)
    business = counts.total() - overhead
    return {"operations": dict(sorted(counts.items())), "business": business, "overhead": overhead}
