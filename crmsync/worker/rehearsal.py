"""Finds out what a replay would do, without doing it.

    read the source ─▶ what changed since ─▶ the steps in order ─▶ the first call that would write: shown, not sent

A step's own body runs, so what is shown is what the worker will send. Its reads go out; the store stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, cast

from crmsync.celery import app
from crmsync.company import Company
from crmsync.connectors.kit.rehearsal import WouldWriteError, Write, rehearsal
from crmsync.domain.changes import Change, are_grave, changes_since
from crmsync.domain.dead_letters import READS_DEAL, Answers, DeadLetter, without_accepted
from crmsync.domain.deals import Deal
from crmsync.domain.learned import CustomerMatched, OrderMade
from crmsync.domain.ledger import Entry, EntryKey, EntryState, Move, next_move, number_of, seconds_until_certain
from crmsync.domain.runs import Run
from crmsync.domain.second_look import DOCUMENT_STEPS, Agreed, Comparison, Seen, foreign_numbers
from crmsync.errors import BadDataError, CrmsyncError, NotNowError, OutcomeSettlingError, ReviewNeededError
from crmsync.services import Services
from crmsync.store import Store, UnitOfWork
from crmsync.worker import dead_letters, documents
from crmsync.worker.attempt import Attempt, Found
from crmsync.worker.flow import FLOWS, Flow, company_of, learned
from crmsync.worker.task import Body, as_json

_MAY_EXIST = (EntryState.SENT, EntryState.UNKNOWN, EntryState.CONFIRMED)


@dataclass(frozen=True, slots=True)
class Source:
    """The deal as it is now, and how it differs from what was read before. *problem* says why it could not be read.

    *documents* say how those that exist stand now, where money or the account changed; *is_refused_by* are those that
    are in the way of it, by name.
    """

    deal: Deal | None = None
    problem: str = ""
    changes: tuple[Change, ...] = ()
    has_documents: bool = False
    foreign_numbers: tuple[str, ...] = ()  # "invoice INV-77": at the deal, and not by crmsync
    documents: tuple[str, ...] = ()
    is_refused_by: tuple[str, ...] = ()

    @property
    def must_be_accepted(self) -> bool:
        """Money or the account changed, and documents of the old figures stand, or may."""
        return bool(self.is_refused_by)


class End(StrEnum):
    """How a step ends, as far as is known."""

    DONE = "done"  # it writes nothing: it reads, or takes what exists
    WRITES = "writes"
    WAITS = "waits"
    STOPS = "stops"


@dataclass(frozen=True, slots=True)
class Foreseen:
    """One step: how it ends, what it does on the way, what it sends or why it stops."""

    step: str
    end: End
    notes: tuple[str, ...] = ()
    write: Write | None = None
    problem: str = ""
    advice: str = ""
    learned: Mapping[str, Any] = field(default_factory=dict)
    undoes: frozenset[str] = frozenset()  # steps that it lets be done again


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """*later* are the steps after the last one that was rehearsed."""

    source: Source | None
    steps: tuple[Foreseen, ...]
    later: tuple[str, ...]


def rehearse(using: Services, letter: DeadLetter, answers: Answers, *, accept_changes: bool = False) -> Rehearsal:
    """What replaying *letter* with *answers* would do. Reads from systems and store, writes to neither."""
    flow, run = FLOWS[letter.flow], run_of(using, letter)
    with rehearsal():
        source = read_source(using, run)
        answers = agreed(answers, source, accept_changes=accept_changes)
        again = dead_letters.reopened(flow, run, letter, answers)
        deal = source.deal if source else None
        steps = tuple(_walk(flow, again, answers, _Services(using), deal)) if flow.is_rehearsed else ()
    undoes = {step for foreseen in steps for step in foreseen.undoes}
    rehearsed = {foreseen.step for foreseen in steps}
    later = [step for step in flow.steps if step not in rehearsed and (step in undoes or step not in again.results)]
    return Rehearsal(source, steps, tuple(later))


def run_of(using: Services, letter: DeadLetter) -> Run:
    with using.store.read() as uow:
        run = uow.runs.get(letter.run_id)
    assert run is not None  # the letter's row was joined with it  # noqa: S101
    return run


# -- the source


def read_source(using: Services, run: Run) -> Source | None:
    """Read the deal again, in one call; None for a run whose source is no deal. Raises nothing of a vendor's."""
    if READS_DEAL not in FLOWS[run.flow].steps:
        return None
    is_documented = has_documents(using, run)
    try:
        deal = company_of(using, run).deals.api.fetch_deal(run.subject_key)
    except CrmsyncError as error:
        return Source(problem=str(error), has_documents=is_documented)
    found = tuple(_changes(run, deal))
    source = Source(deal, changes=found, has_documents=is_documented, foreign_numbers=_foreign(using, run, deal))
    return _with_documents(using, run, source) if is_documented and are_grave(found) else source


def _with_documents(using: Services, run: Run, source: Source) -> Source:
    """*source* with the documents as they stand now; those that can't be read may be in the way."""
    with using.store.read() as uow:
        newest = documents.newest(uow.ledger.of_run(run.id))
    assert source.deal is not None  # it was read, else nothing changed  # noqa: S101
    company = company_of(using, run)
    try:
        seen, pending = documents.seen(using, company, run, newest), documents.pending(using, company, newest)
    except CrmsyncError as error:
        names = tuple(f"{entry.key.kind} {number_of(entry.document or {})}".strip() for entry in newest)
        return replace(source, documents=(f"They can't be checked now: {error}",), is_refused_by=names)
    agreed = Agreed.of(FLOWS[run.flow].reading_of(run))
    compared = Comparison(source.deal, agreed, seen, pending)
    in_the_way = [each.name for each in compared.in_the_way] + [entry.key.reference for entry in compared.pending]
    return replace(source, documents=tuple(map(_told, seen)), is_refused_by=tuple(in_the_way))


def _told(seen: Seen) -> str:
    return f"{seen.system}: {seen.says}"


def has_documents(using: Services, run: Run) -> bool:
    """Whether an order or an invoice was made for the run, or may have been."""
    with using.store.read() as uow:
        return any(map(_may_be_document, uow.ledger.of_run(run.id)))


def agreed(answers: Answers, source: Source | None, *, accept_changes: bool) -> Answers:
    """*answers* with the step that would stop the run; only where a change was seen: nobody accepts what is unknown."""
    is_seen = source is not None and source.must_be_accepted and not source.foreign_numbers
    return replace(answers, accepted=(READS_DEAL,)) if accept_changes and is_seen else answers


def is_refused(source: Source | None, answers: Answers, step: str) -> bool:
    """Whether a replay of a run that died at *step* needs another answer first."""
    is_accepted = READS_DEAL in answers.accepted or (answers.accept and step == READS_DEAL)
    return source is not None and source.must_be_accepted and not is_accepted


def _may_be_document(entry: Entry) -> bool:
    return entry.key.kind in DOCUMENT_STEPS and entry.state in _MAY_EXIST


def _changes(run: Run, deal: Deal) -> Sequence[Change]:
    before = Agreed.of(FLOWS[run.flow].reading_of(run))
    if before is not None:
        return before.differences(deal)
    # A run of an older release that stopped while it read the deal anew has no reading left: its documents tell.
    if READS_DEAL in run.answers.get("accepted", ()):
        return ()
    order = learned(run, DOCUMENT_STEPS["order"], OrderMade)
    made = {kind: documents.accepted(run, kind) for kind in DOCUMENT_STEPS}
    known = {kind: document for kind, document in made.items() if document}
    return changes_since(known, order.customer if order else "", deal)


def _foreign(using: Services, run: Run, deal: Deal) -> tuple[str, ...]:
    with using.store.read() as uow:
        entries = uow.ledger.of_run(run.id)
    return tuple(f"{kind} {number}" for kind, number in foreign_numbers(deal, entries).items())


# -- the steps


def _walk(flow: Flow, run: Run, answers: Answers, using: _Services, deal: Deal | None) -> Iterator[Foreseen]:
    """The steps from where a replay starts, to the first that does more than read."""
    results = dict(run.results) | _linked(flow, company_of(cast(Services, using), run), answers)
    while undone := flow.undone(results):
        foreseen = _foresee(flow, replace(run, step=undone[0], results=results), using, deal)
        yield foreseen
        if foreseen.end is not End.DONE:
            return
        kept = {step: result for step, result in results.items() if step not in foreseen.undoes}
        results = kept | {foreseen.step: foreseen.learned}
        run = replace(run, progress={}, answers=without_accepted(run.answers, foreseen.undoes))


def _linked(flow: Flow, company: Company, answers: Answers) -> dict[str, Any]:
    """The matches that --link has answered."""
    roles = {step: about.customer_of for step, about in flow.about.items() if about.customer_of}
    steps = {company.bound(role).connection: step for step, role in roles.items()}
    return {steps[connection]: CustomerMatched(key).to_json() for connection, key in answers.links.items()}


def _foresee(flow: Flow, run: Run, using: _Services, deal: Deal | None) -> Foreseen:
    """Run the step's body for its answer, or for what it would send."""
    attempt = RehearsedAttempt(run, cast(Services, using), using.store.clock(), deal=deal)
    body: Body = type(app.tasks[flow.task_name(run.step)]).body
    seen: dict[str, Any]
    try:
        seen = {"end": End.DONE, "learned": as_json(body(attempt))}
    except WouldWriteError as caught:
        seen = {"end": End.WRITES, "write": caught.write}
    except NotNowError as error:
        seen = {"end": End.WAITS, "problem": str(error)}
    except CrmsyncError as error:
        attempt.label_fields(error)
        seen = {"end": End.STOPS, "problem": str(error), "advice": _advice(error)}
    except Exception as error:  # as in task.py: a bug, whose text may hold a customer's data
        seen = {"end": End.STOPS, "problem": f"Unexpected {type(error).__name__} in crmsync."}
    notes = [*attempt.notes, *filter(None, [attempt.remark])]
    return Foreseen(run.step, notes=tuple(notes), undoes=frozenset(attempt.undoes), **seen)


def _advice(error: CrmsyncError) -> str:
    """What a person can do; a fault that may have passed by then needs nobody."""
    return error.advice or "" if isinstance(error, BadDataError | ReviewNeededError) else ""


@dataclass
class RehearsedAttempt(Attempt):
    """An attempt that holds nothing and notes nothing in the store; *notes* say what it would do on the way.

    *deal* was read a moment ago, and costs no second call.
    """

    notes: list[str] = field(default_factory=list)
    deal: Deal | None = None

    def read_deal(self) -> Deal:
        return self.deal or super().read_deal()

    def record_progress(self, **progress: Any) -> None:
        self.progress |= progress

    def create_once(self, key: EntryKey, *, find: Callable[[], Sequence[Found]], create: Callable[[], Found]) -> Found:
        """As in an attempt, but nothing is reserved; where an answer was lost the document really is searched."""
        with self.services.store.read() as uow:
            entry = uow.ledger.get(key)
        found = self._known(entry, find) if entry is not None else None
        if found is None:
            return create()
        self.has_adopted = True
        return found

    def _known(self, entry: Entry, find: Callable[[], Sequence[Found]]) -> Found | None:
        move = next_move(entry)
        name = f"{entry.key.kind} {entry.key.reference}"
        if move is Move.PROBE:
            self.notes.append(f"An answer about {name} was lost: the run searches for it there first.")
        try:
            found = self._settle(entry, find)
        except OutcomeSettlingError:
            wait = seconds_until_certain(entry, self.services.store.clock())
            self.notes.append(f"It is not there yet; if it is not in {wait:.0f} s either, it is created again.")
            return None
        if found is not None:
            self.notes.append(
                f"{entry.key.kind.capitalize()} {number_of(found)} exists: it is used, not created again."
            )
        elif move is Move.PROBE:
            self.notes.append("It is not there: it is created again.")
        return found

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        yield


# -- a store that changes nothing


class _Services:
    """*using*, with a store that forgets what is written."""

    def __init__(self, using: Services) -> None:
        self._using = using
        self.store = _ForgetfulStore(using.store)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._using, name)


class _UndoneError(Exception):
    """Ends a transaction without its writes."""


class _ForgetfulStore:
    """Reads are real; every write is rolled back."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.clock = store.clock
        self.read = store.read

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[UnitOfWork]:
        try:
            with self._store.begin(durable=False) as uow:
                yield uow
                raise _UndoneError
        except _UndoneError:
            pass
