"""A second person confirms or rejects what a first one has proposed about a dead letter."""

from __future__ import annotations

from collections.abc import Callable

from crmsync.domain.approvals import Approval, ApprovalError, ApprovalStatus, Decision
from crmsync.domain.audit import Act
from crmsync.services import Services
from crmsync.store import UnitOfWork
from crmsync.worker import dead_letters, four_eyes
from crmsync.worker.flow import FLOWS


def approve(using: Services, approval_id: int, *, by: Act) -> Approval:
    """Confirm it, and do it. Raises: ApprovalError, NotWaitingError."""
    with using.store.begin() as uow:
        approved, afterwards = approve_in(uow, using, approval_id, by=by)
    afterwards()
    return approved


def approve_in(uow: UnitOfWork, using: Services, approval_id: int, *, by: Act) -> tuple[Approval, Callable[[], object]]:
    """As approve(), in the caller's transaction; what is returned is to be called once that is committed."""
    approval = _waiting(uow, approval_id)
    if approval.decision is Decision.DISCARD:
        dead_letters.discard_in(uow, using, approval.letter_id, by=by, approval=approval)
        return _again(uow, approval_id), dead_letters.tell_soon
    answers = four_eyes.answers_of(approval)
    letter, results = dead_letters.reopen_in(uow, using, approval.letter_id, answers, by=by, approval=approval)
    flow = FLOWS[letter.flow]
    return _again(uow, approval_id), lambda: dead_letters.best_effort(lambda: flow.enqueue(letter.run_id, results))


def reject(uow: UnitOfWork, approval_id: int, *, by: Act) -> Approval:
    """Nothing is done, and the letter waits on. Who has proposed it may take it back like this.

    Raises: ApprovalError.
    """
    approval = _waiting(uow, approval_id)
    four_eyes.end(uow, approval, ApprovalStatus.REJECTED, by=by)
    before = {"proposal": approval.id, "decision": approval.decision.value, "proposed_by": approval.proposed_by}
    key = str(approval.letter_id)
    uow.audit.add(by, "dead_letter.reject", "dead_letter", key, tenant=approval.tenant, before=before)
    return _again(uow, approval_id)


def _waiting(uow: UnitOfWork, approval_id: int) -> Approval:
    approval = uow.approvals.get(approval_id)
    if approval is None:
        raise ApprovalError(f"There is no proposal {approval_id}.")
    if (status := approval.status_at(uow.now)) is not ApprovalStatus.WAITING:
        raise ApprovalError(f"Proposal {approval.id} is {status.value}: nothing is left to decide.")
    return approval


def _again(uow: UnitOfWork, approval_id: int) -> Approval:
    found = uow.approvals.get(approval_id)
    assert found is not None  # just written  # noqa: S101
    return found
