"""One attempt at a step: the run it works for, the services it may use, and creates that happen once."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, overload

from crmsync import failpoints
from crmsync.company import Company
from crmsync.connectors.way_out.lease import extend_deadline
from crmsync.domain.deals import Deal
from crmsync.domain.ledger import FIRST_SEND, Entry, EntryKey, Move, next_move, number_of
from crmsync.domain.links import CUSTOMER
from crmsync.domain.runs import Run, RunStatus
from crmsync.errors import (
    CrmsyncError,
    DocumentGoneError,
    LeaseLostError,
    LockedByOtherRunError,
    OutcomeSettlingError,
    OutcomeUnknownError,
    ProcessFaultError,
)
from crmsync.services import Services
from crmsync.store import UnitOfWork
from crmsync.worker import absence
from crmsync.worker.flow import Result, Step, company_of, result

logger = logging.getLogger(__name__)

LOCK_WAIT_SECONDS = 1.0
LEASE_MARGIN = 0.95  # a call must be over a little before the lease is
GATEWAY_CODES = frozenset({"HTTP 408", "HTTP 502", "HTTP 503", "HTTP 504", "HTTP 524"})

Found = Mapping[str, Any]  # a document of another system, as JSON


@dataclass
class Attempt:
    """*confirmed* are ledger rows whose outcome is known; they are written with the end of the attempt.

    *reserved* are rows that were written with the claim, with the earlier attempt's entry where there was one.
    """

    run: Run
    services: Services
    started_at: datetime
    reserved: dict[EntryKey, Entry | None] = field(default_factory=dict)
    fresh: frozenset[str] = frozenset()  # steps whose results were read from the store when the run was claimed
    title: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    confirmed: list[tuple[EntryKey, Found]] = field(default_factory=list)
    has_adopted: bool = False  # the document is an earlier attempt's: what we know of it may be old
    remark: str = ""  # for the run's history
    gone: list[EntryKey] = field(default_factory=list)  # documents that do not stand any more
    back: list[EntryKey] = field(default_factory=list)  # documents that were gone, and that people have put back
    with_end: list[Callable[[UnitOfWork], None]] = field(default_factory=list)  # what else is written when it ends well
    undoes: set[str] = field(default_factory=set)  # steps to be done again, because what they made is gone
    relearned: dict[str, Any] = field(default_factory=dict)  # by step: what is known anew of what it made
    ends_as: RunStatus | None = None  # the run ends here, with nothing more to do
    progress: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.progress = dict(self.run.progress)

    @cached_property
    def company(self) -> Company:
        """The company whose run it is, and which connection fills which role for it."""
        return company_of(self.services, self.run)

    @overload
    def result(self, step: Step[Result]) -> Result: ...
    @overload
    def result(self, step: str, kind: type[Result]) -> Result: ...
    def result(self, step: Step[Result] | str, kind: type[Result] | None = None) -> Result:
        """What *step* has learned: the task, or its name where importing it would be a circle.

        Raises: NewerReleaseError where this release can't read it.
        """
        name, learns = (step, kind) if isinstance(step, str) else (step.step, step.learns)
        assert learns is not None  # as the overloads say  # noqa: S101
        return result(self.run, name, learns)

    def read_deal(self) -> Deal:
        """The deal that the run is for, as it is now. Raises: a vendor's errors."""
        return self.company.deals.api.fetch_deal(self.run.subject_key)

    def label_fields(self, error: BaseException) -> None:
        """Call what is wrong with the deal as people see it in the CRM."""
        if isinstance(error, CrmsyncError) and error.is_of_deal:
            error.label_fields(self.company.deals.declared.label_of)

    def describe(self, *, title: str, amount: Decimal | None = None, currency: str | None = None) -> None:
        """What people should see of this run: no person's name."""
        self.title, self.amount, self.currency = title, amount, currency

    @property
    def described(self) -> dict[str, Any]:
        """The title and amount, as the store takes them; None leaves what people saw before."""
        return {"title": self.title, "amount": self.amount, "currency": self.currency}

    def record_progress(self, **progress: Any) -> None:
        """Show how far a long step is, and keep its lease. Raises: LeaseLostError."""
        seconds = self.services.settings.behaviour.lease_seconds
        self.progress |= progress
        with self.services.store.begin(durable=False) as uow:
            if not uow.runs.record_progress(self.run, self.progress, lease_seconds=seconds):
                raise LeaseLostError
        self._extend(uow.now)

    def keep_alive(self) -> None:
        """Keep the lease over several calls in a row. Raises: LeaseLostError."""
        self.record_progress()

    def record_outcomes(self, uow: UnitOfWork) -> None:
        """Write what is known of documents, whoever has the run by now: these exist, and those were never sent."""
        for key, document in self.confirmed:
            uow.ledger.confirmed(key, document)
        for key, earlier in self.reserved.items():
            if earlier is None:
                uow.ledger.refused(key, FIRST_SEND)

    def is_accepted(self) -> bool:
        """Whether a person has checked what stopped this step and decided to go on."""
        return self.run.step in self.run.answers.get("accepted", ())

    def create_once(self, key: EntryKey, *, find: Callable[[], Sequence[Found]], create: Callable[[], Found]) -> Found:
        """Make a document in another system, or adopt the one that an earlier attempt made.

        *find* returns every document under the reference of *key*; it is asked only where an answer was lost.

        Raises: OutcomeSettlingError while it is not certain that a lost create came to nothing;
        OutcomeUnknownError if there is more than one document; DocumentGoneError if it was made and is gone.
        """
        entry = self.reserved.pop(key) if key in self.reserved else self._reserve(key)
        if entry is None:
            return self._create(key, FIRST_SEND, create)
        self._refuse_others(entry)
        found = self._settle(entry, find)
        if found is None:
            self._send_again(entry)
            return self._create(key, entry.sends + 1, create)
        self.has_adopted = True
        self.confirmed.append((key, found))
        return found

    def _reserve(self, key: EntryKey) -> Entry | None:
        """Commit that the document is about to be asked for. Returns the earlier attempt's entry if there is one."""
        with self.services.store.begin() as uow:
            self.hold(uow)
            entry = uow.ledger.reserve(key, self.run.id, certain_at=self.certain_at(uow.now))
        self._extend(uow.now)
        return entry

    def _refuse_others(self, entry: Entry) -> None:
        """Raises: OutcomeUnknownError for the document of another run. A customer may be made by any of its deals."""
        if entry.run_id != self.run.id and entry.key.kind != CUSTOMER:
            raise OutcomeUnknownError(
                f"The reference {entry.key.reference} is that of another run's {entry.key.kind}.",
                system=entry.key.connection,
                advice="Give the deals of one of the two CRMs a reference_prefix of their own, in its binding.",
            )

    def _settle(self, entry: Entry, find: Callable[[], Sequence[Found]]) -> Found | None:
        """The document, if it exists; None once it certainly does not."""
        move = next_move(entry)
        if move is Move.ADOPT:
            return entry.document
        if move is Move.SEND:
            return None
        if move is Move.LEAVE:
            raise DocumentGoneError(
                f"The {entry.key.kind} {number_of(entry.document or {})} was made, and is gone.",
                system=entry.key.connection,
                advice="Replay it: the next one is made.",
            )
        found = absence.search(self.services, entry, find)
        if len(found) > 1:
            raise OutcomeUnknownError(
                f"There are {len(found)} documents of kind {entry.key.kind} under {entry.key.reference}.",
                system=entry.key.connection,
                advice="Void all but one of them there, then replay.",
            )
        if found:
            logger.info("adopted a document whose answer was lost", extra={"action": "adopted", "kind": entry.key.kind})
            return found[0]
        return None

    def _send_again(self, entry: Entry) -> None:
        """Raises: OutcomeSettlingError if somebody else has sent or found it meanwhile: search again."""
        with self.services.store.begin() as uow:
            self.hold(uow)
            if not uow.ledger.send_again(entry, self.run.id, certain_at=self.certain_at(uow.now)):
                raise OutcomeSettlingError(wait_seconds=LOCK_WAIT_SECONDS, system=entry.key.connection)
        self._extend(uow.now)

    def _create(self, key: EntryKey, send: int, create: Callable[[], Found]) -> Found:
        failpoints.hit("reserved", f"{self.run.flow}.{self.run.step}")
        try:
            document = create()
        except CrmsyncError as error:
            self._record_failure(key, send, error)
            raise
        failpoints.hit("answered", f"{self.run.flow}.{self.run.step}")
        self.confirmed.append((key, document))
        return document

    def _record_failure(self, key: EntryKey, send: int, error: CrmsyncError) -> None:
        behaviour = self.services.settings.behaviour
        # Where the vendor itself answered, nothing of the call is under way any more; behind a gateway that gave up,
        # or where no answer came, it may still be at it.
        is_vendors = error.code is not None and not isinstance(error, ProcessFaultError)
        has_answered = is_vendors and error.code not in GATEWAY_CODES
        under_way = 0.0 if has_answered else behaviour.call_seconds
        with self.services.store.begin(durable=False) as uow:
            if error.is_definite:
                uow.ledger.refused(key, send)
            else:
                certain_at = uow.now + timedelta(seconds=under_way + behaviour.settle_seconds)
                uow.ledger.unknown(key, send, certain_at=certain_at)

    def hold(self, uow: UnitOfWork) -> None:
        """Renew the lease in the transaction that writes what a step learned, or promises what it will send.

        Raises: LeaseLostError if another worker has the run: then nothing may be written or sent.
        """
        if not uow.runs.renew_lease(self.run, lease_seconds=self.services.settings.behaviour.lease_seconds):
            raise LeaseLostError

    def _extend(self, held_at: datetime) -> None:
        extend_deadline(self.calls_end_at(held_at))

    def calls_end_at(self, held_at: datetime) -> float:
        """By when calls must be over under a lease taken at *held_at*, as time.monotonic() counts.

        Counted from when the lease was taken, not from when the worker comes here: it may have been stopped between.
        """
        now = time.monotonic()  # first: whatever passes between the two clocks makes the end earlier, never later
        elapsed = (self.services.store.clock() - held_at).total_seconds()
        return now + self.services.settings.behaviour.lease_seconds * LEASE_MARGIN - elapsed

    def certain_at(self, now: datetime) -> datetime:
        """From when absence is certain if this attempt dies without a trace.

        A call ends before the lease does, and starts anywhere within it: signing in may come first.
        """
        return now + absence.longest_outcome(self.services.settings.behaviour)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a lock that other runs and overtaken attempts respect. Raises: LockedByOtherRunError."""
        seconds = self.services.settings.behaviour.lease_seconds
        owner = f"{self.run.id}:{self.run.fence}"
        with self.services.store.begin(durable=False) as uow:
            is_taken = uow.locks.take(name, owner, seconds=seconds)
        if not is_taken:
            raise LockedByOtherRunError(wait_seconds=LOCK_WAIT_SECONDS * random.uniform(0.5, 1.5))
        try:
            yield
        finally:
            with self.services.store.begin(durable=False) as uow:
                uow.locks.release(name, owner)
