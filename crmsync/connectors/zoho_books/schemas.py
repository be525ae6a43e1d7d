"""The JSON of Zoho Books that crmsync writes and reads. Unknown fields are dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from marshmallow import Schema, fields, post_dump, post_load

from crmsync.connectors.kit import schemas
from crmsync.connectors.kit.fields import Flag, Key, Number, Text
from crmsync.connectors.kit.schemas import Tolerant
from crmsync.connectors.zoho_books.errors import SYSTEM
from crmsync.domain.documents import Document
from crmsync.domain.money import Money
from crmsync.domain.tax_numbers import TaxNumber

CONTACT_NAME_MAX = 100  # what the contact_name filter takes
COMPANY_NAME_MAX = 200
SUFFIX_MAX = 40
PERSON_NAME_MAX = 100
EMAIL_MAX = 100
LINE_NAME_MAX = 100
LINE_DESCRIPTION_MAX = 2000
_MAILED = frozenset({"sent", "viewed"})

load = partial(schemas.load, system=SYSTEM)


class Cut(fields.Field[str]):
    """Text that is only written, cut to *limit*; Zoho refuses what is longer."""

    def __init__(self, limit: int, **kwargs: Any) -> None:
        super().__init__(dump_only=True, **kwargs)
        self._limit = limit

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str:
        return cut(value or "", self._limit)


def cut(text: str, limit: int) -> str:
    """*text* on one line and at most *limit* long.

    >>> cut("Acme   Inc \\n of Bonn", 8)
    'Acme Inc'
    """
    return " ".join(text.split())[:limit].rstrip()


class Body(Schema):
    @post_dump
    def _drop_empty(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {key: value for key, value in data.items() if value not in ("", None, {}, [])}


# Contacts


class AddressBody(Body):
    address = Cut(500, attribute="street")
    city = Cut(100)
    state = Cut(100, attribute="region")
    zip = Cut(50, attribute="postal_code")
    country = Cut(100)


class ContactBody(Body):
    """The body that creates a contact, from a Customer."""

    contact_name = Cut(CONTACT_NAME_MAX, attribute="name")
    company_name = Cut(COMPANY_NAME_MAX, attribute="name")
    contact_type = fields.Constant("customer")
    billing_address = fields.Nested(AddressBody, attribute="address")


@dataclass(frozen=True, slots=True)
class ContactRow:
    """A contact of a list; city, tax numbers, *notes* and *custom_fields* are there where it was read alone."""

    key: str
    name: str
    company: str
    email: str
    currency: str
    is_customer: bool
    is_active: bool
    is_person: bool
    notes: str
    custom_fields: Mapping[str, str]
    city: str = ""
    tax_numbers: tuple[TaxNumber, ...] = ()


class PlaceAnswer(Tolerant):
    city = Text()
    country = Text()


class ContactAnswer(Tolerant):
    """Each edition has a field of its own for the tax number."""

    contact_id = Key(required=True)
    contact_name = Text()
    company_name = Text()
    email = Text()
    currency_code = Text()
    contact_type = Text(otherwise="customer")
    customer_sub_type = Text()
    status = Text(otherwise="active")
    notes = Text()
    custom_fields = fields.List(fields.Dict(), load_default=list, allow_none=True)
    billing_address = fields.Nested(PlaceAnswer, load_default=None, allow_none=True)
    gst_no = fields.Raw(load_default="", allow_none=True)
    vat_reg_no = fields.Raw(load_default="", allow_none=True)
    tax_reg_no = fields.Raw(load_default="", allow_none=True)
    tax_id_value = fields.Raw(load_default="", allow_none=True)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> ContactRow:
        place = data["billing_address"] or {}
        return ContactRow(
            key=data["contact_id"],
            name=data["contact_name"],
            company=data["company_name"],
            email=data["email"],
            currency=data["currency_code"],
            is_customer=(data["contact_type"] or "customer") == "customer",
            is_active=data["status"] != "inactive",
            is_person=data["customer_sub_type"] == "individual",
            notes=data["notes"],
            custom_fields={str(row.get("api_name")): str(row.get("value")) for row in data["custom_fields"] or ()},
            city=place.get("city", ""),
            tax_numbers=tuple(
                TaxNumber(str(data[name]), place.get("country", "")) for name in _TAX_FIELDS if data[name]
            ),
        )


_TAX_FIELDS = ("gst_no", "vat_reg_no", "tax_reg_no", "tax_id_value")


# Invoices


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an invoice to be made."""

    name: str
    description: str
    rate: Decimal
    quantity: Decimal
    discount: str = ""  # "12.5%"
    item_id: str = ""
    tax_id: str = ""


class LineBody(Body):
    """The body of an invoice's line, from a Line."""

    item_id = fields.String()
    name = Cut(LINE_NAME_MAX)
    description = Cut(LINE_DESCRIPTION_MAX)
    rate = fields.Raw()
    quantity = fields.Raw()
    discount = fields.String()
    tax_id = fields.String()


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    reference: str
    customer_key: str
    document: Document
    decimals: int | None = None  # that the organization keeps of its currency


class InvoiceAnswer(Tolerant):
    invoice_id = Key(required=True)
    invoice_number = Key(required=True)
    reference_number = Text()
    customer_id = Key(otherwise="")
    status = Text()
    currency_code = Text()
    sub_total = Number()
    total = Number()
    credits_applied = Number()
    is_emailed = Flag()
    price_precision = fields.Integer(load_default=None, allow_none=True)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> InvoiceRow:
        status, currency = data["status"].lower(), data["currency_code"]
        document = Document(
            key=data["invoice_id"],
            number=data["invoice_number"],
            net=_money(data["sub_total"], currency),
            total=_money(data["total"], currency),
            is_mailed=data["is_emailed"] or status in _MAILED,
            is_void=status == "void",
            is_credited=bool(data["total"]) and (data["credits_applied"] or 0) >= data["total"],
        )
        return InvoiceRow(data["reference_number"], data["customer_id"], document, data["price_precision"])


def _money(amount: Decimal | None, currency: str | None) -> Money | None:
    return None if amount is None or not currency else Money(amount, currency)


# Settings


class CurrencyAnswer(Tolerant):
    currency_id = Key(required=True)
    currency_code = fields.String(required=True)
    is_base_currency = Flag()
    price_precision = fields.Integer(load_default=None, allow_none=True)


class ItemAnswer(Tolerant):
    item_id = Key(required=True)
    sku = Text()
    status = Text(otherwise="active")
    item_type = Text()


class OrganizationAnswer(Tolerant):
    organization_id = Key(required=True)
    name = Text()
    currency_code = Text()
    time_zone = Text()


CONTACT_BODY = ContactBody()
CONTACT = ContactAnswer()
LINE_BODIES = LineBody(many=True)
INVOICE = InvoiceAnswer()
CURRENCY = CurrencyAnswer()
ITEM = ItemAnswer()
ORGANIZATION = OrganizationAnswer()


def read(schema: Schema, body: Any, key: str, *, operation: str) -> Any:
    """The record under *key* of an answer. Raises: UnexpectedAnswerError that names the fields at fault."""
    return load(schema, body.get(key) if isinstance(body, dict) else None, key, operation=operation)
