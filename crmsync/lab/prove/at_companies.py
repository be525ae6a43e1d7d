"""Two companies on the same processes: what befalls the systems of one is not the other's, and nothing crosses."""

from __future__ import annotations

from decimal import Decimal

from crmsync import connections
from crmsync.domain.audit import Act, Origin
from crmsync.domain.bindings import FLOWS, Binding
from crmsync.domain.connections import Wanted
from crmsync.lab.machine import until
from crmsync.lab.prove.plan import Case
from crmsync.lab.prove.scene import DEALS, FEW, STRIKE_SECONDS, Scene, Tools
from crmsync.lab.prove.stage import Stage
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
    """Each system of the second company is down until a deal of the first one is billed: nobody waits for the other."""
    stage, neighbour, scene = tools.stage, tools.subjects.neighbour, Scene()
    _bind(stage, neighbour.company)
    with tools.subjects.stream(DEALS) as scene.expected, neighbour.stream(DEALS) as scene.elsewhere:
        for company in stage.sandbox.companies:
            if not _bills(company):
                scene.problems.append(f"no deal of company {company.number} was billed")
        for account in neighbour.company.accounts:
            fault = stage.sandbox.faults.add(account.name, "down")
            if not _bills(stage.sandbox.companies[0]):
                scene.problems.append(f"while {account.name} was down nothing was billed for the other company")
            stage.sandbox.faults.clear(fault_id=fault.id)
            scene.broken()
            stage.sleep(tools.random.uniform(0.5, 1.5))
    tools.settle([*scene.expected, *scene.elsewhere])
    for each in range(FEW):
        tools.subjects.pay(scene.expected[each], PART)
        neighbour.pay(scene.elsewhere[each], PART)
    return scene


def _bills(company: Company) -> bool:
    """Whether one invoice more is made for it."""
    before = len(company.ledger()["invoices"])
    return until(lambda: len(company.ledger()["invoices"]) > before, patience_seconds=STRIKE_SECONDS) is not None


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
