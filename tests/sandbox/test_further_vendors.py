"""A further vendor's stand-in is a class of its own: the kernel gives it all that the others have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.kernel.faults import UnknownFault
from tests.made_up.stand_in import LedgerlyStandIn

BILL = {"reference": "SF-1"}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(also=[LedgerlyStandIn], companies=2, ledgerly_client_id="ours") as made:
        yield made


def post(sandbox: Sandbox, name: str, secret: str = "ledgerly-secret") -> requests.Response:
    headers = {"Authorization": f"Bearer {secret}"}
    return requests.post(f"{sandbox.accounts[name].url}/bills", json=BILL, headers=headers, timeout=5)


def test_each_company_has_an_account_there_with_settings_of_its_own(sandbox: Sandbox) -> None:
    rows = {row["name"]: row for row in sandbox.connections() if row["system"] == "ledgerly"}

    assert [row["settings"]["client_id"] for row in rows.values()] == ["ours", "ours-2"]
    assert list(rows) == ["ledgerly", "ledgerly-2"]
    assert sandbox.environment()["LEDGERLY_CLIENT_SECRET"] == "ledgerly-secret"
    assert post(sandbox, "ledgerly-2").status_code == 401


def test_what_is_made_there_is_in_its_own_companys_ledger(sandbox: Sandbox) -> None:
    assert post(sandbox, "ledgerly").status_code == 201

    assert [bill["reference"] for bill in sandbox.ledger()["bills"]] == ["SF-1"]
    assert sandbox.companies[1].ledger()["bills"] == []
    assert [event["system"] for event in sandbox.ledger()["events"]] == ["ledgerly"]
    assert sandbox.calls()["ledgerly"]["operations"] == {"create_bill": 1}


def test_its_operations_are_those_of_its_routes_and_no_fault_is_about_others(sandbox: Sandbox) -> None:
    operations = sandbox.accounts["ledgerly"].operations

    assert {"create_bill", "find_bill", "mail_bill", "other"} < set(operations)
    assert [each for each in operations if each.endswith("order")] == []
    with pytest.raises(UnknownFault):
        sandbox.faults.add("ledgerly", "error", "create_order")
    with pytest.raises(UnknownFault):
        sandbox.faults.add("ledgerly", "vanish", "create_bill")  # SAP's own


def test_it_fails_on_demand_and_is_reset_like_any_other(sandbox: Sandbox) -> None:
    for name, status in (("ledgerly-closed", 423), ("ledgerly-edge-420", 420)):
        sandbox.faults.play(name, operation="create_bill", times=1)
        assert post(sandbox, "ledgerly").status_code == status
    sandbox.faults.add("ledgerly", "error", times=1)
    assert post(sandbox, "ledgerly").status_code == 500
    assert post(sandbox, "ledgerly").status_code == 201

    sandbox.reset()

    assert sandbox.ledger()["bills"] == []


def test_without_it_nothing_knows_it() -> None:
    assert "ledgerly" not in Sandbox().accounts
