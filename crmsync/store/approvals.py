"""Proposals: what one person wants done about a dead letter, and what a second one says to it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, select, update

from crmsync.domain.approvals import LIFETIME, Approval, ApprovalStatus, Decision, question_of
from crmsync.domain.dead_letters import DeadLetter
from crmsync.store.rows import Rows
from crmsync.store.tables import approvals

_WAITS = approvals.c.status == ApprovalStatus.WAITING.value


class Approvals(Rows):
    def get(self, approval_id: int) -> Approval | None:
        row = self._connection.execute(select(approvals).where(approvals.c.id == approval_id)).first()
        return _approval(row) if row is not None else None

    def waiting_for(self, letter_ids: Collection[int]) -> dict[int, Approval]:
        """By letter: what was proposed and can still be confirmed, as far as its time goes."""
        is_open = (_WAITS, approvals.c.expires_at > self._now, approvals.c.letter_id.in_(letter_ids))
        return {row.letter_id: _approval(row) for row in self._connection.execute(select(approvals).where(*is_open))}

    def newest(
        self, tenant: str | None, *, is_open: bool = False, before: int = 0, limit: int | None = None
    ) -> list[Approval]:
        """The newest first; of one tenant, only those that wait, and older than *before* where these are said."""
        query = select(approvals).order_by(approvals.c.id.desc()).limit(limit)
        if tenant is not None:
            query = query.where(approvals.c.tenant == tenant)
        if is_open:
            query = query.where(_WAITS, approvals.c.expires_at > self._now)
        if before:
            query = query.where(approvals.c.id < before)
        return [_approval(row) for row in self._connection.execute(query)]

    def add(
        self, letter: DeadLetter, decision: Decision, answers: dict[str, Any], *, by: str, reason: str
    ) -> Approval | None:
        """Keep a proposal. None where another proposal for this letter waits already."""
        row = {
            "tenant": letter.tenant,
            "letter_id": letter.id,
            "decision": decision.value,
            "answers": answers,
            "asked": question_of(letter),
            "amount": letter.amount,
            "currency": letter.currency,
            "status": ApprovalStatus.WAITING.value,
            "proposed_by": by[:100],
            "proposed_at": self._now,
            "expires_at": self._now + LIFETIME,
            "reason": reason,
        }
        return self.of_letter(letter.id) if self._insert_once(approvals, row) else None

    def of_letter(self, letter_id: int) -> Approval | None:
        """The one that waits, whether or not it can still be confirmed."""
        row = self._connection.execute(select(approvals).where(_WAITS, approvals.c.letter_id == letter_id)).first()
        return _approval(row) if row is not None else None

    def decide(self, approval_id: int, status: ApprovalStatus, *, by: str) -> bool:
        """End a proposal that waits, once: False if somebody else did before."""
        statement = (
            update(approvals)
            .where(approvals.c.id == approval_id, _WAITS)
            .values(status=status.value, decided_by=by[:100], decided_at=self._now)
        )
        return self._connection.execute(statement).rowcount == 1


def _approval(row: Row[Any]) -> Approval:
    values = dict(row._mapping)
    values["decision"], values["status"] = Decision(values["decision"]), ApprovalStatus(values["status"])
    return Approval(**values)
