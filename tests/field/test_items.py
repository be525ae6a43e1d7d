"""Part 7: the books' items on invoices of whole processes, against the stand-in."""

from __future__ import annotations

import os
from decimal import Decimal

from crmsync.domain.documents import InvoiceRequest
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import Store, schema
from tests.builders import customer, deal
from tests.system import big_sandbox


def test_part_7__a_worker_that_was_started_again_reads_no_items_for_its_first_invoice(database_url: str) -> None:
    with big_sandbox() as sandbox:
        settings = Settings.from_env({**os.environ, **sandbox.environment()})
        sandbox.products.add("A-100", "Gauge", Decimal(5))
        calls: list[int] = []
        for number in range(3):
            store = Store(database_url)
            schema.migrate(store)
            books = Services(settings, store).company().invoices.api
            buyer = books.create_customer(
                customer(key=f"00{number}", name=f"Buyer {number}"), reference="", currency=""
            )
            request = InvoiceRequest(f"SF-{number}", buyer.key, deal(), payment_terms_days=30, send=False)
            books.create_invoice(request)
            calls.append(sandbox.calls()["zoho"]["operations"].get("find_item", 0))
            store.close()

    assert calls == [1, 1, 1]
