"""Detects documents that were taken back, replaced and then restored: two orders or invoices for one deal.

A deal's own run checks its newest documents only. So the comparisons check those that another has replaced lately,
and people are alerted to both. Which of them shall stand crmsync can't know: it makes nothing and takes nothing back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from crmsync.alerts.content import twice_alert
from crmsync.domain.documents import Document
from crmsync.domain.ledger import Entry
from crmsync.domain.second_look import Seen
from crmsync.store import UnitOfWork
from crmsync.worker.attempt import Attempt

WINDOW = timedelta(days=7)  # since the newer one was made: longer, and every check would cost more
FAMILY = "twice"  # of alerts

Present = Callable[[str], Document | None]


@dataclass(frozen=True, slots=True)
class Replaced:
    """A document that people took back, and the one that was made last in its place."""

    old: Entry
    new: Entry
    is_told: bool  # an open alert tells that both stand

    @property
    def keys(self) -> tuple[str, str]:
        return self.old.document_key, self.new.document_key


def replaced(attempt: Attempt, role: str, kind: str) -> list[Replaced]:
    """Documents that were replaced lately, and those with an open alert."""
    connection = attempt.company.bound(role).connection
    with attempt.services.store.read() as uow:
        causes = uow.alerts.open_causes(attempt.run.tenant, f"{FAMILY}:{connection}:")
        told = {cause.rpartition(":")[2] for cause in causes}
        older = [uow.ledger.of_document(connection, kind, key) for key in sorted(told)]
        lately = uow.ledger.replaced_since(connection, kind, attempt.started_at - WINDOW)
        found = {entry.key: entry for entry in (*older, *lately) if entry is not None}
        return [Replaced(entry, _newest(uow, entry), entry.document_key in told) for entry in found.values()]


def check(attempt: Attempt, system: str, pairs: Iterable[Replaced], present: Present) -> int:
    """Alert people where both documents exist, until one does not; returns how many. *present* reads one by its id."""
    return sum(_check(attempt, system, pair, present) for pair in pairs)


def _check(attempt: Attempt, system: str, pair: Replaced, present: Present) -> bool:
    attempt.keep_alive()
    seen: list[Seen] = []
    for entry in (pair.old, pair.new):
        seen.append(Seen(entry, system, present(entry.document_key)))
        if seen[-1].is_gone or seen[-1].is_credited:
            if pair.is_told:
                _close(attempt, pair)
            return False
    if not pair.is_told:
        _tell(attempt, pair, seen)
    return True


def _tell(attempt: Attempt, pair: Replaced, seen: Sequence[Seen]) -> None:
    using = attempt.services
    with using.store.begin() as uow:
        attempt.hold(uow)
        run = uow.runs.get(pair.old.run_id)
        command = using.settings.pasteable(f"crmsync runs show {run.subject_key if run else ''}".strip())
        content = twice_alert(run, seen, command=command)
        connection = pair.old.key.connection
        is_news = uow.alerts.add_once(attempt.run.tenant, _cause(pair), content, connection=connection)
        if is_news and run is not None:
            uow.history.note(run, "changed", detail=content["cause"])


def _close(attempt: Attempt, pair: Replaced) -> None:
    with attempt.services.store.begin() as uow:
        attempt.hold(uow)
        uow.alerts.close(_cause(pair))


def _cause(pair: Replaced) -> str:
    return f"{FAMILY}:{pair.old.key.connection}:{pair.old.document_key}"


def _newest(uow: UnitOfWork, entry: Entry) -> Entry:
    """The last one that was made; of one that is only just asked for there is nothing to read yet."""
    made = [each for each in uow.ledger.of_run(entry.run_id) if each.document and each.key.kind == entry.key.kind]
    return max(made, key=lambda each: each.key.generation)
