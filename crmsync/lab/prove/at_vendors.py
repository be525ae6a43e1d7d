"""Faults of the other systems: what they answer, how, and where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import zip_longest
from random import Random
from typing import Any

from crmsync.lab.machine import until
from crmsync.lab.prove.plan import CREATES, Case, operation_of
from crmsync.lab.prove.scene import DEALS, FEW, STRIKE_SECONDS, Scene, Tools, several_times
from crmsync.lab.prove.stage import CALL_SECONDS, LAG_SECONDS, SETTLE_SECONDS, WORKERS
from crmsync.lab.prove.subjects import STAMP_SECONDS
from crmsync.lab.prove.verdict import Expected
from crmsync.lab.sandbox.kernel.faults import EDGES
from crmsync.lab.sandbox.kernel.wire import PLACES
from crmsync.lab.sandbox.salesforce.oauth import OLD_ADDRESSES

# Past our timeout; but within the time after which absence counts as certain: what comes later than that is made
# again, see docs/reliability.md.
SLOW_SECONDS = CALL_SECONDS + 0.5 * (CALL_SECONDS + SETTLE_SECONDS)
ALERT_SECONDS = 45.0
MOVES = 5
STREAM_SECONDS = 10.0
SYSTEMS = ("salesforce", "sap", "zoho")

# How an answer goes wrong, by fault; those that are not named here have several ways.
KINDS: Mapping[str, dict[str, Any]] = {
    "lost-answers": {"kind": "lost"},
    "slow-answers": {"kind": "slow", "seconds": SLOW_SECONDS},
    "stalled-answers": {"kind": "stall"},
}
CUT = ("cut", "reset", "unended", "garbled")
PAGES = (
    *("edge-420", "edge-maintenance", "edge-not-found", "edge-login", "edge-bad-gateway"),
    *("edge-empty", "edge-not-acceptable", "edge-text"),
)
FAILING = (
    *("token-maintenance", "token-empty", "token-forbidden", "token-too-many", "token-server-error"),
    *("token-temporarily-unavailable", "token-stall", "token-trickle", "token-found-elsewhere"),
)
OWN_WAYS: Mapping[str, Sequence[str]] = {
    "salesforce": ("unknown-error", "login-rate", "grant-inactive"),
    "zoho": ("general-error",),
}
SHORTER: Mapping[str, dict[str, Any]] = {
    "token-too-many": {"headers": {"Retry-After": "1"}},
    "token-trickle": {"seconds": 0.1},
}


def answers_broken(tools: Tools, case: Case) -> Scene:
    return _call_broken(tools, case) if case.step else _each_vendor(tools, case)


def spoilt(fault: str, system: str, random: Random) -> dict[str, Any]:
    """How one answer goes wrong."""
    if fault == "foreign-answers":
        page = EDGES[random.choice(PAGES)]
        return {"system": system, **page, "done": random.random() < 0.5}
    if fault == "cut-answers":
        return {"kind": random.choice(CUT)}
    if fault == "trickling-answers":
        return {"kind": "trickle", "place": random.choice(PLACES), "seconds": 0.1}
    return KINDS[fault]


def _call_broken(tools: Tools, case: Case) -> Scene:
    """The call for which the step exists is hit, once."""
    subject = tools.subjects.of_flow(case.flow, tools.settle)
    scene = Scene(subject.expected, moves_stock=subject.moves_stock)
    system, operation = operation_of(case.step)
    details = {**spoilt(case.fault, system, tools.random), "system": system, "operation": operation}
    fault = tools.stage.sandbox.faults.add(**details, times=1)
    subject.go()
    if until(lambda: fault.hits, patience_seconds=STRIKE_SECONDS) is None:
        scene.problems.append(f"{case.step} never called {fault.operation} of {fault.system}")
    scene.broken()
    return scene


def _each_vendor(tools: Tools, case: Case) -> Scene:
    """A tenth of all calls is hit while deals come; sign-ins too."""
    scene, faults = Scene(), tools.stage.sandbox.faults
    with tools.subjects.stream(DEALS) as scene.expected:
        hits = [{**spoilt(case.fault, system, tools.random), "system": system} for system in SYSTEMS]
        made = [faults.add(**details, rate=0.1) for details in hits]
        tools.stage.sleep(STREAM_SECONDS)
        scene.broken()
    scene.strikes = sum(fault.hits for fault in made)
    faults.clear()
    return scene


def tokens_expired(tools: Tools, _case: Case) -> Scene:
    return several_times(tools, tools.stage.expire_tokens, times=6, pause_seconds=0.4)


def sign_ins_failing(tools: Tools, _case: Case) -> Scene:
    """Tokens end, and each system's token endpoint fails in a way that passes; then in the next way."""
    ways = [[*FAILING, *OWN_WAYS.get(system, ())] for system in SYSTEMS]
    for each in ways:
        tools.random.shuffle(each)
    rounds = iter(zip_longest(*ways))
    scene = several_times(tools, lambda: _fail_sign_ins(tools, next(rounds)), times=max(map(len, ways)))
    tools.stage.sandbox.faults.clear()
    return scene


def _fail_sign_ins(tools: Tools, ways: Sequence[str | None]) -> None:
    sandbox = tools.stage.sandbox
    tools.stage.expire_tokens()
    for system, way in zip(SYSTEMS, ways, strict=True):
        if way:
            sandbox.faults.play(f"{system}-{way}", times=1, **SHORTER.get(way, {}))


def org_moves(tools: Tools, _case: Case) -> Scene:
    """The org moves while deals come, and what it leaves behind answers in another way each time.

    The workers begin anew before the next move, with the address that they have kept: no org moves twice in a minute,
    and a process asks for a new one only now and then.
    """
    scene, stage, deals = Scene(), tools.stage, list[Expected]()
    for old in tools.random.sample(sorted(OLD_ADDRESSES), MOVES):
        with tools.subjects.stream(FEW) as expected:
            stage.sleep(0.5)
            stage.sandbox.move_org(old)
            scene.broken()
        deals += expected
        tools.settle(expected)
        for name in WORKERS:
            stage.kill(name)
    scene.expected = deals
    return scene


def lists_late(tools: Tools, _case: Case) -> Scene:
    """Every list is late, just within the settle time, while the answers to half of all creates are lost."""
    scene, faults = Scene(), tools.stage.sandbox.faults
    with tools.stage.late_lists():
        with tools.subjects.stream(DEALS) as scene.expected:
            made = [faults.add(system, "lost", name, rate=0.5) for system, name in CREATES.values()]
            missed, more = tools.subjects.new_deal()
            tools.subjects.win(missed, more, webhook=False)
            tools.subjects.begin("catch_up_deals")  # its stamp is older than its commit: it is not seen yet
            tools.stage.sleep(STREAM_SECONDS)
        faults.clear()
        tools.stage.sleep(LAG_SECONDS + STAMP_SECONDS)
        tools.subjects.begin("catch_up_deals")
        scene.expected = [*scene.expected, more]
        tools.settle(scene.expected)
    scene.broken()
    scene.strikes = sum(fault.hits for fault in made)
    return scene


def slack_closed(tools: Tools, _case: Case) -> Scene:
    """Deals go on; the alert, which a shelf that runs empty brings, comes when Slack is back."""
    scene, stage, slack = Scene(moves_stock=True), tools.stage, tools.stage.slack
    told_before = len(slack.messages)
    slack.is_open = False
    try:
        with tools.subjects.stream(DEALS) as scene.expected:
            code = f"PROVE-{next(stage.numbers)}"
            stage.sandbox.products.add(code, stock=Decimal(2))
            tools.subjects.begin("inventory")
            scene.broken()
        tools.settle(scene.expected)
        if until(lambda: slack.refused, patience_seconds=STRIKE_SECONDS) is None:
            scene.problems.append("no alert was attempted while Slack was closed")
    finally:
        slack.is_open = True
    if until(lambda: len(slack.messages) > told_before, patience_seconds=ALERT_SECONDS) is None:
        scene.problems.append("the alert never came after Slack was back")
    return scene
