"""Tests of connections: a worker runs them, because only workers call systems; the result is read from the store.

Not by housekeeping: nothing that waits for the outside may hold the threads that sweep and alert.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from crmsync.celery import app
from crmsync.connection_trial import Trial, try_out
from crmsync.domain.connections import UnknownConnectionError
from crmsync.services import services
from crmsync.store import UnitOfWork
from crmsync.store.connections import TRIAL
from crmsync.worker.dead_letters import best_effort

QUEUE = "background"
JOINED = timedelta(minutes=2)  # whoever asks while a trial is this young waits for its result


def ask(uow: UnitOfWork, connection_id: str) -> str:
    """Begin a trial, or join the one that is under way. Returns its id; send() afterwards."""
    kept = _kept(uow, connection_id)
    if kept and kept["result"] is None and abs(uow.now - datetime.fromisoformat(kept["asked_at"])) < JOINED:
        return str(kept["id"])
    trial_id = secrets.token_hex(8)
    _keep(uow, connection_id, {"id": trial_id, "asked_at": uow.now.isoformat(), "result": None})
    return trial_id


def send(connection_id: str) -> bool:
    """Send the trial to a worker. False where the broker does not answer."""
    expires = JOINED.total_seconds()
    return best_effort(
        lambda: app.send_task(
            "background.try_connection", args=(connection_id,), queue=QUEUE, expires=expires, retry=False
        )
    )


def result(uow: UnitOfWork, connection_id: str, trial_id: str) -> Trial | None:
    """What came of a trial; None while it is under way, or where another has taken its place."""
    kept = _kept(uow, connection_id)
    if kept is None or kept["id"] != trial_id or kept["result"] is None:
        return None
    told = kept["result"]
    return Trial(told["success"], told["message"], told["latency_seconds"], tuple(told["missing"]))


@app.task(name="background.try_connection", queue=QUEUE)
def try_connection(connection_id: str) -> None:
    """Do what was asked for; a message that nobody asked for, or that comes again, does nothing."""
    using = services()
    with using.store.read() as uow:
        asked = _kept(uow, connection_id)
    if asked is None or asked["result"] is not None:
        return
    try:
        found = try_out(using, None, connection_id)
    except UnknownConnectionError:
        return
    with using.store.begin() as uow:
        _keep(uow, connection_id, {**asked, "result": asdict(found)})


def _kept(uow: UnitOfWork, connection_id: str) -> dict[str, Any] | None:
    text = uow.facts.get(TRIAL + connection_id)
    return dict(json.loads(text)) if text else None


def _keep(uow: UnitOfWork, connection_id: str, value: Mapping[str, Any]) -> None:
    uow.facts.set(TRIAL + connection_id, json.dumps(value))
