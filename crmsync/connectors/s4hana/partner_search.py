"""Finds business partners: by our reference, tax number, e-mail address, or number of the customer.

SAP compares a filter with what it holds letter by letter, so each search asks for what may stand there, and compares
the answers itself: tax numbers as their country writes them, e-mail addresses without case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from crmsync import errors
from crmsync.connectors.base import KeepAlive
from crmsync.connectors.s4hana.api import SapApi
from crmsync.connectors.s4hana.errors import SYSTEM
from crmsync.connectors.s4hana.odata import Row, equals, expanded, numbered, same_upper, trimmed
from crmsync.connectors.s4hana.partners import PERSON, TAX_NUMBER_LENGTH, external_id
from crmsync.connectors.s4hana.schemas import (
    EmailSchema,
    Partner,
    PartnerAddressSchema,
    PartnerSchema,
    PlaceSchema,
    TaxNumberSchema,
    load,
)
from crmsync.connectors.s4hana.schemas import TaxNumber as TaxRow
from crmsync.connectors.s4hana.services import (
    EMAIL_ADDRESSES,
    PARTNER_ADDRESSES,
    PARTNER_TAX_NUMBERS,
    PARTNERS,
    Resource,
)
from crmsync.domain.company_names import same_company_name
from crmsync.domain.countries import country_code
from crmsync.domain.customers import Candidate
from crmsync.domain.tax_numbers import TaxNumber, Verdict, compare, spellings

CANDIDATES_MAX = 10
SHARED_MAX = 100  # customers of one e-mail address that are looked at: a reseller's, a holding's
KEYS_MAX = 20  # numbers that one filter names
SEARCH_TERM_LENGTH = 20  # of SearchEmailAddress: the beginning of the address in upper case

_SELECT = (
    "BusinessPartner,Customer,BusinessPartnerFullName,BusinessPartnerIDByExtSystem,BusinessPartnerIsBlocked,"
    "BusinessPartnerCategory"
)
_PLACE = "to_BusinessPartnerAddress"
_TAX = "to_BusinessPartnerTax"
_EXPAND = "to_BusinessPartnerRole,to_Customer/to_CustomerSalesArea"
_TAX_FIELDS = "BusinessPartner,BPTaxType,BPTaxNumber,BPTaxLongNumber"

_PARTNER = PartnerSchema()
_TAX_NUMBER = TaxNumberSchema()
_EMAIL = EmailSchema()
_ADDRESS = PartnerAddressSchema()
_PLACES = PlaceSchema()


class PartnerSearch:
    """Compares every answer with what was asked: a filter that SAP ignored must not link a stranger."""

    def __init__(self, api: SapApi) -> None:
        self._api = api

    def by_reference(self, reference: str) -> list[Candidate]:
        stored = external_id(reference)
        operation = "find_customers_by_reference"
        rows = self._described(operation, equals("BusinessPartnerIDByExtSystem", stored))
        return _candidates((row for row in rows if same_upper(_partner(row, operation).reference, stored)), operation)

    def by_tax_number(self, wanted: TaxNumber) -> list[Candidate]:
        """Customers with this tax number, of whatever category: a customer abroad has a number of its own country's."""
        asked = spellings(wanted)
        if not asked:
            return []
        operation = "find_customers_by_tax_number"
        rows = self._rows(operation, PARTNER_TAX_NUMBERS, _tax_filter(asked), _TAX_FIELDS)
        found = [load(_TAX_NUMBER, row, operation=operation) for row in rows]
        same = (each.partner for each in found if compare(wanted, _tax_number(each)) is Verdict.SAME)
        return self._numbered(operation, _distinct(same))

    def by_email(self, email: str, name: str) -> list[Candidate]:
        """Through the address that the e-mail belongs to: it may be that of a contact person.

        Of many who share it, those of this *name* come first.
        """
        if not email:
            return []
        operation = "find_customers_by_email"
        asked = equals("SearchEmailAddress", *search_terms(email))
        rows = self._rows(operation, EMAIL_ADDRESSES, asked, "AddressID,EmailAddress")
        found = [load(_EMAIL, row, operation=operation) for row in rows]
        same = (each["address_id"] for each in found if each["email"].strip().casefold() == email.casefold())
        partners = self._numbered(operation, self._at(operation, _distinct(same, SHARED_MAX)))
        partners.sort(key=lambda each: not same_company_name(name, each.name))
        return [replace(each, emails=(email,)) for each in partners[:CANDIDATES_MAX]]

    def by_numbers(self, keys: Sequence[str], keep_alive: KeepAlive) -> dict[str, Candidate]:
        """Customers by the number of the customer, else of the partner, a few at a time."""
        found: dict[str, Candidate] = {}
        for field in ("Customer", "BusinessPartner"):
            missing = [key for key in keys if key not in found]
            for some in _parts(missing):
                keep_alive()
                found |= self._of_field(field, some)
        return found

    def complete(self, operation: str, key: str) -> Row:
        """The partner with its roles and sales areas; *key* is its customer number, or its own if it has none.

        Raises: RecordNotFoundError.
        """
        for field in ("Customer", "BusinessPartner"):
            options = {"$filter": numbered(field, key), "$expand": _EXPAND, "$orderby": "BusinessPartner"}
            rows = self._api.rows(operation, PARTNERS, options)
            found = next((row for row in rows if trimmed(str(row.get(field))) == trimmed(key)), None)
            if found is not None:
                return found
        raise errors.RecordNotFoundError(f"{SYSTEM} has no customer {key}.", system=SYSTEM, operation=operation)

    def numbered(self, operation: str, number: str) -> Partner:
        row = self._api.read(operation, PARTNERS, number, {"$select": _SELECT})
        return _partner(row, operation)

    def _of_field(self, field: str, keys: Sequence[str]) -> dict[str, Candidate]:
        operation = "read_customers"
        rows = list(self._described(operation, numbered(field, *keys)))
        of = {trimmed(str(row.get(field) or "")): candidate(row, operation) for row in rows}
        return {key: of[trimmed(key)] for key in keys if trimmed(key) in of}

    def _numbered(self, operation: str, numbers: list[str]) -> list[Candidate]:
        rows = chain.from_iterable(
            self._described(operation, numbered("BusinessPartner", *some)) for some in _parts(numbers)
        )
        return _candidates((row for row in rows if _partner(row, operation).number in numbers), operation, SHARED_MAX)

    def _at(self, operation: str, addresses: list[str]) -> list[str]:
        rows = chain.from_iterable(
            self._rows(operation, PARTNER_ADDRESSES, numbered("AddressID", *some), "BusinessPartner,AddressID")
            for some in _parts(addresses)
        )
        found = [load(_ADDRESS, row, operation=operation) for row in rows]
        return _distinct((each["partner"] for each in found if trimmed(each["address_id"]) in addresses), SHARED_MAX)

    def _described(self, operation: str, condition: str) -> Iterator[Row]:
        """Partners with what people, and tax offices, tell them apart by."""
        options = {
            "$filter": condition,
            "$expand": f"{_PLACE},{_TAX}",
            "$orderby": "BusinessPartner",
        }
        return self._api.rows(operation, PARTNERS, options)

    def _rows(self, operation: str, at: Resource, condition: str, select: str) -> list[Row]:
        """What a secondary search finds; a system without that search finds nobody."""
        options = {"$filter": condition, "$select": select, "$orderby": select.partition(",")[0]}
        try:
            return list(self._api.rows(operation, at, options))
        except errors.RecordNotFoundError:
            return []


def search_terms(email: str) -> list[str]:
    """What SAP may keep of an address to search for it: of ß as it stands, or as two letters.

    >>> search_terms("Einkauf.Nord@Muster-Maschinen.test"), search_terms("ida@maß.test")
    (['EINKAUF.NORD@MUSTER-'], ['IDA@MAß.TEST', 'IDA@MASS.TEST'])
    """
    letters = "".join(each.upper() if len(each.upper()) == 1 else each for each in email)
    return list(dict.fromkeys(each[:SEARCH_TERM_LENGTH] for each in (letters, email.upper())))


def candidate(row: Row, operation: str) -> Candidate:
    partner = _partner(row, operation)
    places = [load(_PLACES, place, operation=operation) for place in expanded(row, _PLACE)]
    taxes = [load(_TAX_NUMBER, tax, operation=operation) for tax in expanded(row, _TAX)]
    return Candidate(
        key=partner.customer or partner.number,
        name=partner.name,
        city=next((place["city"] for place in places if place["city"]), ""),
        tax_numbers=tuple(map(_tax_number, taxes)),
        is_person=partner.category == PERSON,
        is_blocked=partner.is_blocked,
        references=(partner.reference,),
    )


def _tax_filter(numbers: Sequence[str]) -> str:
    """Long numbers stand in a field of their own."""
    short = [number for number in numbers if len(number) <= TAX_NUMBER_LENGTH]
    long = [number for number in numbers if len(number) > TAX_NUMBER_LENGTH]
    fields = {"BPTaxNumber": short, "BPTaxLongNumber": long}
    return " or ".join(equals(field, *texts) for field, texts in fields.items() if texts)


def _tax_number(row: TaxRow) -> TaxNumber:
    """The category of a number begins with its country: DE0, AT0, US1."""
    return TaxNumber(row.number or row.long_number, country_code(row.type[:2]))


def _partner(row: Row, operation: str) -> Partner:
    partner: Partner = load(_PARTNER, row, operation=operation)
    return partner


def _candidates(rows: Iterable[Row], operation: str, most: int = CANDIDATES_MAX) -> list[Candidate]:
    """Without the blocked ones unless there are no others: to block is SAP's way to delete."""
    found = list({each.key: each for each in (candidate(row, operation) for row in islice(rows, most))}.values())
    return [each for each in found if not each.is_blocked] or found


def _distinct(keys: Iterable[Any], most: int = CANDIDATES_MAX) -> list[str]:
    return list(dict.fromkeys(trimmed(key) for key in keys if key))[:most]


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[place : place + KEYS_MAX] for place in range(0, len(keys), KEYS_MAX))
