"""What a campaign does: its faults, their cases, and the command that repeats one of them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from crmsync.lab.failpoints import ANY, BOUNDARIES, CREATE, KILL, STOP, WRITE, Failpoint
from crmsync.log import without_password

Flows = Mapping[str, Sequence[str]]  # the steps of each flow

# fault → what it does, in one line; in the order of a campaign
FAULTS: Mapping[str, str] = {
    "kill": "kill -9 of a worker at each boundary of each step",
    "lost-answers": "the work is done, and the connection is cut without an answer",
    "slow-answers": "the answer comes after every timeout",
    "cut-answers": "the work is done, and the answer ends inside its body: closed, reset, unended, no gzip",
    "stalled-answers": "the work is done, and the answer stays silent inside its body",
    "trickling-answers": "the work is done, and the answer comes a byte at a time and never ends",
    "foreign-answers": "an edge or a gateway answers with a page instead, the work done or not",
    "worker-stopped": "a worker is stopped until its lease is over and others took over; then it goes on",
    "repeated-webhooks": "each webhook comes several times, at once",
    "reordered-webhooks": "webhooks come late, in another order, with old contents",
    "doubled-messages": "every task message is sent again and again",
    "redis-emptied": "the broker forgets every message",
    "redis-restarted": "the broker is killed, or cuts every connection",
    "receiver-killed": "kill -9 of the receiver while webhooks wait to be stored",
    "database-restarted": "PostgreSQL ends our sessions; SQLite is locked for longer than anybody waits",
    "packets-dropped": "a firewall forgets the connections to the database, and lets none through (PostgreSQL)",
    "database-readonly": "the database fails over to one that can only be read (PostgreSQL)",
    "two-beats": "two beats instead of one",
    "clock-jumps": "the clock is an hour ahead, and then right again; beat and workers are started anew",
    "other-release": "the store has rows of another release: flows, steps and results that are not known here",
    "upgraded": "an installation of an earlier release is migrated and replaced while deals come (--previous)",
    "disk-full": "the store can't be written (SQLite)",
    "tokens-expired": "every token expires at once, several times",
    "failing-sign-ins": "every token expires, and the token endpoints fail for a moment, in each known way",
    "org-moved": "the CRM's org gets another address, several times; the old one answers in each known way",
    "late-lists": "what is new comes late to every list, while answers to creates are lost",
    "documents-taken-back": "people delete, void and reject documents, of runs that stopped and of runs that are done",
    "deals-won-again": "deals are reopened, changed and won again, while their runs are under way and afterwards",
    "slack-closed": "alerts can't be delivered",
    "two-companies": "two tenants with two orgs each win deals at once, amid a flood, kills, outages, lost answers",
    "random-kill": "kill -9 of workers, receiver, beat and broker at random while deals keep coming",
}
# What goes wrong with one answer; struck at every vendor at random, too.
ANSWERS: Mapping[str, str] = {
    "lost-answers": "lost",
    "slow-answers": "slow",
    "cut-answers": "cut",
    "stalled-answers": "stalled",
    "trickling-answers": "trickling",
    "foreign-answers": "foreign",
}
STEPWISE = ("kill", "worker-stopped", *ANSWERS)
UPGRADED = "upgraded"
WHOLE = "all"  # the case of a fault that strikes the whole system

# Steps that make a document under a ledger row, with the vendor's operation that makes it.
CREATES: Mapping[str, tuple[str, str]] = {
    "order_to_invoice.match_erp_customer": ("sap", "create_customer"),
    "order_to_invoice.create_order": ("sap", "create_order"),
    "order_to_invoice.match_books_customer": ("zoho", "create_customer"),
    "order_to_invoice.create_invoice": ("zoho", "create_invoice"),
    "order_to_invoice.send_invoice": ("zoho", "send_invoice"),
}
# The operation of the other steps: what they read, or write without making anything.
CALLS: Mapping[str, tuple[str, str]] = {
    "order_to_invoice.fetch_deal": ("salesforce", "query"),
    "order_to_invoice.write_back": ("salesforce", "update_deal"),
    "payment_to_invoices.find_invoices": ("zoho", "get_payment"),
    "invoice_to_deal.read_invoice": ("zoho", "get_invoice"),
    "invoice_to_deal.write_payment": ("salesforce", "update_deal"),
    "inventory.read_catalogue": ("salesforce", "query"),
    "inventory.read_stock": ("sap", "read_stock"),
    "inventory.write_levels": ("salesforce", "collections"),
    "catch_up_deals.look_for_deals": ("salesforce", "query"),
    "catch_up_payments.look_for_payments": ("zoho", "find_payment"),
    "compare_orders.look_at_orders": ("sap", "find_order"),
    "compare_invoices.look_at_invoices": ("zoho", "find_invoice"),
    "deal_status.tell_seller": ("salesforce", "composite"),
}
# The steps of flows of several steps that run ahead; of which these are the first and the last ones.
FIRST = frozenset({"order_to_invoice.fetch_deal", "invoice_to_deal.read_invoice"})
LAST = frozenset({"order_to_invoice.write_back", "invoice_to_deal.write_payment"})
HANDED_BACK = FIRST | LAST | CREATES.keys()
WRITING_STEPS = ("write_back", "write_payment", "write_levels", "tell_seller")


@dataclass(frozen=True, slots=True)
class Case:
    """One fault at one place: a step and what happens at it, or the whole system."""

    fault: str
    step: str = ""  # "flow.step"
    boundary: str = ""

    @property
    def name(self) -> str:
        """What --case takes.

        >>> Case("kill", "order_to_invoice.create_order", "sent").name
        'order_to_invoice.create_order:sent'
        """
        return f"{self.step}:{self.boundary}" if self.step else WHOLE

    @property
    def flow(self) -> str:
        return self.step.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.fault} {self.name}" if self.step else self.fault


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for on the command line."""

    seed: int
    only: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    kills: int = 20
    deals: int = 200
    minutes: float = 0.0
    database: str = ""
    broker: str = ""
    pool: str = "threads"
    runs_ahead: bool = True  # False: one message a step
    previous: str = ""  # the folder with the commands of an earlier release, from which the installation is upgraded


def cases(flows: Flows, plan: Plan) -> list[Case]:
    """The cases of one round, in order; those that the plan names, or all."""
    faults = [fault for fault in FAULTS if _is_asked_for(fault, plan)]
    found = [case for fault in faults for case in _of_fault(fault, flows, runs_ahead=plan.runs_ahead)]
    return [case for case in found if not plan.cases or case.name in plan.cases]


def _is_asked_for(fault: str, plan: Plan) -> bool:
    """An installation can be upgraded once, and nothing else can be tried while it is of the earlier release."""
    if plan.previous or fault == UPGRADED:
        return bool(plan.previous) and fault == UPGRADED
    return not plan.only or fault in plan.only


def _of_fault(fault: str, flows: Flows, *, runs_ahead: bool) -> list[Case]:
    if fault not in STEPWISE:
        return [Case(fault)]
    steps = [f"{flow}.{step}" for flow, names in flows.items() for step in names]
    stepwise = [Case(fault, step, each) for step in steps for each in _boundaries(fault, step, runs_ahead=runs_ahead)]
    return stepwise + ([Case(fault)] if fault in ANSWERS else [])


def _boundaries(fault: str, step: str, *, runs_ahead: bool) -> Sequence[str]:
    return [ANSWERS[fault]] if fault in ANSWERS else boundaries_of(fault, step, runs_ahead=runs_ahead)


def boundaries_of(fault: str, step: str, *, runs_ahead: bool) -> list[str]:
    """The boundaries of a step at which *fault* may strike.

    Only a step that makes something reserves it first. Who runs ahead hands a later step back when that must wait, and
    sends no message for a first step that ended well. Who is stopped inside a transaction only keeps others waiting.
    """
    excluded = set() if step in CREATES else {"reserved"}
    excluded |= {"ending"} if fault == "worker-stopped" else set()
    is_ahead, is_later = runs_ahead and step in HANDED_BACK, step not in FIRST
    excluded |= set() if is_ahead and is_later else {"handing"}
    excluded |= {"unacknowledged"} if is_ahead and not is_later else set()
    return [boundary for boundary in BOUNDARIES if boundary not in excluded]


def is_handed_back(case: Case) -> bool:
    """Whether the step must wait once, so that a task which runs ahead comes to the case's boundary there."""
    return case.boundary == "handing" or (case.boundary == "unacknowledged" and case.step in HANDED_BACK - LAST)


def failpoint_of(case: Case) -> Failpoint:
    """The failpoint of a case of `kill` or `worker-stopped`."""
    action = STOP if case.fault == "worker-stopped" else KILL
    return Failpoint(case.step, case.boundary, _call_that_counts(case.step), action)


def _call_that_counts(step: str) -> str:
    if step in CREATES:
        return CREATE
    return WRITE if step.partition(".")[2] in WRITING_STEPS else ANY


def operation_of(step: str) -> tuple[str, str]:
    """(system, operation) of the call for which a step exists, as the sandbox names them."""
    return CREATES.get(step) or CALLS[step]


def repeat_command(case: Case, plan: Plan, *, seed: int) -> str:
    """The command that does exactly this case again.

    >>> repeat_command(Case("kill", "order_to_invoice.create_order", "sent"), Plan(seed=1), seed=7)
    'crmsync prove --only kill --case order_to_invoice.create_order:sent --seed 7'
    """
    return plan_command(
        replace(plan, only=(case.fault,), cases=(case.name,) if case.fault in STEPWISE else ()), seed=seed
    )


def plan_command(plan: Plan, *, seed: int) -> str:
    """The command that does one round of *plan* again. Passwords are left out: it goes into files and logs."""
    words = ["crmsync", "prove"]
    words += [word for fault in plan.only for word in ("--only", fault)]
    words += [word for name in plan.cases for word in ("--case", name)]
    words += ["--seed", str(seed)]
    words += ["--kills", str(plan.kills)] if "random-kill" in (plan.only or FAULTS) else []
    words += ["--deals", str(plan.deals)] if "two-companies" in (plan.only or FAULTS) else []
    for option, value in (("--database", plan.database), ("--broker", plan.broker)):
        words += [option, without_password(value)] if value else []
    words += ["--pool", plan.pool] if plan.pool != "threads" else []
    words += [] if plan.runs_ahead else ["--one-message-a-step"]
    words += ["--previous", plan.previous] if plan.previous else []
    return shlex.join(words)
