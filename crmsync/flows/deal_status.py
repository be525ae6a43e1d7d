"""Writes to the CRM that a deal is stuck, waits for long or was given up, and why.

The sweeper finds the deals that stand otherwise than they say. An ordinary deal is none of them and costs no call: its
last step writes that it is in sync. Whatever keeps the CRM from taking a status holds nothing else back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from crmsync.alerts.content import untold_sellers_alert
from crmsync.celery import app
from crmsync.company import Company
from crmsync.connectors.base import StatusWritten
from crmsync.domain.dead_letters import DeadLetter
from crmsync.domain.learned import SellerTold
from crmsync.domain.runs import Run, RunStatus
from crmsync.domain.seller import DOES_NOT_ANSWER, IS_CLOSED, Place, Status, Telling, telling_of
from crmsync.errors import CrmsyncError, NotNowError, RecordNotFoundError, RetryableError
from crmsync.flows import order_to_invoice
from crmsync.flows.corrections import is_corrected
from crmsync.flows.told_deals import settled
from crmsync.services import Services
from crmsync.store import UnitOfWork
from crmsync.store.tellings import Told
from crmsync.systems import ROLES
from crmsync.worker import dead_letters, starting
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import Flow
from crmsync.worker.task import step

AT_ONCE = 50  # deals that one sweep may tell of
AGAIN_SECONDS = 60.0  # while the CRM does not answer, or somebody holds the deal
# The causes of its alerts: a status is not taken, or the sentence beside it is not.
_NOT_TOLD, _SENTENCES_LEFT_OUT = "sellers", "sellers_reason"
_ROLE_OF_QUEUE = {"crm": "deals", "erp": "orders", "books": "invoices"}


def deals_with_news(using: Services, company: Company, uow: UnitOfWork) -> Collection[str]:
    """The deals that stand otherwise than they say."""
    options = company.options
    if options.tell_sellers == "no":
        return ()
    flow = order_to_invoice.FLOW
    return uow.tellings.news(
        company.origin("deals"),
        flow.name,
        telling_flow=FLOW.name,
        crm_steps=[name for name in flow.steps if _role_of(name) == "deals"],
        held_for=options.seller_wait,
        limit=AT_ONCE,
    )


FLOW = Flow(
    "deal_status",
    subject="status of a deal",
    steps=("tell_seller",),
    repeats=True,
    finds=deals_with_news,
    roles=("deals",),
    title="Status of deals",
)


@dataclass(frozen=True, slots=True)
class Seen:
    """The deal's state at an instant: what happens later changes it again."""

    at: datetime
    run: Run | None
    letter: DeadLetter | None
    told: Told | None

    @property
    def is_over(self) -> bool:
        return self.run is not None and self.run.status in (RunStatus.DONE, RunStatus.DISCARDED)

    def is_told(self, telling: Telling) -> bool:
        """Whether nothing is to be written: a deal that is over and never said that it was stuck is left alone."""
        if self.told is None or not self.told.status:
            return self.is_over
        return self.told.telling == telling


@step(FLOW, queue="crm", learns=SellerTold)
def tell_seller(attempt: Attempt) -> SellerTold:
    """Write how the deal stands now, unless it says so already."""
    with attempt.services.store.read() as uow:
        seen = _seen(uow, attempt.run)
        telling = _telling(attempt, uow, seen.run, seen.letter) if seen.run else None
    if seen.run is not None:
        attempt.describe(title=seen.run.title, amount=seen.run.amount, currency=seen.run.currency)
    if telling is None or seen.is_told(telling):
        _note_told(attempt, seen)
        return _learned(seen.told.telling if seen.told else None)
    written = _write(attempt, telling, seen)
    if written is not None:
        _note_written(attempt, telling, written, seen)
    return _learned(telling if written else None)


def _learned(telling: Telling | None) -> SellerTold:
    return SellerTold(telling.status, telling.reason) if telling else SellerTold()


def _seen(uow: UnitOfWork, teller: Run) -> Seen:
    run = uow.runs.of_subject(order_to_invoice.FLOW.name, teller.source, teller.subject_key)
    letter = uow.dead_letters.of_run(run.id) if run else None
    return Seen(uow.now, run, letter, uow.tellings.of(teller.source, teller.subject_key))


# What the deal should say


def _telling(attempt: Attempt, uow: UnitOfWork, run: Run, letter: DeadLetter | None) -> Telling | None:
    held_for = attempt.company.options.seller_wait
    is_held = held_for is not None and _is_held(uow, run, letter, held_for)
    place = _place(uow, attempt.company, run, letter)
    if letter is not None:
        field_of = attempt.company.deals.declared.field_of
        letter = replace(letter, field_errors={field_of(name): text for name, text in letter.field_errors.items()})
    return telling_of(run, letter, place, settled=settled(uow, attempt.company, run), now=uow.now, is_held=is_held)


def _is_held(uow: UnitOfWork, run: Run, letter: DeadLetter | None, held_for: timedelta) -> bool:
    """Whether the run has waited for so long, or was replayed by itself for so long."""
    if letter is not None and letter.is_unsettled and letter.is_passing:
        return letter.created_at < uow.now - held_for
    return uow.tellings.is_held(run.id, held_for)


def _systems(company: Company) -> Mapping[str, str]:
    """What people call the system of each connection."""
    return {company.bound(role).connection: company.bound(role).system for role in ROLES}


def _place(uow: UnitOfWork, company: Company, run: Run, letter: DeadLetter | None) -> Place:
    """The system that stopped the run, or that its step needs."""
    systems, crm = _systems(company), company.deals.system
    is_replayed = letter is not None and letter.is_unsettled and letter.is_passing
    if letter is not None and (is_replayed or run.status is RunStatus.STOPPED):
        system = systems.get(letter.system, letter.system)  # some errors name the connection
        return Place(system, is_crm=system == crm)
    role = _role_of(run.step)
    system = company.bound(role).system if role else ""
    breaker = uow.breakers.open_of(company.bound(role).connection if role else "", system)
    trouble = "" if breaker is None else IS_CLOSED if breaker.reason else DOES_NOT_ANSWER
    return Place(system, is_crm=system == crm, trouble=trouble)


def _role_of(step_name: str) -> str:
    """The role of the system that a step of the deal's flow calls; "" for a step of another release."""
    task = app.tasks.get(order_to_invoice.FLOW.task_name(step_name))
    return _ROLE_OF_QUEUE.get(str(task.queue), "") if task is not None else ""


# To write it


def _write(attempt: Attempt, telling: Telling, seen: Seen) -> StatusWritten | None:
    """None where the CRM does not take it, and would not the next time: that is one alert, and no dead letter.

    Raises: NotNowError, RetryableError.
    """
    try:
        return attempt.company.deals.api.write_status(attempt.run.subject_key, telling.status, telling.reason)
    except NotNowError:
        raise
    except CrmsyncError as error:
        if not error.is_definite:
            _note_uncertain(attempt, seen)
        if isinstance(error, RetryableError) and attempt.run.attempts < attempt.services.settings.behaviour.max_retries:
            raise
        if isinstance(error, RetryableError) or error.is_outage:
            raise _later(attempt, error) from error  # for ever: it is no person's work
        attempt.remark = f"not written: {error}"
        _note_refused(attempt, error, seen)
        return None


def _later(attempt: Attempt, error: CrmsyncError) -> NotNowError:
    held = attempt.services.held_seconds(error) or 0.0
    asked = getattr(error, "retry_after_seconds", None) or 0.0
    return NotNowError(str(error), wait_seconds=max(AGAIN_SECONDS, held, asked), system=error.system)


def _note_told(attempt: Attempt, seen: Seen) -> None:
    with attempt.services.store.begin(durable=False) as uow:
        attempt.hold(uow)
        uow.tellings.looked(*_deal(attempt), seen.told.telling if seen.told else None, looked_at=seen.at)
        _close_alert(attempt, uow)


def _note_written(attempt: Attempt, telling: Telling, written: StatusWritten, seen: Seen) -> None:
    """Keep what the deal says now; and where it was corrected before that, let its run go on: our change hides it."""
    attempt.remark = " – ".join(filter(None, (telling.status, telling.reason)))
    results = None
    with attempt.services.store.begin() as uow:
        attempt.hold(uow)
        run, changed_before = uow.runs.get(seen.run.id) if seen.run else None, written.changed_before
        if run is not None and changed_before is not None and is_corrected(uow, run, changed_before):
            results = dead_letters.revive(uow, run.id)
        uow.tellings.told(*_deal(attempt), telling, changed_at=written.changed_at, looked_at=seen.at)
        uow.tellings.try_refused_again(attempt.run.source)
        _close_alert(attempt, uow)
        if written.left_out is None:
            uow.alerts.close(_cause(attempt, _SENTENCES_LEFT_OUT))
        else:
            _alert(attempt, uow, _SENTENCES_LEFT_OUT, written.left_out)
    if run is not None and results is not None:
        starting.enqueue(order_to_invoice.FLOW, (run.id, results))


def _note_uncertain(attempt: Attempt, seen: Seen) -> None:
    longest = timedelta(seconds=attempt.services.settings.behaviour.call_seconds)
    with attempt.services.store.begin(durable=False) as uow:
        attempt.hold(uow)
        uow.tellings.uncertain(*_deal(attempt), until=uow.now + longest, looked_at=seen.at)


# Who hears of it if the CRM does not take it


def _note_refused(attempt: Attempt, error: CrmsyncError, seen: Seen) -> None:
    """A deal that is gone has no seller who waits; and where its own run met the same refusal, people know."""
    letter = seen.letter
    is_known = letter is not None and (letter.system, letter.error) == (error.system, type(error).__name__)
    with attempt.services.store.begin() as uow:
        attempt.hold(uow)
        if is_known or isinstance(error, RecordNotFoundError):
            uow.tellings.looked(*_deal(attempt), looked_at=seen.at)
        else:
            uow.tellings.refused(*_deal(attempt), looked_at=seen.at)
            _alert(attempt, uow, _NOT_TOLD, error)


def _alert(attempt: Attempt, uow: UnitOfWork, about: str, error: CrmsyncError) -> None:
    words = [each.value for each in Status]
    command = attempt.services.settings.pasteable("crmsync doctor")
    content = untold_sellers_alert(attempt.company.deals.system, error, words=words, command=command)
    connection = attempt.company.deals.connection
    uow.alerts.add_once(attempt.run.tenant, _cause(attempt, about), content, connection=connection)


def _deal(attempt: Attempt) -> tuple[str, str]:
    return attempt.run.source, attempt.run.subject_key


def _cause(attempt: Attempt, about: str) -> str:
    return f"{about}:{attempt.company.deals.connection}"


def _close_alert(attempt: Attempt, uow: UnitOfWork) -> None:
    if not uow.tellings.is_any_refused(attempt.run.source):
        uow.alerts.close(_cause(attempt, _NOT_TOLD))
