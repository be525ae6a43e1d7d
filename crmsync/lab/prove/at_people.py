"""Faults of people: they take documents back, change deals that were won, and answer what crmsync asks them.

Each review is waited for: without one nobody would know. Then it is answered, and all must be right again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

from crmsync.domain.dead_letters import Answers, DeadLetter, LetterKind, LetterStatus
from crmsync.lab.machine import until
from crmsync.lab.prove.plan import Case
from crmsync.lab.prove.runs import DEALS_FLOW
from crmsync.lab.prove.scene import STRIKE_SECONDS, Scene, Tools
from crmsync.lab.prove.stage import SETTLE_SECONDS
from crmsync.lab.prove.subjects import STAMP_SECONDS
from crmsync.lab.prove.verdict import Expected
from crmsync.reading.runs import run_called
from crmsync.services import Services
from crmsync.worker import dead_letters

ACCEPT = Answers(accept=True)
WHICH = ((True, False), (False, True), (True, True))  # whether the order is taken back, and the invoice
NO_RECIPIENT = {"code": "1025", "message": "Please enter an email address for the customer."}


def documents_taken_back(tools: Tools, _case: Case) -> Scene:
    """A draft of a run that has stopped; then orders, and orders with their invoices, of runs that are done."""
    scene = Scene()
    stopped = _stopped_before_its_mail(tools)
    done = tools.subjects.won_deals(6)
    tools.settle(done)
    scene.expected = [stopped, *done]
    _take_back(tools, scene, stopped, order=False, invoice=True, delete=True)
    _replay(tools, scene, stopped)
    ways = [(order, invoice, delete) for order, invoice in WHICH for delete in (True, False)]
    for each, (order, invoice, delete) in zip(done, ways, strict=True):
        _take_back(tools, scene, each, order=order, invoice=invoice, delete=delete)
    tools.stage.sleep(max(SETTLE_SECONDS, STAMP_SECONDS))  # what is young may not be listed yet
    for flow in ("compare_orders", "compare_invoices", "catch_up_payments"):
        tools.subjects.begin(flow)
    for each in done:
        _replay(tools, scene, each)
    return scene


def _stopped_before_its_mail(tools: Tools) -> Expected:
    """A deal whose invoice is a draft, and whose mail the books refuse."""
    faults = tools.stage.sandbox.faults
    fault = faults.add("zoho", "refuse", "send_invoice", **NO_RECIPIENT)
    (expected,) = tools.subjects.won_deals(1)
    tools.settle([expected])
    faults.clear(fault_id=fault.id)
    return expected


def _take_back(tools: Tools, scene: Scene, expected: Expected, *, order: bool, invoice: bool, delete: bool) -> None:
    sandbox, subjects = tools.stage.sandbox, tools.subjects
    if order:
        (sandbox.orders.delete if delete else sandbox.orders.reject)(subjects.order_of(expected))
        scene.broken()
    if invoice:
        (sandbox.invoices.delete if delete else sandbox.invoices.void)(subjects.invoice_of(expected))
        scene.broken()


def deals_won_again(tools: Tools, _case: Case) -> Scene:
    """Reopened, changed and won again: while the run is under way, and when it is done, with each of the answers."""
    scene, subjects = Scene(), tools.subjects
    changed = [_changed(tools, scene, each) for each in _under_way(tools, 3)]
    done = subjects.won_deals(4)
    tools.settle(done)
    same, left, gone_on, anew = done
    _win_again(tools, scene, same)
    for each in (left, gone_on):
        _changed(tools, scene, each)
    changed.append(_changed(tools, scene, anew))
    new = [_made_anew(tools, scene, each) for each in changed]
    _leave(tools, scene, left)
    _replay(tools, scene, gone_on, ACCEPT)
    scene.expected = [same, left, gone_on, *new]
    return scene


Changed = tuple[Expected, Decimal]  # as its documents are, and what it is worth now


def _under_way(tools: Tools, number: int) -> Sequence[Expected]:
    """Deals whose runs have just begun: each call takes its time."""
    latency = tools.stage.sandbox.latency
    before, latency.seconds = latency.seconds, 0.3
    try:
        return tools.subjects.won_deals(number)
    finally:
        latency.seconds = before


def _changed(tools: Tools, scene: Scene, expected: Expected) -> Changed:
    """Another quantity of its first line, once the deal was read: its documents are of the old figures."""
    deals = tools.stage.sandbox.deals
    until(lambda: _has_read(tools, expected), patience_seconds=STRIKE_SECONDS)
    deals.reopen(expected.deal)
    deals.change_line(expected.deal, 1, {"quantity": 41 + tools.random.randint(0, 9)})
    _win_again(tools, scene, expected)
    row = next(row for row in tools.stage.ledger()["deals"] if row["id"] == expected.deal)
    return expected, Decimal(str(row["amount"]))


def _win_again(tools: Tools, scene: Scene, expected: Expected) -> None:
    deals = tools.stage.sandbox.deals
    deals.close(expected.deal)
    if not tools.subjects.sender.insist(lambda: deals.announce(expected.deal)):
        scene.problems.append(f"{expected.deal}: won again, and never acknowledged")
    scene.broken()


def _has_read(tools: Tools, expected: Expected) -> bool:
    with tools.stage.store.read() as uow:
        run = run_called(uow, None, DEALS_FLOW, expected.deal)
    return run is not None and "fetch_deal" in run.results


def _made_anew(tools: Tools, scene: Scene, changed: Changed) -> Expected:
    expected, amount = changed
    if _letter(tools, expected, scene) is not None:
        _take_back(tools, scene, expected, order=True, invoice=True, delete=tools.random.random() < 0.5)
        _replay(tools, scene, expected)
    return tools.subjects.became(expected, replace(expected, amount=amount))


# -- what people answer


def _letter(tools: Tools, expected: Expected, scene: Scene | None = None) -> DeadLetter | None:
    """What the run waits for, once it does. With a *scene* it must be a review."""

    def waiting() -> DeadLetter | None:
        with tools.stage.store.read() as uow:
            run = run_called(uow, None, DEALS_FLOW, expected.deal)
            letter = uow.dead_letters.of_run(run.id) if run else None
        return letter if letter is not None and letter.status is LetterStatus.WAITING else None

    letter = until(waiting, patience_seconds=STRIKE_SECONDS)
    if scene is not None and (letter is None or letter.kind is not LetterKind.REVIEW):
        scene.problems.append(f"{expected.deal}: nobody was asked about it ({letter.error if letter else 'no letter'})")
    return letter


def _replay(tools: Tools, scene: Scene, expected: Expected, answers: Answers = dead_letters.NO_ANSWERS) -> None:
    using = Services(tools.stage.settings, tools.stage.store)
    _answer(tools, scene, expected, lambda letter: dead_letters.reopen(using, letter.id, answers, by="me"))


def _leave(tools: Tools, scene: Scene, expected: Expected) -> None:
    using = Services(tools.stage.settings, tools.stage.store)
    _answer(tools, scene, expected, lambda letter: dead_letters.discard(using, letter.id, by="me"))


def _answer(tools: Tools, scene: Scene, expected: Expected, act: Callable[[DeadLetter], object]) -> None:
    letter = _letter(tools, expected)
    if letter is None:
        scene.problems.append(f"{expected.deal}: nobody was asked about it")
        return
    act(letter)
    tools.settle([expected])
