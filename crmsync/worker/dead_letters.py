"""Dead letters: how a run stops for good, what a person sees of it, and how it is replayed.

The row is the truth. The queue `dead_letter` is a view of the waiting rows: each message there is the failed task
itself, so a worker started with `-Q dead_letter` replays them all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from kombu.exceptions import OperationalError

from crmsync.celery import app
from crmsync.company import Company
from crmsync.domain.approvals import Approval, Decision, TwoPeopleError
from crmsync.domain.audit import Act
from crmsync.domain.dead_letters import Answers, DeadLetter, LetterKind, LetterStatus, why_not, without_accepted
from crmsync.domain.ledger import EntryKey
from crmsync.domain.runs import Run, RunStatus
from crmsync.domain.words import known_persons, readable
from crmsync.errors import CrmsyncError
from crmsync.services import Services
from crmsync.store import UnitOfWork
from crmsync.worker import customer_links, four_eyes, letter_alerts, queues
from crmsync.worker.attempt import Attempt
from crmsync.worker.customer_links import Sides
from crmsync.worker.flow import AGREED, ASKED_OF, FLOWS, LEFT, MAY_MAKE, SEEN, WAS_ASKED, Flow, company_of

logger = logging.getLogger(__name__)

NO_ANSWERS = Answers()
BY_ITSELF = Answers(is_persons=False)  # crmsync lets a run go on, and decides nothing
RETURN_BATCH = 50  # letters that one sweep lets go on
CLOCKS = timedelta(minutes=1)  # what lies further in the future was written by a wrong clock

# What a person calls the role whose customer is linked, in `replay --link ERP=1000123`.
LINK_NAMES: Mapping[str, str] = {"ERP": "orders", "BOOKS": "invoices"}


def linkable(company: Company) -> dict[str, str]:
    """The connections to whose customers an account of *company* is linked, by what a person calls their roles."""
    return {name: company.bound(role).connection for name, role in LINK_NAMES.items()}


def company_of_letter(using: Services, letter_id: int) -> Company:
    """The company whose run the letter is of; that of the environment where there is no such letter."""
    with using.store.read() as uow:
        letter = uow.dead_letters.get(letter_id)
        run = uow.runs.get(letter.run_id) if letter is not None else None
    return company_of(using, run) if run is not None else using.company()


def link_of(letter: DeadLetter) -> str:
    """What a person calls the role whose customer the letter's step searches; "" where it searches none."""
    flow = FLOWS.get(letter.flow)
    role = flow.about_of(letter.step).customer_of if flow else ""
    return next((name for name, each in LINK_NAMES.items() if each == role), "")


class NotWaitingError(CrmsyncError):
    """This dead letter does not wait any more: it was replayed or discarded."""


def bury(attempt: Attempt, error: CrmsyncError) -> bool:
    """End the run as a dead letter, with an alert and a message on the queue. False if the run is another worker's."""
    with attempt.services.store.begin() as uow:
        attempt.record_outcomes(uow)
        if not uow.runs.stop(attempt.run, **attempt.described):
            return False
        uow.history.note(attempt.run, "stopped", started_at=attempt.started_at, detail=str(error))
        before = uow.dead_letters.of_run(attempt.run.id)
        letter, is_news = uow.dead_letters.add(attempt.run, error, sealed_words=_sealed_words(attempt, error))
        letter_alerts.tell(uow, attempt.services.settings, letter, is_news=is_news)
        if before is not None and before.alert_cause != letter.alert_cause:
            letter_alerts.settle(uow, attempt.services.settings, before.alert_cause)
    logger.error("dead letter %s: %s", letter.id, error, extra={"action": "dead_letter", "error": error.cause})
    if letter.failures == 1:  # the sweeper shows what comes back, later each time: see redraw()
        best_effort(lambda: show(letter))
    if is_news:
        tell_soon()
    return True


def _sealed_words(attempt: Attempt, error: CrmsyncError) -> str:
    flow = FLOWS.get(attempt.run.flow)
    read = {flow.source: flow.reading_of(attempt.run)} if flow and flow.source else {}
    return attempt.services.sealed(readable(error.words, known_persons({**read, **attempt.run.results})))


def replay(
    using: Services,
    letter_id: int,
    answers: Answers = NO_ANSWERS,
    *,
    by: str | Act,
    sides: Sequence[Sides] | None = None,
) -> DeadLetter | Approval:
    """Let the run go on: read the source again, then do the failed step and the rest; what is done is not repeated.

    *sides* are the customers of the answer, looked up; without them the step that needs a customer looks it up.
    Who does it *by* an Act is a person, and audited. What needs two people is proposed, and nothing else happens.

    Raises: NotWaitingError; ApprovalError, TwoPeopleError where it can't even be proposed.
    """
    with using.store.begin() as uow:
        try:
            letter, results = reopen_in(uow, using, letter_id, answers, by=by, sides=sides)
        except TwoPeopleError:
            return propose_in(uow, letter_id, Decision.REPLAY, answers, by=by)
    best_effort(lambda: FLOWS[letter.flow].enqueue(letter.run_id, results))
    return letter


def propose_in(
    uow: UnitOfWork, letter_id: int, decision: Decision, answers: Answers = NO_ANSWERS, *, by: str | Act
) -> Approval:
    """What one person may not do alone waits for another. Raises: TwoPeopleError where no person asks."""
    letter = uow.dead_letters.get(letter_id)
    if letter is None or not isinstance(by, Act):
        raise TwoPeopleError(f"Dead letter {letter_id} needs two people, and no person asks.")
    return four_eyes.propose(uow, letter, decision, answers, by=by)


def reopen(
    using: Services, letter_id: int, answers: Answers, *, by: str | Act, sides: Sequence[Sides] | None = None
) -> tuple[DeadLetter, dict[str, Any]]:
    """Make the run active again; the sweeper brings it, where nobody enqueues it. Raises: as reopen_in()."""
    with using.store.begin() as uow:
        return reopen_in(uow, using, letter_id, answers, by=by, sides=sides)


def reopen_in(
    uow: UnitOfWork,
    using: Services,
    letter_id: int,
    answers: Answers,
    *,
    by: str | Act,
    sides: Sequence[Sides] | None = None,
    approval: Approval | None = None,
) -> tuple[DeadLetter, dict[str, Any]]:
    """As reopen(), in the caller's transaction; where two people have agreed, with their *approval*.

    Raises: NotWaitingError; TwoPeopleError before anything is written; ApprovalError.
    """
    letter = _waiting(uow, letter_id)
    if letter.flow not in FLOWS:
        raise NotWaitingError(f"Dead letter {letter_id} is of a flow that only another release of crmsync has.")
    answers = four_eyes.checked(uow, using.settings, letter, Decision.REPLAY, answers, by=by, approval=approval)
    _move(uow, letter, to=LetterStatus.REPLAYING)
    who = _who(by, approval)
    results = _reopen(uow, letter, answers, by=who, are_links_seen=sides is not None)
    customer_links.store(uow, sides or (), origin=customer_links.REPLAY, by=who)
    after = {"status": "replaying", **answers.audited(), **four_eyes.audited_of(approval)}
    _audit(uow, by, "dead_letter.replay", letter, after=after)
    return letter, results


def _waiting(uow: UnitOfWork, letter_id: int) -> DeadLetter:
    """Raises: NotWaitingError."""
    letter = uow.dead_letters.get(letter_id)
    if letter is None or letter.status is not LetterStatus.WAITING:
        raise NotWaitingError(why_not(letter_id, letter))
    return letter


def _move(uow: UnitOfWork, letter: DeadLetter, *, to: LetterStatus) -> None:
    """Raises: NotWaitingError where somebody else was faster."""
    if not uow.dead_letters.move(letter, to=to):
        raise NotWaitingError(why_not(letter.id, uow.dead_letters.get(letter.id)))


def _who(by: str | Act, approval: Approval | None) -> str:
    return str(by) if approval is None else f"{by}, as {approval.proposed_by} proposed"


def _audit(uow: UnitOfWork, by: str | Act, verb: str, letter: DeadLetter, *, after: Mapping[str, Any]) -> None:
    """What crmsync does by itself stands in the history of the run; what people do in the audit as well."""
    if isinstance(by, Act):
        before = {"status": letter.status.value, "step": letter.step, "error": letter.error, "run": letter.run_id}
        uow.audit.add(by, verb, "dead_letter", str(letter.id), tenant=letter.tenant, before=before, after=after)


def sides_of_letter(using: Services, letter_id: int, answers: Answers) -> list[Sides]:
    """The customers that *answers* name, looked up. Raises: LinkRefusedError."""
    if not answers.links:
        return []
    with using.store.read() as uow:
        letter = uow.dead_letters.get(letter_id)
        run = uow.runs.get(letter.run_id) if letter is not None else None
    return customer_links.sides_of(using, run, answers.links)


def _reopen(
    uow: UnitOfWork,
    letter: DeadLetter,
    answers: Answers,
    *,
    by: str,
    due_at: datetime | None = None,
    are_links_seen: bool = True,
) -> dict[str, Any]:
    run = uow.runs.get(letter.run_id)
    assert run is not None  # the letter's row was joined with it  # noqa: S101
    again = reopened(FLOWS[letter.flow], run, letter, answers)
    uow.runs.reopen(
        run.id,
        step=again.step,
        results=again.results,
        answers={**again.answers, **({} if are_links_seen else answers.unseen_links(by))},
        progress=again.progress,
        due_at=due_at,
    )
    uow.history.note(run, "replayed", detail=f"by {by}")
    return dict(again.results)


def reopened(flow: Flow, run: Run, letter: DeadLetter, answers: Answers) -> Run:
    """*run* as a replay of its *letter* with *answers* starts it."""
    step, results = flow.replay_from(run.results)
    progress = _remembered(flow, run, letter, answers) if flow.source else run.progress
    return replace(run, step=step, results=results, answers=_answered(flow, run, letter, answers), progress=progress)


def _answered(flow: Flow, run: Run, letter: DeadLetter, answers: Answers) -> dict[str, Any]:
    """What was accepted of the source is agreed as soon as its step has ended: what changes later is asked anew."""
    is_kept = not flow.source or _failed_at_source(flow, letter)
    before = run.answers if is_kept else without_accepted(run.answers, {flow.source})
    return answers.added_to(before, letter.step, letter.error)


def _remembered(flow: Flow, run: Run, letter: DeadLetter, answers: Answers) -> dict[str, Any]:
    """What the step that reads the source has to know; that a person wants documents made again is good for once."""
    agreed = {AGREED: dict(flow.reading_of(run))}
    kept = run.progress if letter.step == flow.source else {}
    if _failed_at_source(flow, letter):  # nobody was asked, and what was decided before is decided
        return {name: value for name, value in kept.items() if name != SEEN} | agreed
    if answers.is_persons:
        asked_of = {ASKED_OF: kept[SEEN]} if answers.accept and SEEN in kept else {}
        return agreed | {MAY_MAKE: True} | asked_of
    was_asked = {WAS_ASKED: True} if SEEN in kept else {}
    return {name: value for name, value in kept.items() if name not in (SEEN, MAY_MAKE)} | agreed | was_asked


def _failed_at_source(flow: Flow, letter: DeadLetter) -> bool:
    """Whether the source could not be read: then nobody has been asked about it."""
    return letter.step == flow.source and letter.kind is LetterKind.FAILURE


def replay_message(using: Services, run_id: str) -> None:
    """A worker took a message from the queue `dead_letter`: replay its letter if it still waits, and its time is come.

    A message may be an old one: the queue is drawn anew while others hold messages of it.
    """
    with using.store.read() as uow:
        letter = uow.dead_letters.of_run(run_id)
    if letter is None or letter.status is not LetterStatus.WAITING or letter.shown_at() > uow.now:
        return
    try:
        replay(using, letter.id, by="the dead_letter queue")
    except NotWaitingError:
        logger.info("somebody else is replaying it", extra={"action": "replay_dropped"})
    except TwoPeopleError:
        logger.info("two people have to decide about it", extra={"action": "replay_needs_two"})


def revive(
    uow: UnitOfWork,
    run_id: str,
    *,
    kinds: Collection[LetterKind] = (LetterKind.DATA,),
    due_at: datetime | None = None,
) -> dict[str, Any] | None:
    """The record was changed at its source: a run that died of what it was goes on. None if it did not."""
    letter = uow.dead_letters.of_run(run_id)
    if letter is None or letter.kind not in kinds:
        return None
    if not uow.dead_letters.move(letter, to=LetterStatus.REPLAYING):
        return None
    by = "its next period" if letter.is_only_one else "a change at its source"
    return _reopen(uow, letter, BY_ITSELF, by=by, due_at=due_at)


def discard(using: Services, letter_id: int, *, by: str | Act) -> DeadLetter | Approval:
    """Give the run up; one that was done before is done again, and what was seen of it is agreed.

    What needs two people is proposed, and nothing else happens. Raises: as replay().
    """
    with using.store.begin() as uow:
        try:
            letter = discard_in(uow, using, letter_id, by=by)
        except TwoPeopleError:
            return propose_in(uow, letter_id, Decision.DISCARD, by=by)
    tell_soon()
    return letter


def discard_in(
    uow: UnitOfWork, using: Services, letter_id: int, *, by: str | Act, approval: Approval | None = None
) -> DeadLetter:
    """As discard(), in the caller's transaction, who delivers the alerts afterwards: tell_soon().

    Raises: as reopen_in().
    """
    letter = _waiting(uow, letter_id)
    four_eyes.checked(uow, using.settings, letter, Decision.DISCARD, NO_ANSWERS, by=by, approval=approval)
    _move(uow, letter, to=LetterStatus.DISCARDED)
    run = uow.runs.get(letter.run_id)
    if run is not None:
        _leave(uow, run)
        uow.history.note(run, "discarded", detail=f"by {_who(by, approval)}")
    letter_alerts.settle(uow, using.settings, letter.alert_cause)
    _audit(uow, by, "dead_letter.discard", letter, after={"status": "discarded", **four_eyes.audited_of(approval)})
    return letter


def _leave(uow: UnitOfWork, run: Run) -> None:
    flow = FLOWS.get(run.flow)
    if flow is None or not flow.source:
        uow.runs.leave(run.id, status=RunStatus.DISCARDED, results=run.results)
        return
    seen, reading = run.progress.get(SEEN, {}), dict(flow.last_reading(run))
    reading = seen.get(LEFT) or reading
    results = {**run.results, **seen.get("documents", {}), **({flow.source: reading} if reading else {})}
    if not flow.is_complete(run):
        uow.runs.leave(run.id, status=RunStatus.DISCARDED, results=results)
        return
    uow.runs.leave(run.id, status=RunStatus.DONE, results=results)
    for gone in seen.get("gone", ()):
        uow.ledger.gone(EntryKey.from_json(gone))


def show(letter: DeadLetter) -> None:
    """Put the failed task on the queue `dead_letter`."""
    task = app.signature(FLOWS[letter.flow].task_name(letter.step), args=(letter.run_id,), immutable=True)
    task.apply_async(queue=queues.dead_letter_queue, retry=False)


def redraw(using: Services) -> None:
    """Make the queue show exactly the letters that wait; cheap when it does already.

    One that failed again in a replay is shown later each time, so that a worker on the queue does not spin.
    """
    with using.store.read() as uow:
        due = [letter for letter in uow.dead_letters.list(None) if letter.shown_at() <= uow.now and _is_known(letter)]
    if queues.length(queues.dead_letter_queue) == len(due):
        return
    queues.empty(queues.dead_letter_queue)
    for letter in due:
        show(letter)


def _is_known(letter: DeadLetter) -> bool:
    """Whether this release can let it go on."""
    flow = FLOWS.get(letter.flow)
    return flow is not None and letter.step in flow.steps


def return_passing(using: Services) -> int:
    """Let runs go on that died of a fault that passes: once its system was seen to come back, or later each time.

    An outage causes an alert, but a person has nothing to do about its runs. While the system's breaker is open, those
    that are tried wait for it like all others. Returns how many.
    """
    with using.store.read() as uow:
        closed = [breaker for breaker in uow.breakers.all(None) if breaker.closed_at]
        passing = [letter for letter in uow.dead_letters.list(None) if letter.is_passing and _is_known(letter)]
    # By its connection; of a letter that an earlier release wrote only the system is known.
    back_at = {breaker.system: breaker.closed_at for breaker in closed}
    back_at |= {breaker.connection: breaker.closed_at for breaker in closed}
    due = [letter for letter in passing if _returns(letter, back_at.get(letter.connection or letter.system), uow.now)]
    for letter in due[:RETURN_BATCH]:
        with suppress(NotWaitingError):
            replay(using, letter.id, BY_ITSELF, by="crmsync")
    return len(due[:RETURN_BATCH])


def _returns(letter: DeadLetter, back_at: datetime | None, now: datetime) -> bool:
    is_back = back_at is not None and letter.updated_at < back_at <= now
    return is_back or letter.returns_at() <= now or letter.updated_at > now + CLOCKS


def tell_soon() -> None:
    """Deliver what is in the outbox now; the sweeper would do it a little later."""
    best_effort(lambda: app.send_task("housekeeping.deliver_alerts", retry=False))


def best_effort(send: Callable[[], Any]) -> bool:
    """Send something that the sweeper repeats if the broker does not answer now."""
    try:
        send()
    except (OSError, OperationalError, *app.connection().connection_errors, *app.connection().channel_errors) as error:
        logger.warning("the broker does not answer", extra={"action": "publish_failed", "error": type(error).__name__})
        return False
    return True
