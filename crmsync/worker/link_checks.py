"""Looks up the account and the customer that somebody says are one, for the API: its process calls no system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from crmsync.celery import app
from crmsync.domain.customers import Candidate, Customer
from crmsync.domain.tax_numbers import Verdict, compare_all
from crmsync.services import Services, services
from crmsync.worker import customer_links, questions
from crmsync.worker.customer_links import Sides

TASK = "background.check_link"
FLOW = "order_to_invoice"  # whose customers are linked


@dataclass(frozen=True, slots=True)
class Asked:
    """Is *account* of the CRM *source* the customer *key* at *connection*?"""

    tenant: str
    source: str
    connection: str
    account: str
    key: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found: the customer as a link keeps it, or what is wrong with the account or with the number.

    *doubt* says how the customer differs from the account, where a person may link the two all the same.
    """

    currency: str = ""
    name: str = ""
    city: str = ""
    wrong_account: str = ""
    wrong_key: str = ""
    doubt: str = ""


@app.task(name=TASK, queue=questions.QUEUE)
def check_link(question_id: str) -> None:
    using = services()
    questions.answer(using, question_id, lambda asked: asdict(check(using, asked)))


def check(using: Services, asked: Mapping[str, Any]) -> Checked:
    """Two calls that read. Raises: LinkRefusedError where one of the systems can't be asked now."""
    what = Asked(**asked)
    company = using.companies.of(what.tenant, FLOW, "deals", what.source)
    account = customer_links.read_accounts(company, [what.account]).get(what.account)
    if account is None:
        return Checked(wrong_account=f"The CRM has no account {what.account}.")
    found = customer_links.look_up(using, what.connection, [what.key]).get(what.key)
    system = customer_links.role(using, what.connection).system
    if found is None or (problem := customer_links.problem_of(found, what.key, system)):
        return Checked(wrong_key=problem if found else customer_links.problem_of(None, what.key, system))
    found = replace(found, is_person=found.is_person or account.is_person)
    doubt = doubt_of(what, system, account, found)
    return Checked(found.currency, found.shown_name, found.shown_city, doubt=doubt)


def doubt_of(what: Asked, system: str, account: Customer, found: Candidate) -> str:
    """Why the two may not be one, as a sentence, or ""."""
    name, city = ("", "") if account.is_person else (account.name, account.address.city)
    sides = Sides(what.connection, what.source, system, account.key, name, city, found)
    differing = [] if sides.is_alike else ["name"]
    if compare_all(account.tax, found.tax_numbers) is Verdict.DIFFERENT:
        differing.append("tax number")
    if not differing:
        return ""
    return f"{found.label} in {system} has another {' and '.join(differing)} than the account {sides.account_label}."
