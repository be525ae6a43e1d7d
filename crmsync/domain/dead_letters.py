"""A dead letter: a run that waits for a person, and what that person needs to know."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from crmsync import errors
from crmsync.domain.access import DEFAULT_TENANT
from crmsync.domain.connections import ID_PREFIX
from crmsync.domain.deals import NOT_WON, NOT_WON_ANY_MORE
from crmsync.domain.money import Money
from crmsync.errors import BadDataError, CrmsyncError, ReviewNeededError

LINKS = "links"  # of a run's answers: customers that a person named and that nobody has looked up yet
READS_DEAL = "fetch_deal"
FIRST_SHOWN_SECONDS = 30.0
LONGEST_SHOWN_SECONDS = 3600.0
FIRST_RETURN_SECONDS = 60.0
LONGEST_RETURN_SECONDS = 900.0


class LetterKind(StrEnum):
    """What it waits for."""

    FAILURE = "failure"  # the fault to pass or to be repaired, then a replay
    DATA = "data"  # a record to be corrected at its source; closing the deal again revives the run
    REVIEW = "review"  # a person's decision, given with the replay

    @classmethod
    def _missing_(cls, value: object) -> LetterKind:
        """One that only another release knows: a person decides."""
        return cls.FAILURE


def kind_of(error: CrmsyncError) -> LetterKind:
    if isinstance(error, ReviewNeededError):
        return LetterKind.REVIEW
    return LetterKind.DATA if isinstance(error, BadDataError) else LetterKind.FAILURE


class LetterStatus(StrEnum):
    WAITING = "waiting"
    REPLAYING = "replaying"
    REPLAYED = "replayed"  # the run went through
    DISCARDED = "discarded"
    OTHER = "other"  # only another release knows it

    @classmethod
    def _missing_(cls, value: object) -> LetterStatus:
        return cls.OTHER


OUTAGES = "outage:"  # in front of a system: the cause of the one alert that an outage has


def outage_cause(connection: str, system: str) -> str:
    """The cause of the one alert of an outage: of each connection that people made its own; else of the *system*.

    >>> outage_cause("con_a1", "ERP"), outage_cause("erp", "ERP")
    ('outage:con_a1', 'outage:ERP')
    """
    return f"{OUTAGES}{connection if connection.startswith(ID_PREFIX) else system}"


def alert_cause(error: CrmsyncError, *, step: str, run_id: str, tenant: str = "") -> str:
    """What one alert covers: an outage, with all that it stops; a fault at a step, however many deals it stops,
    of one connection that people made, or of one tenant; but each deal that must be mended, or decided about, by
    itself.

    >>> fault = errors.PermanentError("No.", system="ERP")
    >>> alert_cause(fault, step="create_order", run_id="r1", tenant="acme").split(":")[2:]
    ['PermanentError', 'ERP', 'acme']
    """
    if error.is_outage and error.system:
        return outage_cause(error.connection, error.system)
    of_run = "" if kind_of(error) is LetterKind.FAILURE or error.is_told_once else f":{run_id}"
    of_whom = of_run or _of_whom(error.connection, tenant)
    return f"letters:{step}:{error.cause}"[: 200 - len(of_whom)] + of_whom


def _of_whom(connection: str, tenant: str) -> str:
    """The end of a cause. Those of the environment have none, as in earlier releases."""
    if connection.startswith(ID_PREFIX):
        return f":{connection}"
    return f":{tenant}" if tenant not in ("", DEFAULT_TENANT) else ""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    id: int
    run_id: str
    flow: str
    subject_key: str
    step: str
    kind: LetterKind
    status: LetterStatus
    error: str
    system: str
    cause: str
    advice: str
    failures: int
    created_at: datetime
    updated_at: datetime
    title: str
    amount: Decimal | None
    currency: str
    correlation_id: str
    alert_cause: str = ""  # of the alert that tells of it
    field_errors: Mapping[str, str] = field(default_factory=dict)
    tenant: str = ""
    source: str = ""  # the connection that the run's subject comes from
    connection: str = ""  # that stopped it; "" where none did, or an older release wrote it

    @property
    def is_only_one(self) -> bool:
        """Whether its flow has one run alone, which comes back each period: that is of no company."""
        return self.subject_key == self.flow

    @property
    def alerts_of(self) -> str:
        """The connection that its alert is about: the one that stopped it; else, of an alert about this run
        alone, the one that the run comes from. "" where the alert may cover runs from several."""
        return self.connection or (self.source if self.alert_cause.endswith(f":{self.run_id}") else "")

    @property
    def is_unsettled(self) -> bool:
        """Whether its run is not through: it waits, or is tried again."""
        return self.status in (LetterStatus.WAITING, LetterStatus.REPLAYING)

    def shown_at(self) -> datetime:
        """When it appears on the queue: at once, and later each time it failed again in a replay."""
        if self.failures == 1:
            return self.created_at
        return self.updated_at + _doubled(FIRST_SHOWN_SECONDS, self.failures - 2, LONGEST_SHOWN_SECONDS)

    @property
    def is_of_unwon_deal(self) -> bool:
        """Whether it died because its deal was not won when it was read, or not won any more, or not there."""
        told = {errors.InvalidDealError.__name__: NOT_WON, errors.DealChangedError.__name__: NOT_WON_ANY_MORE}
        is_unwon = self.error in told and told[self.error] in self.cause
        return is_unwon or (self.error == errors.RecordNotFoundError.__name__ and self.step == READS_DEAL)

    @property
    def is_passing(self) -> bool:
        """Whether it died of a fault that passes, such as an outage: then crmsync lets it go on by itself."""
        found = _class_of(self.error)
        return found is not None and (issubclass(found, errors.RetryableError) or found.is_outage)

    @property
    def is_told_once(self) -> bool:
        """Whether one alert covers it and all others like it, and one answer settles them all."""
        found = _class_of(self.error)
        return found is not None and found.is_told_once

    def returns_at(self) -> datetime:
        """When crmsync lets it go on by itself, if nobody did before and its system was not seen to come back."""
        return self.updated_at + _doubled(FIRST_RETURN_SECONDS, self.failures - 1, LONGEST_RETURN_SECONDS)

    @property
    def money(self) -> str:
        """'47,000.00 USD', or "" while the deal has not been read."""
        return str(Money(self.amount, self.currency)) if self.amount is not None else ""


def _class_of(error: str) -> type[CrmsyncError] | None:
    found = getattr(errors, error, None)
    return found if isinstance(found, type) and issubclass(found, CrmsyncError) else None


_ENDED = {
    LetterStatus.REPLAYING: "it is being replayed",
    LetterStatus.REPLAYED: "it is settled, because its run went through",
    LetterStatus.DISCARDED: "it is settled, because it was given up",
}


def why_not(letter_id: int, letter: DeadLetter | None) -> str:
    """Why nothing is to be done about a letter that does not wait.

    >>> why_not(7, None)
    'There is no dead letter 7: this database has never had one with that number.'
    """
    if letter is None:
        return f"There is no dead letter {letter_id}: this database has never had one with that number."
    ended = _ENDED.get(letter.status, "somebody else was faster")
    return f"Dead letter {letter_id} does not wait: {ended} (since {letter.updated_at:%Y-%m-%d %H:%M} UTC)."


def without_accepted(answers: Mapping[str, Any], steps: Collection[str]) -> dict[str, Any]:
    """*answers* for a run that does *steps* again: what was accepted of one document is not accepted of the next.

    >>> without_accepted({"accepted": ["create_invoice", "create_order"]}, {"create_invoice"})
    {'accepted': ['create_order']}
    """
    accepted = answers.get("accepted", ())
    if not any(step in accepted for step in steps):
        return dict(answers)
    return {**answers, "accepted": [step for step in accepted if step not in steps]}


def _doubled(first: float, times: int, longest: float) -> timedelta:
    """
    >>> [_doubled(60, times, 900).total_seconds() for times in (0, 1, 2, 4, 5000)]
    [60.0, 120.0, 240.0, 900.0, 900.0]
    """
    return timedelta(seconds=min(first * 2 ** min(times, 20), longest))


@dataclass(frozen=True, slots=True)
class Answers:
    """What a person decided: to go on as it is, and which customer is which (connection → its key there).

    *accept* concerns the step that stopped, *accepted* are other steps by name. *is_seen* says that a customer of
    another name than the account's is meant indeed. Where no person answers (*is_persons* is False), what is gone is
    not made again.
    """

    accept: bool = False
    links: Mapping[str, str] = field(default_factory=dict)
    accepted: Collection[str] = ()
    is_persons: bool = True
    is_seen: bool = False

    def added_to(self, answers: Mapping[str, Any], step: str, error: str = "") -> dict[str, Any]:
        """The answers of a run that *error* stopped at *step*, after this one."""
        new = {*self.accepted, *([_answered(step, error)] if self.accept else ())}
        kept = {name: value for name, value in answers.items() if name != LINKS}  # an older one is answered by this
        return {**kept, "accepted": sorted({*answers.get("accepted", ()), *new})} if new else kept

    @property
    def needs_reason(self) -> bool:
        """Whether a person decides something here that they have to give a reason for."""
        return self.accept or bool(self.links)

    def audited(self) -> dict[str, Any]:
        """What was answered, as the audit keeps it.

        >>> Answers(accept=True, links={"erp": "17100001"}).audited(), Answers().audited()
        ({'accept': True, 'links': {'erp': '17100001'}}, {})
        """
        answers = {"accept": self.accept, "links": dict(self.links), "accepted": sorted(self.accepted)}
        return {name: answer for name, answer in answers.items() if answer}

    def unseen_links(self, by: str) -> dict[str, Any]:
        """The customers that are named, to be looked up by the step that needs them; and by whom."""
        named = {each: {"number": number, "by": by, "is_seen": self.is_seen} for each, number in self.links.items()}
        return {LINKS: named} if named else {}


def is_answered(answers: Mapping[str, Any], step: str, error: type[CrmsyncError]) -> bool:
    """Whether a person has accepted *error*, which needs an answer of its own, at *step*."""
    return _answered(step, error.__name__) in answers.get("accepted", ())


def _answered(step: str, error: str) -> str:
    """What is accepted: all that *step* may say, or only *error*.

    >>> _answered("fetch_deal", "AlreadyOrderedError"), _answered("fetch_deal", "OldDealError")
    ('fetch_deal', 'fetch_deal:OldDealError')
    """
    found = _class_of(error)
    return f"{step}:{error}" if found is not None and found.needs_own_answer else step
