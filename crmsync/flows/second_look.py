"""Before a run continues with a deal that it has read before: checks whether its documents still match it.

nothing made ──────────────────────────▶ check the deal, go on
done, and nothing that counts changed ─▶ stays done: one call, a line in the history
else ─▶ read each document by its id ─▶ all right: go on │ gone, and a person wants it made: the next generation
                                        │ else a review, which shows the figures of both sides
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from crmsync.domain.changes import are_grave
from crmsync.domain.deals import NOT_WON_ANY_MORE, Deal
from crmsync.domain.learned import DealRead
from crmsync.domain.ledger import Entry, EntryKey, EntryState
from crmsync.domain.runs import Run, RunStatus
from crmsync.domain.second_look import DOCUMENT_STEPS, Agreed, Comparison, Seen, foreign_numbers
from crmsync.errors import AlreadyOrderedError, BadDataError, DocumentGoneError, InvalidDealError, ReviewNeededError
from crmsync.worker import documents
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import (
    AGREED,
    ASKED_OF,
    LEFT,
    MAY_MAKE,
    SEEN,
    WAS_ASKED,
    WAS_DISCARDED,
    WITH_DOCUMENTS,
    Flow,
    result,
)

# What has to be done again for a document that is made again.
_FOLLOWS: Mapping[str, tuple[str, ...]] = {
    "order": ("create_order", "write_back"),
    "invoice": ("create_invoice", "send_invoice", "write_back"),
}

Check = Callable[[Deal], None]


def reread(attempt: Attempt, flow: Flow, deal: Deal, check: Check) -> DealRead | Mapping[str, Any]:
    """What the step has learned: the deal, and which generation of each document is to be made.

    *check* raises InvalidDealError for a deal that can't be ordered as it stands. Raises: what stops the run.
    """
    entries = _entries(attempt)
    known, foreign = Agreed.of(attempt.run.progress.get(AGREED)), list[str]()
    with _remembering(attempt, deal, has_documents=_may_exist(entries)) as memory:
        if _is_settled(attempt, flow, known, deal):
            if attempt.run.progress.get(WAS_DISCARDED) or attempt.run.progress.get(WAS_ASKED):
                _look_for_gone(attempt, Comparison(deal, known), entries, memory)
            attempt.remark = "checked again: nothing relevant has changed"
            attempt.ends_as = RunStatus.DISCARDED if attempt.run.progress.get(WAS_DISCARDED) else RunStatus.DONE
        elif _may_exist(entries):
            _check_documents(attempt, flow, _compared(attempt, Comparison(deal, known), entries), check, memory)
        else:
            check(deal)
        if attempt.undoes or (not flow.is_complete(attempt.run) and attempt.ends_as is None):
            foreign = _foreign_numbers(attempt, deal, entries)
            if not attempt.run.progress.get(MAY_MAKE):  # a replay has begun without them, or --link has named them
                attempt.undoes |= flow.rereads & attempt.run.results.keys()  # the customer of the deal as it is now
    generations = _generations(attempt, entries)
    if attempt.ends_as is not None and not deal.is_won:  # what its documents stand for is not what is talked about
        return {**attempt.run.progress[AGREED], "generations": generations}
    by_person = bool(attempt.run.progress.get(MAY_MAKE))
    return DealRead.of(deal, generations=generations, foreign=tuple(foreign), by_person=by_person)


def generation_of(run: Run, kind: str) -> int:
    """Which generation of the order or invoice is the one that stands, or is to be made."""
    return result(run, "fetch_deal", DealRead).generations.get(kind, 1)


def _entries(attempt: Attempt) -> list[Entry]:
    """What the run has set out to make; nothing yet where it is claimed for the first time."""
    run = attempt.run
    if run.is_first_claim and not (run.results or run.progress):
        return []
    with attempt.services.store.read() as uow:
        return uow.ledger.of_run(attempt.run.id)


def _is_settled(attempt: Attempt, flow: Flow, known: Agreed | None, deal: Deal) -> bool:
    """Whether the run was over, and the deal is still what it was over for."""
    progress = attempt.run.progress
    is_asked = progress.get(MAY_MAKE) or progress.get(WITH_DOCUMENTS)
    if known is None or is_asked:
        return False
    if not (deal.is_won or known.is_won):  # it counts again when it is won
        return bool(progress.get(WAS_DISCARDED)) or flow.is_complete(attempt.run)
    found = known.differences(deal)
    if progress.get(WAS_DISCARDED):
        return not found
    return flow.is_complete(attempt.run) and deal.is_won == known.is_won and not are_grave(found)


def _may_exist(entries: Sequence[Entry]) -> bool:
    """Whether an order or an invoice was made for the run, or may have been."""
    return bool(documents.newest(entries))


def _compared(attempt: Attempt, compared: Comparison, entries: Sequence[Entry]) -> Comparison:
    """With the newest documents as they stand now: a call for each."""
    newest = documents.newest(entries)
    compared = replace(compared, seen=documents.seen(attempt.services, attempt.company, attempt.run, newest))
    return (
        replace(compared, pending=documents.pending(attempt.services, attempt.company, newest))
        if compared.changes
        else compared
    )


def _look_for_gone(attempt: Attempt, compared: Comparison, entries: Sequence[Entry], memory: dict[str, Any]) -> None:
    """Raises: a review, where people took documents back of a deal that is what it was: it may be wanted again."""
    compared = _compared(attempt, compared, entries)
    memory |= _as_memory(attempt, compared)
    error = compared.gone_review()
    if error is not None:
        raise error


def _check_documents(attempt: Attempt, flow: Flow, compared: Comparison, check: Check, memory: dict[str, Any]) -> None:
    """Raises: a review, unless every document is right, or a person has accepted what is not."""
    system, accepted = attempt.company.deals.system, frozenset(attempt.run.answers.get("accepted", ()))
    problem, may_make = _problem(compared.deal, check), bool(attempt.run.progress.get(MAY_MAKE))
    goes_on = flow.source in accepted and not _is_changed_since_asked(attempt, compared.deal)
    if is_left := goes_on and flow.is_complete(attempt.run):  # who goes on with what is over wants nothing made
        is_left = goes_on = _is_gone_as_shown(attempt, compared)
        may_make = False
    if goes_on:
        compared = replace(compared, pending=(), goes_on=True)
    else:
        compared = replace(compared, problem=problem, accepted=accepted)
    memory |= _as_memory(attempt, compared)
    error = compared.review(system, may_make=may_make or is_left)
    if error is not None:
        raise error
    if problem and not is_left:
        check(compared.deal)
    attempt.gone += [seen.entry.key for seen in compared.gone]
    back = [seen for seen in compared.standing if seen.entry.state is EntryState.GONE and not seen.is_credited]
    attempt.back += [seen.entry.key for seen in back]
    if may_make:
        attempt.gone += [seen.entry.key for seen in compared.taken_back]
        _make_again(attempt, compared.taken_back)
    attempt.relearned |= {step: found for step, found in memory["documents"].items() if step not in attempt.undoes}


def _is_changed_since_asked(attempt: Attempt, deal: Deal) -> bool:
    """Whether the deal is not the one any more of which a person has said that it goes on."""
    asked = Agreed.of(attempt.run.progress.get(ASKED_OF, {}).get("reading"))
    return asked is not None and are_grave(asked.differences(deal))


def _is_gone_as_shown(attempt: Attempt, compared: Comparison) -> bool:
    """Whether no document was taken back since a person saw how they stand, and said that it goes on."""
    shown = attempt.run.progress.get(ASKED_OF, {}).get("gone")
    return shown is None or all(seen.entry.key in map(EntryKey.from_json, shown) for seen in compared.gone)


def _problem(deal: Deal, check: Check) -> str:
    """Why the deal can't be ordered as it stands now, "" if it can."""
    try:
        check(deal)
    except InvalidDealError as error:
        return str(error) if deal.is_won else NOT_WON_ANY_MORE
    return ""


def _make_again(attempt: Attempt, gone: Sequence[Seen]) -> None:
    """Raises: DocumentGoneError where somebody has made by hand what is to be made again. A call for each."""
    for seen in gone:
        _refuse_hand_made(attempt, seen)
        attempt.undoes.update(_FOLLOWS[seen.entry.key.kind])
    attempt.remark = "; ".join(f"{seen.says}: it is made again" for seen in gone)


def _refuse_hand_made(attempt: Attempt, gone: Seen) -> None:
    key = gone.entry.key
    for other in documents.beside(attempt.company, gone.entry):
        raise DocumentGoneError(
            f"The {gone.says}, and {key.kind} {other.number}, which crmsync did not make, stands under its "
            f"reference {key.reference}.",
            system=gone.system,
            advice=f"If that takes its place: discard. To have the {key.kind} made again anyway: take the "
            "reference off the other, and replay.",
        )


def _generations(attempt: Attempt, entries: Sequence[Entry]) -> dict[str, int]:
    """By kind, where it is not the first."""
    newest = documents.newest(entries)
    gone = {entry.key for entry in newest if entry.state is EntryState.GONE}.union(attempt.gone) - set(attempt.back)
    found = {entry.key.kind: entry.key.generation + (entry.key in gone) for entry in newest}
    return {kind: generation for kind, generation in found.items() if generation > 1}


def _foreign_numbers(attempt: Attempt, deal: Deal, entries: Sequence[Entry]) -> list[str]:
    """Those that the deal carries, all accepted. Raises: AlreadyOrderedError for one that nobody has accepted."""
    foreign = foreign_numbers(deal, entries)
    agreed = DealRead.peek(attempt.run.progress.get(AGREED))
    accepted = agreed.foreign if agreed else ()
    for kind, number in foreign.items():
        if number not in accepted and not attempt.is_accepted():
            raise AlreadyOrderedError(
                f"The deal already carries the {kind} number {number}.",
                system=attempt.company.deals.system,
                advice="Clear the number on the deal and replay, or replay with --accept to make documents anyway.",
            )
    return list(foreign.values())


@contextmanager
def _remembering(attempt: Attempt, deal: Deal, *, has_documents: bool) -> Iterator[dict[str, Any]]:
    """What stops the run is kept with what was seen then, so that a person can leave the deal so.

    Of a deal that is not won any more that is left: its figures are asked about when it is won with them.
    """
    agreed, memory = attempt.run.progress.get(AGREED), dict[str, Any]()
    if agreed and has_documents and not deal.is_won:
        memory[LEFT] = {**agreed, "is_won": False}
    try:
        yield memory
    except (BadDataError, ReviewNeededError):
        attempt.record_progress(**{SEEN: {"reading": DealRead.of(deal).to_json(), **memory}})
        raise


def _as_memory(attempt: Attempt, compared: Comparison) -> dict[str, Any]:
    """What the steps that made them shall know of the documents, and which do not stand any more."""
    results = attempt.run.results
    shown = {DOCUMENT_STEPS[seen.entry.key.kind]: seen.present for seen in compared.standing}
    return {
        "documents": {step: results[step] | it.to_json() for step, it in shown.items() if it and step in results},
        "gone": [seen.entry.key.to_json() for seen in compared.gone],
    }
