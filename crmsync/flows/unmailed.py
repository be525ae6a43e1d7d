"""Invoices that a person mails, because the deal has no address for them: made, written back, and told once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crmsync.alerts.content import unmailed_alert
from crmsync.domain.documents import Document
from crmsync.services import ROLES
from crmsync.worker.attempt import Attempt

STATUS = "Synced, invoice not mailed: no e-mail address"


def leave_to_person(attempt: Attempt, invoice: Document, *, system: str) -> Mapping[str, Any]:
    """What the step learns instead of a mail."""
    attempt.remark = "not mailed: the deal has no e-mail address; a person mails it"
    run = attempt.run
    content = unmailed_alert(
        run,
        system,
        invoice=invoice.number,
        command=attempt.services.settings.pasteable(f"crmsync runs show {run.subject_key}"),
    )
    with attempt.services.store.begin() as uow:
        uow.alerts.add_once(f"unmailed:{ROLES['invoices']}:{invoice.key}", content)
    return {"invoice": invoice.number, "is_mailed_by_hand": True}
