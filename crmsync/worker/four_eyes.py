"""Whether one person may decide about a dead letter alone: every replay and every discard asks here.

The amount is that of the letter's own deal, read in the transaction that decides; so are the options of its tenant.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from crmsync.domain.approvals import (
    Approval,
    ApprovalError,
    ApprovalStatus,
    Decision,
    TwoPeopleError,
    decides,
    is_above,
    limit_of,
    same_person,
    why_not_approved,
)
from crmsync.domain.audit import Act
from crmsync.domain.dead_letters import Answers, DeadLetter
from crmsync.domain.money import Money
from crmsync.errors import ConfigurationError
from crmsync.options import options_of, read_options
from crmsync.passwords import TOWER_USER
from crmsync.settings import Settings
from crmsync.store import UnitOfWork
from crmsync.worker.flow import FLOWS

logger = logging.getLogger(__name__)

NO_ANSWERS = Answers()
OPTION = "four_eyes_above"
_EVERYTHING = "0 XXX"  # no deal is in this currency


def checked(
    uow: UnitOfWork,
    settings: Settings,
    letter: DeadLetter,
    decision: Decision,
    answers: Answers,
    *,
    by: str | Act,
    approval: Approval | None = None,
) -> Answers:
    """The answers with which this may be done now, by one person or as the *approval* says that two want it.

    A replay that decides nothing is anybody's, but makes nothing again that people took back: that is a decision.
    Raises: TwoPeopleError where one person is not enough; ApprovalError.
    """
    if approval is not None:
        _confirm(uow, letter, decision, answers, approval, by=by)
        return answers
    if not needs_two(uow, settings, letter):
        return answers
    if decision is Decision.REPLAY and not decides(letter, answers):
        return replace(answers, is_persons=False)
    raise TwoPeopleError(
        f"Dead letter {letter.id} needs two people: {_why(letter)}.",
        advice="Decide it under your own name, which makes a proposal; another person confirms that.",
    )


def needs_two(uow: UnitOfWork, settings: Settings, letter: DeadLetter) -> bool:
    flow = FLOWS.get(letter.flow)
    if flow is not None and not flow.source:  # it is of no deal
        return False
    return any(is_above(limit, letter.amount, letter.currency) for limit in limits(uow, settings, letter))


def limits(uow: UnitOfWork, settings: Settings, letter: DeadLetter) -> list[Money]:
    """The limits in force for a letter: its binding's; where its source is no longer bound, all of its tenant's."""
    flow = FLOWS.get(letter.flow)
    bound_as = flow.bound_as if flow is not None else letter.flow
    kept = uow.bindings.all(letter.tenant)
    own = [each for each in kept if (each.flow, each.source) == (bound_as, letter.source)]
    found = [_option(settings, each.options) for each in own or kept] or [_option(settings, {})]
    return [limit for text in dict.fromkeys(found) if (limit := limit_of(text)) is not None]


def _option(settings: Settings, options: Mapping[str, Any]) -> str:
    """As a binding says, else the environment; where what it says can't be read, two people decide about all deals."""
    said = {name: value for name, value in options.items() if name == OPTION}
    try:
        return read_options(said, options_of(settings.behaviour, settings.go_live)).four_eyes_above
    except ConfigurationError:
        return _EVERYTHING


def _why(letter: DeadLetter) -> str:
    if letter.amount is None:
        return "its deal has not been read, so that nobody knows its amount"
    return f"its deal of {letter.money} is above the amount that one person decides about, or in another currency"


# -- the first person


def propose(
    uow: UnitOfWork, letter: DeadLetter, decision: Decision, answers: Answers = NO_ANSWERS, *, by: Act
) -> Approval:
    """Keep what *by* wants done, for another person to confirm. One's own earlier proposal is replaced.

    Raises: ApprovalError where somebody else has proposed something, or nobody knows who asks.
    """
    person = _own_name(by)
    before = uow.approvals.of_letter(letter.id)
    if before is not None:
        is_open = before.status_at(uow.now) is ApprovalStatus.WAITING and before.is_about(letter)
        if is_open and not same_person(before.proposed_by, person):
            raise ApprovalError(
                f"{before.proposed_by} has proposed to {before.decision.value} dead letter {letter.id} already.",
                advice=f"Confirm or reject that: `crmsync approvals approve {before.id}`.",
            )
        uow.approvals.decide(before.id, ApprovalStatus.REPLACED, by=person)
    made = uow.approvals.add(letter, decision, asdict_of(answers), by=person, reason=by.reason)
    if made is None:
        raise ApprovalError("Somebody else has just proposed something about this dead letter: look at it again.")
    told = {"proposal": made.id, "decision": decision.value, "amount": letter.money, **answers.audited()}
    uow.audit.add(by, "dead_letter.propose", "dead_letter", str(letter.id), tenant=letter.tenant, after=told)
    return made


def asdict_of(answers: Answers) -> dict[str, Any]:
    return {**asdict(answers), "links": dict(answers.links), "accepted": sorted(answers.accepted)}


def answers_of(approval: Approval) -> Answers:
    return Answers(**approval.answers)


def audited_of(approval: Approval | None) -> dict[str, Any]:
    """What the audit keeps of a decision that two people made."""
    return {} if approval is None else {"proposal": approval.id, "proposed_by": approval.proposed_by}


# -- the second person


def _confirm(
    uow: UnitOfWork, letter: DeadLetter, decision: Decision, answers: Answers, approval: Approval, *, by: str | Act
) -> None:
    """Raises: ApprovalError."""
    if not isinstance(by, Act):
        raise ApprovalError("Only a person confirms what another has proposed.")
    person = _own_name(by)
    if problem := why_not_approved(approval, letter, person, uow.now):
        raise ApprovalError(problem)
    if (approval.decision, approval.answers) != (decision, asdict_of(answers)):
        raise ApprovalError(f"Proposal {approval.id} says something else.")
    end(uow, approval, ApprovalStatus.APPROVED, by=by)


def end(uow: UnitOfWork, approval: Approval, status: ApprovalStatus, *, by: Act) -> None:
    """End a proposal with *status*. Raises: ApprovalError where somebody else was faster, or nobody knows who asks."""
    if not uow.approvals.decide(approval.id, status, by=_own_name(by)):
        raise ApprovalError(f"Somebody else has decided about proposal {approval.id} meanwhile.")


def _own_name(by: Act) -> str:
    """The person behind *by*. Raises: ApprovalError for who is nobody in particular."""
    if by.person == TOWER_USER:
        raise ApprovalError(
            "The built-in operator is nobody in particular: several people may have its password.",
            advice="This deal needs two people: sign in under your own name (`crmsync users add`).",
        )
    if not by.person:
        raise ApprovalError(
            "Nobody knows which person this token belongs to: another token has made it, before an upgrade.",
            advice="Make another token: `crmsync token create`.",
        )
    return by.person
