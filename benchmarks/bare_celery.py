"""A Celery app with crmsync's own settings and nothing else of it.

Seven tasks, five of which make the HTTP call of BENCH_CALLS (a file, see deal_cpu.py), each by a keep-alive session.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import requests
from celery import Celery, Task, chain
from kombu import Exchange, Queue
from requests.adapters import HTTPAdapter

QUEUE = "bare"
STEPS = 7
CALLING = (0, 2, 4, 5, 6)  # the steps of order_to_invoice that call a vendor

app = Celery("bare")
app.config_from_object("celeryconfig")
app.conf.update(
    imports=(),
    beat_schedule={},
    task_queues=[Queue(QUEUE, Exchange(QUEUE), routing_key=QUEUE)],
    task_default_queue=QUEUE,
    task_default_exchange=QUEUE,
    task_default_routing_key=QUEUE,
)

_session = requests.Session()
_session.mount("http://", HTTPAdapter(pool_maxsize=64))


def _calls() -> list[dict[str, Any]]:
    path = os.environ.get("BENCH_CALLS")
    return json.loads(Path(path).read_text()) if path else []


_planned = _calls()


def _task(number: int) -> Task:
    place = CALLING.index(number) if number in CALLING else None

    @app.task(name=f"bare.step_{number}")
    def step(_: str) -> None:
        if place is not None and _planned:
            _call(**_planned[place])

    return step


def _call(method: str, url: str, body: str) -> None:
    response = _session.request(
        method, url, data=body.encode(), headers={"Content-Type": "application/json"}, timeout=(5, 25)
    )
    response.raise_for_status()
    if response.content:
        response.json()


TASKS = [_task(number) for number in range(STEPS)]


def start(run_id: str) -> None:
    """Send the chain of one deal."""
    chain(*(task.si(run_id) for task in TASKS)).apply_async(retry=False)
