"""The control API, the webhooks it sends, and the command line."""

import hashlib
import hmac
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.kernel.http import Request, Response, Server
from crmsync.lab.sandbox.zoho.payments import payment_body, sign
from tests.sandbox.clients import BooksClient, CrmClient

ACK = (
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><notificationsResponse '
    'xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>{}</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>'
)


class Inbox:
    """A receiver that keeps what it gets and answers what it is told."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer = Response(200, b"ok")

    def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        return self.answer


@pytest.fixture
def inbox(sandbox: Sandbox) -> Iterator[Inbox]:
    inbox = Inbox()
    server = Server(inbox)
    server.start()
    sandbox.receiver.base_url = server.url
    yield inbox
    sandbox.outbound.queue = []
    server.stop()


@pytest.fixture
def control(sandbox: Sandbox) -> Iterator[Any]:
    with requests.Session() as session:

        def call(method: str, path: str, **body: Any) -> requests.Response:
            return session.request(method, f"{sandbox.control_url}/control{path}", json=body or None, timeout=10)

        yield call


def test_a_deal_is_made_and_closed_over_http(control: Any, inbox: Inbox, sandbox: Sandbox, crm: CrmClient) -> None:
    lines = [{"product": "SENSOR-100", "quantity": 2, "unit_price": "10.00"}]
    deal = control(
        "POST", "/deals", account="Elm Works", email="ap@elm.example.com", lines=lines, po_number="PO-1"
    ).json()
    assert deal["amount"] == 20.0

    closed = control("POST", f"/deals/{deal['id']}/close", webhook="json").json()

    assert closed == {"deal_id": deal["id"], "webhook": {"status": 200, "text": "ok"}}
    [request] = inbox.requests
    assert request.path == "/webhook/salesforce/deal-closed"
    assert request.body == b'{"opportunityId":"%s"}' % deal["id"].encode()
    key = sandbox.environment()["SF_WEBHOOK_SECRET"].encode()
    signature = hmac.new(key, request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-crmsync-signature"] == f"sha256={signature}"
    [row] = crm.records("SELECT IsWon, PO_Number__c, CloseDate FROM Opportunity")
    assert (row["IsWon"], row["PO_Number__c"]) == (True, "PO-1")


def test_outbound_messages_repeat_until_acknowledged(control: Any, inbox: Inbox, sandbox: Sandbox) -> None:
    deal = sandbox.deals.create()
    inbox.answer = Response(200, ACK.format("false").encode())
    sandbox.deals.close(deal.id, webhook="soap")
    inbox.answer = Response(200, ACK.format("true").encode())
    assert control("POST", "/outbound/deliver").json()["waiting"] == 0

    first, second = (request.body.decode() for request in inbox.requests)

    assert first == second
    assert f"<sf:Id>{deal.id}</sf:Id>" in first
    assert "<sf:StageName>Closed Won</sf:StageName>" in first
    assert '<SessionId xsi:nil="true"/>' in first
    assert sandbox.environment()["SF_ORGANIZATION_ID"] in first
    assert inbox.requests[0].query["token"] == sandbox.environment()["SF_WEBHOOK_SECRET"]


def test_an_unacknowledged_message_comes_again_by_itself(inbox: Inbox, sandbox: Sandbox) -> None:
    inbox.answer = Response(500, b"")
    sandbox.deals.close(sandbox.deals.create().id, webhook="soap")
    inbox.answer = Response(200, ACK.format("true").encode())
    sandbox.clock.advance(31)

    deadline = time.monotonic() + 10
    while sandbox.outbound.queue and time.monotonic() < deadline:
        time.sleep(0.01)

    assert len(inbox.requests) == 2


def test_an_envelope_holds_a_hundred_messages(inbox: Inbox, sandbox: Sandbox) -> None:
    inbox.answer = Response(200, ACK.format("true").encode())
    for deal in sandbox.deals.bulk(101, 3):
        sandbox.outbound.enqueue(deal.id)
    sandbox.outbound.deliver(sandbox.doors.deal_url())
    assert [request.body.count(b"<Notification>") for request in inbox.requests] == [100, 1]


@pytest.mark.parametrize("form", ["json", "flat", "jsonstring", "form", "raw"])
def test_a_payment_is_announced_in_each_form(
    control: Any, inbox: Inbox, sandbox: Sandbox, books: BooksClient, form: str
) -> None:
    made = books.invoice()
    paid = control("POST", f"/invoices/{made['invoice_id']}/pay", amount="40", webhook=True, form=form).json()
    assert (paid["amount"], paid["webhook"]["status"]) == (40.0, 200)
    [request] = inbox.requests
    assert request.path == "/webhook/zoho/payment"
    assert paid["payment_id"] in request.body.decode()
    secret = sandbox.environment()["ZOHO_WEBHOOK_SECRET"]
    right = sign(secret, request.target, request.body, request.content_type)
    assert request.headers["x-zoho-webhook-signature"] == right


@pytest.mark.parametrize(
    ("target", "body", "kind", "signature"),
    [
        ("/?name=basic&subscription_id=90343", b'{"created_date":"2019-03-06","event_id":"5675"}', "application/json",
         "c9c7b6e2f53f5104ccff8a18aef008fbf534bda38927f6444d89cff8759a547a"),
        ("/", b'{"payment":{"payment_id":"1"}}', "application/json",
         "cf16ea9eeb8d327f226445fb7b6c7ea0244133101e5acd8064f12cdbdaa5aa4b"),
        ("/", b"JSONString=%7B%22payment%22%3A%7B%22payment_id%22%3A%221%22%7D%7D", "application/x-www-form-urlencoded",
         "8d0a385b5e34be75288d4a9c55b6c084a2ac6a46b7a9c331b1f711392907b1fe"),
    ],
)  # fmt: skip
def test_signatures_match_the_known_vectors(target: str, body: bytes, kind: str, signature: str) -> None:
    assert sign("crmsyncTestSecret2026", f"http://x{target}", body, kind) == signature


def test_an_unknown_form_is_an_error() -> None:
    with pytest.raises(ValueError, match="pigeon"):
        payment_body({}, "pigeon")


def test_faults_latency_and_reset_over_http(control: Any, sandbox: Sandbox, crm: CrmClient) -> None:
    made = control("POST", "/faults", system="salesforce", kind="error", operation="query", times=1).json()
    assert control("GET", "/faults").json()["faults"][0]["id"] == made["id"]
    assert "create_order" in control("GET", "/faults").json()["operations"]["sap"]
    assert crm.query("SELECT Id FROM Account").status_code == 503
    assert control("DELETE", f"/faults/{made['id']}").json() == {"cleared": 1}
    assert control("POST", "/faults", system="mars", kind="error").status_code == 400

    control("POST", "/latency", seconds=0.01)
    control("POST", "/latency", system="sap", seconds=0.02)
    assert (sandbox.latency.of("zoho"), sandbox.latency.of("sap")) == (0.01, 0.02)

    control("POST", "/reset")
    assert (sandbox.latency.of("sap"), control("GET", "/calls").json()) == (0.0, {})


def test_bulk_deals_are_the_same_for_the_same_seed() -> None:
    amounts = [[deal.amount for deal in Sandbox(seed=3).deals.bulk(20, 5)] for _ in range(2)]
    assert amounts[0] == amounts[1]


def test_many_deals_over_http(control: Any, sandbox: Sandbox, crm: CrmClient) -> None:
    made = control("POST", "/deals/bulk", deals=20, customers=5, close=True).json()
    assert len(made["ids"]) == 20
    assert crm.query("SELECT COUNT() FROM Account").json()["totalSize"] == 5
    assert crm.query("SELECT COUNT() FROM Opportunity WHERE IsWon = true").json()["totalSize"] == 20


def test_products_and_stock_over_http(control: Any, sandbox: Sandbox) -> None:
    control("POST", "/products", code="VALVE-1", name="Valve", price="19.90", stock="7")
    assert control("GET", "/products").json()["stock"]["VALVE-1"] == 7.0
    control("POST", "/products/VALVE-1/stock", quantity="5")
    assert sandbox.products.stock()["VALVE-1"] == 5
    assert control("POST", "/products/NO-SUCH/stock", quantity="5").status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nothing", {}, 404),
        ("POST", "/deals/006Sb00000000zz/close", {}, 404),
        ("POST", "/deals", {"colour": "red"}, 400),
        ("POST", "/deals", {"currency": "EUR"}, 400),
        ("POST", "/invoices/INV-000099/pay", {}, 404),
        ("POST", "/settings", {"zoho_colour": "red"}, 400),
    ],
)
def test_wrong_control_calls_say_so(control: Any, method: str, path: str, body: dict[str, Any], status: int) -> None:
    answer = control(method, path, **body)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_settings_can_be_changed_while_it_runs(control: Any, sandbox: Sandbox) -> None:
    control("POST", "/settings", zoho_per_minute=7, sap_create_response="bare")
    assert (sandbox.profile.zoho.per_minute, sandbox.profile.sap.create_response) == (7, "bare")


@pytest.mark.usefixtures("books")
def test_the_ledger_tells_who_made_what(control: Any, sandbox: Sandbox, books: BooksClient) -> None:
    made = books.invoice()
    ledger = control("GET", "/ledger").json()
    assert ledger["invoices"][0]["reference"] == "SF-1"
    assert ledger["contacts"][0]["email"] == "ap@fjord.example.com"
    kinds = [(event["system"], event["action"], event["kind"]) for event in ledger["events"]]
    assert kinds == [("zoho", "created", "contact"), ("zoho", "created", "invoice")]
    assert ledger["events"][1]["id"] == made["invoice_id"]


def test_the_environment_has_the_documented_names(sandbox: Sandbox) -> None:
    names = {name.partition("_")[0] for name in sandbox.environment()}
    assert names == {"SF", "SAP", "ZOHO", "CRMSYNC"}
    assert len(sandbox.environment()) == 25


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_prints_the_environment_and_ends_cleanly(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "crmsync.lab.sandbox", "--port-base", "0", "--load"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        told = [process.stdout.readline(), process.stdout.readline()]
        process.send_signal(number)
        assert process.wait(10) == 0
    assert told[0].startswith("# control API: http://127.0.0.1:")
    assert told[1].startswith("export SF_LOGIN_URL=http://127.0.0.1:")
