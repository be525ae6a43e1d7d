"""Runs that this release can't continue: of a flow or step that only another release has, or unreadable.

They wait. A release that knows them takes them up again, and a person hears of each of them once.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from crmsync.alerts.content import Content, watch_alert
from crmsync.domain.runs import Run
from crmsync.services import services
from crmsync.store import Store, UnitOfWork
from crmsync.worker.flow import FLOWS

logger = logging.getLogger(__name__)

CAUSE = "stranded:"
AGAIN_SECONDS = 300.0  # how often it is checked whether they can go on


def is_known(run: Run) -> bool:
    flow = FLOWS.get(run.flow)
    return flow is not None and run.step in flow.steps and isinstance(run.results, Mapping) and flow.can_read(run)


def put_aside(store: Store, runs: Collection[Run]) -> None:
    """Let *runs* wait, with one alert for each; and close the alerts of those that go on."""
    with store.read() as uow:
        told = {cause.removeprefix(CAUSE) for cause in uow.alerts.open_causes(None, CAUSE)}
        news = [run for run in runs if run.id not in told]
        over = [run_id for run_id in told.difference(run.id for run in runs) if _goes_on(uow, run_id)]
    if runs or over:
        with store.begin() as uow:
            uow.due.postpone([run.id for run in runs], seconds=AGAIN_SECONDS)
            for run in news:
                uow.alerts.add_once(run.tenant, f"{CAUSE}{run.id}", _alert(run), connection=run.source)
                logger.error("a run can't go on", extra={"action": "stranded", "run": run.id})
            for run_id in over:
                uow.alerts.close(f"{CAUSE}{run_id}")


def _goes_on(uow: UnitOfWork, run_id: str) -> bool:
    try:
        run = uow.runs.get(run_id)
    except (ValueError, TypeError):
        return False
    return run is None or not run.status.is_active or is_known(run)


def _alert(run: Run) -> Content:
    command = services().settings.pasteable(f"crmsync runs show {run.id}")
    if not run.flow or not isinstance(run.results, Mapping):
        return watch_alert(
            "A run can't be read",
            cause=f"What the database holds of run {run.id} is damaged; the other runs go on.",
            advice="Restore its row from a backup, or ask whoever changed the database by hand.",
            command=command,
        )
    flow = FLOWS.get(run.flow)
    has_step = flow is not None and run.step in flow.steps
    lacks = "can't read what a newer one has learned for" if has_step else "has no step"
    return watch_alert(
        "A run waits for another release of crmsync",
        cause=f"The release that runs here {lacks} {run.flow}.{run.step}; the other runs go on.",
        advice="Finish the upgrade, or start the release that has written it: the run goes on by itself.",
        command=command,
    )
