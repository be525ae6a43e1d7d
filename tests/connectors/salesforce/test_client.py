"""Deals are read in one call and their numbers written in another."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import responses
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from crmsync.connectors.salesforce.addresses import trusted
from crmsync.connectors.salesforce.client import connect
from crmsync.connectors.salesforce.settings import SalesforceSettings
from crmsync.connectors.system import Tools, Usage
from crmsync.domain.customers import Address, Customer
from crmsync.domain.deals import check
from crmsync.domain.money import Money
from crmsync.domain.payments import PaymentFigures
from crmsync.domain.tokens import AccessToken
from crmsync.errors import (
    AccountRefusedError,
    InvalidDealError,
    PermanentError,
    RecordNotFoundError,
    UnexpectedAnswerError,
    VendorUnavailableError,
)
from crmsync.settings import Behaviour, Secret
from tests.fakes import Signed

from ..conftest import LoadFixture
from .conftest import DEAL, DEAL_URL, INSTANCE, QUERY, Build

NEXT = f"{INSTANCE}/services/data/v68.0/query/0r8xx0000000001AAA"


def _query_of(call: Any) -> str:
    return parse_qs(urlsplit(call.request.url).query)["q"][0]


def _deal(fixture: LoadFixture, **changes: Any) -> Any:
    answer = fixture("deal__won")
    answer["records"][0].update(changes)
    return answer


class TestFetchDeal:
    def test_one_call_brings_the_deal_with_customer_lines_and_contact(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        salesforce.get(QUERY, body=json.dumps(fixture("deal__won")))

        deal = crm().fetch_deal(DEAL)

        assert (deal.key, deal.name, deal.is_won, deal.closed_on) == (DEAL, "200 sensors", True, "2026-11-20")
        assert deal.customer == Customer(
            key="001xx000003DGb2AAG",
            name="O'Brien & Söhne",
            email="ap@obrien.test",
            first_name="Ann",
            last_name="Payer",
            address=Address("Main 1", "Bonn", "53111", "", "Germany"),
        )
        assert (deal.order_number, deal.invoice_number) == ("", "4711")

    def test_numbers_keep_every_digit_and_lose_their_exponent(
        self, crm: Build, salesforce: responses.RequestsMock
    ) -> None:
        from .conftest import FIXTURES

        salesforce.get(QUERY, body=(FIXTURES / "deal__won.json").read_bytes())

        deal = crm().fetch_deal(DEAL)

        assert str(deal.amount.amount) == "10000000"
        assert deal.lines[0].unit_price == Decimal("47.123456789012345")
        assert deal.lines[0].total == Decimal("9424.69")

    @pytest.mark.parametrize(
        ("shown", "read"),
        [
            ("1300.5617283950617", "1300.56172839506"),
            ("0.30000000000000004", "0.3"),
            ("50.004999999999995", "50.005"),
            ("1.0E7", "10000000"),
            ("5E-7", "0.0000005"),
            ("-0.0", "0"),
            ("90071992547409.93", "90071992547409.93"),
        ],
    )
    def test_totals_are_read_to_the_precision_of_a_double(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture, shown: str, read: str
    ) -> None:
        body = json.dumps(fixture("deal__won")).replace('"TotalPrice": 9424.69', f'"TotalPrice": {shown}')
        salesforce.get(QUERY, body=body)

        assert crm().fetch_deal(DEAL).lines[0].total == Decimal(read)

    def test_a_line_without_total_costs_price_times_quantity_and_is_called_by_its_own_text(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        salesforce.get(QUERY, json=fixture("deal__won"))

        first, second = crm().fetch_deal(DEAL).lines

        assert (first.product_code, first.description) == ("SENSOR-100", "Sensor")
        assert (second.description, second.total) == ("Hub with mast", Decimal("31.5"))

    def test_a_line_that_costs_nothing_costs_nothing(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        answer = fixture("deal__won")
        answer["records"][0]["OpportunityLineItems"]["records"][1]["TotalPrice"] = 0
        salesforce.get(QUERY, json=answer)

        assert crm().fetch_deal(DEAL).lines[1].total == 0

    def test_a_bare_deal_is_named_by_the_domain_not_by_the_connector(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        salesforce.get(QUERY, json=fixture("deal__bare"))

        deal = crm().fetch_deal(DEAL)

        assert (deal.amount, deal.lines, deal.customer) == (Money(Decimal(0), "USD"), (), Customer("", ""))
        with pytest.raises(InvalidDealError) as caught:
            check(deal)
        assert set(caught.value.field_errors) == {"is_won", "customer", "amount", "lines"}

    def test_won_means_won_and_closed(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        salesforce.get(QUERY, json=_deal(fixture, IsClosed=False))

        assert not crm().fetch_deal(DEAL).is_won

    def test_fields_of_the_customer_are_asked_for_where_they_are_configured(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        answer = _deal(fixture, PO__c="PO-7")
        answer["records"][0]["Account"]["VAT__c"] = "DE123456789"
        salesforce.get(QUERY, json=answer)

        deal = crm(purchase_order_field="PO__c", tax_number_field="VAT__c").fetch_deal(DEAL)

        assert (deal.purchase_order_number, deal.customer.tax_number) == ("PO-7", "DE123456789")
        query = _query_of(salesforce.calls[0])
        assert "PO__c" in query
        assert "Account.VAT__c" in query

    def test_a_number_that_the_answer_leaves_out_is_not_taken_for_none(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        answer = fixture("deal__won")
        del answer["records"][0]["SAP_Order_Number__c"]
        salesforce.get(QUERY, json=answer)

        with pytest.raises(UnexpectedAnswerError) as caught:
            crm().fetch_deal(DEAL)

        assert list(caught.value.field_errors) == ["SAP_Order_Number__c"]

    def test_a_deal_that_is_not_found(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        salesforce.get(QUERY, json=fixture("query__none"))

        with pytest.raises(RecordNotFoundError) as caught:
            crm().fetch_deal(DEAL)

        assert "discard it" in caught.value.advice

    @pytest.mark.parametrize(
        ("roles", "expected"),
        [
            pytest.param([], ("", ""), id="no role, no e-mail"),
            pytest.param([(False, "b@x.test"), (True, "a@x.test")], ("a@x.test", "P1"), id="the primary contact first"),
            pytest.param([(False, "b@x.test"), (False, "c@x.test")], ("b@x.test", "P0"), id="else the first of all"),
            pytest.param([(False, None), (False, "c@x.test")], ("c@x.test", "P1"), id="else the first with an e-mail"),
            pytest.param([(False, "b@x.test"), (True, None)], ("b@x.test", "P0"), id="a primary without e-mail"),
            pytest.param([(False, None), (True, None)], ("", "P1"), id="nobody has an e-mail"),
        ],
    )
    def test_who_gets_the_mail(
        self,
        crm: Build,
        salesforce: responses.RequestsMock,
        fixture: LoadFixture,
        roles: list[tuple[bool, str | None]],
        expected: tuple[str, str],
    ) -> None:
        records = [
            {"IsPrimary": primary, "Contact": {"Email": email, "FirstName": None, "LastName": f"P{position}"}}
            for position, (primary, email) in enumerate(roles)
        ]
        page = {"totalSize": len(roles), "done": True, "records": records} if roles else None
        salesforce.get(QUERY, json=_deal(fixture, OpportunityContactRoles=page))

        customer = crm().fetch_deal(DEAL).customer

        assert (customer.email, customer.last_name) == expected

    def test_a_contact_that_is_hidden_counts_as_one_without_e_mail(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        page = {"totalSize": 1, "done": True, "records": [{"IsPrimary": True, "Contact": None}]}
        salesforce.get(QUERY, json=_deal(fixture, OpportunityContactRoles=page))

        assert crm().fetch_deal(DEAL).customer.email == ""

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"Id": "006xx"}, "Id"),
            ({"IsWon": None}, "IsWon"),
            ({"Amount": True}, "Amount"),
            ({"Amount": "much"}, "Amount"),
            ({"Amount": "1E999999999"}, "Amount"),
            ({"Amount": "1E-999999999"}, "Amount"),
            ({"Name": ["x"]}, "Name"),
            ({"Account": {"Name": "Acme"}}, "Account.Id"),
            ({"OpportunityLineItems": []}, "records"),
            ({"OpportunityLineItems": {"done": True, "records": [{"Quantity": 1}]}}, "0.Id"),
        ],
    )
    def test_an_answer_that_cannot_be_read_is_named_by_field(
        self,
        crm: Build,
        salesforce: responses.RequestsMock,
        fixture: LoadFixture,
        change: dict[str, Any],
        field: str,
    ) -> None:
        salesforce.get(QUERY, json=_deal(fixture, **change))

        with pytest.raises(UnexpectedAnswerError) as caught:
            crm().fetch_deal(DEAL)

        assert list(caught.value.field_errors) == [field]


class TestPages:
    def test_lines_are_read_to_their_last_page(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        salesforce.get(QUERY, json=fixture("deal__first_page_of_lines"))
        salesforce.get(f"{NEXT}-1", json=fixture("lines__middle_page"))
        salesforce.get(f"{NEXT}-2", json=fixture("lines__last_page"))

        deal = crm().fetch_deal(DEAL)

        assert [line.key[:15][-1] for line in deal.lines] == ["1", "2", "3"]
        check(deal)

    def test_a_page_that_comes_twice_ends_the_reading(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        again = fixture("lines__middle_page") | {"nextRecordsUrl": NEXT.removeprefix(INSTANCE) + "-1"}
        salesforce.get(QUERY, json=fixture("deal__first_page_of_lines"))
        salesforce.get(f"{NEXT}-1", json=again)

        with pytest.raises(UnexpectedAnswerError, match="the same page came twice"):
            crm().fetch_deal(DEAL)

    @pytest.mark.parametrize(
        "path",
        [
            None,
            7,
            "",
            "@evil.test/services/data/v68.0/query/x",
            ".evil.test/",
            "https://evil.test/services/data/v68.0/query/x",
            "//evil.test/services/data/v68.0/query/x",
            "/services/data/v68.0/query/x?y",
            "/services/data/v68.0/sobjects/User",
            "/services/data/v68.0/query/x\n",
        ],
    )
    def test_the_token_follows_no_address_but_a_page_of_a_query(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture, path: Any
    ) -> None:
        answer = fixture("deal__first_page_of_lines")
        answer["records"][0]["OpportunityLineItems"]["nextRecordsUrl"] = path
        salesforce.get(QUERY, json=answer)

        with pytest.raises(UnexpectedAnswerError) as caught:
            crm().fetch_deal(DEAL)

        assert list(caught.value.field_errors) == ["nextRecordsUrl"]
        assert len(salesforce.calls) == 1


class TestCurrency:
    def test_with_a_default_the_field_is_not_asked_for(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        salesforce.get(QUERY, json=fixture("deal__bare"))

        assert crm(default_currency="USD").fetch_deal(DEAL).amount.currency == "USD"
        assert "CurrencyIsoCode" not in _query_of(salesforce.calls[0])

    def test_without_one_the_deal_tells_its_own(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        salesforce.get(QUERY, json=fixture("deal__won"))

        assert crm(default_currency="").fetch_deal(DEAL).amount.currency == "EUR"
        assert "CurrencyIsoCode" in _query_of(salesforce.calls[0])

    def test_an_organization_without_the_field_needs_a_default_and_is_asked_for_it_once(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        salesforce.get(QUERY, json=fixture("error__no_currency"), status=400)
        salesforce.get(QUERY, json=fixture("deal__bare"))
        salesforce.get(QUERY, json=fixture("deal__bare"))
        connector = crm(default_currency="")

        for calls in (2, 3):
            with pytest.raises(PermanentError, match="CRMSYNC_DEFAULT_CURRENCY") as caught:
                connector.fetch_deal(DEAL)
            assert "CRMSYNC_DEFAULT_CURRENCY" in (caught.value.advice or "")
            assert len(salesforce.calls) == calls

        assert ["CurrencyIsoCode" in _query_of(call) for call in salesforce.calls] == [True, False, False]

    def test_a_default_that_is_set_or_taken_away_holds_from_then_on(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        for name in ("deal__bare", "deal__bare", "deal__won"):
            salesforce.get(QUERY, json=fixture(name))
        currencies = iter(["JPY", "USD", ""])
        connector = crm(usage=lambda: Usage(next(currencies)))

        found = [connector.fetch_deal(DEAL).amount.currency for _ in range(3)]

        assert found == ["JPY", "USD", "EUR"]
        assert ["CurrencyIsoCode" in _query_of(call) for call in salesforce.calls] == [False, False, True]

    def test_another_missing_field_is_not_taken_for_the_currency(
        self, crm: Build, salesforce: responses.RequestsMock, fixture: LoadFixture
    ) -> None:
        salesforce.get(QUERY, json=fixture("error__no_custom_field"), status=400)

        with pytest.raises(PermanentError) as caught:
            crm(default_currency="").fetch_deal(DEAL)

        assert list(caught.value.field_errors) == ["SAP_Order_Number__c"]
        assert len(salesforce.calls) == 1


class TestWriteBack:
    @pytest.mark.parametrize("status", [200, 201, 204])
    def test_one_patch_of_the_configured_fields(
        self, crm: Build, salesforce: responses.RequestsMock, status: int
    ) -> None:
        salesforce.patch(
            DEAL_URL,
            status=status,
            body=b"" if status == 204 else b'{"id": "006xx0000012abcAAA", "success": true, "errors": []}',
            match=[
                responses.matchers.json_params_matcher(
                    {"Order__c": "4500001", "Zoho_Invoice_Number__c": "INV-1", "Sync_Status__c": "Synced"}
                )
            ],
        )

        crm(order_number_field="Order__c", purchase_order_field="PO__c").write_back(
            DEAL[:15], order_number="4500001", invoice_number="INV-1", status="Synced"
        )

    def test_a_page_of_html_is_no_success(self, crm: Build, salesforce: responses.RequestsMock) -> None:
        salesforce.patch(DEAL_URL, status=200, body="<html>maintenance</html>")

        with pytest.raises(VendorUnavailableError) as caught:
            crm().write_back(DEAL, order_number="1", invoice_number="2", status="Synced")

        assert not caught.value.is_definite

    def test_any_fields_of_any_record(self, crm: Build, salesforce: responses.RequestsMock) -> None:
        salesforce.patch(
            DEAL_URL, status=204, match=[responses.matchers.json_params_matcher({"Paid__c": True, "Open__c": None})]
        )

        crm().update_fields("Opportunity", DEAL, {"Paid__c": True, "Open__c": None}, operation="write payment")


class TestWritePayment:
    @pytest.mark.parametrize(
        ("figures", "body"),
        [
            pytest.param(
                PaymentFigures(True, Money.of("47000.10", "USD"), date(2026, 12, 1)),
                b'{"Paid__c": true, "Payment_Amount__c": 47000.1, "Payment_Date__c": "2026-12-01"}',
                id="paid",
            ),
            pytest.param(
                PaymentFigures(False, Money.of("0.00", "USD"), None),
                b'{"Paid__c": false, "Payment_Amount__c": 0, "Payment_Date__c": null}',
                id="no day clears the day",
            ),
            pytest.param(
                PaymentFigures(True, Money.of("47000.10", "EUR"), date(2026, 12, 1)),
                b'{"Paid__c": true, "Payment_Amount__c": null, "Payment_Date__c": "2026-12-01"}',
                id="an amount of another currency clears the amount",
            ),
        ],
    )
    def test_one_patch_of_the_configured_fields(
        self, crm: Build, salesforce: responses.RequestsMock, figures: PaymentFigures, body: bytes
    ) -> None:
        salesforce.patch(DEAL_URL, status=204)

        crm(payment_received_field="Paid__c").write_payment(DEAL[:15], figures, currency="USD")

        assert salesforce.calls[0].request.body == body

    def test_a_deal_that_is_gone(self, crm: Build, salesforce: responses.RequestsMock) -> None:
        salesforce.patch(DEAL_URL, status=404, json=[{"errorCode": "NOT_FOUND", "message": "…"}])

        with pytest.raises(RecordNotFoundError):
            crm().write_payment(DEAL, PaymentFigures(False, Money.of("0", "USD"), None), currency="USD")


class TestAddress:
    @pytest.mark.parametrize(
        ("address", "login_url"),
        [
            ("https://acme.my.salesforce.com", "https://login.salesforce.com"),
            ("https://acme--sb.sandbox.my.salesforce.com:8443", "https://test.salesforce.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://localhost", "https://login.salesforce.com"),
            ("http://[::1]:1", "https://login.salesforce.com"),
            ("http://sandbox:8080", "http://sandbox:9090"),
        ],
    )
    def test_the_token_goes_to(self, address: str, login_url: str) -> None:
        assert trusted(address, login_url) == address

    @pytest.mark.parametrize(
        ("address", "login_url"),
        [
            ("", "https://login.salesforce.com"),
            ("http://acme.my.salesforce.com", "https://login.salesforce.com"),
            ("http://login.salesforce.com", "https://login.salesforce.com"),
            ("http://evil.test", "http://127.0.0.1:8080"),
            ("http://127.0.0.1@evil.test", "https://login.salesforce.com"),
            ("http://127.0.0.1.evil.test", "https://login.salesforce.com"),
            ("https://user:pw@acme.my.salesforce.com", "https://login.salesforce.com"),
            ("https://acme.my.salesforce.com/evil", "https://login.salesforce.com"),
            ("https://acme.my.salesforce.com\n", "https://login.salesforce.com"),
            ("ftp://acme.my.salesforce.com", "https://login.salesforce.com"),
        ],
    )
    def test_the_token_does_not_go_to(self, address: str, login_url: str) -> None:
        with pytest.raises(AccountRefusedError):
            trusted(address, login_url)

    def test_nothing_is_sent_to_an_address_in_the_clear(
        self, crm: Build, salesforce: responses.RequestsMock, authorizer: Signed
    ) -> None:
        authorizer.instance_url = "http://acme.my.salesforce.com"

        with pytest.raises(AccountRefusedError):
            crm().fetch_deal(DEAL)

        assert not salesforce.calls


class _TokenStore:
    """Keeps nothing: each sign-in asks Salesforce."""

    def read(self, connection: str) -> None:
        return None

    def renew(self, connection: str, *, stale: Any, fetch: Any, limit: Any) -> AccessToken:
        token: AccessToken = fetch()
        return token


def test_signing_in_with_a_key_and_asking_at_the_address_of_the_answer(
    settings: SalesforceSettings, behaviour: Behaviour, salesforce: responses.RequestsMock, fixture: LoadFixture
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    granted = fixture("token__granted")
    salesforce.post("https://login.salesforce.com/services/oauth2/token", json=granted)
    salesforce.get(QUERY, json=fixture("deal__bare"))

    tools = Tools(token_store=_TokenStore(), behaviour=behaviour, usage=lambda: Usage("USD"))
    connect("salesforce", replace(settings, private_key=Secret(pem)), tools).fetch_deal(DEAL)

    form = parse_qs(str(salesforce.calls[0].request.body))
    claims = jwt.decode(form["assertion"][0], key.public_key(), algorithms=["RS256"], audience=settings.audience)
    assert (claims["iss"], claims["sub"]) == ("3MVG9.CONSUMER", "integration@acme.test")
    assert salesforce.calls[1].request.headers["Authorization"] == f"Bearer {granted['access_token']}"
