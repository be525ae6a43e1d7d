"""Items: what is sold. Names are unique, and so are SKUs, unless the organisation allows otherwise."""

from decimal import Decimal

from crmsync.lab.sandbox.zoho.books import Books, Module, number, text
from crmsync.lab.sandbox.zoho.errors import ZohoError
from crmsync.lab.sandbox.zoho.fields import Doc
from crmsync.lab.sandbox.zoho.lists import Listing

TEXTS = {"name": 100, "sku": 100, "unit": 100, "description": 2000, "product_type": 20}


class Items(Module):
    """The items of one organisation."""

    kind, key, noun = "items", "item_id", "Item"

    def __init__(self, books: Books) -> None:
        super().__init__(books)
        self.listing = Listing(
            "items",
            lambda doc: self.show(doc) | self.fields.flat(doc["_custom"]),
            texts=("name", "description"),
            ordered=("rate",),
            search=("name", "description"),
            sorts=("name", "rate", "tax_name"),
            statuses={
                "Status.Active": lambda doc: doc["status"] == "active",
                "Status.Inactive": lambda doc: doc["status"] == "inactive",
            },
        )

    def create(self, body: Doc, custom: dict[str, str] | None = None) -> Doc:
        base: Doc = {"_custom": {}, "status": "active", "tax_id": ""}
        doc = base | dict.fromkeys(TEXTS, "") | {"product_type": "goods"}
        if not body.get("name") or "rate" not in body:
            raise ZohoError(4, "Please enter a valid name and rate.")
        self._fill(doc, body, custom or {})
        doc |= {"item_id": self._books.new_id(), **self._books.stamps()}
        self.docs[doc["item_id"]] = doc
        self._books.note("created", "item", doc["item_id"], doc["sku"])
        return doc

    def update(self, doc: Doc, body: Doc) -> Doc:
        changed = {**doc, "_custom": dict(doc["_custom"])}
        self._fill(changed, body, {})
        doc.update(changed)
        self._books.touch(doc)
        self._books.note("changed", "item", doc["item_id"], doc["sku"])
        return doc

    def _fill(self, doc: Doc, body: Doc, custom: dict[str, str]) -> None:
        doc |= {name: text(body, name, longest, doc[name]) for name, longest in TEXTS.items()}
        doc["rate"] = number(body, "rate", doc.get("rate"))
        tax = self._books.tax(body["tax_id"]) if body.get("tax_id") else {}
        doc |= {"tax_id": tax.get("tax_id", doc["tax_id"]), "tax_name": tax.get("tax_name", "")}
        doc["tax_percentage"] = str(tax.get("tax_percentage", Decimal(0)))
        for name, code in (("name", 1001), ("sku", 1005)):
            if name in self._books.profile.duplicate_items:
                continue
            if doc[name] and any(one[name].lower() == doc[name].lower() for one in self.others(doc)):
                raise ZohoError(code, f'The {name} "{doc[name]}" already exists.')
        self.fill_custom(doc, body, custom)

    def delete(self, doc: Doc) -> None:
        invoices = self._books.docs["invoices"].values()
        if any(line["item_id"] == doc["item_id"] for invoice in invoices for line in invoice["line_items"]):
            raise ZohoError(1006, "Items which are part of transactions cannot be deleted.")
        del self.docs[doc["item_id"]]

    def mark(self, doc: Doc, status: str) -> None:
        doc["status"] = status
        self._books.touch(doc)

    def show(self, doc: Doc) -> Doc:
        return {**super().show(doc), "tax_type": "tax", "custom_fields": self.fields.show(doc["_custom"])}
