"""What is sold: one product, known to all three systems under one code."""

import gc
import random
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from crmsync.lab.sandbox.salesforce.app import Salesforce
from crmsync.lab.sandbox.sap.app import Sap
from crmsync.lab.sandbox.zoho.app import Zoho

SEED = (
    ("SENSOR-100", "Temperature sensor 100", "235.00", 500),
    ("SENSOR-200", "Pressure sensor 200", "310.50", 120),
    ("GATEWAY-10", "Radio gateway 10", "1490.00", 40),
    ("CABLE-05", "Sensor cable 5 m", "12.90", 8),
    ("SENSOR-OLD", "Temperature sensor, discontinued", "99.00", 3),
)

LOW_STOCK = 10
MANY = 10_000


class Products:
    """Adds products to the systems and sets their stock."""

    def __init__(self, salesforce: Salesforce, sap: Sap, zoho: Zoho, seed: int = 0) -> None:
        self._salesforce, self._sap, self._zoho = salesforce, sap, zoho
        self._seed = seed
        self.entries: dict[tuple[str, str | None], str] = {}

    def seed(self) -> None:
        """The standard catalogue of the demonstration."""
        self.entries = {}
        self._random = random.Random(f"{self._seed}/products")
        values = {"Name": "Standard Price Book", "IsActive": True, "IsStandard": True}
        self.pricebook = self._salesforce.org.add("Pricebook2", values)["Id"]
        for code, name, price, stock in SEED:
            self.add(code, name, Decimal(price), stock=Decimal(stock))

    def add(self, code: str, name: str | None = None, price: Decimal = Decimal(1), *, stock: Decimal = Decimal(0),
            in_sap: bool = True, in_zoho: bool = True) -> str:  # fmt: skip
        """Add a product everywhere, or everywhere but where it is switched off; returns its Salesforce id."""
        org, label = self._salesforce.org, name or code
        values = {"Name": label, "ProductCode": code, "IsActive": True, "QuantityUnitOfMeasure": "PC"}
        with self._salesforce.lock:
            product = self.find(code) or str(org.add("Product2", values)["Id"])
            self.entry(product, price, None)
        if in_sap:
            self._add_material(code, label, price, stock)
        if in_zoho:
            self._add_item(code, label, price)
        return product

    def bulk(self, number: int, *, stock: Decimal | None = None, prefix: str = "BULK-", first: int = 1,
             is_synced: bool = False) -> list[str]:  # fmt: skip
        """Add many products to SAP and Salesforce, not to the books; returns their codes.

        Each lies in SAP with this stock, else with a made-up one, the same for the same seed. Available_Stock__c and
        the low stock mark are empty as in a new org, or with `is_synced` agree with SAP. An empty prefix makes numeric
        codes. Price book entries come when a deal needs them.
        """
        codes = [f"{prefix}{index:06d}" for index in range(first, first + number)]
        amounts = [Decimal(amount) for amount in range(500)]
        stocks = [self._random.choice(amounts) if stock is None else stock for _ in codes]
        base = {"IsActive": True, "QuantityUnitOfMeasure": "PC"}
        rows: Iterable[dict[str, Any]] = ({**base, "Name": code, "ProductCode": code} for code in codes)
        if is_synced:
            shown = ({"Available_Stock__c": held, "Low_Stock_Alert__c": held < LOW_STOCK} for held in stocks)
            rows = ({**row, **more} for row, more in zip(rows, shown, strict=True))
        with self._salesforce.lock:
            self._salesforce.org.add_many("Product2", rows)
        with self._sap.lock:
            self._sap.catalogue.add_many(codes, Decimal(1), stocks, plant=self._sap.profile.plant)
        if number >= MANY:
            # The collector would walk through all these rows again and again while pages of them are read.
            gc.freeze()
        return codes

    def _add_material(self, code: str, label: str, price: Decimal, stock: Decimal) -> None:
        with self._sap.lock:
            self._sap.catalogue.add(code, label, price, plant=self._sap.profile.plant)
            self._sap.catalogue.set_stock(code, stock)

    def _add_item(self, code: str, label: str, price: Decimal) -> None:
        with self._zoho.lock:
            if not any(item["sku"] == code for item in self._zoho.organization.items.docs.values()):
                self._zoho.organization.items.create({"name": label, "rate": str(price), "sku": code, "unit": "PC"})

    def mark_item(self, code: str, status: str) -> None:
        """Make the items of a product "active" or "inactive" in the books. Raises KeyError where there is none."""
        if status not in ("active", "inactive"):
            raise ValueError(status)
        with self._zoho.lock:
            items = self._zoho.organization.items
            found = [item for item in items.docs.values() if item["sku"] == code]
            for item in found:
                items.mark(item, status)
        if not found:
            raise KeyError(code)

    def find(self, code: str) -> str | None:
        with self._salesforce.lock:
            found = self._salesforce.org.find_by("Product2", "ProductCode", code)
        return str(found[0]["Id"]) if found else None

    def _id(self, code: str) -> str:
        found = self.find(code)
        if found is None:
            raise KeyError(code)
        return found

    def refuse(self, code: str, reason: str = "FIELD_CUSTOM_VALIDATION_EXCEPTION", *, message: str | None = None,
               fields: Sequence[str] = (), times: int | None = None) -> None:  # fmt: skip
        """Let Salesforce refuse changes of a product, as a validation rule or a lock does, always or so many times.

        The code * is for all of them, as a trigger is.
        """
        key = self._key(code)
        with self._salesforce.lock:
            self._salesforce.org.refuse(key, reason, message, fields, times)

    def _key(self, code: str) -> str:
        return "Product2" if code == "*" else self._id(code)

    def accept(self, code: str) -> None:
        """End what `refuse` began."""
        with self._salesforce.lock:
            self._salesforce.org.refusals.pop(self._key(code), None)

    def delete(self, code: str) -> str:
        """Move a product of Salesforce to the recycle bin; returns its id, which then is ENTITY_IS_DELETED."""
        record_id = self._id(code)
        with self._salesforce.lock:
            self._salesforce.org.delete("Product2", record_id)
        return record_id

    def entry(self, product: str, price: Decimal, currency: str | None) -> str:
        """The price book entry of a product in a currency (None in a single-currency org)."""
        profile = self._salesforce.profile
        currency = (currency or profile.currency) if profile.multi_currency else None
        if (product, currency) not in self.entries:
            values: dict[str, Any] = {"Pricebook2Id": self.pricebook, "Product2Id": product, "UnitPrice": price}
            row = self._salesforce.org.peek("Product2", product) or {}
            values |= {"IsActive": True, "ProductCode": row.get("ProductCode"), "Name": row.get("Name")}
            values |= {"CurrencyIsoCode": currency} if currency else {}
            self.entries[product, currency] = str(self._salesforce.org.add("PricebookEntry", values)["Id"])
        return self.entries[product, currency]

    def set_stock(self, code: str, quantity: Decimal) -> None:
        """Set the unrestricted stock of a material in SAP. Raises KeyError for an unknown one."""
        with self._sap.lock:
            self._sap.catalogue.set_stock(code, quantity)

    def set_stock_rows(self, code: str, rows: Iterable[dict[str, Any]]) -> None:
        """Replace all stock rows of a material in SAP: plants, storage locations, stock types, special stock.

        Rows as in `sap.catalogue`: `{"quantity": 5, "plant": "1710", "location": "171A", "type": "02"}`. Raises
        KeyError for an unknown material, ValueError for a row that cannot be.
        """
        with self._sap.lock:
            self._sap.catalogue.set_stock_rows(code, rows)

    def change_stock(self, share: float = 0.01) -> dict[str, Decimal]:
        """Give a share of the materials, at least one, another stock; returns the new one by code."""
        with self._sap.lock:
            held = self._sap.catalogue.stocks()
            chosen = self._random.sample(list(held), max(1, round(len(held) * share)))
            changed = {code: held[code] + self._random.choice((-1, 1)) * self._random.randint(1, 20) for code in chosen}
            changed = {code: amount if amount >= 0 else -amount for code, amount in changed.items()}
            changed = {code: amount + 1 if amount == held[code] else amount for code, amount in changed.items()}
            for code, amount in changed.items():
                self._sap.catalogue.set_stock(code, amount)
        return changed

    def stock(self) -> dict[str, Decimal]:
        """Stock that can be sold (unrestricted, no special stock), by material."""
        with self._sap.lock:
            return self._sap.catalogue.stocks()
