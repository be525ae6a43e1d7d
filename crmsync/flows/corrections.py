"""Whether somebody has changed a deal since the reading on which its run failed.

Two stamps of the CRM's own clock are compared: that of the reading, and that of the change. The stamp by which crmsync
itself wrote how the deal stands is no change. Of what an earlier release read there is no stamp: it is read once more.
"""

from __future__ import annotations

from datetime import datetime

from crmsync.domain.dead_letters import LetterKind, LetterStatus
from crmsync.domain.runs import Run
from crmsync.flows import order_to_invoice
from crmsync.store import UnitOfWork


def is_corrected(uow: UnitOfWork, run: Run, changed_at: datetime) -> bool:
    """*changed_at* is the stamp of the deal's last change."""
    letter = uow.dead_letters.of_run(run.id)
    if letter is None or (letter.kind, letter.status) != (LetterKind.DATA, LetterStatus.WAITING):
        return False
    read = order_to_invoice.FLOW.last_reading(run).get("changed_at")
    is_changed = read is None or changed_at > datetime.fromisoformat(read)
    return is_changed and not uow.tellings.is_own_change(run.source, run.subject_key, changed_at)
