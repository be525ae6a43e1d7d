"""What the platform does by itself when records change: stages, roll-ups, prices of lines."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from crmsync.lab.sandbox.salesforce.errors import SalesforceError

Record = dict[str, Any]
STAGES = {"Closed Won": (True, True, Decimal(100)), "Closed Lost": (True, False, Decimal(0))}


class Records(Protocol):
    """The part of the org that rules look at."""

    def peek(self, name: str | None, record_id: Any) -> Record | None: ...
    def children(self, name: str, field: str, parent_id: str) -> list[Record]: ...
    def change(self, name: str, row: Record, values: Record) -> None: ...
    def now(self) -> datetime: ...


def before_opportunity(org: Records, values: Record, row: Record | None) -> None:
    """Stage decides the closed flags; Amount of a deal with lines is ignored, not refused.

    LastStageChangeDate is the platform's own (object reference, Opportunity) and stays empty until a stage changes, so
    a deal that was created as won has none.
    """
    if row and org.children("OpportunityLineItem", "OpportunityId", row["Id"]):
        values.pop("Amount", None)
    if "StageName" in values:
        closed, won, probability = STAGES.get(values["StageName"], (False, False, Decimal(50)))
        values.update(IsClosed=closed, IsWon=won)
        values.setdefault("Probability", probability)
        if row and row["StageName"] != values["StageName"]:
            values["LastStageChangeDate"] = org.now()


def before_line(org: Records, values: Record, row: Record | None) -> None:
    """A line needs a price book entry in the deal's currency, and a unit price or a total."""
    if row is None:
        _adopt_entry(org, values)
    if "UnitPrice" in values and "TotalPrice" in values:
        raise SalesforceError("FIELD_INTEGRITY_EXCEPTION", "UnitPrice and TotalPrice can't both be specified")
    held = {**(row or {}), **values}
    if not held["Quantity"]:
        raise SalesforceError("FIELD_INTEGRITY_EXCEPTION", "Quantity may not be zero", fields=("Quantity",))
    values.update(line_prices(held, by_total="TotalPrice" in values))


def _adopt_entry(org: Records, values: Record) -> None:
    entry = org.peek("PricebookEntry", values.get("PricebookEntryId"))
    if entry is None:
        raise SalesforceError("REQUIRED_FIELD_MISSING", "Required fields are missing: [PricebookEntryId]")
    deal = org.peek("Opportunity", values["OpportunityId"]) or {}
    if not entry["IsActive"]:
        raise SalesforceError("FIELD_INTEGRITY_EXCEPTION", "pricebook entry is inactive", fields=("PricebookEntryId",))
    if deal.get("CurrencyIsoCode") != entry.get("CurrencyIsoCode"):
        message = "The pricebook entry currency code does not match the opportunity currency code"
        raise SalesforceError("FIELD_INTEGRITY_EXCEPTION", message, fields=("PricebookEntryId",))
    if values.get("UnitPrice") is None and values.get("TotalPrice") is None:
        raise SalesforceError(
            "REQUIRED_FIELD_MISSING", "Required fields are missing: [UnitPrice]", fields=("UnitPrice",)
        )
    product = org.peek("Product2", entry["Product2Id"]) or {}
    values.update(Product2Id=entry["Product2Id"], ProductCode=product.get("ProductCode"), ListPrice=entry["UnitPrice"])
    values["Name"] = f"{deal.get('Name', '')} {product.get('Name', '')}"[:376]
    if "CurrencyIsoCode" in deal:
        values["CurrencyIsoCode"] = deal["CurrencyIsoCode"]


def line_prices(line: Record, *, by_total: bool) -> Record:
    """The prices of a line, none of them rounded; Discount is a percentage.

    >>> line_prices({"Quantity": Decimal(3), "UnitPrice": Decimal("1.50")}, by_total=False)["TotalPrice"]
    Decimal('4.50')
    """
    rest = 1 - (line.get("Discount") or Decimal(0)) / 100
    if by_total:
        total = line["TotalPrice"]
        return {
            "UnitPrice": double(total / line["Quantity"] / rest),
            "TotalPrice": total,
            "Subtotal": double(total / rest),
        }
    subtotal = line["Quantity"] * line["UnitPrice"]
    return {"UnitPrice": line["UnitPrice"], "TotalPrice": double(subtotal * rest), "Subtotal": double(subtotal)}


def double(amount: Decimal) -> Decimal:
    """As the API keeps it: with all decimals, to the precision of a double; the UI alone shows two (KB 000387302).

    >>> double(Decimal("1300.561728395061728395")), double(Decimal("4.50"))
    (Decimal('1300.5617283950617'), Decimal('4.50'))
    """
    kept = Decimal(repr(float(amount)))
    return amount if kept == amount else kept


def after_line(org: Records, row: Record, values: Record | None) -> None:
    """Roll the lines up into the deal's Amount."""
    deal = org.peek("Opportunity", row["OpportunityId"])
    if deal is None:
        return
    lines = org.children("OpportunityLineItem", "OpportunityId", deal["Id"])
    rolled: Record = {"HasOpportunityLineItem": bool(lines)}
    if lines:
        rolled["Amount"] = double(sum((line["TotalPrice"] for line in lines), Decimal(0)))
    org.change("Opportunity", deal, rolled)


def before_contact(org: Records, values: Record, row: Record | None) -> None:
    held = {**(row or {}), **values}
    values["Name"] = " ".join(filter(None, (held.get("FirstName"), held.get("LastName"))))


def before_entry(org: Records, values: Record, row: Record | None) -> None:
    product = org.peek("Product2", values.get("Product2Id")) or {}
    if row is None:
        values.update(ProductCode=product.get("ProductCode"), Name=product.get("Name"))


Rule = Callable[[Any, Record, Record | None], None]
BEFORE: dict[str, Rule] = {
    "Opportunity": before_opportunity,
    "OpportunityLineItem": before_line,
    "Contact": before_contact,
    "PricebookEntry": before_entry,
}
AFTER: dict[str, Rule] = {"OpportunityLineItem": after_line}
