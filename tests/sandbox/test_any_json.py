"""Whatever a body holds, a stand-in answers as its vendor would: never with a failure of its own."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from crmsync.sandbox import Sandbox
from crmsync.sandbox.control import Control
from crmsync.sandbox.http import Request, Response
from crmsync.sandbox.sap.metadata import entities
from crmsync.sandbox.server import guarded
from crmsync.sandbox.vendor import Vendor
from crmsync.sandbox.zoho.routes import ROUTES
from tests.sandbox.clients import BooksClient, CrmClient, ErpClient

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

    def __init__(self, vendor: Vendor, headers: dict[str, Any]) -> None:
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
