"""Zoho Books as the stand-in answers: tokens, limits, contacts, invoices, payments."""

from decimal import Decimal
from typing import Any

import pytest

from crmsync.lab.sandbox import Sandbox
from tests.sandbox.clients import BooksClient, Json

UPSERT = {"X-Unique-Identifier-Key": "cf_crm_deal_id", "X-Unique-Identifier-Value": "006A"}


def code(answer: Any) -> tuple[int, int]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"refresh_token": "x"}, "invalid_code"),
        ({"client_id": "x"}, "invalid_client"),
        ({"client_secret": "x"}, "invalid_client_secret"),
    ],
)
def test_token_errors_come_with_200(books: BooksClient, changes: dict[str, str], error: str) -> None:
    answer = books.token(**changes)
    assert (answer.status_code, answer.json()) == (200, {"error": error})


def test_the_eleventh_token_in_ten_minutes_is_refused(books: BooksClient, sandbox: Sandbox) -> None:
    for _ in range(9):
        assert "access_token" in books.token().json()
    refused = books.token()
    assert (refused.status_code, refused.json()["error"]) == (400, "Access Denied")
    sandbox.clock.advance(601)
    assert "refresh_token" not in books.token().json()


@pytest.mark.parametrize(
    ("header", "expected"), [("Bearer 1000.x", (401, 14)), ("Zoho-oauthtoken 1000.x", (401, 57)), ("", (401, 14))]
)
def test_a_wrong_token_is_refused(books: BooksClient, header: str, expected: tuple[int, int]) -> None:
    assert code(books.call("GET", "/contacts", headers={"Authorization": header})) == expected


def test_a_token_dies_after_an_hour_and_on_command(books: BooksClient, sandbox: Sandbox) -> None:
    sandbox.clock.advance(3601)
    assert code(books.call("GET", "/contacts")) == (401, 57)
    books.sign_in()
    sandbox.expire_tokens("zoho")
    assert code(books.call("GET", "/contacts")) == (401, 57)


def test_the_organization_must_be_named(books: BooksClient) -> None:
    books.session.params = {}
    assert code(books.call("GET", "/contacts")) == (400, 6041)
    assert code(books.call("GET", "/contacts?organization_id=1")) == (400, 6041)
    assert books.call("GET", "/organizations").json()["organizations"][0]["currency_code"] == "USD"


def test_limits_by_minute_and_day(books: BooksClient, sandbox: Sandbox) -> None:
    sandbox.profile.zoho.per_minute, sandbox.profile.zoho.per_day = 2, 3
    answers = [books.call("GET", "/contacts") for _ in range(3)]
    assert [code(answer) for answer in answers] == [(200, 0), (200, 0), (429, 44)]
    assert [answer.headers["X-Rate-Limit-Remaining"] for answer in answers] == ["2", "1", "1"]
    assert "Retry-After" not in answers[2].headers
    sandbox.clock.advance(61)
    assert [code(books.call("GET", "/contacts")) for _ in range(2)] == [(200, 0), (429, 45)]


def test_too_many_at_once(books: BooksClient, sandbox: Sandbox) -> None:
    sandbox.profile.zoho.concurrent = 0
    assert code(books.call("GET", "/contacts")) == (429, 1070)


@pytest.mark.parametrize("name", ["Fjord Foods", "FJORD foods", " Fjord Foods "])
def test_a_contact_name_is_taken_in_any_case(books: BooksClient, name: str) -> None:
    books.contact()
    assert code(books.call("POST", "/contacts", json={"contact_name": name, "contact_type": "vendor"})) == (400, 3062)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, 4),
        ({"contact_name": "A", "currency_id": "1"}, 2),
        ({"contact_name": "A", "billing_address": {"zip": "9" * 51}}, 15),
        ({"contact_name": "A", "contact_persons": [{"email": "nonsense"}]}, 2),
        ({"contact_name": "A", "custom_fields": [{"api_name": "cf_unknown", "value": "x"}]}, 2),
        ({"contact_name": 5}, 2),
    ],
)
def test_a_wrong_contact_is_refused(books: BooksClient, body: Json, expected: int) -> None:
    assert code(books.call("POST", "/contacts", json=body)) == (400, expected)


def test_a_form_must_carry_jsonstring(books: BooksClient) -> None:
    assert code(books.call("POST", "/contacts", data={"contact_name": "A"})) == (400, 1038)
    assert code(books.call("POST", "/contacts", data={"JSONString": '{"contact_name":"A"}'})) == (201, 0)
    assert code(books.call("POST", "/contacts", data="{", headers={"Content-Type": "application/json"})) == (400, 1038)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"contact_name": "fjord foods"}, 1),
        ({"contact_name": "Fjord"}, 0),
        ({"contact_name_startswith": "Fjo"}, 1),
        ({"contact_name_contains": "foods"}, 2),
        ({"email": "ap@fjord.example.com"}, 1),
        ({"email_contains": "example.com"}, 2),
        ({"search_text": "elm"}, 1),
        ({"zcrm_account_id": "Z1"}, 1),
        ({"filter_by": "Status.Inactive"}, 0),
        ({"sku": "nonsense"}, 2),
    ],
)
def test_contacts_are_found(books: BooksClient, query: dict[str, str], found: int) -> None:
    books.contact()
    books.contact(contact_name="Elm Foods", zcrm_account_id="Z1", contact_persons=[{"email": "x@elm.example.com"}])
    assert len(books.call("GET", "/contacts", params=query).json()["contacts"]) == found


def test_lists_come_in_pages_of_ten_unless_told(books: BooksClient) -> None:
    for number in range(12):
        books.contact(contact_name=f"Customer {number:02d}")
    first = books.call("GET", "/contacts", params={"sort_column": "contact_name", "sort_order": "A"}).json()
    assert (len(first["contacts"]), first["page_context"]["has_more_page"]) == (10, True)
    last = books.call("GET", "/contacts", params={"per_page": 8, "page": 2, "sort_order": "A"}).json()
    assert [row["contact_name"] for row in last["contacts"]] == [f"Customer {number:02d}" for number in (8, 9, 10, 11)]
    assert code(books.call("GET", "/contacts", params={"sort_column": "shoe_size"})) == (400, 2)
    assert code(books.call("GET", "/contacts", params={"page": 0})) == (400, 2)


def test_a_fresh_document_may_lag_behind_on_lists(books: BooksClient, sandbox: Sandbox) -> None:
    sandbox.profile.zoho.lag_seconds = 5
    made = books.contact()
    assert books.call("GET", "/contacts").json()["contacts"] == []
    assert code(books.call("GET", f"/contacts/{made['contact_id']}")) == (200, 0)
    sandbox.clock.advance(6)
    assert len(books.call("GET", "/contacts").json()["contacts"]) == 1


def test_an_empty_list_may_be_204(books: BooksClient, sandbox: Sandbox) -> None:
    sandbox.profile.zoho.empty_list = "204"
    answer = books.call("GET", "/invoices")
    assert (answer.status_code, answer.content) == (204, b"")


def test_contact_persons_sent_replace_those_there(books: BooksClient) -> None:
    made = books.contact()
    path = f"/contacts/{made['contact_id']}"
    person = {"contact_id": made["contact_id"], "first_name": "Olav", "email": "o@fjord.example.com"}
    added = books.call("POST", "/contacts/contactpersons", json=person).json()["contact_person"]
    books.call("POST", f"/contacts/contactpersons/{added['contact_person_id']}/primary")
    assert books.call("GET", path).json()["contact"]["email"] == "o@fjord.example.com"
    books.call("PUT", path, json={"contact_persons": [{"first_name": "New"}]})
    persons = books.call("GET", f"{path}/contactpersons").json()["contact_persons"]
    assert [one["first_name"] for one in persons] == ["New"]


@pytest.mark.parametrize(
    ("currency", "line", "expected"),
    [
        ("USD", {"rate": 0.0125, "quantity": 1000}, (0.01, 1000, 10)),
        ("USD", {"rate": 17.555, "quantity": 200}, (17.56, 200, 3512)),
        ("USD", {"rate": 8, "quantity": 2.125}, (8, 2.13, 17.04)),
        ("USD", {"rate": 3.33, "quantity": 2.5}, (3.33, 2.5, 8.33)),
        ("JPY", {"rate": 12.5, "quantity": 2}, (13, 2, 26)),
        ("KWD", {"rate": 1.1255, "quantity": 2}, (1.126, 2, 2.252)),
        ("EUR", {"rate": 12.5, "quantity": 2}, (13, 2, 26)),
    ],
    ids=[
        "a tiny rate",
        "half a cent",
        "a fine quantity",
        "a fine total",
        "no decimals",
        "three decimals",
        "set to none",
    ],
)
def test_rate_and_quantity_are_rounded_before_they_are_multiplied(
    books: BooksClient, sandbox: Sandbox, currency: str, line: Json, expected: tuple[float, float, float]
) -> None:
    sandbox.profile.zoho.price_precision = {"EUR": 0}
    listed = books.call("GET", "/settings/currencies").json()["currencies"]
    (currency_id,) = [one["currency_id"] for one in listed if one["currency_code"] == currency]

    made = books.invoice(books.contact(currency_id=currency_id)["contact_id"], line_items=[{"name": "Sensor", **line}])

    (shown,) = made["line_items"]
    assert (shown["rate"], shown["quantity"], shown["item_total"]) == expected
    assert made["sub_total"] == expected[2]


def test_an_invoice_lives_from_draft_to_paid(books: BooksClient, sandbox: Sandbox) -> None:
    made = books.invoice(line_items=[{"name": "Sensor", "quantity": 3, "rate": 33.335}])
    assert (made["status"], made["total"], made["invoice_number"]) == ("draft", 100.02, "INV-000001")
    path = f"/invoices/{made['invoice_id']}"

    assert code(books.call("POST", f"{path}/email", json={"to_mail_ids": ["ap@fjord.example.com"]})) == (200, 0)
    sent = books.read(made)
    assert (sent["status"], sent["is_emailed"]) == ("sent", True)
    sandbox.invoices.pay(made["invoice_number"], amount=Decimal(40))
    assert (books.read(made)["status"], books.read(made)["balance"]) == ("partially_paid", 60.02)
    sandbox.invoices.pay(made["invoice_id"])
    assert (books.read(made)["status"], books.read(made)["balance"]) == ("paid", 0)
    assert code(books.call("PUT", path, json={"notes": "x"})) == (400, 1012)


def test_a_void_invoice_gives_its_payments_back(books: BooksClient, sandbox: Sandbox) -> None:
    made = books.invoice()
    paid = sandbox.invoices.pay(made["invoice_id"])
    path = f"/invoices/{made['invoice_id']}"
    assert code(books.call("POST", f"{path}/status/void")) == (200, 0)
    assert (books.read(made)["status"], books.read(made)["payment_made"]) == ("void", 0)
    assert books.call("GET", f"/customerpayments/{paid.payment_id}").json()["payment"]["invoices"] == []
    assert code(books.call("POST", f"{path}/email")) == (400, 1015)
    assert code(books.call("POST", f"{path}/status/sent")) == (400, 1014)
    assert code(books.call("POST", f"{path}/status/draft")) == (200, 0)


def test_an_unpaid_invoice_is_overdue_after_its_date(books: BooksClient, sandbox: Sandbox) -> None:
    made = books.invoice(date="2026-01-01", due_date="2026-01-31")
    books.call("POST", f"/invoices/{made['invoice_id']}/status/sent")
    rows = books.call("GET", "/invoices", params={"status": "overdue"}).json()["invoices"]
    assert [(row["status"], row["is_emailed"]) for row in rows] == [("overdue", False)]
    assert books.call("GET", "/invoices", params={"status": "draft"}).json()["invoices"] == []


def test_mails_are_counted(books: BooksClient, sandbox: Sandbox) -> None:
    contact = books.contact()
    books.invoice(contact["contact_id"])
    answer = books.call(
        "POST",
        "/invoices",
        params={"send": "true"},
        json={"customer_id": contact["contact_id"], "line_items": [{"name": "x", "rate": 1}]},
    )
    made = answer.json()["invoice"]
    books.call("POST", f"/invoices/{made['invoice_id']}/email")
    assert [one["mails"] for one in sandbox.ledger()["invoices"]] == [0, 2]
    assert sandbox.ledger()["mails"][0]["to"] == ["ap@fjord.example.com"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"customer_id": ""}, (400, 4)),
        ({"customer_id": "1"}, (404, 1002)),
        ({"line_items": []}, (400, 4)),
        ({"line_items": [{"item_id": "1"}]}, (404, 1002)),
        ({"line_items": [{"rate": 1}]}, (400, 4)),
        ({"line_items": [{"name": "x", "rate": "cheap"}]}, (400, 2)),
        ({"reference_number": "x" * 101}, (400, 15)),
        ({"invoice_number": "MINE-1"}, (400, 4097)),
        ({"date": "20.11.2026"}, (400, 2)),
        ({"date": "2026-11-20", "due_date": "2026-11-19"}, (400, 1010)),
        ({"currency_id": "1"}, (400, 2)),
        ({"contact_persons": ["1"]}, (400, 2)),
        ({"custom_fields": [{"api_name": "cf_x", "value": "1"}]}, (400, 2)),
    ],
)
def test_a_wrong_invoice_is_refused(
    books: BooksClient, sandbox: Sandbox, changes: Json, expected: tuple[int, int]
) -> None:
    body = {"customer_id": books.contact()["contact_id"], "line_items": [{"name": "x", "rate": 1}], **changes}
    assert code(books.call("POST", "/invoices", json=body)) == expected
    assert sandbox.ledger()["invoices"] == []


def test_an_own_number_must_be_free(books: BooksClient) -> None:
    body = {
        "customer_id": books.contact()["contact_id"],
        "line_items": [{"name": "x", "rate": 1}],
        "invoice_number": "M-1",
    }
    path = "/invoices?ignore_auto_number_generation=true"
    assert [code(books.call("POST", path, json=body)) for _ in range(2)] == [(201, 0), (400, 1001)]


def test_equal_references_are_no_error(books: BooksClient, sandbox: Sandbox) -> None:
    contact = books.contact()["contact_id"]
    books.invoice(contact)
    books.invoice(contact)
    assert sandbox.ledger()["duplicates"]["invoices"] == {"SF-1": 2}
    rows = books.call("GET", "/invoices", params={"reference_number": "SF-1"}).json()["invoices"]
    assert len(rows) == 2
    assert "line_items" not in rows[0]


def test_tax_is_the_lines_the_contacts_or_the_organizations(books: BooksClient, sandbox: Sandbox) -> None:
    tax = sandbox.zoho.organization.books.add_tax("VAT", Decimal(19))["tax_id"]
    made = books.invoice(line_items=[{"name": "a", "rate": 100, "tax_id": tax}, {"name": "b", "rate": 100}])
    assert (made["sub_total"], made["tax_total"], made["total"]) == (200, 19, 219)
    taxed = books.contact(contact_name="Taxed", tax_id=tax)
    assert books.invoice(taxed["contact_id"])["total"] == 119
    assert code(books.call("POST", "/contacts", json={"contact_name": "X", "tax_id": "1"})) == (400, 2)


def test_the_currency_is_the_customers(books: BooksClient) -> None:
    currencies = books.call("GET", "/settings/currencies").json()["currencies"]
    ids = {one["currency_code"]: one["currency_id"] for one in currencies}
    contact = books.contact(currency_id=ids["EUR"])
    made = books.invoice(contact["contact_id"], currency_id=ids["USD"])
    assert made["currency_code"] == "EUR"
    path = f"/contacts/{contact['contact_id']}"
    assert code(books.call("PUT", path, json={"currency_id": ids["USD"]}))[0] == 400


def test_upsert_needs_its_headers(books: BooksClient) -> None:
    body = {"customer_id": books.contact()["contact_id"], "line_items": [{"name": "x", "rate": 1}]}
    assert code(books.call("PUT", "/invoices", json=body)) == (400, 4)
    assert code(books.call("PUT", "/invoices", json=body, headers=UPSERT)) == (404, 1002)
    wrong = {**UPSERT, "X-Unique-Identifier-Key": "cf_sap_order", "X-Upsert": "true"}
    assert code(books.call("PUT", "/invoices", json=body, headers=wrong)) == (400, 2)
    answers = [books.call("PUT", "/invoices", json=body, headers={**UPSERT, "X-Upsert": "true"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert len({answer.json()["invoice"]["invoice_id"] for answer in answers}) == 1
    again = {**body, "custom_fields": [{"api_name": "cf_crm_deal_id", "value": "006A"}]}
    assert books.call("POST", "/invoices", json=again).status_code == 400


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"amount": 50}, (400, 24016)),
        ({"amount": 500, "invoices": [{"invoice_id": "{id}", "amount_applied": 101}]}, (400, 24017)),
        ({"payment_mode": "shells"}, (400, 2)),
        ({"amount": 0}, (400, 24015)),
        ({"customer_id": "1"}, (404, 1002)),
    ],
)
def test_a_wrong_payment_is_refused(books: BooksClient, changes: Json, expected: tuple[int, int]) -> None:
    made = books.invoice()
    parts = [{"invoice_id": made["invoice_id"], "amount_applied": 100}]
    body = {
        "customer_id": made["customer_id"],
        "payment_mode": "cash",
        "amount": 100,
        "date": "2026-11-20",
        "invoices": parts,
    }
    body = {**body, **changes}
    for part in body["invoices"]:
        part["invoice_id"] = made["invoice_id"]
    assert code(books.call("POST", "/customerpayments", json=body)) == expected
    assert books.read(made)["balance"] == 100


def test_a_payment_that_is_deleted_is_owed_again(books: BooksClient, sandbox: Sandbox) -> None:
    made = books.invoice()
    paid = sandbox.invoices.pay(made["invoice_id"])
    rows = books.call("GET", "/customerpayments", params={"reference_number": "PAY-778"}).json()["customerpayments"]
    assert [row["payment_id"] for row in rows] == [paid.payment_id]
    assert len(books.call("GET", f"/invoices/{made['invoice_id']}/payments").json()["payments"]) == 1
    assert code(books.call("DELETE", f"/customerpayments/{paid.payment_id}")) == (200, 0)
    assert (books.read(made)["status"], books.read(made)["balance"]) == ("sent", 100)


def test_only_what_is_unused_is_refunded(books: BooksClient) -> None:
    contact = books.contact()["contact_id"]
    body = {"customer_id": contact, "payment_mode": "cash", "amount": 100, "date": "2026-11-20"}
    made = books.call("POST", "/customerpayments", json=body).json()["payment"]
    path = f"/customerpayments/{made['payment_id']}/refunds"
    assert code(books.call("POST", path, json={"amount": 101})) == (400, 24020)
    assert code(books.call("POST", path, json={"amount": 100})) == (201, 0)
    assert books.call("GET", f"/customerpayments/{made['payment_id']}").json()["payment"]["amount_refunded"] == 100


def test_a_credit_note_pays_an_invoice(books: BooksClient) -> None:
    made = books.invoice()
    body = {"customer_id": made["customer_id"], "line_items": [{"name": "x", "rate": 30}]}
    note = books.call("POST", "/creditnotes", json=body).json()["creditnote"]
    path = f"/creditnotes/{note['creditnote_id']}/invoices"
    part = {"invoices": [{"invoice_id": made["invoice_id"], "amount_applied": 30}]}
    assert code(books.call("POST", path, json=part)) == (200, 0)
    assert code(books.call("POST", path, json=part)) == (400, 12011)
    assert books.read(made)["balance"] == 70


def test_items_are_unique_and_used(books: BooksClient) -> None:
    items = books.call("GET", "/items", params={"per_page": 200}).json()["items"]
    sensor = next(one for one in items if one["sku"] == "SENSOR-100")
    assert code(books.call("POST", "/items", json={"name": "x", "rate": 1, "sku": "SENSOR-100"})) == (400, 1005)
    made = books.invoice(line_items=[{"item_id": sensor["item_id"], "quantity": 200}])
    assert made["total"] == 47000
    books.call("POST", f"/items/{sensor['item_id']}/inactive")
    body = {"customer_id": made["customer_id"], "line_items": [{"item_id": sensor["item_id"]}]}
    assert code(books.call("POST", "/invoices", json=body)) == (400, 1007)


def test_items_are_listed_by_status_and_their_skus_are_one_of_a_kind(books: BooksClient, sandbox: Sandbox) -> None:
    def listed(**query: str) -> dict[str, str]:
        query = {"per_page": "200", **query}
        return {row["sku"]: row["status"] for row in books.call("GET", "/items", params=query).json()["items"]}

    twin = {"name": "Another sensor", "rate": 1, "sku": "sensor-100"}
    assert code(books.call("POST", "/items", json=twin)) == (400, 1005)
    sandbox.products.mark_item("SENSOR-200", "inactive")

    assert listed()["SENSOR-200"] == "inactive"
    assert "SENSOR-200" not in listed(filter_by="Status.Active")
    assert listed(filter_by="Status.Inactive") == {"SENSOR-200": "inactive"}
    assert "SENSOR-100" in listed(sku="GATEWAY-10"), "there is no filter by SKU: it is ignored"

    sandbox.profile.zoho.duplicate_items = ("sku",)
    assert code(books.call("POST", "/items", json=twin)) == (201, 0)
    sandbox.products.mark_item("SENSOR-200", "active")
    assert listed(filter_by="Status.Inactive") == {}
    with pytest.raises(KeyError):
        sandbox.products.mark_item("NO-SUCH", "inactive")


def test_a_line_keeps_its_own_words_beside_an_item(books: BooksClient) -> None:
    (item,) = books.call("GET", "/items", params={"name": "Temperature sensor 100"}).json()["items"]
    line = {"item_id": item["item_id"], "name": "SENSOR-100", "description": "As agreed", "rate": 12, "quantity": 2}

    (made,) = books.invoice(line_items=[line])["line_items"]

    assert {name: made[name] for name in (*line, "sku", "item_total")} == {
        **line,
        "sku": "SENSOR-100",
        "item_total": 24,
    }
