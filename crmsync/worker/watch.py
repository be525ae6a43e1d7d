"""Whether crmsync is at work: reads and writes the signs in the store, and raises alerts about them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import datetime

from crmsync.alerts import delivery
from crmsync.alerts.content import Content, watch_alert
from crmsync.domain.watch import Signs, age, is_late, nobody_takes_runs, patience
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import UnitOfWork

logger = logging.getLogger(__name__)

_started = time.monotonic()

WORKER, SWEEP, BEAT = "seen.worker", "seen.sweep", "seen.beat"


def sign(uow: UnitOfWork, name: str) -> None:
    """Leave the sign *name*: seen now."""
    uow.facts.set(name, uow.now.isoformat())


def signs_of(uow: UnitOfWork) -> Signs:
    worker, sweep, beat = (_seen(uow, name) for name in (WORKER, SWEEP, BEAT))
    due_since = uow.due.oldest(None)
    return Signs(worker, uow.due.taken_at() if due_since else None, due_since, sweep, beat)


def _seen(uow: UnitOfWork, name: str) -> datetime | None:
    kept = uow.facts.get(name)
    return datetime.fromisoformat(kept) if kept else None


def idle_reason(uow: UnitOfWork, settings: Settings) -> str:
    """Why nobody takes runs; "" if somebody does."""
    return nobody_takes_runs(signs_of(uow), uow.now, patience(settings.behaviour.sweep_seconds))


def needs_sweep(using: Services) -> bool:
    """Whether sweeps have stopped; where none was ever seen, this process waits for the first one, too."""
    longest = patience(using.settings.behaviour.sweep_seconds)
    with using.store.read() as uow:
        swept = age(_seen(uow, SWEEP), uow.now)
    return (swept or longest * 2) > longest and time.monotonic() - _started > longest.total_seconds()


def look_out(using: Services) -> None:
    """The round of a receiver's lookout: where no worker is left to do it, alert people to what stands still.

    A receiver without Slack's secret writes to the log and the control tower; a worker notifies Slack later.
    """
    is_news = check(using)
    if not needs_sweep(using):
        return
    if not using.settings.slack.is_withheld:
        delivery.deliver(using.store, using.messenger)
    elif is_news:
        logger.error("nothing is at work: see /readyz and the control tower", extra={"action": "nobody_works"})


def check(using: Services) -> bool:
    """Open or close the alerts about crmsync's own work. Returns whether any changed."""
    with using.store.read() as uow:
        found = _troubles(uow, using.settings)
    return tell(using, found)


def tell(using: Services, found: Mapping[str, Content | None]) -> bool:
    """Open the alert of each cause that has a content, close that of each other. Returns whether any changed."""
    with using.store.read() as uow:
        news = [cause for cause, content in found.items() if uow.alerts.is_open(cause) != bool(content)]
    if not news:
        return False
    with using.store.begin() as uow:
        for cause in news:
            content = found[cause]
            if content:
                uow.alerts.add_once(None, cause, content)
            else:
                uow.alerts.close(cause)
    return True


def _troubles(uow: UnitOfWork, settings: Settings) -> Mapping[str, Content | None]:
    """The content of each alert, by its cause; None where there is nothing to tell."""
    signs, longest = signs_of(uow), patience(settings.behaviour.sweep_seconds)
    idle = nobody_takes_runs(signs, uow.now, longest)
    # Where no worker is left, nobody sweeps and nobody hears beat: that is one trouble, and not three.
    sweeps, beat = (not idle and is_late(sign, uow.now, longest) for sign in (signs.sweep_at, signs.beat_at))
    is_so = {"watch:workers": bool(idle), "watch:sweeps": sweeps, "watch:beat": beat and not sweeps}
    return {cause: _alert(cause, settings, why=idle) if is_true else None for cause, is_true in is_so.items()}


def _alert(cause: str, settings: Settings, *, why: str) -> Content:
    headline, told, advice, command = _ALERTS[cause]
    return watch_alert(headline, cause=told.format(why=why), advice=advice, command=settings.pasteable(command))


_ALERTS = {  # headline, cause, advice, command
    "watch:workers": (
        "No worker takes runs",
        "Webhooks are accepted and stored, but {why}. Nothing is lost.",
        "Check the workers' logs and restart them; the runs then continue by themselves.",
        "celery -A crmsync inspect ping",
    ),
    "watch:sweeps": (
        "No scan for due runs takes place",
        "No sweep has ended for some periods, so retries and alerts come late. Nothing is lost.",
        "Check the logs of beat and of the workers, and that the clocks of the hosts agree.",
        "crmsync doctor",
    ),
    "watch:beat": (
        "Beat does not run",
        "The workers scan for due runs and start inventory and catch-up without it.",
        "Start `celery -A crmsync beat` again, and see why it ended.",
        "crmsync doctor",
    ),
}
