"""Faults at one step: a worker that dies or stops at a boundary, a call whose answer goes wrong."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import nullcontext

from crmsync.errors import StoreUnavailableError
from crmsync.lab import failpoints
from crmsync.lab.failpoints import Strike
from crmsync.lab.machine import until
from crmsync.lab.prove.plan import CREATES, Case, failpoint_of, is_handed_back, operation_of
from crmsync.lab.prove.runs import Stand
from crmsync.lab.prove.scene import STRIKE_SECONDS, Scene, Tools
from crmsync.lab.prove.stage import LEASE_SECONDS, SETTLE_SECONDS
from crmsync.lab.prove.subjects import Subject
from crmsync.store import Store

LATE_WRITE_SECONDS = 15.0  # at most; it takes no time


def kill(tools: Tools, case: Case) -> Scene:
    """What the step was making comes to its list when its next attempt has looked for it, and found nothing."""
    subject = tools.subjects.of_flow(case.flow, tools.settle)
    with tools.stage.late_lists() if case.step in CREATES else nullcontext():
        scene = _scene(case, subject, _strike(tools, case, subject))
        if case.step in CREATES and scene.strikes and tools.settle(subject.expected):
            scene.ended_at = time.time()
    return scene


def _strike(tools: Tools, case: Case, subject: Subject) -> Strike | None:
    """Set the subject going, and wait until the case's failpoint has struck."""
    folder = tools.stage.failpoints
    if tools.plan.runs_ahead and is_handed_back(case):
        system, operation = operation_of(case.step)
        tools.stage.sandbox.faults.add(kind="error", status=503, system=system, operation=operation, times=1)
    failpoints.arm(folder, failpoint_of(case))
    subject.go()
    strike = until(lambda: failpoints.struck(folder), patience_seconds=STRIKE_SECONDS)
    failpoints.disarm(folder)
    return strike


def _scene(case: Case, subject: Subject, strike: Strike | None) -> Scene:
    if strike is None:
        problem = f"nobody came to {case.name} within {STRIKE_SECONDS:g} s"
        return Scene(subject.expected, moves_stock=subject.moves_stock, problems=[problem])
    return Scene(subject.expected, broken_at=strike.at, strikes=1, moves_stock=subject.moves_stock)


def worker_stopped(tools: Tools, case: Case) -> Scene:
    """Others take its run over, the source changes, they bring that home as well; then it goes on where it was."""
    subject = tools.subjects.of_flow(case.flow, tools.settle)
    strike = _strike(tools, case, subject)
    scene = _scene(case, subject, strike)
    if strike is None:
        return scene
    before: Mapping[str, Stand] = {}
    try:
        if tools.watch.wait(subject.expected, 4 * LEASE_SECONDS + SETTLE_SECONDS) and _can_write(tools.stage.store):
            scene.ended_at = time.time()
            time.sleep(max(0.0, strike.at + LEASE_SECONDS - time.time()))
            subject.goes_on()
            tools.settle(subject.expected)
            before = tools.watch.ended_runs()
    finally:
        os.kill(strike.pid, signal.SIGCONT)
    if until(lambda: failpoints.has_left(tools.stage.failpoints), patience_seconds=LATE_WRITE_SECONDS) is None:
        scene.problems.append("the worker that was stopped never went on")
    scene.problems += tools.watch.changed_since(before)
    return scene


def _can_write(store: Store) -> bool:
    """Nobody can where a thread of the stopped process is inside a transaction of SQLite, which has one writer."""
    try:
        with store.begin(durable=False):
            return True
    except StoreUnavailableError:
        return False
