"""A deal that was stuck and whose numbers are written says "Synced" by the same call: nobody has to tell it again."""

from __future__ import annotations

from crmsync.worker.attempt import Attempt


def note_synced(attempt: Attempt) -> None:
    """Of an ordinary deal there is no row, and this is one look at the store."""
    key = attempt.run.subject_key
    with attempt.services.store.read() as uow:
        if uow.tellings.of(key) is None:
            return
    with attempt.services.store.begin(durable=False) as uow:
        attempt.hold(uow)
        uow.tellings.synced(key, since=attempt.started_at)
