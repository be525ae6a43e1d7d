"""Four eyes: which decisions about a dead letter need two people, and what one of them has proposed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from crmsync.domain.dead_letters import Answers, DeadLetter, LetterKind, why_not
from crmsync.domain.money import Money
from crmsync.errors import CrmsyncError

LIFETIME = timedelta(days=7)


class Decision(StrEnum):
    """What is done about a dead letter."""

    REPLAY = "replay"
    DISCARD = "discard"


class ApprovalStatus(StrEnum):
    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    REPLACED = "replaced"  # by another proposal, or the letter asks something else by now
    EXPIRED = "expired"
    OTHER = "other"  # only another release knows it

    @classmethod
    def _missing_(cls, value: object) -> ApprovalStatus:
        return cls.OTHER


class TwoPeopleError(CrmsyncError):
    """Nobody decides this alone."""


class ApprovalError(CrmsyncError):
    """This proposal can't be confirmed or rejected, or there is no such proposal."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A proposal: what *proposed_by* wants done about a dead letter, for a second person to confirm."""

    id: int
    tenant: str
    letter_id: int
    decision: Decision
    answers: Mapping[str, Any]
    asked: str
    amount: Decimal | None
    currency: str
    status: ApprovalStatus
    proposed_by: str
    proposed_at: datetime
    expires_at: datetime
    reason: str
    decided_by: str
    decided_at: datetime | None

    @property
    def money(self) -> Money | None:
        return Money(self.amount, self.currency) if self.amount is not None else None

    def status_at(self, now: datetime) -> ApprovalStatus:
        """One that nobody confirmed in time is expired, without anybody having written that."""
        is_over = self.status is ApprovalStatus.WAITING and self.expires_at <= now
        return ApprovalStatus.EXPIRED if is_over else self.status

    def is_about(self, letter: DeadLetter) -> bool:
        """Whether the letter asks what it asked when this was proposed, of a deal of the same amount."""
        return (self.letter_id, self.asked) == (letter.id, question_of(letter))


def limit_of(text: str) -> Money | None:
    """The amount above which two people decide, from how it is written; None where there is none.

    >>> limit_of("10000 EUR"), limit_of("")
    (Money(amount=Decimal('10000'), currency='EUR'), None)
    """
    amount, _, currency = text.partition(" ")
    return Money.of(amount, currency) if text else None


def is_above(limit: Money | None, amount: Decimal | None, currency: str) -> bool:
    """Whether a deal of this amount needs two people. No rate is guessed: another currency does, and no amount.

    >>> limit = Money.of("10000", "EUR")
    >>> [is_above(limit, Decimal(amount), currency) for amount, currency in (("10000", "EUR"), ("10000.01", "EUR"))]
    [False, True]
    >>> is_above(limit, Decimal(1), "USD"), is_above(limit, None, ""), is_above(None, Decimal("1e9"), "EUR")
    (True, True, False)
    """
    if limit is None:
        return False
    return amount is None or currency != limit.currency or amount > limit.amount


def decides(letter: DeadLetter, answers: Answers) -> bool:
    """Whether a replay with *answers* decides something; that of a review always does, for it may make anew."""
    is_answer = answers.needs_reason or bool(answers.accepted) or answers.is_seen
    return answers.is_persons and (is_answer or letter.kind is LetterKind.REVIEW)


def question_of(letter: DeadLetter) -> str:
    """A fingerprint of what a letter asks, of which amount, at which of its deaths."""
    parts = (letter.step, letter.error, letter.cause, letter.amount, letter.currency)
    died = (letter.failures, letter.created_at.isoformat(), letter.updated_at.isoformat())
    return hashlib.sha256("\n".join(map(str, (*parts, *died))).encode()).hexdigest()


def same_person(one: str, other: str) -> bool:
    """
    >>> same_person("Ada ", "ada"), same_person("ada", "bob")
    (True, False)
    """
    return one.strip().casefold() == other.strip().casefold()


def why_not_approved(approval: Approval, letter: DeadLetter | None, person: str, now: datetime) -> str:
    """Why *person* can't confirm it now, or ""."""
    if (status := approval.status_at(now)) is not ApprovalStatus.WAITING:
        return f"Proposal {approval.id} is {status.value}: nothing is left to confirm."
    if same_person(approval.proposed_by, person):
        return f"{approval.proposed_by} has proposed this: another person has to confirm it."
    if letter is None:
        return why_not(approval.letter_id, None)
    if not approval.is_about(letter):
        return f"Dead letter {letter.id} has changed since this was proposed: look at it again, and propose anew."
    return ""
