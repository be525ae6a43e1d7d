"""Who or what last started a run, or had it check its source again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from crmsync.domain.webhooks import Line
from crmsync.reading.run import DeliveryRow
from crmsync.store import UnitOfWork


class Trigger(StrEnum):
    WEBHOOK = "webhook"
    CATCH_UP = "catch_up"
    PERSON = "person"
    SCHEDULE = "schedule"
    RUN = "run"  # another run of crmsync: a payment's, for each of its invoices


@dataclass(frozen=True, slots=True)
class Start:
    """*name* is that of the person, or of their token; "" for all others."""

    trigger: Trigger
    name: str = ""


def last_start(
    uow: UnitOfWork, run_id: str, *, is_only_one: bool, deliveries: Sequence[DeliveryRow], ends: Sequence[datetime]
) -> Start:
    """*is_only_one*: its flow has this one run, and beat starts it; *ends* are when it came to its end."""
    entry = next(iter(uow.audit.newest(None, object_type="run", object_key=run_id, limit=1)), None)
    delivery = deliveries[-1] if deliveries else None
    # A run that comes back by itself was a person's until it had come to its end once.
    is_persons = entry is not None and (not is_only_one or sum(end > entry.at for end in ends) <= 1)
    if entry is not None and is_persons and (delivery is None or delivery.received_at <= entry.at):
        return Start(Trigger.PERSON, entry.name)
    if delivery is not None:
        return Start(Trigger.WEBHOOK if delivery.is_webhook else Trigger.CATCH_UP)
    return Start(Trigger.SCHEDULE if is_only_one else Trigger.RUN)


def ends_of(lines: Sequence[Line], last_step: str) -> list[datetime]:
    return [line.at for line in lines if line.step == last_step and line.event == "done"]
