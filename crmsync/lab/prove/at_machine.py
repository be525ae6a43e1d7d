"""Faults of the machine: its doors, its broker, its database, its disk and its clock."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from decimal import Decimal
from functools import partial

from crmsync.lab import failpoints
from crmsync.lab.machine import until
from crmsync.lab.prove.database import DISK, OUTAGE_SECONDS, PACKETS, READ_ONLY
from crmsync.lab.prove.plan import Case
from crmsync.lab.prove.scene import DEALS, FEW, STRIKE_SECONDS, Scene, Tools, several_times
from crmsync.lab.prove.stage import WORKERS
from crmsync.lab.prove.strange import StrangeRows

REPEATS = 5


# Its doors


def webhooks_repeated(tools: Tools, _case: Case) -> Scene:
    scene, deals = Scene(), tools.stage.sandbox.deals
    with tools.subjects.stream(DEALS) as scene.expected, ThreadPoolExecutor(8) as pool:
        for _ in range(REPEATS):
            tools.stage.sleep(0.3)
            scene.broken()
            for each in list(scene.expected):
                pool.submit(deals.announce, each.deal)
    tools.settle(scene.expected)
    for each in scene.expected:
        tools.subjects.pay(each, Decimal("0.5"))
        deals.announce(each.deal)
    return scene


def webhooks_reordered(tools: Tools, _case: Case) -> Scene:
    """Payments are announced late, the newest first, and with what they once said."""
    scene, sandbox = Scene(), tools.stage.sandbox
    scene.expected = tools.subjects.won_deals(FEW)
    tools.settle(scene.expected)
    shown = [payment for each in scene.expected for payment in tools.subjects.instalments(each)]
    for payment in shown[::4]:
        sandbox.payments.delete(payment["payment_id"])
    tools.random.shuffle(shown)
    scene.broken()
    with ThreadPoolExecutor(6) as pool:
        for payment in shown:
            pool.submit(tools.subjects.sender.insist, partial(sandbox.payments.send, payment))
    scene.strikes = len(shown)
    return scene


def receiver_killed(tools: Tools, _case: Case) -> Scene:
    """Webhooks hang in the receiver because nobody can write; then it dies. None of them may have said yes."""
    scene, stage = Scene(), tools.stage
    with tools.subjects.stream(DEALS) as scene.expected:
        for _ in range(3):
            with stage.database.held():
                stage.sleep(0.7)
                scene.strikes += stage.kill("web")
                scene.broken_at = time.time()
            stage.sleep(1.0)
    return scene


# Its broker


def messages_doubled(tools: Tools, _case: Case) -> Scene:
    scene, command = Scene(), "python -m crmsync.lab.prove.doubling"
    with tools.stage.also_running("doubling", command):
        until(lambda: tools.stage.logs.contains("doubling", "doubling"), patience_seconds=STRIKE_SECONDS)
        with tools.subjects.stream(DEALS) as scene.expected:
            scene.broken()
        tools.subjects.move_stock()
        tools.subjects.begin("inventory")
        tools.settle(scene.expected)
        for each in scene.expected[:FEW]:
            tools.subjects.pay(each, Decimal(1))
        tools.settle(scene.expected)
    scene.strikes, scene.moves_stock = DEALS + FEW + 1, True
    return scene


def redis_emptied(tools: Tools, _case: Case) -> Scene:
    return several_times(tools, tools.stage.broker.empty, times=5)


def redis_restarted(tools: Tools, _case: Case) -> Scene:
    stage = tools.stage
    if stage.broker.may_be_killed:
        return several_times(tools, lambda: stage.kill("redis"), times=4)
    if stage.broker.may_cut_connections:
        return several_times(tools, stage.broker.cut_connections, times=4)
    return Scene(skipped="this broker is not ours to restart")


# The rest of it


def database_restarted(tools: Tools, _case: Case) -> Scene:
    scene = Scene()
    with tools.subjects.stream(DEALS) as scene.expected:
        tools.stage.sleep(0.3)
        scene.broken()
        tools.stage.database.break_down(tools.stage.sleep)
    return scene


def packets_dropped(tools: Tools, _case: Case) -> Scene:
    """A firewall forgets the connections to the database, and for some seconds lets none through."""
    if why := tools.stage.database.cannot.get(PACKETS):
        return Scene(skipped=why)
    return _while(tools, tools.stage.database.packets_dropped(), OUTAGE_SECONDS)


def database_readonly(tools: Tools, _case: Case) -> Scene:
    """A database that fails over: sessions are cut, and the next ones cannot write, even when later ones can."""
    if why := tools.stage.database.cannot.get(READ_ONLY):
        return Scene(skipped=why)
    return _while(tools, tools.stage.database.read_only(), OUTAGE_SECONDS)


def _while(tools: Tools, broken: AbstractContextManager[None], seconds: float) -> Scene:
    scene = Scene()
    with tools.subjects.stream(DEALS) as scene.expected:
        tools.stage.sleep(0.5)
        with broken:
            tools.stage.sleep(seconds)
        scene.broken()
    return scene


def clock_jumps(tools: Tools, _case: Case) -> Scene:
    """The machine's clock is an hour ahead, and then right again; beat and a worker are started anew at both times."""
    scene, stage = Scene(moves_stock=True), tools.stage
    with tools.subjects.stream(DEALS) as scene.expected:
        try:
            for ahead_seconds in (3600.0, 0.0):
                failpoints.set_clock(stage.failpoints, ahead_seconds)
                stage.sleep(1.0)
                scene.strikes += stage.kill("beat") + stage.kill(tools.random.choice(WORKERS))
                scene.broken()
                stage.sleep(2.0)
        finally:
            failpoints.set_clock(stage.failpoints, 0.0)
    tools.subjects.move_stock()
    tools.subjects.begin("inventory")
    return scene


def other_release(tools: Tools, _case: Case) -> Scene:
    """Rows of a release that has more flows, more steps and more to say; all the others must go on as ever."""
    scene, stage = Scene(), tools.stage
    strange = StrangeRows(stage.store)
    tools.watch.ignore(strange.run_ids)
    try:
        with tools.subjects.stream(DEALS) as scene.expected:
            for _ in range(4):
                strange.put()
                stage.sleep(0.4)
                stage.broker.empty()  # now only the sweep brings runs back
                scene.broken()
        if not tools.settle(scene.expected):
            scene.problems.append("runs that this release knows did not end beside those that it does not know")
    finally:
        strange.take_away()
    return scene


def disk_full(tools: Tools, _case: Case) -> Scene:
    if why := tools.stage.database.cannot.get(DISK):
        return Scene(skipped=why)
    scene = Scene()
    with tools.subjects.stream(DEALS) as scene.expected:
        tools.stage.sleep(0.4)
        scene.broken()
        with tools.stage.files_limited():
            tools.stage.sleep(3.0)
    return scene


def two_beats(tools: Tools, _case: Case) -> Scene:
    schedule = tools.stage.home / "second-beat"
    with tools.stage.also_running("beat2", f"celery -A crmsync beat --loglevel INFO --schedule {schedule}"):
        until(lambda: tools.stage.logs.contains("beat2", "beat: Starting"), patience_seconds=STRIKE_SECONDS)
        scene = several_times(tools, tools.stage.broker.empty, times=4)  # both sweepers find the same runs then
        tools.subjects.move_stock()
        tools.subjects.begin("inventory")
        tools.settle(scene.expected)
    scene.moves_stock = True
    return scene
