"""The ledger: what we set out to create, and what happened.

    intent → sent → confirmed ⇄ gone   people deleted, voided or rejected it: the next generation takes its place;
                                       or put it back before that was made
       ↑       ├──→ intent      the vendor refused, or no byte left: it does not exist
       └───────┴──→ unknown     the answer was lost: look before sending again

Absence is certain once `certain_at` has passed without the document showing up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from crmsync.domain.kept import Kept

FIRST_SEND = 1


class EntryState(StrEnum):
    INTENT = "intent"
    SENT = "sent"
    UNKNOWN = "unknown"
    CONFIRMED = "confirmed"
    GONE = "gone"  # it was confirmed, and its system says that it does not stand any more


@dataclass(frozen=True, slots=True)
class EntryKey(Kept):
    """What makes an entry unique: one document of one kind under one reference and generation."""

    connection: str
    kind: str  # customer, order, invoice, mail
    reference: str
    generation: int = 1


@dataclass(frozen=True, slots=True)
class Entry:
    key: EntryKey
    run_id: str
    state: EntryState
    sends: int = 1  # how often it was sent
    sent_at: datetime | None = None  # the last time
    certain_at: datetime | None = None
    document: Mapping[str, Any] | None = None  # as the vendor confirmed it

    @property
    def document_key(self) -> str:
        """The id of the document in its system; "" while none is known."""
        return str((self.document or {}).get("key", ""))


class Move(StrEnum):
    """What an attempt does about a document."""

    ADOPT = "adopt"  # it is confirmed: take it
    SEND = "send"  # it certainly does not exist: make it
    PROBE = "probe"  # it may exist: look
    LEAVE = "leave"  # it is gone: under its reference nothing is made any more


def number_of(document: Mapping[str, Any]) -> str:
    """What people call it: by its number, a mail by that of its invoice, a customer by its key."""
    return str(document.get("number") or document.get("invoice") or document.get("key") or "")


def matching_number(number: str) -> str:
    """The form in which document numbers are compared: no blanks around, in capitals, no zeros in front.

    >>> matching_number(" inv-000001 "), matching_number("0000004734"), matching_number("4734")
    ('INV-000001', '4734', '4734')
    """
    return number.strip().upper().lstrip("0")


def next_move(entry: Entry | None) -> Move:
    if entry is None or entry.state is EntryState.INTENT:
        return Move.SEND
    settled = {EntryState.CONFIRMED: Move.ADOPT, EntryState.GONE: Move.LEAVE}
    return settled.get(entry.state, Move.PROBE)


def seconds_until_certain(entry: Entry, now: datetime) -> float:
    """How long a probe that found nothing proves nothing; 0 when absence is established."""
    if entry.certain_at is None:
        return 0.0
    return max(0.0, (entry.certain_at - now).total_seconds())
