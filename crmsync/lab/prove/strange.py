"""Rows that another release has left in the store: flows, steps and results that this one does not know."""

from __future__ import annotations

import uuid

from sqlalchemy import delete, select, update

from crmsync.domain.runs import RunStatus
from crmsync.store import Store, UnitOfWork
from crmsync.store.tables import dead_letters, history, runs

# flow, step; of the first this release knows nothing, of the second everything but the step
STRANGERS = (("deal_to_contract", "sign_contract"), ("order_to_invoice", "check_credit"))
RESULTS = {"check_credit": {"limit": "1000.00", "since": 2031}, "fetch_deal": {"v": 9, "unknown": [None]}}


class StrangeRows:
    """Put in again and again, and taken away at the end."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._correlation_id = f"strange-{uuid.uuid4().hex[:12]}"
        self.run_ids = [uuid.uuid4().hex for _ in STRANGERS]

    def put(self) -> None:
        """Runs that are due, as if for the first time; and more results in those that are under way."""
        with self._store.begin() as uow:
            self._remove(uow)
            for run_id, (flow, step) in zip(self.run_ids, STRANGERS, strict=True):
                uow.connection.execute(runs.insert(), self._row(uow, run_id, flow, step))
            self._say_more(uow)

    def _row(self, uow: UnitOfWork, run_id: str, flow: str, step: str) -> dict[str, object]:
        at = {"created_at": uow.now, "updated_at": uow.now, "due_at": uow.now}
        words = {"flow": flow, "step": step, "status": RunStatus.ACTIVE.value, "correlation_id": self._correlation_id}
        return {"id": run_id, "source": "strange", "subject_key": run_id, "results": RESULTS, **at, **words}

    def _say_more(self, uow: UnitOfWork) -> None:
        """Each run gets results of steps that do not exist here; a known step's result gets further keys."""
        active = select(runs.c.id, runs.c.results).where(runs.c.status == RunStatus.ACTIVE.value).with_for_update()
        for run_id, results in uow.connection.execute(active).all():
            known = {step: {**found, "unknown": "x"} for step, found in results.items() if isinstance(found, dict)}
            more = {**results, **known, "step_of_tomorrow": {"v": 9}}
            uow.connection.execute(update(runs).where(runs.c.id == run_id).values(results=more))

    def take_away(self) -> None:
        with self._store.begin() as uow:
            self._remove(uow)

    def _remove(self, uow: UnitOfWork) -> None:
        for table, column in ((dead_letters, "run_id"), (history, "run_id"), (runs, "id")):
            uow.connection.execute(delete(table).where(table.c[column].in_(self.run_ids)))
