"""Two tenants with two CRM orgs each on the same processes: none suffers what another does, and nothing crosses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from functools import partial

from crmsync import connections
from crmsync.domain.access import DEFAULT_TENANT
from crmsync.domain.audit import Act, Origin
from crmsync.domain.bindings import FLOWS, Binding
from crmsync.domain.connections import Wanted
from crmsync.lab.machine import until
from crmsync.lab.prove.plan import Case
from crmsync.lab.prove.scene import FEW, PREPARE_SECONDS, Scene, Tools
from crmsync.lab.prove.stage import WORKERS, Stage
from crmsync.lab.prove.subjects import STAMP_SECONDS, Subjects
from crmsync.lab.prove.verdict import Expected
from crmsync.lab.sandbox.world import Company
from crmsync.services import Services

TENANTS = (DEFAULT_TENANT, "second")  # the companies of the sandbox belong to them in turn
PART = Decimal("0.5")
CAMPAIGN = Act("prove", Origin.CLI)
# Which roles a system fills, and which role is the source of a flow
ROLES = {
    "salesforce": ("deals", "catalogue"),
    "s4hana": ("orders", "stock"),
    "zoho_books": ("invoices", "payments"),
}
SOURCES = {"order_to_invoice": "deals", "payments": "payments", "inventory": "catalogue"}
STRIKES = 8
STRIKE_PAUSE_SECONDS = (0.3, 1.0)
OUTAGE_SECONDS = 1.5


def companies_at_once(tools: Tools, _case: Case) -> Scene:
    """First each system of the second tenant fails, and the first one waits for none; then all win deals at once."""
    everybody = [tools.subjects, *tools.subjects.neighbours]
    made: list[list[Expected]] = [[] for _ in everybody]
    scene = Scene(made[0], made[1:])
    bind(tools.stage, [each.company for each in everybody])
    _each_system_down(tools, scene, everybody, made)
    number = max(1, tools.plan.deals * len(TENANTS) // len(everybody))
    made[0] += _flood(tools)
    with ThreadPoolExecutor(len(everybody)) as pool:
        won = [pool.submit(each.won_deals, number) for each in everybody]
        _strike(tools, scene, lambda: all(each.done() for each in won))
    for all_of, more in zip(made, won, strict=True):
        all_of += more.result()
    if tools.settle(scene.everywhere):  # else it is judged by what has not ended
        for subjects, own in zip(everybody, made, strict=True):
            for each in own[:: max(1, len(own) // FEW)]:
                subjects.pay(each, PART)
    return scene


def _each_system_down(
    tools: Tools, scene: Scene, everybody: Sequence[Subjects], made: Sequence[list[Expected]]
) -> None:
    """Each system of a company of the second tenant is down until deals of a company of the first one are billed."""
    ours, theirs = everybody[:2]
    number = min(FEW, max(1, tools.plan.deals // 20))
    for account in theirs.company.accounts:
        fault = tools.stage.sandbox.faults.add(account.name, "down")
        made[1].extend(theirs.won_deals(number))
        deals = ours.won_deals(number)
        made[0].extend(deals)
        if not until(partial(_are_billed, ours, deals), patience_seconds=PREPARE_SECONDS):
            scene.problems.append(f"while {account.name} was down deals of the other tenant were not billed")
        tools.stage.sandbox.faults.clear(fault_id=fault.id)
        scene.broken()


def _are_billed(subjects: Subjects, deals: Sequence[Expected]) -> bool:
    return all(subjects.has_open_invoice(each) for each in deals)


def _flood(tools: Tools) -> list[Expected]:
    """A mass update of the first org that no webhook announces: catch-up finds all of them together."""
    subjects = tools.subjects
    made = [expected for _, expected in (subjects.new_deal() for _ in range(tools.plan.deals))]
    subjects.company.deals.close_all([each.deal for each in made])
    subjects.all += made
    tools.stage.sleep(STAMP_SECONDS)
    subjects.begin("catch_up_deals")
    return made


def _strike(tools: Tools, scene: Scene, is_over: Callable[[], bool]) -> None:
    """Kill workers, and break accounts of either tenant, while deals come; at least once."""
    accounts = [account.name for company in tools.stage.sandbox.companies for account in company.accounts]
    for number in range(STRIKES):
        if number and is_over():
            return
        tools.stage.sleep(tools.random.uniform(*STRIKE_PAUSE_SECONDS))
        if tools.random.random() < PART:
            tools.stage.kill(tools.random.choice(WORKERS))
        with _broken(tools, tools.random.choice(accounts)):
            tools.stage.sleep(OUTAGE_SECONDS)
        scene.broken()


@contextmanager
def _broken(tools: Tools, account: str) -> Iterator[None]:
    """Down, or without an answer to each fifth call, whose work is done."""
    faults = tools.stage.sandbox.faults
    is_down = tools.random.random() < PART
    fault = faults.add(account, "down") if is_down else faults.add(account, "lost", rate=0.2)
    try:
        yield
    finally:
        faults.clear(fault_id=fault.id)


# -- who they are


def bind(stage: Stage, companies: Sequence[Company]) -> None:
    """Make the further companies known: connections to their accounts, all flows bound, webhooks at their own doors."""
    with stage.store.read() as uow:
        if uow.bindings.all(TENANTS[1]):
            return
    first, *others = companies
    # What is bound for a tenant replaces what the environment implies for it.
    _bind_flows(stage, DEFAULT_TENANT, {account.system: account.system for account in first.accounts})
    for company in others:
        tenant = TENANTS[(company.number - 1) % len(TENANTS)]
        ids = _connect(stage, tenant, company)
        _bind_flows(stage, tenant, ids)
        company.doors.deal = f"/hooks/{ids['salesforce']}/deal-closed"
        company.doors.payment = f"/hooks/{ids['zoho_books']}/payment"


def _connect(stage: Stage, tenant: str, company: Company) -> dict[str, str]:
    """The ids of the connections, by system."""
    using, ids = Services(stage.settings, stage.store), {}
    with stage.store.begin() as uow:
        for account in company.accounts:
            row = account.connection()
            wanted = Wanted(name=row["name"], settings={**row["settings"], **row["secrets"]})
            ids[account.system] = connections.create(using, uow, CAMPAIGN, tenant, account.system, wanted).id
    return ids


def _bind_flows(stage: Stage, tenant: str, ids: dict[str, str]) -> None:
    roles = {role: ids[system] for system, filled in ROLES.items() for role in filled}
    with stage.store.begin() as uow:
        for flow in FLOWS:
            uow.bindings.add(Binding(tenant, flow, roles[SOURCES[flow]], roles))
