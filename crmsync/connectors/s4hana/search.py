"""Finding business partners: by our reference, by tax number, by e-mail address, by the number of the customer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from crmsync import errors
from crmsync.connectors.s4hana.errors import SYSTEM
from crmsync.connectors.s4hana.odata import Row, equals, numbered, same_upper, trimmed
from crmsync.connectors.s4hana.partners import TAX_NUMBER_LENGTH, external_id
from crmsync.connectors.s4hana.schemas import (
    EmailSchema,
    Partner,
    PartnerAddressSchema,
    PartnerSchema,
    TaxNumberSchema,
    read,
)
from crmsync.connectors.s4hana.service import ServiceClient

PARTNER_SERVICE = "API_BUSINESS_PARTNER"
CANDIDATES_MAX = 10

_SELECT = "BusinessPartner,Customer,BusinessPartnerFullName,BusinessPartnerIDByExtSystem,BusinessPartnerIsBlocked"
_EXPAND = "to_BusinessPartnerRole,to_Customer/to_CustomerSalesArea"

_PARTNER = PartnerSchema()
_TAX_NUMBER = TaxNumberSchema()
_EMAIL = EmailSchema()
_ADDRESS = PartnerAddressSchema()


class PartnerSearch:
    """Compares every answer with what was asked: a filter that SAP ignored must not link a stranger."""

    def __init__(self, service: ServiceClient, *, tax_number_type: str) -> None:
        self._service = service
        self._tax_number_type = tax_number_type

    def by_reference(self, reference: str) -> list[Partner]:
        stored = external_id(reference)
        found = self._partners("find_customers_by_reference", equals("BusinessPartnerIDByExtSystem", stored))
        return _candidates(partner for partner in found if same_upper(partner.reference, stored))

    def by_tax_number(self, number: str) -> list[Partner]:
        if not number:
            return []
        field = "BPTaxNumber" if len(number) <= TAX_NUMBER_LENGTH else "BPTaxLongNumber"
        condition = equals(field, number.upper())
        if self._tax_number_type:
            condition += f" and {equals('BPTaxType', self._tax_number_type)}"
        operation = "find_customers_by_tax_number"
        rows = self._rows(operation, "A_BusinessPartnerTaxNumber", condition, f"BusinessPartner,{field}")
        found = [read(_TAX_NUMBER, row, operation) for row in rows]
        same = (each.partner for each in found if same_upper(each.number or each.long_number, number))
        return self._numbered(operation, _distinct(same))

    def by_email(self, email: str) -> list[Partner]:
        """Through the address that the e-mail belongs to: it may be that of a contact person."""
        if not email:
            return []
        operation = "find_customers_by_email"
        rows = self._rows(operation, "A_AddressEmailAddress", equals("EmailAddress", email), "AddressID,EmailAddress")
        found = [read(_EMAIL, row, operation) for row in rows]
        addresses = _distinct(each["address_id"] for each in found if same_upper(each["email"], email))
        return self._numbered(operation, self._at(operation, addresses))

    def complete(self, operation: str, key: str) -> Row:
        """The partner with its roles and sales areas; *key* is its customer number, or its own if it has none.

        Raises: RecordNotFoundError.
        """
        for field in ("Customer", "BusinessPartner"):
            options = {"$filter": numbered(field, key), "$expand": _EXPAND, "$orderby": "BusinessPartner"}
            rows = self._service.rows(operation, PARTNER_SERVICE, "A_BusinessPartner", options)
            found = next((row for row in rows if trimmed(str(row.get(field))) == trimmed(key)), None)
            if found is not None:
                return found
        raise errors.RecordNotFoundError(f"{SYSTEM} has no customer {key}.", system=SYSTEM, operation=operation)

    def numbered(self, operation: str, number: str) -> Partner:
        row = self._service.read(operation, PARTNER_SERVICE, "A_BusinessPartner", number, {"$select": _SELECT})
        return _partner(row, operation)

    def _numbered(self, operation: str, numbers: list[str]) -> list[Partner]:
        if not numbers:
            return []
        found = self._partners(operation, numbered("BusinessPartner", *numbers))
        return _candidates(partner for partner in found if partner.number in numbers)

    def _at(self, operation: str, addresses: list[str]) -> list[str]:
        if not addresses:
            return []
        condition = numbered("AddressID", *addresses)
        rows = self._rows(operation, "A_BusinessPartnerAddress", condition, "BusinessPartner,AddressID")
        found = [read(_ADDRESS, row, operation) for row in rows]
        return _distinct(each["partner"] for each in found if trimmed(each["address_id"]) in addresses)

    def _partners(self, operation: str, condition: str) -> Iterator[Partner]:
        options = {"$filter": condition, "$select": _SELECT, "$orderby": "BusinessPartner"}
        rows = self._service.rows(operation, PARTNER_SERVICE, "A_BusinessPartner", options)
        return (_partner(row, operation) for row in rows)

    def _rows(self, operation: str, entity_set: str, condition: str, select: str) -> list[Row]:
        """What a secondary search finds; a system without that search finds nobody."""
        options = {"$filter": condition, "$select": select, "$orderby": select.partition(",")[0]}
        try:
            return list(self._service.rows(operation, PARTNER_SERVICE, entity_set, options))
        except errors.RecordNotFoundError:
            return []


def _partner(row: Row, operation: str) -> Partner:
    partner: Partner = read(_PARTNER, row, operation)
    return partner


def _candidates(partners: Iterable[Partner]) -> list[Partner]:
    """At most ten, without the blocked ones unless there are no others: to block is SAP's way to delete."""
    found = list({partner.number: partner for partner in islice(partners, CANDIDATES_MAX)}.values())
    return [partner for partner in found if not partner.is_blocked] or found


def _distinct(keys: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(trimmed(key) for key in keys if key))[:CANDIDATES_MAX]
