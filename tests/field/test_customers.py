"""Cases from the field: which customer a deal is for, in systems that hold many of one name or address."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from crmsync.celery import app
from crmsync.company import Bound
from crmsync.connectors.base import Customers
from crmsync.domain.customers import Address, Customer
from crmsync.domain.deals import Deal
from crmsync.domain.learned import CustomerMatched
from crmsync.domain.money import Money
from crmsync.errors import (
    AmbiguousMatchError,
    LockedByOtherRunError,
    OutcomeSettlingError,
    RecordNotFoundError,
    RejectedError,
    RetryableError,
)
from crmsync.flows import order_to_invoice
from crmsync.flows.customers import match_customer
from crmsync.lab.sandbox import Sandbox
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import Store, schema
from crmsync.store.engine import utc_now
from crmsync.worker import customer_links
from crmsync.worker.attempt import Attempt
from tests.builders import customer, deal
from tests.earlier_releases import migrate_to
from tests.fakes import Only, add_link, start_run
from tests.system import big_sandbox

ACCOUNT = "001xx000003dgb2AAA"
OTHER_ACCOUNT = "001xx000003dgb3AAA"
ULM = Address("Weg 1", "Ulm", "89073", "", "Germany")
STEPS = {"s4hana": "match_erp_customer", "zoho_books": "match_books_customer"}
DOCUMENT_STEPS = {"s4hana": "create_order", "zoho_books": "create_invoice"}


def muster(key: str = ACCOUNT, name: str = "Muster GmbH", email: str = "info@muster.test", **more: Any) -> Customer:
    return customer(key=key, name=name, email=email, **{"tax_number": "", "address": ULM, **more})


@dataclass
class World:
    """Both systems, and steps that match customers in them."""

    sandbox: Sandbox
    services: Services
    runs: int = 0

    def connector(self, connection: str, role: str = "") -> Any:
        return self.services.connector(connection)

    def attempt(self, connection: str, *, is_accepted: bool = False, named: Any = None, step: str = "") -> Attempt:
        self.runs += 1
        step = step or STEPS[connection]
        with self.services.store.begin() as uow:
            run_id, _ = start_run(
                uow, "order_to_invoice", f"006{self.runs}", step=step, correlation_id="c", queued_until=uow.now
            )
            run = uow.runs.claim(run_id, step, lease_seconds=60)
        assert run is not None
        answers = {"accepted": [step]} if is_accepted else {}
        run = replace(run, answers=answers | ({"links": {connection: named}} if named else {}))
        return Attempt(run, self.services, uow.now)

    def match(
        self,
        connection: str,
        of: Customer,
        *,
        currency: str = "USD",
        is_doubted: bool = False,
        prefix: str = "",
        **answer: Any,
    ) -> CustomerMatched:
        won: Deal = deal(customer=of, amount=Money(Decimal(100), currency))
        attempt = self.attempt(connection, **answer)
        if prefix:
            company = attempt.company
            attempt.company = replace(company, options=replace(company.options, reference_prefix=prefix))
        found = match_customer(attempt, won, Bound(connection, self.services), is_doubted=is_doubted)
        with self.services.store.begin() as uow:
            attempt.record_outcomes(uow)
        return found

    def there(self, connection: str, of: Customer, **fields: Any) -> str:
        """A customer that existed before, made by somebody else."""
        if connection == "s4hana":
            return self.services.company().orders.api.create_customer(of, reference="", currency="USD").key
        body = {"contact_name": of.name, "contact_persons": [{"first_name": "A", "email": of.email}], **fields}
        return str(self.sandbox.zoho.organization.contacts.create(body)["contact_id"])

    def link(self, connection: str) -> Any:
        with self.services.store.read() as uow:
            return uow.links.get(connection, "salesforce", ACCOUNT, "USD")

    def take_link_back(self) -> None:
        with self.services.store.begin() as uow:
            uow.links.remove(uow.links.of_account("salesforce", ACCOUNT)[0])

    def calls(self) -> str:
        return str(self.sandbox.calls())


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with big_sandbox() as made:
        yield made


@pytest.fixture
def world(sandbox: Sandbox, database_url: str) -> Iterator[World]:
    sandbox.reset()
    store = Store(database_url)
    schema.migrate(store)
    settings = Settings.from_env({**os.environ, **sandbox.environment(), "SAP_TAX_NUMBER_TYPE": "DE0"})
    yield World(sandbox, Services(settings, store))
    store.close()


def block(sandbox: Sandbox, connection: str, key: str, *, is_blocked: bool = True) -> None:
    """As people do: in SAP the central block, in the books "inactive"."""
    if connection == "s4hana":
        with sandbox.sap.lock:
            row = next(row for row in sandbox.sap.tables["A_BusinessPartner"] if key in row.values())
            row["BusinessPartnerIsBlocked"] = is_blocked
            sandbox.sap.tables.changed()
    else:
        with sandbox.zoho.lock:
            contacts = sandbox.zoho.organization.contacts
            contacts.mark(contacts.docs[key], "inactive" if is_blocked else "active")


BOTH = pytest.mark.parametrize("connection", STEPS)


@BOTH
def test_L7__two_accounts_with_one_address_are_two_customers_until_a_person_says_otherwise(
    world: World, connection: str
) -> None:
    first = world.match(connection, muster(OTHER_ACCOUNT, "Holding AG"))

    with pytest.raises(AmbiguousMatchError) as caught:
        world.match(connection, muster())

    assert f"{first.customer_key} Holding AG, Ulm (same e-mail, another name" in str(caught.value)
    assert OTHER_ACCOUNT in str(caught.value)
    assert "info@" not in caught.value.with_advice
    assert world.link(connection) is None

    made = world.match(connection, muster(), is_accepted=True)
    assert made.customer_key != first.customer_key
    assert made.matched_by == "created"


@BOTH
def test_L7__an_address_at_a_freemail_domain_makes_no_two_accounts_one(world: World, connection: str) -> None:
    first = world.match(connection, muster(OTHER_ACCOUNT, "Kiosk Nord", "kiosk@gmail.com"))

    second = world.match(connection, muster(name="Kiosk Süd", email="kiosk@gmail.com"))

    assert second.customer_key != first.customer_key


@BOTH
def test_L7__address_and_name_together_are_enough_and_the_link_says_so(world: World, connection: str) -> None:
    key = world.there(connection, muster(name="MUSTER gmbh"))

    found = world.match(connection, muster(email="Info@Muster.TEST"))

    assert (found.customer_key, found.matched_by) == (key, "e-mail and name")
    assert (world.link(connection).origin, world.link(connection).name) == ("e-mail and name", "MUSTER gmbh")


@BOTH
def test_L7__a_namesake_that_is_another_accounts_customer_is_not_taken(world: World, connection: str) -> None:
    world.match(connection, muster(OTHER_ACCOUNT))

    with pytest.raises(AmbiguousMatchError, match=f"linked to {OTHER_ACCOUNT}"):
        world.match(connection, muster(address=replace(ULM, city="Bonn")))


@BOTH
def test_L7__a_namesake_that_was_made_for_another_account_is_not_taken_where_its_link_was_lost(
    world: World, connection: str
) -> None:
    world.match(connection, muster(OTHER_ACCOUNT))
    with world.services.store.begin() as uow:
        uow.links.remove(uow.links.of_account("salesforce", OTHER_ACCOUNT)[0])

    with pytest.raises(AmbiguousMatchError, match=f"made for {OTHER_ACCOUNT.upper()}"):
        world.match(connection, muster(address=replace(ULM, city="Bonn")))


def test_L7__a_tax_number_that_is_another_beats_address_and_name(world: World) -> None:
    key = world.there("s4hana", muster(tax_number="DE987654321"))

    assert world.match("s4hana", muster(tax_number="DE123456789")).customer_key != key


def test_L7__the_books_tax_number_counts_too(world: World) -> None:
    world.there("zoho_books", muster(), vat_reg_no="DE987654321")

    with pytest.raises(AmbiguousMatchError, match="same name, another tax number"):
        world.match("zoho_books", muster(tax_number="DE123456789"))

    of_place = world.match("zoho_books", muster(tax_number="DE123456789"), is_accepted=True)
    assert of_place.name == "Muster GmbH (Ulm)"


def test_P2__the_tax_number_finds_the_right_one_of_eleven_with_one_address(world: World) -> None:
    keys = [
        world.there("s4hana", muster(name=f"Shop {number}", email="ap@reseller.test", tax_number=f"DE12345678{number}"))
        for number in range(10)
    ]

    found = world.match("s4hana", muster(email="ap@reseller.test", tax_number="123 456 787"))

    assert found == CustomerMatched(keys[7], "Shop 7", "Ulm", "tax number")


@BOTH
def test_P2__of_more_customers_with_one_address_than_are_shown_the_namesake_is_found(
    world: World, connection: str
) -> None:
    for number in range(11):
        world.there(connection, muster(name=f"Shop {number:02d}", email="ap@reseller.test"))
    key = world.there(connection, muster(name="MUSTER Gmbh", email="ap@reseller.test"))
    world.there(connection, muster(name="Shop 99", email="ap@reseller.test"))

    found = world.match(connection, muster(email="ap@reseller.test"))

    assert (found.customer_key, found.matched_by) == (key, "e-mail and name")


def test_P2__the_books_name_and_tax_number_are_enough_where_the_address_is_another(world: World) -> None:
    key = world.there("zoho_books", muster(email="old@muster.test"), vat_reg_no="DE 123456789")

    found = world.match("zoho_books", muster(tax_number="DE123456789"))

    assert (found.customer_key, found.matched_by) == (key, "tax number")


def test_P2__a_persons_name_is_neither_kept_nor_shown(world: World) -> None:
    person = muster(name="Ida Quermann", first_name="Ida", last_name="Quermann")

    found = world.match("s4hana", person)

    assert found.name == ""
    assert world.link("s4hana").name == ""


@pytest.mark.parametrize("stored", ["Einkauf@Muster.test", "einkauf@muster.test", "EINKAUF@MUSTER.TEST"])
def test_L8__an_address_is_one_whatever_its_case(world: World, stored: str) -> None:
    key = world.there("s4hana", muster(email=stored))

    assert world.match("s4hana", muster(email="eInkauf@muster.test")).customer_key == key


@pytest.mark.parametrize("stored", ["Einkauf@Maß.test", "EINKAUF@MASS.TEST"])
def test_L8__a_sharp_s_is_found_as_one_letter_and_as_two(world: World, stored: str) -> None:
    key = world.there("s4hana", muster(email=stored))

    assert world.match("s4hana", muster(email="einkauf@maß.test")).customer_key == key


def test_L8__a_long_address_is_told_from_another_that_begins_alike(world: World) -> None:
    world.there("s4hana", muster(email="Accounts.Payable@muster-france.test"))
    key = world.there("s4hana", muster(email="Accounts.Payable@muster-germany.test"))

    found = world.match("s4hana", muster(email="accounts.payable@muster-germany.test"))

    assert found.customer_key == key


@pytest.mark.parametrize("stored", ["DE123456789", "DE 123 456 789", "123456789"])
def test_L8__a_tax_number_is_one_however_it_is_written(world: World, stored: str) -> None:
    key = world.there("s4hana", muster(name="Former Name", email="x@y.test", tax_number=stored))

    assert world.match("s4hana", muster(tax_number="de123456789")).customer_key == key


@pytest.mark.parametrize(
    ("country", "stored", "asked"),
    [
        ("United Kingdom", "GB 123 4567 82", "GB123456782"),
        ("France", "FR 40 303 265 045", "fr40303265045"),
        ("Poland", "PL 521-123-45-67", "5211234567"),
    ],
)
def test_L8__a_tax_number_is_found_in_the_groups_that_its_country_writes(
    world: World, country: str, stored: str, asked: str
) -> None:
    there = replace(ULM, country=country)
    key = world.there("s4hana", muster(name="Former Name", email="x@y.test", tax_number=stored, address=there))

    assert world.match("s4hana", muster(tax_number=asked, address=there)).customer_key == key


# -- one currency a customer


def currencies(world: World) -> dict[str, str]:
    contacts = world.sandbox.zoho.organization.contacts.docs.values()
    return {each["contact_name"]: each["currency_code"] for each in contacts}


def test_M3__an_account_has_a_customer_in_the_books_for_each_currency(world: World) -> None:
    keys = {each: world.match("zoho_books", muster(), currency=each).customer_key for each in ("USD", "EUR", "GBP")}
    again = {each: world.match("zoho_books", muster(), currency=each).customer_key for each in keys}

    assert again == keys
    assert len(set(keys.values())) == 3
    assert currencies(world) == {"Muster GmbH": "USD", "Muster GmbH (EUR)": "EUR", "Muster GmbH (GBP)": "GBP"}


@pytest.fixture
def elsewhere(database_url: str) -> Iterator[World]:
    """A CRM in USD alone, and books that are kept in EUR and have USD."""
    with big_sandbox(zoho_currency="EUR", zoho_currencies=("EUR", "USD")) as sandbox:
        store = Store(database_url)
        schema.migrate(store)
        settings = Settings.from_env({**os.environ, **sandbox.environment(), "CRMSYNC_DEFAULT_CURRENCY": "USD"})
        yield World(sandbox, Services(settings, store))
        store.close()


def test_M3__where_the_books_are_kept_in_another_currency_than_the_crm_customers_are_made_in_the_deals(
    elsewhere: World,
) -> None:
    with pytest.raises(RetryableError, match="keeps its books in EUR"):
        elsewhere.match("zoho_books", muster())
    elsewhere.match("zoho_books", muster())
    elsewhere.match("zoho_books", muster(OTHER_ACCOUNT, "Holding AG", "ap@holding.test"))

    assert currencies(elsewhere) == {"Muster GmbH": "EUR", "Muster GmbH (USD)": "USD", "Holding AG": "USD"}
    (told,) = [check for check in elsewhere.services.company().invoices.api.check() if check.name == "organization"]
    assert (told.is_ok, told.is_note) == (True, True), "it may be meant, or a slip in CRMSYNC_DEFAULT_CURRENCY"
    assert "EUR" in told.detail
    assert "bills in USD" in told.detail


def test_M3__a_customer_that_we_made_and_that_is_in_another_currency_now_is_left_and_another_made(world: World) -> None:
    wrong = world.match("zoho_books", muster()).customer_key
    organization = world.sandbox.zoho.organization
    with world.sandbox.zoho.lock:
        contact = organization.contacts.docs[wrong]
        organization.contacts.update(contact, {"currency_id": organization.books.currency_id("EUR")})
    with world.services.store.begin() as uow:
        uow.links.remove(world.link("zoho_books"))

    right = world.match("zoho_books", muster())

    assert right.customer_key != wrong
    assert currencies(world) == {"Muster GmbH": "EUR", "Muster GmbH (USD)": "USD"}


def test_M3__of_three_namesakes_each_has_its_own_in_each_currency_and_finds_it_again(world: World) -> None:
    namesakes = [muster(f"001xx000003dgb{digit}AAA", email="ap@muster.test") for digit in (4, 5, 6)]

    def keys() -> list[str]:
        return [
            world.match("zoho_books", each, currency=currency, is_accepted=True).customer_key
            for each in namesakes
            for currency in ("USD", "EUR")
        ]

    first = keys()
    with world.services.store.begin() as uow:
        for each in namesakes:
            for link in uow.links.of_account("salesforce", each.key):
                uow.links.remove(link)
        uow.connection.execute(text("DELETE FROM ledger"))

    assert keys() == first
    assert len(set(first)) == 6


def test_M3__a_name_that_a_stranger_has_with_the_currency_is_passed_over(world: World) -> None:
    world.there("zoho_books", muster(name="Muster GmbH (EUR)", email="ap@stranger.test"))
    world.match("zoho_books", muster())

    assert world.match("zoho_books", muster(), currency="EUR").name == "Muster GmbH (Ulm)"


def test_L7__a_vendor_of_the_customers_name_is_said_to_be_one_and_stands_in_nobodys_way(world: World) -> None:
    key = world.there("zoho_books", muster(), contact_type="vendor")

    with pytest.raises(AmbiguousMatchError, match="same name, but a vendor"):
        world.match("zoho_books", muster())
    with pytest.raises(AmbiguousMatchError, match="is a vendor in Zoho Books, and no customer"):
        world.match("zoho_books", muster(), named=named(key))

    assert world.match("zoho_books", muster(), is_accepted=True).name == "Muster GmbH (Ulm)"


def test_M3__the_erp_has_one_customer_for_all(world: World) -> None:
    keys = {world.match("s4hana", muster(), currency=each).customer_key for each in ("USD", "EUR")}

    assert len(keys) == 1


def test_M3__where_links_were_lost_each_is_found_again_by_its_reference(world: World) -> None:
    keys = {each: world.match("zoho_books", muster(), currency=each).customer_key for each in ("USD", "EUR")}
    with world.services.store.begin() as uow:
        for link in uow.links.of_account("salesforce", ACCOUNT):
            uow.links.remove(link)

    found = {each: world.match("zoho_books", muster(), currency=each) for each in keys}

    assert {each: match.customer_key for each, match in found.items()} == keys
    assert {match.matched_by for match in found.values()} == {"reference"}


def test_M3__a_link_of_an_earlier_release_serves_its_own_currency_only(world: World) -> None:
    key = world.there("zoho_books", muster())
    with world.services.store.begin() as uow:
        add_link(uow, "zoho_books", "customer", ACCOUNT, key, origin="e-mail")

    in_euros = world.match("zoho_books", muster(), currency="EUR")
    in_dollars = world.match("zoho_books", muster())
    before = world.calls()
    again = world.match("zoho_books", muster())

    assert in_euros.customer_key != key
    assert (in_dollars.customer_key, in_dollars.matched_by) == (key, "e-mail")
    assert again == in_dollars
    assert world.calls() == before, "what was looked up once is remembered"


def test_M3__links_of_an_earlier_release_are_carried_over(tmp_path: Path) -> None:
    old = Store(f"sqlite:///{tmp_path / 'old.db'}")
    migrate_to(old, "0010")
    with old.begin() as uow:
        uow.connection.execute(
            text(
                "INSERT INTO links (connection, record_type, crm_key, key, origin, created_at)"
                " VALUES ('zoho_books', 'customer', '001', '46', 'e-mail', '2026-01-01 00:00:00.000000')"
            )
        )

    schema.migrate(old)

    with old.begin() as uow:
        assert [(link.key, link.currency, link.origin) for link in uow.links.customers(None)] == [("46", "", "e-mail")]
        assert add_link(uow, "zoho_books", "customer", "001", "47", origin="created", currency="EUR")
        assert not add_link(uow, "zoho_books", "customer", "001", "48", origin="created", currency="EUR")
    old.close()


def test_M3__a_customer_whose_currency_the_deal_lacks_is_not_taken_by_address_and_name(world: World) -> None:
    euro = world.sandbox.zoho.organization.books.currency_id("EUR")
    key = world.there("zoho_books", muster(), currency_id=euro)

    found = world.match("zoho_books", muster())

    assert found.customer_key != key
    assert currencies(world) == {"Muster GmbH": "EUR", "Muster GmbH (USD)": "USD"}


# -- what a person says in the control tower


def named(number: str, **more: Any) -> dict[str, Any]:
    return {"number": number, "by": "operator, in the control tower", "is_seen": False, **more}


@BOTH
def test_P3__a_number_that_does_not_exist_comes_back_to_the_person(world: World, connection: str) -> None:
    with pytest.raises(AmbiguousMatchError, match=r"has no customer 999999999\. Nothing was stored"):
        world.match(connection, muster(), named=named("999999999"))

    assert world.link(connection) is None


@BOTH
def test_P3__a_number_of_another_name_counts_where_both_were_seen(world: World, connection: str) -> None:
    key = world.there(connection, muster(name="Holding AG", email="ap@holding.test"))

    with pytest.raises(AmbiguousMatchError, match=r"Holding AG.* has another name than the account .*Muster GmbH, Ulm"):
        world.match(connection, muster(), named=named(key))
    assert world.link(connection) is None

    found = world.match(connection, muster(), named=named(key, is_seen=True))
    assert (found.customer_key, found.matched_by) == (key, "replay")
    assert world.link(connection).linked_by == "operator, in the control tower"


def test_P3__a_number_in_another_currency_than_the_deals_is_refused(world: World) -> None:
    key = world.there("zoho_books", muster())

    with pytest.raises(AmbiguousMatchError, match="billed in USD by Zoho Books, and the deal is in EUR"):
        world.match("zoho_books", muster(), currency="EUR", named=named(key))


def test_P3__leading_zeros_of_a_number_make_no_difference(world: World) -> None:
    key = world.there("s4hana", muster())

    assert world.match("s4hana", muster(), named=named(key.zfill(10))).customer_key == key


def test_P3__names_of_accounts_are_read_a_few_at_a_time(world: World) -> None:
    made = [world.sandbox.deals.create(f"Shop {number}").account_id for number in range(3)]

    found = world.services.company().deals.api.read_accounts([*made, "001xx000003dgb9AAA"], lambda: None)

    assert {found[each].name for each in made} == {"Shop 0", "Shop 1", "Shop 2"}
    assert found[made[0]].address.city == "Bergen"
    assert len(found) == 3


def test_P3__hundreds_of_numbers_are_looked_up_in_lists(world: World) -> None:
    keys = [world.there("zoho_books", muster(name=f"Shop {number}")) for number in range(250)]

    found = world.services.company().invoices.api.read_customers([*keys, "999999999"], lambda: None)

    assert sorted(found) == sorted(keys)
    assert {(each.name, each.currency) for each in found.values()} == {(f"Shop {n}", "USD") for n in range(250)}
    assert world.sandbox.calls()["zoho"]["operations"] == {"find_customer": 2, "get_customer": 1, "token": 1}


# -- what is gone or blocked


def test_L1__a_linked_customer_that_is_gone_in_the_books_is_said_with_the_way_out(world: World) -> None:
    with world.services.store.begin() as uow:
        add_link(uow, "zoho_books", "customer", ACCOUNT, "460000000099999", origin="imported")

    with pytest.raises(RecordNotFoundError) as caught:
        world.match("zoho_books", muster())

    assert "search for it again" in caught.value.with_advice
    made = world.match("zoho_books", muster(), is_doubted=True).customer_key
    assert made in world.sandbox.zoho.organization.contacts.docs
    assert world.link("zoho_books").key == made


def test_L1__a_customer_that_we_made_and_that_was_deleted_is_made_anew_once_its_link_is_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = world.match("zoho_books", muster()).customer_key
    contacts = world.sandbox.zoho.organization.contacts
    contacts.delete(contacts.docs[key])
    world.take_link_back()
    monkeypatch.setattr(world.services.store, "clock", lambda: utc_now() + timedelta(hours=1))

    assert world.match("zoho_books", muster()).customer_key in contacts.docs


def test_a_customer_that_another_run_has_just_made_is_waited_for_until_it_is_listed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run outlasts its lock: it links the customer after this one has asked for a link, and lists are late."""
    key = world.match("s4hana", muster()).customer_key
    world.take_link_back()

    with monkeypatch.context() as late:
        late.setattr(world.sandbox.profile.sap, "lag_seconds", 3600.0)
        with pytest.raises(OutcomeSettlingError) as caught:
            world.match("s4hana", muster())

    behaviour = world.services.settings.behaviour
    assert 0 < caught.value.wait_seconds <= behaviour.lease_seconds + behaviour.settle_seconds + 0.1
    assert world.match("s4hana", muster()).customer_key == key
    assert world.link("s4hana").key == key


def test_L1__a_customer_that_was_merged_into_another_is_found_there(world: World) -> None:
    first = world.match("zoho_books", muster()).customer_key
    contacts = world.sandbox.zoho.organization.contacts
    contacts.delete(contacts.docs[first])
    other = world.there("zoho_books", muster())
    before = world.calls()

    assert world.match("zoho_books", muster()).customer_key == first, "a link costs no call"
    assert world.calls() == before
    assert world.match("zoho_books", muster(), is_doubted=True).customer_key == other
    assert world.link("zoho_books").key == other


@BOTH
def test_L1__a_linked_customer_that_was_blocked_is_asked_about_and_its_link_stands(
    world: World, connection: str
) -> None:
    key = world.match(connection, muster()).customer_key
    block(world.sandbox, connection, key)

    with pytest.raises(AmbiguousMatchError, match=f"{key}.* is blocked or inactive") as caught:
        world.match(connection, muster(), is_doubted=True)

    assert "--link" in caught.value.with_advice
    assert world.link(connection).key == key
    block(world.sandbox, connection, key, is_blocked=False)
    assert world.match(connection, muster(), is_doubted=True).customer_key == key


def test_L7__a_blocked_customer_is_not_billed(world: World) -> None:
    key = world.there("zoho_books", muster(), vat_reg_no="DE123456789")
    contacts = world.sandbox.zoho.organization.contacts
    contacts.mark(contacts.docs[key], "inactive")

    with pytest.raises(RejectedError, match="blocked or inactive"):
        world.match("zoho_books", muster(tax_number="DE123456789"))


# -- a run that waits between its customer and its document


def waiting(world: World, connection: str) -> Attempt:
    """Its customer was found; its document was not asked for yet, for its system was down or its quota used up."""
    won: Deal = deal(customer=muster(), is_mailed_by_hand=True)
    found = world.match(connection, muster())
    attempt = world.attempt(connection, step=DOCUMENT_STEPS[connection])
    results = {"fetch_deal": won.to_json(), STEPS[connection]: found.to_json()}
    return replace(attempt, run=replace(attempt.run, results=results))


def make_document(connection: str, attempt: Attempt) -> None:
    app.tasks[order_to_invoice.FLOW.task_name(DOCUMENT_STEPS[connection])].body(attempt)


def billed(world: World, connection: str) -> list[str]:
    kind, customer = ("orders", "customer") if connection == "s4hana" else ("invoices", "customer_id")
    return [row[customer] for row in world.sandbox.ledger()[kind]]


class Meanwhile:
    """A connector; while *operation* is under way, something else happens."""

    def __init__(self, connector: Customers, operation: str, happens: Callable[[], object]) -> None:
        self._connector, self._operation, self._happens = connector, operation, happens

    def __getattr__(self, name: str) -> Any:
        if name == self._operation:
            self._happens()
        return getattr(self._connector, name)


def match_meanwhile(world: World, connection: str, operation: str, happens: Callable[[], object]) -> str:
    attempt = world.attempt(connection)
    connector = Meanwhile(world.connector(connection), operation, happens)
    found = match_customer(attempt, deal(customer=muster()), Bound(connection, Only(connector)))
    with world.services.store.begin() as uow:
        attempt.record_outcomes(uow)
    return found.customer_key


@BOTH
@pytest.mark.parametrize("operation", ["create_customer", "adopt_customer"])
def test_P3__the_second_deal_of_a_new_customer_waits_a_second_for_the_first(
    world: World, connection: str, operation: str
) -> None:
    """It must not wait for the outcome of the first one's call to settle; and SAP takes a sales area only once."""
    if operation == "adopt_customer":
        world.there(connection, muster())
    waits: list[float] = []

    def second() -> None:
        with pytest.raises(LockedByOtherRunError) as caught:
            world.match(connection, muster())
        waits.append(caught.value.wait_seconds)

    key = match_meanwhile(world, connection, operation, second)

    assert len(waits) == 1
    assert 0 < waits[0] <= 1.5
    assert world.match(connection, muster()).customer_key == key


@BOTH
def test_P3__two_new_customers_do_not_wait_for_each_other(world: World, connection: str) -> None:
    other = muster(OTHER_ACCOUNT, "Holding AG", "info@holding.test")
    found: list[str] = []

    key = match_meanwhile(
        world,
        connection,
        "create_customer",
        lambda: found.append(world.match(connection, other).customer_key),
    )

    assert len({key, *found}) == 2


@BOTH
def test_P3__a_customer_that_a_person_links_while_the_run_waits_is_the_one_that_is_billed(
    world: World, connection: str
) -> None:
    attempt = waiting(world, connection)
    right = world.there(connection, muster(name="Muster Werk GmbH", email="werk@muster.test"))
    found = customer_links.sides(world.services, connection, "salesforce", right, muster(), "USD")
    with world.services.store.begin() as uow:
        customer_links.store(uow, [found], origin="imported", by="the test")

    make_document(connection, attempt)

    assert billed(world, connection) == [right]
    learned = CustomerMatched.from_json(attempt.relearned[STEPS[connection]])
    assert (learned.customer_key, learned.name, learned.matched_by) == (right, "Muster Werk GmbH", "imported")


@BOTH
def test_P3__nobody_is_billed_whose_link_was_taken_back_while_the_run_waits(world: World, connection: str) -> None:
    attempt = waiting(world, connection)
    with world.services.store.begin() as uow:
        uow.links.remove(world.link(connection))

    with pytest.raises(AmbiguousMatchError, match="was removed"):
        make_document(connection, attempt)

    assert billed(world, connection) == []


@pytest.mark.parametrize("connection", STEPS)
def test_two_crms_in_one_erp_take_no_customer_of_each_other_by_its_reference(world: World, connection: str) -> None:
    """Ids of two CRMs may be the same; a company of its own has a prefix, and its references begin with that."""
    ours = world.match(connection, muster())
    world.take_link_back()
    beta = muster(name="Beta Ltd", email="info@beta.test")

    theirs = world.match(connection, beta, prefix="AC-")
    world.take_link_back()
    again = world.match(connection, beta, prefix="AC-")

    assert (ours.matched_by, theirs.matched_by) == ("created", "created")
    assert again.customer_key == theirs.customer_key != ours.customer_key
    assert again.matched_by == "reference"
