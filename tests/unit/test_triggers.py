"""Who or what started a run the last time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from crmsync.domain.audit import Act, Origin
from crmsync.reading.run import DeliveryRow
from crmsync.reading.triggers import Start, Trigger, last_start
from crmsync.store import Store
from crmsync.store.deliveries import seen_by_catch_up

CATCH_UP = seen_by_catch_up("order_to_invoice", "salesforce")


@pytest.mark.parametrize(
    ("is_only_one", "deliveries", "ends", "started"),
    [
        (True, [], [-60], Start(Trigger.PERSON, "ada")),
        (True, [], [-60, 60], Start(Trigger.PERSON, "ada")),
        (True, [], [60, 120], Start(Trigger.SCHEDULE)),
        (False, [("salesforce", -5)], [60, 120], Start(Trigger.PERSON, "ada")),
        (False, [("salesforce", -5), ("salesforce", 5)], [], Start(Trigger.WEBHOOK)),
        (False, [("salesforce", -5), (CATCH_UP, 5)], [], Start(Trigger.CATCH_UP)),
    ],
)
def test_a_start_of_a_person_counts_until_something_else_starts_the_run(
    store: Store, is_only_one: bool, deliveries: list[tuple[str, int]], ends: list[int], started: Start
) -> None:
    """All in seconds from the moment at which Ada started it."""
    with store.begin() as uow:
        uow.audit.add(Act("ada", Origin.API), "run.start", "run", "a" * 32)
        now = uow.now

    assert _start(store, now, is_only_one, deliveries, ends) == started


def test_a_run_that_nobody_and_no_webhook_started_is_of_the_schedule_or_of_another_run(store: Store) -> None:
    with store.read() as uow:
        starts = [
            last_start(uow, "b" * 32, is_only_one=is_only_one, deliveries=[], ends=[]) for is_only_one in (True, False)
        ]

    assert starts == [Start(Trigger.SCHEDULE), Start(Trigger.RUN)]


def _start(store: Store, now: datetime, is_only_one: bool, deliveries: Any, ends: list[int]) -> Start:
    rows = [DeliveryRow(source, now + timedelta(seconds=seconds), is_healed=False) for source, seconds in deliveries]
    with store.read() as uow:
        return last_start(
            uow,
            "a" * 32,
            is_only_one=is_only_one,
            deliveries=rows,
            ends=[now + timedelta(seconds=seconds) for seconds in ends],
        )
