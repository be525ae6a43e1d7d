"""The faults themselves: each sets something going, breaks the system meanwhile, and leaves it whole."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

from crmsync import failpoints
from crmsync.cli.prove.plan import Case, Plan, failpoint_of, operation_of
from crmsync.cli.prove.runs import Stand, Watch
from crmsync.cli.prove.stage import CALL_SECONDS, LEASE_SECONDS, SETTLE_SECONDS, Stage, until
from crmsync.cli.prove.subjects import Subject, Subjects
from crmsync.cli.prove.verdict import Expected
from crmsync.failpoints import Strike

STRIKE_SECONDS = 30.0  # how long a step may take to come to its boundary
PREPARE_SECONDS = 60.0
DEALS = 24
FEW = 9
REPEATS = 5
PERIODIC = ("inventory", "catch_up_deals", "catch_up_payments")
# Past our timeout; but within the time after which absence counts as certain: what comes later than that is made
# again, see docs/reliability.md.
SLOW_SECONDS = CALL_SECONDS + 0.5 * (CALL_SECONDS + SETTLE_SECONDS)
LATE_WRITE_SECONDS = 15.0  # at most; it takes no time
ALERT_SECONDS = 45.0


@dataclass(slots=True)
class Scene:
    """What a case set going, and when it was broken last (seconds since the epoch)."""

    expected: Sequence[Expected] = ()
    broken_at: float = 0.0
    strikes: int = 0
    moves_stock: bool = False
    ended_at: float = 0.0  # when its runs had ended, where that is over before the case is
    problems: list[str] = field(default_factory=list)  # why it is no proof: nothing was struck
    skipped: str = ""

    def broken(self) -> None:
        self.broken_at = time.time()
        self.strikes += 1


@dataclass(frozen=True, slots=True)
class Tools:
    """What a scenario works with."""

    stage: Stage
    subjects: Subjects
    watch: Watch
    plan: Plan
    random: random.Random

    def settle(self, expected: Sequence[Expected]) -> None:
        """Let what is only a preparation come to its end."""
        self.watch.wait(expected, PREPARE_SECONDS)


Scenario = Callable[[Tools, Case], Scene]


def play(tools: Tools, case: Case) -> Scene:
    return SCENARIOS[case.fault](tools, case)


# Step by step


def _kill(tools: Tools, case: Case) -> Scene:
    subject = tools.subjects.of_flow(case.flow, tools.settle)
    return _scene(case, subject, _strike(tools, case, subject))


def _strike(tools: Tools, case: Case, subject: Subject) -> Strike | None:
    """Set the subject going, and wait until the case's failpoint has struck."""
    folder = tools.stage.failpoints
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


def _worker_stopped(tools: Tools, case: Case) -> Scene:
    """Others take its run over, the source changes, they bring that home as well; then it goes on where it was."""
    subject = tools.subjects.of_flow(case.flow, tools.settle)
    strike = _strike(tools, case, subject)
    scene = _scene(case, subject, strike)
    if strike is None:
        return scene
    before: Mapping[str, Stand] = {}
    try:
        # Nobody can where the stopped process is inside a transaction of SQLite, which has one writer.
        if tools.watch.wait(subject.expected, 4 * LEASE_SECONDS):
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


def _answers_lost(tools: Tools, case: Case) -> Scene:
    return _each_vendor(tools, "lost") if not case.step else _call_broken(tools, case, "lost")


def _answers_slow(tools: Tools, case: Case) -> Scene:
    if not case.step:
        return _each_vendor(tools, "slow", seconds=SLOW_SECONDS)
    return _call_broken(tools, case, "slow", seconds=SLOW_SECONDS)


def _call_broken(tools: Tools, case: Case, kind: str, **details: Any) -> Scene:
    """The call for which the step exists is hit, once."""
    subject = tools.subjects.of_flow(case.flow, tools.settle)
    scene = Scene(subject.expected, moves_stock=subject.moves_stock)
    fault = tools.stage.sandbox.faults.add(*_as_fault(case, kind), times=1, **details)
    subject.go()
    if until(lambda: fault.hits, patience_seconds=STRIKE_SECONDS) is None:
        scene.problems.append(f"{case.step} never called {fault.operation} of {fault.system}")
    scene.broken()
    return scene


def _as_fault(case: Case, kind: str) -> tuple[str, str, str]:
    system, operation = operation_of(case.step)
    return system, kind, operation


def _each_vendor(tools: Tools, kind: str, **details: Any) -> Scene:
    """A tenth of all calls is hit while deals come."""
    scene, faults = Scene(), tools.stage.sandbox.faults
    with tools.subjects.stream(DEALS) as scene.expected:
        made = [faults.add(system, kind, rate=0.1, **details) for system in ("salesforce", "sap", "zoho")]
        tools.watch.wait(scene.expected, 20.0)
        scene.broken()
    scene.strikes = sum(fault.hits for fault in made)
    faults.clear()
    return scene


# At the door


def _webhooks_repeated(tools: Tools, _case: Case) -> Scene:
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


def _webhooks_reordered(tools: Tools, _case: Case) -> Scene:
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


def _receiver_killed(tools: Tools, _case: Case) -> Scene:
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


# The broker


def _messages_doubled(tools: Tools, _case: Case) -> Scene:
    scene, command = Scene(), "python -m crmsync.cli.prove.doubling"
    with tools.stage.also_running("doubling", command):
        until(lambda: tools.stage.logs.contains("doubling", "doubling"), patience_seconds=STRIKE_SECONDS)
        with tools.subjects.stream(DEALS) as scene.expected:
            scene.broken()
        tools.subjects.move_stock()
        tools.subjects.wake("inventory")
        tools.settle(scene.expected)
        for each in scene.expected[:FEW]:
            tools.subjects.pay(each, Decimal(1))
        tools.settle(scene.expected)
    scene.strikes, scene.moves_stock = DEALS + FEW + 1, True
    return scene


def _redis_emptied(tools: Tools, _case: Case) -> Scene:
    return _several_times(tools, tools.stage.broker.empty, times=5)


def _redis_restarted(tools: Tools, _case: Case) -> Scene:
    stage = tools.stage
    if stage.broker.may_be_killed:
        return _several_times(tools, lambda: stage.kill("redis"), times=4)
    if stage.broker.may_cut_connections:
        return _several_times(tools, stage.broker.cut_connections, times=4)
    return Scene(skipped="this broker is not ours to restart")


def _several_times(tools: Tools, strike: Callable[[], object], *, times: int, pause_seconds: float = 0.6) -> Scene:
    scene = Scene()
    with tools.subjects.stream(DEALS) as scene.expected:
        for _ in range(times):
            tools.stage.sleep(pause_seconds * tools.random.uniform(0.5, 1.5))
            strike()
            scene.broken()
    return scene


# The rest of the machine


def _database_restarted(tools: Tools, _case: Case) -> Scene:
    scene = Scene()
    with tools.subjects.stream(DEALS) as scene.expected:
        tools.stage.sleep(0.3)
        scene.broken()
        tools.stage.database.break_down(tools.stage.sleep)
    return scene


def _disk_full(tools: Tools, _case: Case) -> Scene:
    if not tools.stage.database.may_fill_up:
        return Scene(skipped="the store is not a file of these processes")
    scene = Scene()
    with tools.subjects.stream(DEALS) as scene.expected:
        tools.stage.sleep(0.4)
        scene.broken()
        with tools.stage.files_limited():
            tools.stage.sleep(3.0)
    return scene


def _two_beats(tools: Tools, _case: Case) -> Scene:
    schedule = tools.stage.home / "second-beat"
    with tools.stage.also_running("beat2", f"celery -A crmsync beat --loglevel INFO --schedule {schedule}"):
        until(lambda: tools.stage.logs.contains("beat2", "beat: Starting"), patience_seconds=STRIKE_SECONDS)
        scene = _several_times(tools, tools.stage.broker.empty, times=4)  # both sweepers find the same runs then
        tools.subjects.move_stock()
        tools.subjects.wake("inventory")
        tools.settle(scene.expected)
    scene.moves_stock = True
    return scene


def _tokens_expired(tools: Tools, _case: Case) -> Scene:
    return _several_times(tools, tools.stage.sandbox.expire_tokens, times=6, pause_seconds=0.4)


def _slack_closed(tools: Tools, _case: Case) -> Scene:
    """Deals go on; the alert, which a shelf that runs empty brings, comes when Slack is back."""
    scene, stage, slack = Scene(moves_stock=True), tools.stage, tools.stage.slack
    told_before = len(slack.messages)
    slack.is_open = False
    try:
        with tools.subjects.stream(DEALS) as scene.expected:
            code = f"PROVE-{next(stage.numbers)}"
            stage.sandbox.products.add(code, stock=Decimal(2))
            tools.subjects.wake("inventory")
            scene.broken()
        tools.settle(scene.expected)
        if until(lambda: slack.refused, patience_seconds=STRIKE_SECONDS) is None:
            scene.problems.append("no alert was attempted while Slack was closed")
    finally:
        slack.is_open = True
    if until(lambda: len(slack.messages) > told_before, patience_seconds=ALERT_SECONDS) is None:
        scene.problems.append("the alert never came after Slack was back")
    return scene


# At random


def _kill_at_random(tools: Tools, _case: Case) -> Scene:
    """A death every two seconds or so, of whoever it may be; deals, payments and stock keep coming."""
    scene, stage, subjects = Scene(moves_stock=True), tools.stage, tools.subjects
    deals: list[Expected] = []
    while scene.strikes < tools.plan.kills:
        with subjects.stream(tools.random.randint(3, 9)) as expected:
            deals += expected
            stage.sleep(tools.random.uniform(0.1, 1.5))
            if stage.kill(tools.random.choice(stage.victims())):
                scene.broken()
        stage.sleep(tools.random.uniform(0.0, 0.8))
        _something_else_happens(tools, deals)
    scene.expected = deals
    tools.settle(deals)
    for flow in PERIODIC:  # as beat does when their next time comes
        subjects.wake(flow)
    return scene


def _something_else_happens(tools: Tools, deals: Sequence[Expected]) -> None:
    what = tools.random.choice(("stock", "payment", "deals seen", "payments seen", "nothing"))
    if what == "stock":
        tools.subjects.move_stock()
        tools.subjects.wake("inventory")
    elif what == "payment":
        invoiced = [each for each in deals if tools.subjects.has_open_invoice(each)]
        if invoiced:
            tools.subjects.pay(tools.random.choice(invoiced), Decimal(1), webhook=tools.random.random() < 0.8)
            tools.subjects.wake("catch_up_payments")
    elif what != "nothing":
        tools.subjects.wake("catch_up_deals" if what == "deals seen" else "catch_up_payments")


SCENARIOS: Mapping[str, Scenario] = {
    "kill": _kill,
    "lost-answers": _answers_lost,
    "slow-answers": _answers_slow,
    "worker-stopped": _worker_stopped,
    "repeated-webhooks": _webhooks_repeated,
    "reordered-webhooks": _webhooks_reordered,
    "doubled-messages": _messages_doubled,
    "redis-emptied": _redis_emptied,
    "redis-restarted": _redis_restarted,
    "receiver-killed": _receiver_killed,
    "database-restarted": _database_restarted,
    "two-beats": _two_beats,
    "disk-full": _disk_full,
    "tokens-expired": _tokens_expired,
    "slack-closed": _slack_closed,
    "random-kill": _kill_at_random,
}
