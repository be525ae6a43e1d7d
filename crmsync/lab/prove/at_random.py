"""Deaths at random, while deals, payments and stock keep coming."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from crmsync.lab.prove.plan import Case
from crmsync.lab.prove.scene import Scene, Tools
from crmsync.lab.prove.verdict import Expected

PERIODIC = ("inventory", "catch_up_deals", "catch_up_payments", "compare_orders", "compare_invoices")


def kill_at_random(tools: Tools, _case: Case) -> Scene:
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
        subjects.begin(flow)
    return scene


def _something_else_happens(tools: Tools, deals: Sequence[Expected]) -> None:
    what = tools.random.choice(("stock", "payment", "deals seen", "payments seen", "nothing"))
    if what == "stock":
        tools.subjects.move_stock()
        tools.subjects.begin("inventory")
    elif what == "payment":
        invoiced = [each for each in deals if tools.subjects.has_open_invoice(each)]
        if invoiced:
            tools.subjects.pay(tools.random.choice(invoiced), Decimal(1), webhook=tools.random.random() < 0.8)
            tools.subjects.begin("catch_up_payments")
    elif what != "nothing":
        tools.subjects.begin("catch_up_deals" if what == "deals seen" else "catch_up_payments")
