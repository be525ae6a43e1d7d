"""SAP's JSON, read and written: business partners, their addresses and sales areas, orders, items and prices.

Reading is tolerant: SAP leaves out or nulls what it has not computed.  Writing is not: what SAP could not hold
is refused with the name of the deal's field, because SAP would cut it or refuse it in its own words.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from marshmallow import Schema, ValidationError, post_load

from crmsync import errors
from crmsync.connectors.kit import schemas
from crmsync.connectors.kit.schemas import Tolerant
from crmsync.connectors.s4hana.errors import SYSTEM
from crmsync.connectors.s4hana.fields import Flag, Key, Number, Text

load = partial(schemas.load, system=SYSTEM)


@dataclass(frozen=True, slots=True)
class Partner:
    """A business partner; *customer* is "" until it has a customer role, and may differ from *number*."""

    number: str
    customer: str
    name: str
    reference: str
    is_blocked: bool
    category: str = ""


class PartnerSchema(Tolerant):
    """A_BusinessPartner, as read."""

    number = Key(data_key="BusinessPartner", required=True)
    customer = Key(data_key="Customer", otherwise="")
    name = Text(81, data_key="BusinessPartnerFullName")
    reference = Text(20, data_key="BusinessPartnerIDByExtSystem")
    is_blocked = Flag(data_key="BusinessPartnerIsBlocked")
    category = Text(1, data_key="BusinessPartnerCategory")

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Partner:
        return Partner(**data)


class AddressSchema(Tolerant):
    """A_BusinessPartnerAddress, as written; the street's overflow goes to lines of their own."""

    street = Text(60, data_key="StreetName")
    street_2 = Text(40, "street", data_key="StreetSuffixName")
    street_3 = Text(40, "street", data_key="AdditionalStreetSuffixName")
    city = Text(40, data_key="CityName")
    postal_code = Text(10, data_key="PostalCode")
    region = Text(3, data_key="Region")
    country = Text(3, data_key="Country")
    language = Text(2, data_key="Language")


class PlaceSchema(Tolerant):
    """A_BusinessPartnerAddress, as people recognise a customer by it."""

    city = Text(40, data_key="CityName")
    country = Text(3, data_key="Country")


class EmailSchema(Tolerant):
    """A_AddressEmailAddress."""

    email = Text(241, data_key="EmailAddress")
    address_id = Text(10, data_key="AddressID", load_only=True)


class PartnerAddressSchema(Tolerant):
    """A_BusinessPartnerAddress, as searched."""

    partner = Text(10, data_key="BusinessPartner")
    address_id = Text(10, data_key="AddressID")


@dataclass(frozen=True, slots=True)
class TaxNumber:
    """SAP has a second field for numbers of more than 20 characters."""

    partner: str = ""
    type: str = ""
    number: str = ""
    long_number: str = ""


class TaxNumberSchema(Tolerant):
    """A_BusinessPartnerTaxNumber."""

    partner = Text(10, data_key="BusinessPartner", load_only=True)
    type = Text(4, data_key="BPTaxType")
    number = Text(20, data_key="BPTaxNumber")
    long_number = Text(60, "tax_number", data_key="BPTaxLongNumber")

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> TaxNumber:
        return TaxNumber(**data)


class SalesAreaSchema(Tolerant):
    """A_CustomerSalesArea: written whole, recognised by its three keys, whose zeros count."""

    organization = Text(4, data_key="SalesOrganization")
    channel = Text(2, data_key="DistributionChannel")
    division = Text(2, data_key="Division")
    currency = Text(5, data_key="Currency", dump_only=True)
    payment_terms = Text(4, data_key="CustomerPaymentTerms", dump_only=True)
    incoterms = Text(3, data_key="IncotermsClassification", dump_only=True)
    shipping_condition = Text(2, data_key="ShippingCondition", dump_only=True)


class PriceSchema(Tolerant):
    """A_SalesOrderItemPrElement, as written: a price of *rate* for every *per* units."""

    rate = Number(24, 9, "unit_price", data_key="ConditionRateValue")
    per = Number(5, 0, "quantity", data_key="ConditionQuantity")


class ItemSchema(Tolerant):
    """A_SalesOrderItem, as written. It has no field for a price."""

    product_code = Text(40, data_key="Material")
    quantity = Number(15, 3, data_key="RequestedQuantity")


@dataclass(frozen=True, slots=True)
class Order:
    """A sales order as read; *net* is None where SAP had not computed it yet."""

    number: str
    customer: str
    net: Decimal | None
    currency: str
    purchase_order: str
    assignment: str
    rejection: str
    billing_block: str = ""
    delivery_block: str = ""
    credit: str = ""
    approval: str = ""
    progress: str = ""


class OrderSchema(Tolerant):
    """A_SalesOrder; what of it is written beside the items is in orders.py."""

    number = Key(data_key="SalesOrder", required=True)
    customer = Key(data_key="SoldToParty", otherwise="")
    net = Number(16, 3, data_key="TotalNetAmount")
    currency = Text(5, data_key="TransactionCurrency")
    purchase_order = Text(35, "purchase_order_number", data_key="PurchaseOrderByCustomer")
    assignment = Text(18, data_key="AssignmentReference")
    rejection = Text(1, data_key="OverallSDDocumentRejectionSts")
    billing_block = Text(2, data_key="HeaderBillingBlockReason", load_only=True)
    delivery_block = Text(2, data_key="DeliveryBlockReason", load_only=True)
    credit = Text(1, data_key="TotalCreditCheckStatus", load_only=True)
    approval = Text(1, data_key="SalesDocApprovalStatus", load_only=True)
    progress = Text(1, data_key="OverallSDProcessStatus", load_only=True)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Order:
        return Order(**data)


def written(schema: Schema, record: Any, owner: str) -> dict[str, Any]:
    """*record* as SAP's JSON, without what is empty; *owner* is where its fields stand in the deal, such as `lines[1]`.

    Raises: MappingError.
    """
    try:
        body = schema.dump(record)
    except ValidationError as error:
        raise misfit(".".join(filter(None, (owner, error.field_name))), str(error.messages[0])) from error
    return {name: value for name, value in body.items() if value != ""}


def misfit(field: str, problem: str) -> errors.MappingError:
    return errors.MappingError(f"A value can't be written to {SYSTEM}.", system=SYSTEM, field_errors={field: problem})
