"""An organization that keeps fewer decimals of a currency than it has: what is kept is billed, the rest refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import responses

from crmsync.connectors.kit.notes import OwnNotes
from crmsync.domain.documents import InvoiceRequest
from crmsync.errors import MappingError, VendorUnavailableError

from ..conftest import LoadFixture
from .builders import invoice_request, line
from .conftest import API, Build
from .test_invoices import sent

WHOLE = invoice_request(line("7", "0.7", "5.00"), currency="KWD")
FINE = invoice_request(line("1", "1.001", "1.001"), currency="KWD")


def lists(zoho: responses.RequestsMock, **kept: int | None) -> responses.BaseResponse:
    rows = [{"currency_id": f"46{code}", "currency_code": code, "price_precision": kept[code]} for code in kept]
    body = {"code": 0, "message": "success", "currencies": rows, "page_context": {"has_more_page": False}}
    return zoho.upsert(responses.GET, f"{API}/settings/currencies", json=body)


def makes(zoho: responses.RequestsMock, fixture: LoadFixture, *, kept: int | None) -> responses.BaseResponse:
    answer: dict[str, Any] = fixture("invoice__created")
    shown = {**answer["invoice"], "currency_code": "KWD", "price_precision": kept}
    return zoho.upsert(responses.POST, f"{API}/invoices", json={**answer, "invoice": shown}, status=201)


@pytest.fixture
def known(zoho: responses.RequestsMock, books: Build, fixture: LoadFixture) -> OwnNotes:
    """An invoice has shown to some process that KWD is kept with two decimals."""
    notes = OwnNotes()
    makes(zoho, fixture, kept=2)
    books(notes=notes).create_invoice(WHOLE)
    return notes


def posts(zoho: responses.RequestsMock) -> int:
    return sum(call.request.method == "POST" for call in zoho.calls)


def test_M1__a_deal_that_is_too_fine_is_refused_before_its_invoice(
    zoho: responses.RequestsMock, books: Build, known: OwnNotes
) -> None:
    lists(zoho, USD=2, KWD=2)

    with pytest.raises(MappingError, match=r"keeps KWD with 2 of its 3 decimals, and a line comes to 1\.001") as caught:
        books(notes=known).create_invoice(FINE)

    assert caught.value.field_errors == {"price_precision": "is 2 for KWD"}
    assert caught.value.is_definite
    assert posts(zoho) == 1


@pytest.mark.parametrize("kept", [3, None])
def test_M1__it_is_made_as_soon_as_the_organization_keeps_them_all_or_does_not_tell(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, known: OwnNotes, kept: int | None
) -> None:
    lists(zoho, KWD=3)
    makes(zoho, fixture, kept=kept)

    for _ in range(2):
        books(notes=known).create_invoice(FINE)

    assert [call.request.method for call in zoho.calls] == ["POST", "GET", "POST", "POST"], "one look, and no other"


def test_M1__a_list_that_can_not_be_read_now_sends_nothing(
    zoho: responses.RequestsMock, books: Build, known: OwnNotes
) -> None:
    zoho.get(f"{API}/settings/currencies", status=503)

    with pytest.raises(VendorUnavailableError) as caught:
        books(notes=known).create_invoice(FINE)

    assert caught.value.is_definite
    assert posts(zoho) == 1


def test_M1__an_edition_that_lists_no_currencies_is_asked_for_the_invoice(
    zoho: responses.RequestsMock, books: Build, known: OwnNotes
) -> None:
    zoho.get(f"{API}/settings/currencies", status=404, json={"code": 5, "message": "Invalid URL Passed"})

    books(notes=known).create_invoice(FINE)

    assert posts(zoho) == 2


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (invoice_request(line("2", "33.505", "67.01"), currency="KWD"), (1, Decimal("67.01"))),
        (invoice_request(line("2", "33.50", "67.00"), currency="KWD"), (2, Decimal("33.50"))),
    ],
    ids=["a rate that would be rounded is billed as one piece", "a rate that is kept stays"],
)
def test_M1__a_total_that_is_kept_is_billed_exactly(
    zoho: responses.RequestsMock,
    books: Build,
    known: OwnNotes,
    request_: InvoiceRequest,
    expected: tuple[int, Decimal],
) -> None:
    books(notes=known).create_invoice(request_)

    (billed,) = sent(zoho)["line_items"]
    assert (billed["quantity"], billed["rate"]) == expected


def test_M1__doctor_lets_every_process_know(zoho: responses.RequestsMock, books: Build, fixture: LoadFixture) -> None:
    notes = OwnNotes()
    zoho.get(f"{API}/organizations", json=fixture("organizations__one"))
    for kind in ("contacts", "invoices", "customerpayments"):
        zoho.get(f"{API}/{kind}", json={"code": 0, kind: [], "page_context": {"has_more_page": False}})
    lists(zoho, USD=2, KWD=2)
    books(notes=notes).check()

    with pytest.raises(MappingError):
        books(notes=notes).create_invoice(FINE)
    assert posts(zoho) == 0


@pytest.mark.parametrize("kept", [2, 3, None])
def test_M1__an_invoice_of_what_is_known_costs_one_look_at_the_notes(
    zoho: responses.RequestsMock, books: Build, fixture: LoadFixture, kept: int | None
) -> None:
    class Counted(OwnNotes):
        def __init__(self) -> None:
            super().__init__()
            self.reads: list[str] = []

        def read(self, name: str) -> str | None:
            self.reads.append(name)
            return super().read(name)

    notes = Counted()
    makes(zoho, fixture, kept=kept)
    made = books(notes=notes)
    made.create_invoice(WHOLE)
    notes.reads.clear()

    made.create_invoice(WHOLE)

    assert notes.reads == ["decimals.10234695"]
