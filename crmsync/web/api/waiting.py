"""Waits for what only a worker can find out: the processes of the web call no system."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from crmsync.store import UnitOfWork
from crmsync.web.api import tenancy
from crmsync.web.api.problems import Problem
from crmsync.web.context import services_of_app
from crmsync.worker import questions

SECONDS = 25.0
LOOK_SECONDS = 0.2
AT_ONCE = 3  # requests of a process: each holds one of its threads
OF_ONE_TENANT = 2  # of these, so that no tenant keeps the others from asking
_lock = threading.Lock()
_waiting: list[str | None] = []  # whose requests, by tenant; None: of who sees all of them
Found = TypeVar("Found")


def answer(what: str, task: str, **asked: Any) -> Any:
    """What a worker answers in *task*; *what* is that for people: "the look-up". Raises: Problem 503."""
    using = services_of_app()
    with place():
        with using.store.begin() as uow:
            question_id = questions.ask(using, uow, asked)
        try:
            if not questions.send(task, question_id):
                raise no_broker(what)
            found = awaited(what, lambda uow: questions.answered(using, uow, question_id), advice="Nothing was done.")
        finally:  # a worker that comes back later calls no system for nobody
            with using.store.begin() as uow:
                questions.drop(uow, question_id)
    if found.problem:
        raise no_result(found.problem)
    return found.value


@contextmanager
def place() -> Iterator[None]:
    """One of the few that may wait at a time. Raises: Problem 503 where there is none."""
    tenant = tenancy.own()
    with _lock:
        if len(_waiting) >= AT_ONCE or _waiting.count(tenant) >= OF_ONE_TENANT:
            raise no_result("Too many requests are already waiting for a worker.")
        _waiting.append(tenant)
    try:
        yield
    finally:
        with _lock:
            _waiting.remove(tenant)


def awaited(what: str, look: Callable[[UnitOfWork], Found | None], *, advice: str) -> Found:
    """What *look* finds as soon as it is there. Raises: Problem 503 with this *advice* where that takes too long."""
    until = time.monotonic() + SECONDS
    while True:
        with services_of_app().store.read() as uow:
            found = look(uow)
        if found is not None:
            return found
        if time.monotonic() >= until:
            raise no_result(f"No worker has finished {what} within {SECONDS:.0f} s. {advice}")
        time.sleep(LOOK_SECONDS)


def no_broker(what: str) -> Problem:
    return no_result(f"The broker does not answer, so no worker can run {what}.")


def no_result(detail: str) -> Problem:
    return Problem(503, "no-result", detail, headers={"Retry-After": "10"})
