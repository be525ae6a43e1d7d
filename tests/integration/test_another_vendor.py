"""Another vendor touches only its own folder: one that is merely installed beside crmsync serves a company at once.

Nothing of crmsync, of its sandbox or of its settings names it: all that makes it known is its package's entry point.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from crmsync import people, systems
from crmsync.domain.access import Role
from crmsync.domain.audit import Act, Origin
from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.deals import Deal
from tests.made_up import SYSTEM
from tests.made_up.doors import HEADER
from tests.made_up.stand_in import LedgerlyStandIn
from tests.system import FLOW, NO_PERIODS, ROOT, System, big_sandbox, running, until

TENANT = "acme"
CUSTOMER = "Lisbon Tiles Lda"
PAYMENTS_SECRET = "a secret of the door for payments"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the installation of its package leaves behind: a folder in which every process finds the entry point."""
    folder = tmp_path_factory.mktemp("packages")
    about = folder / "ledgerly-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: ledgerly\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{systems.GROUP}]\n{SYSTEM.name} = tests.made_up:SYSTEM\n")
    return folder


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, installed: Path) -> Iterator[System]:
    """A real receiver and a real worker; the company of the environment has no account at the other vendor."""
    environment = {
        **NO_PERIODS,
        "PYTHONPATH": f"{installed}:{ROOT}",
        "CRMSYNC_ALLOW_HTTP": "true",
        "CRMSYNC_ALLOW_PRIVATE_ADDRESSES": "true",
        "CRMSYNC_SECRET_KEY": "a key with which secrets are sealed",
        "CRMSYNC_TELL_SELLERS": "no",
    }
    sandbox = big_sandbox(also=[LedgerlyStandIn], companies=2)
    with running(tmp_path_factory.mktemp("another"), sandbox=sandbox, **environment) as made:
        for name in [each for each in made.environment if each.startswith(SYSTEM.prefixes)]:
            del made.environment[name]
        yield made.start("web", "worker")


class Api:
    """The API as the second company's administrator asks it."""

    def __init__(self, system: System) -> None:
        act = Act("ada", Origin.CLI)
        with system.store.begin() as uow:
            made = people.create_token(uow, act, name="boss", role=Role.ADMIN, tenant=TENANT)
        self._system, self._headers = system, {"Authorization": f"Bearer {made.text}"}

    def __call__(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        headers = self._headers | ({"If-Match": "*"} if method == "PUT" else {})
        address = self._system.url(f"/api/erp{path}")
        answer = requests.request(method, address, json=body, headers=headers, timeout=60)
        assert answer.ok, answer.text
        return answer.json()


def _connected(api: Api, sandbox: Sandbox) -> dict[str, str]:
    """The second company's CRM and ERP, and its books at the other vendor, by system: their ids."""
    made = {}
    for account in sandbox.companies[1].accounts:
        row = account.connection()
        secrets = row["secrets"] | ({"webhook_secret": PAYMENTS_SECRET} if row["system"] == SYSTEM.name else {})
        body = {"erp_system": row["system"], "name": row["name"], "settings": row["settings"], "secrets": secrets}
        if row["system"] != "zoho_books":
            made[row["system"]] = api("POST", "/connections", body)["id"]
    return made


def test_a_deal_and_its_payment_go_through_a_vendor_that_only_its_own_folder_knows(system: System) -> None:
    api, company = Api(system), system.sandbox.companies[1]
    own = _connected(api, system.sandbox)
    api("PUT", f"/bindings/{FLOW}", {"roles": {
        "deals": own["salesforce"], "orders": own["s4hana"], "invoices": own[SYSTEM.name],
    }})  # fmt: skip
    api("PUT", "/bindings/payments", {"roles": {
        "payments": own[SYSTEM.name], "deals": own["salesforce"], "invoices": own[SYSTEM.name],
    }})  # fmt: skip
    company.doors.deal = f"/hooks/{own['salesforce']}/deal-closed"
    deal = company.deals.create(CUSTOMER, email="contas@tiles.example")

    company.deals.close(deal.id, webhook="json")
    until(lambda: _is_written(company.ledger(), deal, "Zoho_Invoice_Number__c"), what="the deal has its invoice")
    [bill] = company.ledger()["bills"]
    _paid(system, own[SYSTEM.name], bill)
    until(lambda: _is_written(company.ledger(), deal, "Payment_Received__c"), what="the deal is paid")

    told = company.ledger()
    [payer], [order], [mail] = told["payers"], told["orders"], told["mails"]
    assert (bill["reference"], bill["payer"], Decimal(bill["net"])) == (f"SF-{deal.id}", payer["id"], deal.amount)
    assert (payer["name"], order["reference"], mail["invoice_id"]) == (CUSTOMER, bill["reference"], bill["id"])
    assert told["invoices"] == [], "its books are elsewhere"
    assert system.letters() == []


def _is_written(ledger: Mapping[str, Any], deal: Deal, field: str) -> bool:
    return any(row["id"] == deal.id and bool(row[field]) for row in ledger["deals"])


def _paid(system: System, connection: str, bill: Mapping[str, Any]) -> None:
    """Money comes in at the other vendor, which announces it."""
    books = system.sandbox.accounts["ledgerly-2"]
    assert isinstance(books, LedgerlyStandIn)
    payment = books.pay(bill["id"], bill["net"], on="2026-11-30")
    address = system.url(f"/hooks/{connection}/payment")
    answer = requests.post(address, json={"payment": payment}, headers={HEADER: PAYMENTS_SECRET}, timeout=60)
    assert answer.status_code == 200, answer.text


def test_whoever_has_no_account_there_notices_nothing(system: System) -> None:
    doctor, limits, config = _commands(system, "doctor", "limits --tenant default --json", "config --json")
    ready = requests.get(system.url("/readyz"), timeout=60)

    assert json.loads(config)[SYSTEM.name] == "not configured", "it is installed"
    assert ready.status_code == 200, ready.text
    assert SYSTEM.name not in ready.text
    assert "Zoho Books" in doctor
    assert SYSTEM.title not in doctor
    assert {each["connection"] for each in json.loads(limits)} == {"salesforce", "s4hana", "zoho_books"}


def _commands(system: System, *lines: str) -> list[str]:
    """What these commands print, one after the other in one process: to start one takes longer than most of them."""
    done = system.run("python", "-c", _EACH, json.dumps(lines))
    return done.stdout.split(_NEXT)[1:]


_NEXT = "======== the next command\n"
_EACH = f"""
import json, sys
from crmsync.cli.main import cli
for line in json.loads(sys.argv[1]):
    print({_NEXT!r}, end="", flush=True)
    try:
        cli.main(line.split(), prog_name="crmsync")
    except SystemExit:
        pass
    sys.stdout.flush()
"""
