"""Cases from the field, T9 and T10, with real processes: an org that moves, and a token that may not read payments."""

from __future__ import annotations

from pathlib import Path

from tests.system import big_sandbox, running, until

SCOPES = ("ZohoBooks.contacts.ALL", "ZohoBooks.invoices.ALL", "ZohoBooks.settings.READ")


def test_T9__an_org_that_moves_twice_keeps_its_deals(tmp_path: Path) -> None:
    with running(tmp_path, "web", "worker", "beat") as system:
        deals = [system.sandbox.deals.create() for _ in range(6)]
        for old, start in (("", 0), ("moved", 2), ("not-reset", 4)):
            if old:
                system.sandbox.move_org(old)
            system.close_all(deals[start : start + 2])
            system.wait_for("done", *deals[start : start + 2])

        assert system.letters() == []
        assert {count for deal in deals for count in [len(each) for each in system.documents(deal)]} == {1}


def test_T10__a_token_without_the_scope_for_payments_costs_no_other_flow(tmp_path: Path) -> None:
    with running(tmp_path, "web", "worker", "beat", sandbox=big_sandbox(zoho_scopes=SCOPES)) as system:
        deals = [system.sandbox.deals.create() for _ in range(6)]
        system.close_all(deals)
        system.wait_for("done", *deals)
        for deal in deals:
            [invoice] = system.documents(deal)[1]
            system.sandbox.invoices.pay(invoice["number"], webhook=True)
        letters = until(lambda: len(found := system.letters()) == 6 and found, what="each payment has its letter")

        assert {(letter.flow, letter.error) for letter in letters} == {("payment_to_invoices", "AuthenticationError")}
        assert all("permission" in letter.cause for letter in letters)
        assert system.sandbox.calls()["zoho"]["overhead"] <= 3, "tokens"
