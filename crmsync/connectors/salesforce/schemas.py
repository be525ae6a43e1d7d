"""The JSON of Salesforce that crmsync reads and writes. Unknown fields are dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any

from marshmallow import Schema, fields, post_load

from crmsync.connectors.kit import schemas
from crmsync.connectors.kit.fields import Day, Flag, Instant, Number, Text
from crmsync.connectors.kit.schemas import Tolerant
from crmsync.connectors.salesforce.errors import SYSTEM
from crmsync.connectors.salesforce.fields import BulkJobId, Double, Id
from crmsync.connectors.salesforce.settings import SalesforceSettings
from crmsync.connectors.salesforce.soql import CURRENCY, LAST_STAGE_CHANGE, own_fields, payment_fields, stock_fields
from crmsync.domain.catch_up import WonDeal
from crmsync.domain.customers import Address, Customer, is_address
from crmsync.domain.deals import Deal, DealLine
from crmsync.domain.money import Money
from crmsync.domain.stock import Product

Row = Mapping[str, Any]
"""A row as its schema has read it."""

STAMP = "SystemModstamp"

_ZERO = Decimal(0)

load = partial(schemas.load, system=SYSTEM)


class AccountAnswer(Tolerant):
    """A customer as the deal's account shows it, without the contact who gets its mails."""

    key = Id("Id", required=True)
    name = Text("Name")
    street = Text("BillingStreet")
    city = Text("BillingCity")
    postal_code = Text("BillingPostalCode")
    region = Text("BillingState")
    country = Text("BillingCountry")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Customer:
        return Customer(
            key=data["key"],
            name=data["name"],
            email=data.get("email", "").strip(),
            tax_number=data.get("tax_number", ""),
            address=Address(data["street"], data["city"], data["postal_code"], data["region"], data["country"]),
        )


class AccountNameAnswer(Tolerant):
    """An account as people recognise it."""

    key = Id("Id", required=True)
    name = Text("Name")
    city = Text("BillingCity")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Customer:
        return Customer(key=data["key"], name=data["name"], address=Address(city=data["city"]))


class DealAnswer(Tolerant):
    """An Opportunity; its lines and contact roles stay as they came, for they may have more pages."""

    key = Id("Id", required=True)
    name = Text("Name")
    is_won = Flag("IsWon", required=True)
    is_closed = Flag("IsClosed", required=True)
    amount = Double("Amount")
    currency = Text(CURRENCY)
    closed_on = Text("CloseDate")
    created_at = Instant("CreatedDate")
    won_at = Instant(LAST_STAGE_CHANGE)
    changed_at = Instant(STAMP)
    lines = fields.Raw(data_key="OpportunityLineItems", load_default=None, allow_none=True)
    contact_roles = fields.Raw(data_key="OpportunityContactRoles", load_default=None, allow_none=True)


def deal_answer(settings: SalesforceSettings) -> Schema:
    """DealAnswer with the customer's own fields; none may be absent, for a number that is not seen is overwritten."""
    named = {"tax_number": settings.tax_number_field, "email": settings.account_email_field}
    own: dict[str, fields.Field[Any]] = {
        meaning: Text(field, required=True) for meaning, field in named.items() if field
    }
    account = AccountAnswer.from_dict(own)()
    customer = fields.Nested(account, data_key="Account", load_default=None, allow_none=True)
    return DealAnswer.from_dict({"customer": customer, **_own_texts(settings)})()


def write_back_body(settings: SalesforceSettings) -> Schema:
    """The same fields as they are written."""
    return Schema.from_dict(_own_texts(settings))()


def _own_texts(settings: SalesforceSettings) -> dict[str, fields.Field[Any]]:
    return {meaning: Text(field, required=True) for meaning, field in own_fields(settings).items()}


def payment_body(settings: SalesforceSettings) -> Schema:
    """PaymentFigures as they are written; the amount is a number of the deal's currency, no number or day is null."""
    names = payment_fields(settings)
    body: dict[str, fields.Field[Any]] = {
        "is_received": fields.Boolean(data_key=names["payment_received"]),
        "amount": fields.Decimal(data_key=names["payment_amount"]),
        "paid_on": fields.Date(data_key=names["payment_date"]),
    }
    return Schema.from_dict(body)()


def payment_status_body(settings: SalesforceSettings, status: str) -> dict[str, str]:
    """What happened besides payments stands where the state of the deal does, and needs no field of its own."""
    return {own_fields(settings)["status"]: status} if status else {}


class StampAnswer(Tolerant):
    """A record of which only the stamp was asked for."""

    changed_at = Instant(STAMP, required=True)


class SubAnswer(Tolerant):
    """What became of one of several requests in one call; its body stays as it came."""

    status = fields.Integer(data_key="httpStatusCode", required=True)
    body = fields.Raw(load_default=None, allow_none=True)


class CompositeAnswer(Tolerant):
    answers = fields.List(fields.Nested(SubAnswer), data_key="compositeResponse", required=True)


class CompanyAnswer(Tolerant):
    name = Text("Name")


class WonDealAnswer(Tolerant):
    """An Opportunity as a row of the list of won deals."""

    key = Id("Id", required=True)
    name = Text("Name")
    company = fields.Nested(CompanyAnswer, data_key="Account", load_default=None, allow_none=True)
    amount = Double("Amount")
    currency = Text(CURRENCY)
    created_at = Instant("CreatedDate")
    closed_on = Day("CloseDate")
    won_at = Instant(LAST_STAGE_CHANGE)
    changed_at = Instant(STAMP, required=True)


def won_deal_answer(settings: SalesforceSettings) -> Schema:
    """WonDealAnswer with the order number, which must not be absent: a deal that seems to have none is ordered."""
    own: dict[str, fields.Field[Any]] = {"order_number": Text(settings.order_number_field, required=True)}
    return WonDealAnswer.from_dict(own)(many=True)


class CatalogueAnswer(Tolerant):
    """A Product2 as a row of the list of products."""

    key = Id("Id", required=True)
    code = Text("ProductCode")
    is_active = Flag("IsActive", required=True)
    changed_at = Instant(STAMP, required=True)


def catalogue_answer(settings: SalesforceSettings) -> Schema:
    """CatalogueAnswer with what the product says of its stock."""
    names = stock_fields(settings)
    own: dict[str, fields.Field[Any]] = {
        "available": Number(names["stock"]),
        "is_low": Flag(names["low_stock"], otherwise=None),
    }
    return CatalogueAnswer.from_dict(own)(many=True)


def level_body(settings: SalesforceSettings) -> Schema:
    """StockLevels as they are written, in one call for many."""
    names = stock_fields(settings)
    body: dict[str, fields.Field[Any]] = {
        "product_key": fields.String(data_key="id"),
        "available": fields.Decimal(data_key=names["stock"]),
        "is_low": fields.Boolean(data_key=names["low_stock"]),
    }
    return Schema.from_dict(body)()


class RowResult(Tolerant):
    """What became of one row of a collection; its errors stay as they came, for errors.py to read."""

    is_success = Flag("success", required=True)
    errors = fields.Raw(load_default=None, allow_none=True)


class JobOpened(Tolerant):
    """A bulk job that was made."""

    id = BulkJobId(required=True)


class JobAnswer(Tolerant):
    """How far a bulk job is; None where Salesforce does not count."""

    state = fields.String(required=True)
    processed = fields.Integer(data_key="numberRecordsProcessed", load_default=None, allow_none=True)
    failed = fields.Integer(data_key="numberRecordsFailed", load_default=None, allow_none=True)


class ProductAnswer(Tolerant):
    code = Text("ProductCode")
    name = Text("Name")


class LineAnswer(Tolerant):
    """A line of a deal; one without a total costs price × quantity."""

    key = Id("Id", required=True)
    product = fields.Nested(ProductAnswer, data_key="Product2", load_default=None, allow_none=True)
    description = Text("Description")
    quantity = Double("Quantity")
    unit_price = Number("UnitPrice")
    total = Double("TotalPrice")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> DealLine:
        product = data["product"] or {"code": "", "name": ""}
        quantity, price, total = data["quantity"] or _ZERO, data["unit_price"] or _ZERO, data["total"]
        return DealLine(
            key=data["key"],
            product_code=product["code"],
            description=data["description"] or product["name"],
            quantity=quantity,
            unit_price=price,
            total=price * quantity if total is None else total,
        )


@dataclass(frozen=True, slots=True)
class Contact:
    """A person who has a role in the deal."""

    is_primary: bool
    email: str
    first_name: str
    last_name: str


class PersonAnswer(Tolerant):
    email = Text("Email")
    first_name = Text("FirstName")
    last_name = Text("LastName")


class ContactRoleAnswer(Tolerant):
    is_primary = Flag("IsPrimary")
    person = fields.Nested(PersonAnswer, data_key="Contact", load_default=None, allow_none=True)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Contact:
        person = data["person"] or {"email": "", "first_name": "", "last_name": ""}
        return Contact(is_primary=data["is_primary"], **{**person, "email": person["email"].strip()})


class FieldAnswer(Tolerant):
    """A field in the description of an object."""

    name = fields.String(required=True)
    is_updateable = Flag("updateable", required=True)
    type = fields.String(load_default="")
    length = fields.Integer(load_default=0, allow_none=True)
    is_restricted = Flag("restrictedPicklist")


class DescribeAnswer(Tolerant):
    described = fields.List(fields.Nested(FieldAnswer), data_key="fields", required=True)


LINES = LineAnswer(many=True)
CONTACT_ROLES = ContactRoleAnswer(many=True)
DESCRIBE = DescribeAnswer()
STAMPED = StampAnswer()
COMPOSITE = CompositeAnswer()
ROW_RESULTS = RowResult(many=True)
JOB_OPENED = JobOpened()
JOB = JobAnswer()


def deal_of(row: Mapping[str, Any], lines: Sequence[DealLine], contacts: Sequence[Contact], currency: str) -> Deal:
    """The deal. One without an amount has zero: what is wrong with it is for the domain to say."""
    customer: Customer = row["customer"] or Customer(key="", name="")
    return Deal(
        key=row["key"],
        name=row["name"],
        is_won=row["is_won"] and row["is_closed"],
        amount=Money(_ZERO if row["amount"] is None else row["amount"], currency),
        customer=with_contact(customer, contacts),
        lines=tuple(lines),
        closed_on=row["closed_on"],
        purchase_order_number=row.get("purchase_order_number", ""),
        order_number=row.get("order_number", ""),
        invoice_number=row.get("invoice_number", ""),
        created_at=row["created_at"],
        won_at=row["won_at"],
        changed_at=row["changed_at"],
    )


def won_deal_of(row: Row, currency: str) -> WonDeal:
    """A row of the list of won deals; without its amount where nothing states the *currency*."""
    amount = row["amount"]
    return WonDeal(
        key=row["key"],
        company=row["company"]["name"] if row["company"] else "",
        name=row["name"],
        amount=None if amount is None or not currency else Money(amount, currency),
        changed_at=row["changed_at"],
        created_at=row["created_at"],
        won_at=row["won_at"],
        closed_on=row["closed_on"],
        order_number=row["order_number"],
    )


def product_of(row: Row) -> Product:
    return Product(**{**row, "code": row["code"].strip()})


def with_contact(customer: Customer, contacts: Sequence[Contact]) -> Customer:
    """*customer* with the primary contact, or with the first to whom a mail can be sent where that is none such.

    Where nobody of them has an e-mail address, the account's own stays.
    """
    ordered = sorted(contacts, key=lambda contact: not contact.is_primary)
    chosen = (
        next((contact for contact in ordered if is_address(contact.email)), None)
        or next((contact for contact in ordered if contact.email), None)
        or next(iter(ordered), None)
    )
    if chosen is None:
        return customer
    email = chosen.email or customer.email
    return replace(customer, email=email, first_name=chosen.first_name, last_name=chosen.last_name)


ACCOUNT_NAMES = AccountNameAnswer(many=True)
