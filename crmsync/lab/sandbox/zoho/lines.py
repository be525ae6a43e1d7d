"""Line items: quantity times rate, discount, tax, and the sums of a document, in Decimal.

A rate is rounded to the currency's decimals and a quantity to those of the preferences before they are multiplied
(help.zoho.com, facts sheet; the preference: zoho.com/books/help/items/item-preferences.html, "by default, this rate is
two"). That halves are rounded up is from memory.
"""

from decimal import Decimal
from typing import Any

from crmsync.lab.sandbox.zoho.books import Books, number, rounded, text
from crmsync.lab.sandbox.zoho.errors import ZohoError, invalid
from crmsync.lab.sandbox.zoho.fields import Doc
from crmsync.lab.sandbox.zoho.items import Items


class Lines:
    """Reads the lines of invoices and credit notes."""

    def __init__(self, books: Books, items: Items) -> None:
        self._books = books
        self._items = items

    def read(self, bodies: Any, contact: Doc) -> list[Doc]:
        """The lines of a body. Raises ZohoError for none, unknown items and bad numbers."""
        if not isinstance(bodies, list) or not bodies:
            raise ZohoError(4, "Please add at least one line item.")
        return [self._line(body, contact) for body in bodies]

    def _line(self, body: Any, contact: Doc) -> Doc:
        """One line: of an item, or of free text with its own rate."""
        if not isinstance(body, dict):
            raise invalid("line_items")
        item = self._items.get(str(body["item_id"])) if body.get("item_id") else {}
        if item.get("status") == "inactive":
            raise ZohoError(1007, f"The item {item['name']} is inactive.")
        name, description = text(body, "name", 200, item.get("name", "")), text(body, "description", 2000)
        if not name and not description:
            raise ZohoError(4, "Please enter a name or description for the line item.")
        currency = contact["currency_code"]
        quantity = rounded(number(body, "quantity", Decimal(1)), self._books.profile.quantity_precision)
        rate = self._books.rounded(number(body, "rate", item.get("rate")), currency)
        total = self._books.rounded(quantity * rate - _discount(body, quantity * rate), currency)
        line = {"line_item_id": self._books.new_id(), "item_id": item.get("item_id", ""), "name": name}
        line |= {"description": description, "sku": item.get("sku", ""), "unit": text(body, "unit", 100), "rate": rate}
        line |= {"quantity": quantity, "discount": body.get("discount", 0), "item_total": total}
        return line | self._tax(body, item, contact)

    def _tax(self, body: Doc, item: Doc, contact: Doc) -> Doc:
        """The line's own tax, else the item's, the contact's, the organisation's."""
        tax_id = body.get("tax_id") or item.get("tax_id") or contact["tax_id"]
        tax = self._books.tax(tax_id) if tax_id else self._books.taxes[0]
        if not tax["tax_percentage"]:
            return {"tax_id": tax_id or "", "tax_name": "", "tax_percentage": 0}
        return dict(tax)

    def sums(self, lines: list[Doc], currency: str) -> Doc:
        """Net, tax and total; tax is rounded per line."""
        net = sum((line["item_total"] for line in lines), Decimal(0))
        taxes: dict[str, Decimal] = {}
        for line in lines:
            part = self._books.rounded(line["item_total"] * line["tax_percentage"] / 100, currency)
            if line["tax_percentage"]:
                taxes[line["tax_name"]] = taxes.get(line["tax_name"], Decimal(0)) + part
        shown = [{"tax_name": name, "tax_amount": amount} for name, amount in taxes.items()]
        tax_total = sum(taxes.values(), Decimal(0))
        return {"sub_total": net, "tax_total": tax_total, "total": net + tax_total, "taxes": shown}


def _discount(body: Doc, amount: Decimal) -> Decimal:
    """A discount as an amount, or as a text with a percent sign."""
    given = body.get("discount", 0)
    if isinstance(given, str) and given.endswith("%"):
        return amount * number({"discount": given[:-1]}, "discount") / 100
    return number({"discount": given}, "discount")
