"""Runs ahead: does the next step in the same task where that is allowed, and hands the rest back to Celery.

    message of step 1, with the chain 2 … 7
    ─▶ 1 ─▶ 2 ─▶ 3 has to wait for 4 s ─▶ the chain is now 3 (in 4 s), 4 … 7 ─▶ Celery sends its first message

Celery sends what stands in a request's chain when its task returns, so a task decides by it what comes next.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from celery.signals import worker_shutting_down
from celery.worker import state

from crmsync import failpoints
from crmsync.celery import app
from crmsync.company import Company
from crmsync.domain.ledger import Entry, EntryKey
from crmsync.domain.runs import Run
from crmsync.services import Services
from crmsync.store import UnitOfWork
from crmsync.worker import queues
from crmsync.worker.flow import Flow

# Well under the broker's visibility timeout (celeryconfig.py), after which it delivers the message once more.
LONGEST_SECONDS = 300.0

_stopping = mmap.mmap(-1, 1)  # shared with the children of a prefork worker, who hear of no signal


@worker_shutting_down.connect
def stop(**_: Any) -> None:
    """The worker ends: what is left of each chain is another's."""
    _stopping[0] = 1


def is_stopping() -> bool:
    return _stopping[0] == 1


class NextStep(Protocol):
    """A step's task, as far as it matters to who goes on to it."""

    name: str
    step: str
    queue: str
    known: ClassVar[object | None]
    reserves: ClassVar[object | None]

    def attempt(self, using: Services, claimed: Onward, ahead: Ahead) -> Onward | None: ...

    def known_to_store(self, company: Company, uow: UnitOfWork, run: Run) -> Mapping[str, Any] | None: ...

    def about_to_make(self, company: Company, run: Run) -> EntryKey | None: ...


@dataclass(frozen=True, slots=True)
class Onward:
    """A run whose next step was claimed in the transaction that ended the step before.

    *reserved* are the ledger's rows that were written in it, with the earlier attempt's entry where there was one;
    *fresh* are the steps whose results were read from the store in it.
    """

    task: NextStep
    run: Run
    reserved: Mapping[EntryKey, Entry | None] = field(default_factory=dict)
    fresh: frozenset[str] = frozenset()


class Ahead:
    """How far the task of one message goes. *request* is Celery's."""

    def __init__(self, flow: Flow, request: Any, *, is_allowed: bool) -> None:
        self._flow = flow
        self._request = request
        # A background run would keep its thread for all of its steps while deals wait for one.
        self._is_allowed = is_allowed and not flow.is_background
        self._ends_at = time.monotonic() + LONGEST_SECONDS
        self.has_moved = False  # beyond the step that the message is for

    def task_of(self, step: str) -> NextStep | None:
        """The task of *step*, if the step may be done in this one."""
        if not self._is_allowed or is_stopping() or time.monotonic() > self._ends_at:
            return None
        task: NextStep = app.tasks[self._flow.task_name(step)]
        return task if task.queue in queues.consumed else None

    def moved_to(self, step: str) -> None:
        """Show in Flower and `celery events` where the run is: the task's state is the name of its step."""
        self.has_moved = True
        message = state.requests.get(self._request.id)
        if message is not None:
            message.send_event(f"task-{step}")

    def hand_back(self, run: Run, undone: Sequence[str], *, countdown: float | None = None) -> None:
        """Let Celery send what is left to be done of *run*, the first of it in *countdown* seconds."""
        failpoints.hit("handing", f"{run.flow}.{run.step}")
        self._request.chain = self._flow.chain(run.id, undone, countdown=countdown)
