"""Two companies on the same processes: what befalls the systems of one is not the other's, and nothing crosses."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import partial

from crmsync import connections
from crmsync.domain.audit import Act, Origin
from crmsync.domain.bindings import FLOWS, Binding
from crmsync.domain.connections import Wanted
from crmsync.lab.machine import until
from crmsync.lab.prove.plan import Case
from crmsync.lab.prove.scene import FEW, PREPARE_SECONDS, Scene, Tools
from crmsync.lab.prove.stage import Stage
from crmsync.lab.prove.subjects import Subjects
from crmsync.lab.prove.verdict import Expected
from crmsync.lab.sandbox.world import Company
from crmsync.services import Services

TENANT = "second"
PART = Decimal("0.5")
CAMPAIGN = Act("prove", Origin.CLI)
# Which roles a system fills, and which role is the source of a flow
ROLES = {
    "salesforce": ("deals", "catalogue"),
    "s4hana": ("orders", "stock"),
    "zoho_books": ("invoices", "payments"),
}
SOURCES = {"order_to_invoice": "deals", "payments": "payments", "inventory": "catalogue"}


def companies_apart(tools: Tools, _case: Case) -> Scene:
    """Each system of the second company is down until deals of the first one are billed: nobody waits for the other."""
    stage, subjects, neighbour = tools.stage, tools.subjects, tools.subjects.neighbour
    expected: list[Expected] = []
    elsewhere: list[Expected] = []
    scene = Scene(expected, elsewhere)
    _bind(stage, neighbour.company)
    for account in neighbour.company.accounts:
        fault = stage.sandbox.faults.add(account.name, "down")
        elsewhere += neighbour.won_deals(FEW)
        deals = subjects.won_deals(FEW)
        expected += deals
        if not until(partial(_are_billed, subjects, deals), patience_seconds=PREPARE_SECONDS):
            scene.problems.append(f"while {account.name} was down deals of the other company were not billed")
        stage.sandbox.faults.clear(fault_id=fault.id)
        scene.broken()
    if tools.settle([*expected, *elsewhere]):  # else it is judged by what has not ended
        for ours, theirs in zip(expected[::FEW], elsewhere[::FEW], strict=True):
            subjects.pay(ours, PART)
            neighbour.pay(theirs, PART)
    return scene


def _are_billed(subjects: Subjects, deals: Sequence[Expected]) -> bool:
    return all(subjects.has_open_invoice(each) for each in deals)


def _bind(stage: Stage, company: Company) -> None:
    """Make the second company known: a connection to each of its accounts, all flows bound, webhooks at its doors."""
    with stage.store.read() as uow:
        if uow.bindings.all(TENANT):
            return
    using, ids = Services(stage.settings, stage.store), {}
    with stage.store.begin() as uow:
        for account in company.accounts:
            row = account.connection()
            wanted = Wanted(name=row["name"], settings={**row["settings"], **row["secrets"]})
            ids[account.system] = connections.create(using, uow, CAMPAIGN, TENANT, account.system, wanted).id
        roles = {role: ids[system] for system, filled in ROLES.items() for role in filled}
        for flow in FLOWS:
            uow.bindings.add(Binding(TENANT, flow, roles[SOURCES[flow]], roles))
    company.doors.deal = f"/hooks/{ids['salesforce']}/deal-closed"
    company.doors.payment = f"/hooks/{ids['zoho_books']}/payment"
