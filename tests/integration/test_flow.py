"""Order to invoice on a real worker: what a deal costs, and what becomes of it when something goes wrong.

The tests share one running system, so each works with customers of its own.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from crmsync.domain.dead_letters import LetterKind, LetterStatus
from crmsync.lab.sandbox import Sandbox
from crmsync.lab.sandbox.deals import Deal
from crmsync.lab.sandbox.sap import orders as sap_orders
from crmsync.store.tables import alerts
from tests.system import NO_PERIODS, System, big_sandbox, running, until

OPERATIONS = {
    "salesforce": ("query", "update_deal"),
    "sap": ("find_customer", "create_customer", "create_order"),
    "zoho": ("find_customer", "create_customer", "create_invoice", "send_invoice"),
}
CREATES = [
    ("sap", "create_customer"),
    ("sap", "create_order"),
    ("zoho", "create_customer"),
    ("zoho", "create_invoice"),
    ("zoho", "send_invoice"),
]

Customer = Callable[[], str]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    home = tmp_path_factory.mktemp("flow")
    with running(home, "web", "worker", "beat", **NO_PERIODS, CRMSYNC_TELL_SELLERS="no") as system:
        yield system


@pytest.fixture
def system(shared: System) -> Iterator[System]:
    """The running system without the faults of the test before. Sellers are not told: calls are counted here."""
    yield shared
    shared.sandbox.faults.clear()
    shared.sandbox.latency.systems.clear()
    shared.sandbox.latency.seconds = 0


@pytest.fixture
def sandbox(system: System) -> Sandbox:
    return system.sandbox


_numbers = iter(range(1, 10_000))


@pytest.fixture
def name() -> str:
    """A customer that no other test knows."""
    return f"Customer {next(_numbers):04d} Ltd"


def deal_of(sandbox: Sandbox, name: str, **options: Any) -> Deal:
    return sandbox.deals.create(name, **{"email": f"{re.sub('[^a-z0-9]', '', name.lower())}@example.com", **options})


def known(system: System, name: str) -> None:
    """Make the customer known on both sides, by a deal that goes through."""
    first = deal_of(system.sandbox, name)
    system.close(first.id)
    system.wait_for("done", first)


def business_calls(sandbox: Sandbox) -> dict[str, Counter[str]]:
    """By system, without sign-in."""
    return {
        system: Counter({name: times for name, times in report["operations"].items() if name not in ("token", "csrf")})
        for system, report in sandbox.calls().items()
    }


def calls_for(system: System, deal: Deal) -> dict[str, dict[str, int]]:
    """What the vendors are asked from the webhook of *deal* to the end of its run."""
    before = business_calls(system.sandbox)
    system.close(deal.id)
    system.wait_for("done", deal)
    after = business_calls(system.sandbox)
    return {vendor: dict(after[vendor] - before.get(vendor, Counter())) for vendor in after}


# -- what a deal costs


def test_a_deal_of_known_customers_costs_five_calls(system: System, sandbox: Sandbox, name: str) -> None:
    known(system, name)
    deal = deal_of(sandbox, name)

    assert calls_for(system, deal) == {
        "salesforce": {"query": 1, "update_deal": 1},
        "sap": {"create_order": 1},
        "zoho": {"create_invoice": 1, "send_invoice": 1},
    }
    system.assert_each_once([deal], customers=[name])


def test_an_order_whose_answer_lacks_its_total_is_read_once_more(
    system: System, sandbox: Sandbox, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(system, name)
    deal = deal_of(sandbox, name)
    monkeypatch.setattr(sandbox.profile.sap, "create_response", "bare")

    assert calls_for(system, deal)["sap"] == {"create_order": 1, "get_order": 1}
    system.assert_each_once([deal], customers=[name])


def test_sending_on_create_saves_a_call(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("send-on-create")
    with running(
        home, "web", "worker", sandbox=big_sandbox(zoho_tax_percentage=Decimal(19)), CRMSYNC_SEND_ON_CREATE="true"
    ) as system:
        known(system, "Acme Ltd")
        deal = deal_of(system.sandbox, "Acme Ltd")

        assert calls_for(system, deal) == {
            "salesforce": {"query": 1, "update_deal": 1},
            "sap": {"create_order": 1},
            "zoho": {"create_invoice": 1},
        }
        system.assert_each_once([deal], customers=["Acme Ltd"])


def test_deals_of_a_multi_currency_org_keep_their_currency(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("currencies")
    with running(
        home, "web", "worker", sandbox=big_sandbox(salesforce_multi_currency=True), CRMSYNC_DEFAULT_CURRENCY=""
    ) as system:
        sandbox = system.sandbox
        deals = [
            deal_of(sandbox, f"{currency} Ltd", currency=currency, lines=[{"product": "CABLE-05", "unit_price": price}])
            for currency, price in (("EUR", "12.90"), ("JPY", "1290"), ("USD", "0.01"))
        ]
        system.close_all(deals)
        system.wait_for("done", *deals)

        made = [[documents[0]["currency"] for documents in system.documents(deal)] for deal in deals]
        assert made == [["EUR"] * 2, ["JPY"] * 2, ["USD"] * 2]
        system.assert_each_once(deals, customers=["EUR Ltd", "JPY Ltd", "USD Ltd"])


def test_sixteen_deals_of_a_new_customer_make_one_customer(system: System, sandbox: Sandbox, name: str) -> None:
    deals = [deal_of(sandbox, name) for _ in range(16)]

    system.close_all(deals, at_a_time=16)

    system.wait_for("done", *deals)
    system.assert_each_once(deals, customers=[name])


def test_a_webhook_that_comes_again_when_all_is_done_asks_no_vendor(
    system: System, sandbox: Sandbox, name: str
) -> None:
    deal = deal_of(sandbox, name)
    system.close(deal.id)
    system.wait_for("done", deal)
    before = business_calls(sandbox)

    assert [sandbox.deals.announce(deal.id, form).status for form in ("json", "soap", "json")] == [200] * 3
    other = deal_of(sandbox, name)  # by its end, what the repeated webhooks could have started has run as well
    system.close(other.id)
    system.wait_for("done", other)

    assert business_calls(sandbox)["sap"] - before["sap"] == {"create_order": 1}
    system.assert_each_once([deal, other], customers=[name])


# -- a person decides


def test_an_order_of_another_total_stops_before_it_is_invoiced(
    system: System, sandbox: Sandbox, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sap_orders.net_amount
    monkeypatch.setattr(sap_orders, "net_amount", lambda item, elements: real(item, elements) + Decimal("1.50"))
    deal = deal_of(sandbox, name)

    system.close(deal.id)
    system.wait_for("stopped", deal)

    letter = system.letter_of(deal)
    assert (letter.kind, letter.error, letter.step) == (LetterKind.REVIEW, "AmountMismatchError", "create_order")
    assert "47,001.50 USD" in letter.cause
    assert "47,000.00 USD" in letter.cause
    assert [len(documents) for documents in system.documents(deal)] == [1, 0]

    assert system.dead_letters("replay", str(letter.id), "--accept", "--yes", "--reason", "a test")["replayed"] == [
        letter.id
    ]
    system.wait_for("done", deal)
    assert [len(documents) for documents in system.documents(deal)] == [1, 1]
    assert system.letter_of(deal).status is LetterStatus.REPLAYED


def test_a_customer_of_the_same_name_in_the_books_is_for_a_person(system: System, sandbox: Sandbox, name: str) -> None:
    with sandbox.zoho.lock:
        contact = sandbox.zoho.organization.contacts.create({"contact_name": name})["contact_id"]
    deal = deal_of(sandbox, name)

    system.close(deal.id)
    system.wait_for("stopped", deal)

    letter = system.letter_of(deal)
    assert (letter.kind, letter.error) == (LetterKind.REVIEW, "AmbiguousMatchError")
    assert system.documents(deal)[1] == []

    shown = system.dead_letters("show", str(letter.id))
    assert "--link BOOKS=" in shown["command"]
    system.dead_letters("replay", str(letter.id), "--link", f"BOOKS={contact}", "--yes", "--reason", "a test")
    system.wait_for("done", deal)
    system.assert_each_once([deal], customers=[name])
    assert system.documents(deal)[1][0]["customer_id"] == contact


def test_a_bad_deal_names_its_field_and_revives_when_it_is_closed_again(
    system: System, sandbox: Sandbox, name: str
) -> None:
    deal = deal_of(sandbox, name)
    assert sandbox.deals.announce(deal.id).status == 200  # it is not closed yet
    system.wait_for("stopped", deal)
    letter = system.letter_of(deal)
    assert (letter.kind, letter.step) == (LetterKind.DATA, "fetch_deal")
    assert "StageName" in letter.cause

    assert system.close(deal.id) == 200

    system.wait_for("done", deal)
    system.assert_each_once([deal], customers=[name])
    assert system.letter_of(deal).status is LetterStatus.REPLAYED


@pytest.mark.parametrize(
    ("options", "field"),
    [
        pytest.param({"lines": [], "amount": Decimal(100)}, "OpportunityLineItems", id="no products"),
        pytest.param({"lines": [], "amount": Decimal(0)}, "Amount", id="no amount"),
        pytest.param(
            {"lines": [{"product": "SENSOR-100", "unit_price": "0"}]}, "Amount", id="products that cost nothing"
        ),
    ],
)
def test_a_deal_that_cannot_be_billed_names_its_field(
    system: System, sandbox: Sandbox, name: str, options: dict[str, Any], field: str
) -> None:
    deal = deal_of(sandbox, name, **options)

    system.close(deal.id)
    system.wait_for("stopped", deal)

    letter = system.letter_of(deal)
    assert (letter.kind, letter.error) == (LetterKind.DATA, "InvalidDealError")
    assert field in letter.cause
    assert system.documents(deal) == ([], [])


def test_a_product_without_a_code_is_named_and_revives_when_it_has_one(
    system: System, sandbox: Sandbox, name: str
) -> None:
    code = f"NOCODE-{name[9:13]}"
    deal = deal_of(sandbox, name, lines=[{"product": code, "quantity": 2, "unit_price": "10.00"}])
    product = sandbox.products.find(code)
    with sandbox.salesforce.lock:
        sandbox.salesforce.org.update("Product2", product, {"ProductCode": None})

    system.close(deal.id)
    system.wait_for("stopped", deal)
    assert "ProductCode" in system.letter_of(deal).cause

    with sandbox.salesforce.lock:
        sandbox.salesforce.org.update("Product2", product, {"ProductCode": code})
    sandbox.deals.announce(deal.id, "soap")
    system.wait_for("done", deal)
    system.assert_each_once([deal], customers=[name])


# -- vendors fail


def test_a_fault_of_each_operation_passes(system: System, sandbox: Sandbox, name: str) -> None:
    deal = deal_of(sandbox, name)
    faults = [
        sandbox.faults.add(vendor, "error", operation, times=1)
        for vendor, operations in OPERATIONS.items()
        for operation in operations
    ]

    system.close(deal.id)
    system.wait_for("done", deal)

    assert [fault.hits for fault in faults] == [1] * len(faults)
    system.assert_each_once([deal], customers=[name])
    assert Counter(event for _, event in system.history(deal))["stopped"] == 0


@pytest.mark.parametrize(("vendor", "operation"), CREATES)
def test_an_answer_lost_after_the_commit_makes_nothing_twice(
    system: System, sandbox: Sandbox, name: str, vendor: str, operation: str
) -> None:
    deal = deal_of(sandbox, name)
    fault = sandbox.faults.add(vendor, "lost", operation, times=1)

    system.close(deal.id)
    system.wait_for("done", deal)

    assert fault.hits == 1
    system.assert_each_once([deal], customers=[name])


@pytest.mark.parametrize(("vendor", "operation"), [("sap", "create_order"), ("zoho", "create_invoice")])
def test_a_document_is_sent_again_where_nothing_was_made(
    system: System, sandbox: Sandbox, name: str, vendor: str, operation: str
) -> None:
    deal = deal_of(sandbox, name)
    sandbox.faults.add(vendor, "drop", operation, times=1)

    system.close(deal.id)
    system.wait_for("done", deal)

    system.assert_each_once([deal], customers=[name])


def test_a_fault_that_stays_is_a_dead_letter_after_three_retries_and_a_replay_ends_it(
    system: System, sandbox: Sandbox, name: str
) -> None:
    known(system, name)
    deal = deal_of(sandbox, name)
    fault = sandbox.faults.add("salesforce", "error", "update_deal")

    system.close(deal.id)
    system.wait_for("stopped", deal)

    letter = system.letter_of(deal)
    assert (letter.kind, letter.error) == (LetterKind.FAILURE, "VendorUnavailableError")
    assert letter.step == "write_back"
    assert fault.hits == 4
    assert [len(documents) for documents in system.documents(deal)] == [1, 1]

    sandbox.faults.clear()
    before = business_calls(sandbox)
    system.dead_letters("replay", str(letter.id), "--yes")
    system.wait_for("done", deal)
    after = business_calls(sandbox)
    assert {vendor: dict(after[vendor] - before[vendor]) for vendor in after} == {
        "salesforce": {"query": 2, "update_deal": 1},  # the command looks at the deal, and so does the run
        "sap": {"get_order": 1},  # a replay believes in a document only while its system shows it
        "zoho": {"get_invoice": 1},
    }
    system.assert_each_once([deal], customers=[name])


def test_a_deal_whose_amount_changed_after_its_documents_is_not_written_back_unasked(
    system: System, sandbox: Sandbox, name: str
) -> None:
    deal = deal_of(sandbox, name)
    sandbox.faults.add("salesforce", "error", "update_deal")
    system.close(deal.id)
    system.wait_for("stopped", deal)
    sandbox.faults.clear()
    with sandbox.salesforce.lock:
        sandbox.salesforce.org.update("OpportunityLineItem", deal.line_ids[0], {"Quantity": Decimal(201)})

    system.dead_letters("replay", "--error", "VendorUnavailableError", "--yes")  # several: the run itself looks
    until(lambda: system.letter_of(deal).error == "DealChangedError", what="the change is noticed")

    assert system.letter_of(deal).kind is LetterKind.REVIEW
    assert [len(documents) for documents in system.documents(deal)] == [1, 1]


def test_expired_tokens_are_renewed_once_by_all(system: System, sandbox: Sandbox, name: str) -> None:
    known(system, name)
    deals = [deal_of(sandbox, name) for _ in range(12)]
    tokens = {vendor: report["operations"].get("token", 0) for vendor, report in sandbox.calls().items()}
    sandbox.latency.seconds = 0.05

    system.close_all(deals[:6])
    until(lambda: any(system.documents(deal)[0] for deal in deals[:6]), what="the first order is made")
    sandbox.expire_tokens()
    system.close_all(deals[6:])

    system.wait_for("done", *deals)
    renewed = {vendor: report["operations"]["token"] - tokens[vendor] for vendor, report in sandbox.calls().items()}
    assert renewed == {"salesforce": 1, "sap": 1, "zoho": 1}
    system.assert_each_once(deals, customers=[name])


# -- what is seen of it


def test_one_correlation_id_goes_from_the_webhook_to_every_call(
    system: System, sandbox: Sandbox, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(system, name)
    seen: list[tuple[str, str | None]] = []
    for vendor in sandbox.vendors:
        monkeypatch.setattr(vendor, "finish", recording(vendor, seen))
    deal = deal_of(sandbox, name)

    system.close(deal.id)
    system.wait_for("done", deal)

    correlation_id = system.run_of(deal).correlation_id
    assert [vendor for vendor, _ in seen] == ["salesforce", "sap", "zoho", "zoho", "salesforce"]
    assert {given for _, given in seen} == {correlation_id}
    lines = [json.loads(line) for line in system.log().splitlines() if correlation_id in line]
    assert {"accepted", "step_done"} <= {line.get("action") for line in lines}


def recording(vendor: Any, seen: list[tuple[str, str | None]]) -> Callable[..., Any]:
    real = vendor.finish

    def finish(request: Any, response: Any) -> Any:
        seen.append((vendor.name, request.headers.get("x-correlation-id")))
        return real(request, response)

    return finish


PERSONAL = ("Ida", "Berg", "Harbour Road")


def test_a_refusal_tells_people_what_they_need_and_nobody_who_the_customer_is(
    system: System, sandbox: Sandbox, name: str
) -> None:
    deal = deal_of(sandbox, name)
    email = f"{re.sub('[^a-z0-9]', '', name.lower())}@example.com"
    words = f"The partner Ida Berg, 12 Harbour Road, {email} is blocked"
    sandbox.faults.add("sap", "refuse", "create_order", code="V1/555", message=words)
    with commands_of(system) as commands:
        system.close(deal.id)
        system.wait_for("stopped", deal)
        until(lambda: system.queue_length(), what="the letter is on its queue")

    letter, content = system.letter_of(deal), alert_about(system, deal)
    assert (letter.kind, letter.step, letter.system) == (LetterKind.DATA, "create_order", "SAP S/4HANA")
    text = json.dumps(content)
    for needed in (deal.id, name, "47,000.00 USD", "SAP S/4HANA", "order_to_invoice.create_order", "V1/555"):
        assert needed in text
    assert f"celery -A crmsync dead-letters replay {letter.id}" in content["command"]
    bodies = [command for command in commands if f'[["{letter.run_id}"]' in command]
    assert len(bodies) >= 3, "the messages were seen"
    said = {
        "the letter": repr(letter),
        "the alert": text,
        "the log": system.log(),
        "Redis": "\n".join(commands),
        "the history": json.dumps(details_of(system, deal)),
    }
    for place, written in said.items():
        assert not [one for one in (email, *PERSONAL) if re.search(rf"\b{re.escape(one)}\b", written, re.IGNORECASE)], (
            place
        )


def details_of(system: System, deal: Deal) -> list[str]:
    with system.store.read() as uow:
        return [row.detail for row in uow.history.of_run(system.run_of(deal).id)]


def alert_about(system: System, deal: Deal) -> dict[str, Any]:
    """The newest alert names this deal: its cause is the latest that happened."""
    with system.store.engine.connect() as connection:
        contents = connection.execute(select(alerts.c.content).order_by(alerts.c.updated_at)).scalars().all()
    found = [content for content in contents if deal.id in json.dumps(content)]
    assert len(found) == 1
    return dict(found[0])


def readable(command: str) -> str:
    """With the bodies of Celery's messages, which are Base64."""
    bodies = re.findall(r'body\\*": \\*"([A-Za-z0-9+/=]+)', command)
    return " ".join([command, *(base64.b64decode(body).decode() for body in bodies)])


class commands_of:
    """What is sent to the broker of *system* meanwhile."""

    def __init__(self, system: System) -> None:
        self._client = system.redis()
        self._seen: list[str] = []
        self._end = f"the end {next(_numbers)}"

    def __enter__(self) -> list[str]:
        self._monitor = self._client.monitor().__enter__()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self._seen

    def _listen(self) -> None:
        for command in self._monitor.listen():
            self._seen.append(readable(str(command["command"])))
            if self._end in self._seen[-1]:
                return

    def __exit__(self, *_: object) -> None:
        self._client.echo(self._end)
        self._thread.join(10)
        self._monitor.__exit__(None, None, None)
        self._client.close()
