"""Whatever a body holds, a stand-in answers as its vendor would: never with a failure of its own."""

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.kernel.account import Account
from crmsync.lab.sandbox.kernel.http import Request, Response, guarded
from crmsync.lab.sandbox.sandbox import Control
from crmsync.lab.sandbox.sap.metadata import entities
from crmsync.lab.sandbox.zoho.routes import ROUTES
from tests.sandbox.clients import AREA, BooksClient, CrmClient, ErpClient, item, order, partner

DEEP = "[" * 900 + "]" * 900
DEEPER = "[" * 100_000
BODIES = [
    *"""null
true
1
-1.5e400
"text"
[]
[null]
[[[[]]]]
[1, {}]
{}
{"": {}}
{"d": null}
{"records": null}
{"records": [null, 1, "x", [], {}]}
{"records": {"a": 1}}
{"allOrNone": []}
{"records": [{"attributes": 1}]}
{"records": [{"attributes": {"type": []}}]}
{"records": [{"attributes": {"type": "Opportunity"}, "id": {}}]}
{"state": {}}
{"state": null}
{"compositeRequest": null}
{"compositeRequest": [null, {}, {"method": 1, "url": []}]}
{"Name": {"a": [1]}}
{"object": [], "operation": {}}
{"object": "Product2", "operation": "upsert", "externalIdFieldName": []}
{"object": "Product2", "operation": "update", "columnDelimiter": []}
{"Amount": NaN}
{"Amount": 1e999}
{"line_items": null}
{"line_items": [null]}
{"line_items": {"a": 1}}
{"customer_id": []}
{"custom_fields": null}
{"custom_fields": [1]}
{"custom_fields": {}}
{"invoices": [null]}
{"invoices": 1}
{"invoices": {}}
{"contact_persons": 1}
{"contact_persons": [null]}
{"contact_persons": [{"email": {}}]}
{"contact_name": 1}
{"to_mail_ids": {}}
{"to_mail_ids": [[]]}
{"amount": {}}
{"amount": "NaN"}
{"date": []}
{"date": 5}
{"to_Item": null}
{"to_Item": [null]}
{"to_Item": {"results": [1]}}
{"SalesOrder": []}
{"SoldToParty": {}}
{"billing_address": []}
{"billing_address": 3}
{"currency_id": {}}
{"payment_terms": "x"}
{"rate": []}
{"a": 1, "a": [2]}""".splitlines(),
    DEEP,
    "{{{",
    "",
    "\ufeff{}",
    '{"a": "\\ud800"}',
]


class Door:
    """Calls a stand-in with the credentials of a client that has signed in."""

    def __init__(self, vendor: Account, headers: dict[str, Any]) -> None:
        self._serve = guarded(vendor.serve)
        self._headers = {name.lower(): str(value) for name, value in headers.items()}

    def ask(self, method: str, target: str, body: bytes, content_type: str = "application/json") -> Response:
        headers = {**self._headers, "content-type": content_type, "host": "127.0.0.1", "if-match": "*"}
        return self._serve(Request(method, target, headers, body))

    def failures(self, method: str, targets: list[str], bodies: list[bytes]) -> list[str]:
        """What was answered with a failure of the stand-in's own."""
        asked = ((target, body, self.ask(method, target, body)) for target in targets for body in bodies)
        return [f"{method} {target} {body[:60]!r}: {_where(one)}" for target, body, one in asked if one.status == 500]


def _where(response: Response) -> str:
    return response.body.decode().rpartition("</pre>")[0].strip().rpartition("File ")[2].replace("\n", " ")


def encoded(texts: list[str]) -> list[bytes]:
    return [text.encode("utf-8", "surrogatepass") for text in texts]


@pytest.fixture
def deal(sandbox: Sandbox) -> str:
    return sandbox.deals.create().id


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/sobjects/{name}"),
        ("PATCH", "/sobjects/{name}/{id}"),
        ("PATCH", "/sobjects/{name}/Id/{id}"),
        ("PATCH", "/sobjects/Product2/ProductCode/SENSOR-100"),
        ("POST", "/composite"),
        ("POST", "/composite/sobjects"),
        ("PATCH", "/composite/sobjects"),
        ("PATCH", "/composite/sobjects/Product2/ProductCode"),
        ("DELETE", "/composite/sobjects?ids=x,{id}&allOrNone=y"),
        ("POST", "/jobs/ingest"),
        ("PATCH", "/jobs/ingest/{job}"),
        ("PUT", "/jobs/ingest/{job}/batches"),
        ("GET", "/query?q=x"),
        ("GET", "/sobjects/{name}/{id}?fields=,,"),
        ("GET", "/limits"),
    ],
)
def test_salesforce_takes_any_json(sandbox: Sandbox, crm: CrmClient, deal: str, method: str, path: str) -> None:
    job = crm.call("POST", "/jobs/ingest", json={"object": "Product2", "operation": "insert"}).json()["id"]
    door = Door(sandbox.salesforce, dict(crm.session.headers))
    targets = [
        f"/services/data/v68.0{path}".replace("{name}", name).replace("{id}", deal).replace("{job}", job)
        for name in ("Opportunity", "Account", "Nothing")
    ]
    sandbox.profile.salesforce.daily_calls = 10**9
    assert door.failures(method, targets, encoded(BODIES)) == []


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "MERGE", "DELETE"])
def test_sap_takes_any_json(sandbox: Sandbox, erp: ErpClient, method: str) -> None:
    order = erp.order()["SalesOrder"]
    cookies = "; ".join(f"{one.name}={one.value}" for one in erp.session.cookies)
    door = Door(sandbox.sap, {**erp.session.headers, "Cookie": cookies})
    root = "/sap/opu/odata/sap"
    targets = [f"{root}/{one.service}/{name}" for name, one in entities().items()]
    targets += [f"{root}/API_SALES_ORDER_SRV/A_SalesOrder('{order}'){more}" for more in ("", "/to_Item", "/to_Partner")]
    targets += [
        f"{root}/API_SALES_ORDER_SRV/A_SalesOrderItem(SalesOrder='{order}',SalesOrderItem='10')/to_PricingElement"
    ]
    targets += [f"{root}/API_SALES_ORDER_SRV/$batch", f"{root}/API_BUSINESS_PARTNER/A_BusinessPartner('1')/to_Customer"]
    assert door.failures(method, targets, encoded(BODIES)) == []


def test_zoho_takes_any_json(sandbox: Sandbox, books: BooksClient) -> None:
    contact = books.contact()["contact_id"]
    keys = {"/contacts": contact, "/invoices": books.invoice(contact)["invoice_id"]}
    keys["/customerpayments"] = sandbox.invoices.pay(keys["/invoices"], None).payment_id
    sandbox.profile.zoho.per_minute = sandbox.profile.zoho.per_day = 10**9
    door = Door(sandbox.zoho, dict(books.session.headers))
    found = []
    for method, path, _, _ in ROUTES:
        key = next((value for start, value in keys.items() if path.startswith(start)), "1")
        target = f"/books/v3{path}?organization_id={books.env['ZOHO_ORGANIZATION_ID']}".replace("{key}", key)
        found += door.failures(method, [target.replace("{part}", "1")], encoded(BODIES))
    assert found == []


@pytest.mark.parametrize(
    "target", ["/services/oauth2/token", "/sap/bc/sec/oauth2/token", "/oauth/v2/token", "/nowhere"]
)
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "text/csv", ""])
def test_a_sign_in_takes_anything(sandbox: Sandbox, target: str, kind: str) -> None:
    parts = (
        b"",
        b"null",
        b"[]",
        b"assertion=a.b.c",
        b"assertion=%ff%fe",
        b"\xff\xfe",
        _odd_assertion(b"[]"),
        _odd_assertion(b"1"),
    )
    bodies = [b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&" + part for part in parts] + list(
        parts
    )
    for vendor in sandbox.vendors:
        door = Door(vendor, {"Authorization": "Basic ////"})
        assert [body for body in bodies if door.ask("POST", target, body, kind).status == 500] == []


def _odd_assertion(claims: bytes) -> bytes:
    head = base64.urlsafe_b64encode(b'{"alg": "RS256"}').rstrip(b"=")
    return b"assertion=" + head + b"." + base64.urlsafe_b64encode(claims).rstrip(b"=") + b".x"


def test_the_control_api_takes_any_json(sandbox: Sandbox, deal: str) -> None:
    serve = guarded(Control(sandbox).serve)
    paths = [*"/faults /latency /clock /receiver /settings /deals /deals/bulk /deals/close /tokens/expire".split()]
    paths += [f"/deals/{deal}/{verb}" for verb in ("close", "refuse", "accept", "webhook")]
    paths += [*"/products /products/bulk /products/stock /products/SENSOR-100/stock /invoices/pay".split()]
    paths += [*"/invoices/x/pay /org/move /oddities/x".split()]
    asked = [Request("POST", f"/control{path}", {}, body) for path in paths for body in encoded([*BODIES, DEEPER])]
    assert [(one.path, one.body[:60]) for one in asked if serve(one).status == 500] == []


@pytest.fixture(autouse=True)
def _nobody_receives(sandbox: Sandbox) -> Iterator[None]:
    before, sandbox.receiver.base_url = sandbox.receiver.base_url, "http://127.0.0.1:9"
    yield
    sandbox.receiver.base_url = before


def test_a_body_that_is_nested_too_deeply_is_no_json(crm: CrmClient, erp: ErpClient, books: BooksClient) -> None:
    headers = {"Content-Type": "application/json"}
    answer = crm.call("POST", "/sobjects/Account", data=DEEPER, headers=headers)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")
    answer = erp.call("POST", "API_SALES_ORDER_SRV/A_SalesOrder", data=DEEPER, headers=headers)
    assert (answer.status_code, json.loads(answer.text)["error"]["code"]) == (400, "CX_SXML_PARSE_ERROR")
    answer = books.call("POST", "/contacts", data=DEEPER, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, 1038)


# one value inside a body that is in order

ODD_VALUES = [
    *(None, True, -1, 1.5, 10**30, "", "x", "NaN", "1e999", "1E+400000000", "9" * 5000, "²", "x" * 300, "\ud800"),
    *([], [None], {}, {"a": 1}, "9999-12-31", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),
    *("/Date(253402300800000)/", "/Date(-99999999999999999)/"),
]


def variants(body: Any, value: Any) -> Iterator[Any]:
    """*body* with each of its parts replaced by *value*, one at a time."""
    yield value
    parts = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, part in list(parts):
        for other in variants(part, value):
            changed = body.copy()
            changed[key] = other
            yield changed


def strange(body: Any) -> list[bytes]:
    return encoded([json.dumps(one) for value in ODD_VALUES for one in variants(body, value)])


def test_salesforce_takes_any_value(sandbox: Sandbox, crm: CrmClient, deal: str) -> None:
    sandbox.profile.salesforce.daily_calls = 10**9
    door, root = Door(sandbox.salesforce, dict(crm.session.headers)), "/services/data/v68.0"
    fields = crm.call("GET", "/sobjects/Opportunity/describe").json()["fields"]
    record = {field["name"]: "x" for field in fields if field["createable"]}
    url = f"{root}/sobjects/Account"
    first = {"method": "POST", "url": url, "referenceId": "a", "body": {"Name": "x"}, "httpHeaders": {"X": "y"}}
    again = {"method": "PATCH", "url": f"{url}/@{{a.id}}", "referenceId": "b", "body": {"Name": "@{a.errors[0].x}"}}
    job = {"object": "Product2", "operation": "upsert", "externalIdFieldName": "Id", "lineEnding": "LF"}
    row = {"attributes": {"type": "Opportunity"}, "id": deal, "Name": "x", "Amount": 5}
    bodies = {
        "POST /sobjects/Opportunity": record,
        f"PATCH /sobjects/Opportunity/{deal}": record,
        "POST /composite": {"allOrNone": True, "compositeRequest": [first, again]},
        "PATCH /composite/sobjects": {"allOrNone": True, "records": [row]},
        "POST /jobs/ingest": {**job, "contentType": "CSV", "columnDelimiter": "COMMA"},
    }
    for asked, body in bodies.items():
        method, path = asked.split()
        assert door.failures(method, [root + path], strange(body)) == []


def test_sap_takes_any_value(sandbox: Sandbox, erp: ErpClient) -> None:
    number = erp.order()["SalesOrder"]
    cookies = "; ".join(f"{one.name}={one.value}" for one in erp.session.cookies)
    door, root = Door(sandbox.sap, {**erp.session.headers, "Cookie": cookies}), "/sap/opu/odata/sap"
    orders = f"{root}/API_SALES_ORDER_SRV/A_SalesOrder"
    day = "/Date(1796083200000)/"
    line = {"RequestedQuantity": "5", "SalesDocumentRjcnReason": "00", "RequestedQuantityUnit": "PC"}
    bodies: dict[tuple[str, str], Any] = {
        ("POST", f"{root}/API_BUSINESS_PARTNER/A_BusinessPartner"): partner(),
        ("POST", f"{root}/API_BUSINESS_PARTNER/A_CustomerSalesArea"): {"Customer": "1", **AREA},
        ("POST", orders): {**order(erp.customer()), "RequestedDeliveryDate": day, "to_Text": [{"LongText": "x"}]},
        ("PATCH", f"{orders}('{number}')"): {"DeliveryBlockReason": "01", "SoldToParty": "1", "PricingDate": day},
        ("PATCH", f"{orders}Item(SalesOrder='{number}',SalesOrderItem='10')"): line,
        ("POST", f"{orders}('{number}')/to_Item"): item(),
    }
    for (method, target), body in bodies.items():
        assert door.failures(method, [target], strange(body)) == []


def test_zoho_takes_any_value(sandbox: Sandbox, books: BooksClient) -> None:
    customer = books.contact()["contact_id"]
    invoice = books.invoice(customer)["invoice_id"]
    paid = sandbox.invoices.pay(invoice, None).payment_id
    sandbox.profile.zoho.per_minute = sandbox.profile.zoho.per_day = 10**9
    line = {"name": "x", "rate": 5, "quantity": 2, "discount": "5%", "description": "d", "tax_id": "", "item_id": ""}
    whom, number = {"customer_id": customer, "date": "2026-01-01"}, {"reference_number": "r"}
    applied = {"invoice_id": invoice, "amount_applied": 1, "tax_amount_withheld": 0}
    bill = {**whom, **number, "due_date": "2026-02-01", "payment_terms": 30, "line_items": [line], "adjustment": 1}
    payment = {**whom, **number, "payment_mode": "cash", "amount": 5, "exchange_rate": 1, "invoices": [applied]}
    person = {"first_name": "a", "email": "a@b.co", "is_primary_contact": True}
    contact = {"contact_name": "Q", "payment_terms": 30, "billing_address": {"city": "c"}, "contact_persons": [person]}
    note = books.call("POST", "/creditnotes", json={**whom, "line_items": [line]}).json()["creditnote"]
    bodies = {
        "POST /contacts": contact,
        f"PUT /contacts/{customer}": contact,
        "POST /invoices": bill,
        f"PUT /invoices/{invoice}": bill,
        f"POST /invoices/{invoice}/email": {"to_mail_ids": ["a@b.co"], "subject": "s"},
        "POST /customerpayments": payment,
        f"PUT /customerpayments/{paid}": payment,
        f"POST /customerpayments/{paid}/refunds": {"amount": 1, "date": "2026-01-01"},
        "POST /creditnotes": {**whom, "line_items": [line]},
        f"POST /creditnotes/{note['creditnote_id']}/invoices": {"invoices": [applied]},
        "POST /items": {"name": "x", "rate": 5, "sku": "s", "tax_id": ""},
    }
    door = Door(sandbox.zoho, dict(books.session.headers))
    for asked, body in bodies.items():
        method, path = asked.split()
        target = f"/books/v3{path}?organization_id={books.env['ZOHO_ORGANIZATION_ID']}"
        assert door.failures(method, [target], strange(body)) == []


ODD_TEXTS = ["9" * 5000, "1E+400000000", "NaN", "sNaN", "²", "\0", "%", "((" * 2000, "not " * 3000, ",,", "x/" * 500]
ODD_TEXTS += ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "LAST_N_DAYS:999999999999", "a b c", "''"]


@pytest.mark.parametrize(
    "option",
    [
        *(f"${name}=" for name in "filter orderby top skip skiptoken select expand inlinecount format".split()),
        "$filter=TotalNetAmount gt ",
        "$filter=LastChangeDateTime gt datetimeoffset",
    ],
)
def test_sap_takes_any_option(sandbox: Sandbox, erp: ErpClient, option: str) -> None:
    erp.order()
    door, root = Door(sandbox.sap, dict(erp.session.headers)), "/sap/opu/odata/sap/API_SALES_ORDER_SRV/A_SalesOrder"
    targets = [f"{root}?{quote(option + text, safe='$=')}" for text in (*ODD_TEXTS, *(f"'{one}'" for one in ODD_TEXTS))]
    assert door.failures("GET", targets, [b""]) == []


@pytest.mark.parametrize(
    "soql", ["Amount = {}", "CloseDate > {}", "SystemModstamp > {}", "Name = '{}'", "Id != null LIMIT {}", "{}"]
)
def test_salesforce_takes_any_query(sandbox: Sandbox, crm: CrmClient, deal: str, soql: str) -> None:
    door = Door(sandbox.salesforce, dict(crm.session.headers))
    asked = (f"SELECT Id FROM Opportunity WHERE {soql.format(text)}" for text in ODD_TEXTS)
    targets = [f"/services/data/v68.0/query?q={quote(text)}" for text in asked]
    assert door.failures("GET", targets, [b""]) == []


@pytest.mark.parametrize("name", ["page", "per_page", "total", "balance_less_than", "date", "sort_column", "status"])
def test_zoho_takes_any_filter(sandbox: Sandbox, books: BooksClient, name: str) -> None:
    books.invoice()
    door = Door(sandbox.zoho, dict(books.session.headers))
    root = f"/books/v3/invoices?organization_id={books.env['ZOHO_ORGANIZATION_ID']}"
    assert door.failures("GET", [f"{root}&{name}={quote(text)}" for text in ODD_TEXTS], [b""]) == []


@pytest.mark.parametrize(
    "csv",
    [
        b"",
        b"\n",
        b'"',
        b"Id,Id\na,b\n",
        b"Id\na,b,c\n",
        b"\xff\xfe",
        b"Id;Name\nx;y\n",
        b"Id,Name\nx," + b"y" * 200_000,
    ],
    ids=range(8),
)
def test_salesforce_takes_any_csv(sandbox: Sandbox, crm: CrmClient, csv: bytes) -> None:
    door = Door(sandbox.salesforce, dict(crm.session.headers))
    made = crm.call("POST", "/jobs/ingest", json={"object": "Product2", "operation": "update"}).json()["id"]
    job = f"/services/data/v68.0/jobs/ingest/{made}"
    answers = [
        door.ask("PUT", f"{job}/batches", csv, "text/csv"),
        door.ask("PATCH", job, b'{"state":"UploadComplete"}'),
    ]
    answers += [door.ask("GET", job + path, b"") for path in ("", "", "/failedResults", "/unprocessedrecords")]
    assert [one.status for one in answers if one.status == 500] == []
