"""Deals: made with account, contact and lines, closed, and announced to a receiver."""

import random
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from crmsync.lab.sandbox.catalogue import Products
from crmsync.lab.sandbox.kernel.account import Answer, Doors
from crmsync.lab.sandbox.salesforce.app import Salesforce
from crmsync.lab.sandbox.salesforce.webhooks import OutboundMessages, send_json

Line = dict[str, Any]
NORTHWIND = "Northwind Sensors GmbH"
ADDRESS = {
    "BillingStreet": "12 Harbour Road",
    "BillingCity": "Bergen",
    "BillingPostalCode": "5003",
    "BillingCountry": "Norway",
}
WORDS = ("Alder", "Birch", "Cedar", "Elm", "Fir", "Hazel", "Juniper", "Larch", "Maple", "Oak", "Pine", "Rowan")
STAMPS = ("SystemModstamp", "LastModifiedDate")
TRADES = ("Instruments", "Controls", "Automation", "Works", "Logistics", "Foods", "Marine", "Energy")


@dataclass(frozen=True)
class Deal:
    """The ids of a deal's records in Salesforce, and its amount."""

    id: str
    account_id: str
    contact_id: str | None
    line_ids: tuple[str, ...]
    amount: Decimal
    name: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def domain_of(company: str) -> str:
    """
    >>> domain_of("Northwind Sensors GmbH"), domain_of("Buyer 0001 Ltd")
    ('northwind.example.com', 'buyer-0001-ltd.example.com')
    """
    name = re.sub("[^a-z0-9]+", "-", company.lower()).strip("-") or "company"
    return f"{'northwind' if company == NORTHWIND else name[:60].rstrip('-')}.example.com"


@dataclass(frozen=True)
class Closing:
    """A deal that was closed, and what the receiver of its webhook answered."""

    deal_id: str
    answer: Answer | None = None

    def to_json(self) -> dict[str, Any]:
        return {"deal_id": self.deal_id, "webhook": asdict(self.answer) if self.answer else None}


@dataclass
class Deals:
    """Makes deals in the stand-in org."""

    salesforce: Salesforce
    products: Products
    outbound: OutboundMessages
    doors: Doors
    seed: int = 0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.seed}/deals")

    def create(self, account: str = NORTHWIND, *, email: str | None = "",
               lines: Sequence[Line] | None = None, name: str | None = None, amount: Decimal | None = None,
               currency: str | None = None, po_number: str | None = None, stage: str = "Negotiation/Review",
               account_fields: dict[str, Any] | None = None) -> Deal:  # fmt: skip
        """Make a deal. A line is `{"product", "quantity", "unit_price"}`; unknown products are added everywhere.

        A line may have a `total_price` instead of its unit price, and a Description, Discount or ServiceDate.

        Without `lines`, 200 × SENSOR-100 at 235.00; with an empty list, a deal of the bare `amount`. An account of the
        same name is used again; `email` None makes no contact, and without one each company has an address of its own.
        """
        email = f"accounts@{domain_of(account)}" if email == "" else email
        with self.salesforce.lock:
            account_id = self._account(account, account_fields or {}, currency)
            contact_id = self._contact(account_id, account, email) if email else None
            deal_id = self._opportunity(account_id, name or f"{account}: sensors", stage, amount, currency, po_number)
            if contact_id:
                role = {"OpportunityId": deal_id, "ContactId": contact_id, "Role": "Decision Maker", "IsPrimary": True}
                self._add("OpportunityContactRole", role)
            standard = [{"product": "SENSOR-100", "quantity": 200, "unit_price": "235.00"}]
            added = [self._line(deal_id, line, currency) for line in (standard if lines is None else lines)]
            row = self.salesforce.org.get("Opportunity", deal_id)
            return Deal(deal_id, account_id, contact_id, tuple(added), row["Amount"] or Decimal(0), row["Name"])

    def _add(self, kind: str, values: dict[str, Any]) -> str:
        return str(self.salesforce.org.create(kind, values)["Id"])

    def _currency(self, currency: str | None) -> dict[str, Any]:
        profile = self.salesforce.profile
        if currency and currency != profile.currency and not profile.multi_currency:
            raise ValueError(f"{currency} needs a multi-currency org (multi_currency=True)")
        return {"CurrencyIsoCode": currency or profile.currency} if profile.multi_currency else {}

    def _account(self, name: str, fields: dict[str, Any], currency: str | None) -> str:
        found = self.salesforce.org.find_by("Account", "Name", name)
        if found:
            return str(found[0]["Id"])
        return self._add("Account", {"Name": name, **ADDRESS, **fields, **self._currency(currency)})

    def _contact(self, account_id: str, account: str, email: str) -> str:
        org = self.salesforce.org
        found = [row for row in org.children("Contact", "AccountId", account_id) if row["Email"] == email]
        person = {"FirstName": "Ida", "LastName": "Berg", "Email": email, "AccountId": account_id, "Title": "Buyer"}
        return str(found[0]["Id"]) if found else self._add("Contact", person)

    def _opportunity(self, account_id: str, name: str, stage: str, amount: Decimal | None, currency: str | None,
                     po_number: str | None) -> str:  # fmt: skip
        closing = (self.salesforce.org.now() + timedelta(days=14)).date().isoformat()
        values: dict[str, Any] = {"Name": name[:120], "AccountId": account_id, "StageName": stage, "CloseDate": closing}
        values |= {"Amount": amount, "PO_Number__c": po_number, "Pricebook2Id": self.products.pricebook}
        return self._add("Opportunity", {**values, **self._currency(currency)})

    def _line(self, deal_id: str, line: Line, currency: str | None) -> str:
        code, price = str(line["product"]), Decimal(str(line.get("unit_price", "235.00")))
        product = self.products.find(code) or self.products.add(code, price=price, stock=Decimal(1000))
        entry = self.products.entry(product, price, currency)
        values: dict[str, Any] = {"OpportunityId": deal_id, "PricebookEntryId": entry}
        values |= {"Quantity": Decimal(str(line.get("quantity", 1)))}
        values |= {"TotalPrice": Decimal(str(line["total_price"]))} if "total_price" in line else {"UnitPrice": price}
        extra: dict[str, Any] = {
            name: line[name] for name in ("Description", "Discount", "ServiceDate") if name in line
        }
        return self._add("OpportunityLineItem", {**values, **extra})

    def close(self, deal_id: str, *, webhook: str | None = None, stage: str = "Closed Won") -> Closing:
        """Close a deal; with `webhook` "json" or "soap" tell the receiver, and say what it answered."""
        if webhook not in (None, "json", "soap"):
            raise ValueError(f"webhook {webhook!r} is neither json nor soap")
        with self.salesforce.lock:
            today = self.salesforce.org.now().date().isoformat()
            deal_id = str(
                self.salesforce.org.update("Opportunity", deal_id, {"StageName": stage, "CloseDate": today})["Id"]
            )
        return Closing(deal_id, self.announce(deal_id, webhook) if webhook else None)

    def reopen(self, deal_id: str, *, stage: str = "Negotiation/Review") -> None:
        """Give a deal that was closed another stage: an open one, or Closed Lost. No webhook tells."""
        with self.salesforce.lock:
            self.salesforce.org.update("Opportunity", deal_id, {"StageName": stage})

    def change_line(self, deal_id: str, number: int | str, changes: dict[str, Any]) -> None:
        """Change the quantity or the price of a deal's line, counted from 1; the deal's amount follows."""
        names = {"quantity": "Quantity", "unit_price": "UnitPrice"}
        values = {names[name]: Decimal(str(value)) for name, value in changes.items()}
        with self.salesforce.lock:
            org = self.salesforce.org
            key = str(org.get("Opportunity", deal_id)["Id"])
            line = org.children("OpportunityLineItem", "OpportunityId", key)[int(number) - 1]
            org.update("OpportunityLineItem", line["Id"], values)

    def close_all(self, deal_ids: Sequence[str], *, stage: str = "Closed Won") -> None:
        """Close deals as a mass update does: in one transaction, with one SystemModstamp and no webhook."""
        with self.salesforce.lock, self.salesforce.org.attempt():
            for deal_id in deal_ids:
                self.close(deal_id, stage=stage)

    def backdate(self, deal_ids: Sequence[str], seconds: float) -> None:
        """Set SystemModstamp and LastModifiedDate of deals back, as rows look that a long transaction commits late."""
        with self.salesforce.lock:
            org = self.salesforce.org
            stamp = org.now() - timedelta(seconds=int(seconds))
            for deal_id in deal_ids:
                org.put("Opportunity", org.get("Opportunity", deal_id), dict.fromkeys(STAMPS, stamp))

    def age(self, deal_ids: Sequence[str], days: float) -> None:
        """Let deals look as if they were made and closed so many days ago; their change stamps stay of today."""
        with self.salesforce.lock:
            org = self.salesforce.org
            at = org.now() - timedelta(days=days)
            old = {"CreatedDate": at, "LastStageChangeDate": at, "CloseDate": at.date()}
            for deal_id in deal_ids:
                org.put("Opportunity", org.get("Opportunity", deal_id), old)

    def refuse(self, deal_id: str, reason: str = "FIELD_CUSTOM_VALIDATION_EXCEPTION", *, message: str | None = None,
               fields: Sequence[str] = (), times: int | None = None) -> None:  # fmt: skip
        """Let Salesforce refuse changes of a deal, as a validation rule or a lock does, always or so many times."""
        with self.salesforce.lock:
            key = str(self.salesforce.org.get("Opportunity", deal_id)["Id"])
            self.salesforce.org.refuse(key, reason, message, fields, times)

    def accept(self, deal_id: str) -> None:
        """End what `refuse` began."""
        with self.salesforce.lock:
            self.salesforce.org.refusals.pop(str(self.salesforce.org.get("Opportunity", deal_id)["Id"]), None)

    def delete(self, deal_id: str) -> None:
        """Move a deal to the recycle bin."""
        with self.salesforce.lock:
            self.salesforce.org.delete("Opportunity", deal_id)

    def announce(self, deal_id: str, webhook: str = "json") -> Answer:
        """Send the webhook of a deal (again). A SOAP message stays queued until it is acknowledged."""
        secret = self.salesforce.profile.webhook_secret
        if webhook == "json":
            return send_json(self.doors.deal_url(), deal_id, secret)
        self.outbound.enqueue(deal_id)
        return self.outbound.deliver(self.doors.deal_url(token=secret))[-1]

    def bulk(self, deals: int = 200, customers: int = 50) -> list[Deal]:
        """Make many deals of several customers, the same ones for the same seed."""
        return [self._random_deal(index % customers) for index in range(deals)]

    def _random_deal(self, customer: int) -> Deal:
        word, trade = WORDS[customer % len(WORDS)], TRADES[customer // len(WORDS) % len(TRADES)]
        account = f"{word} {trade} {customer + 1:03d}"
        codes = self._random.sample(("SENSOR-100", "SENSOR-200", "GATEWAY-10", "CABLE-05"), self._random.randint(1, 3))
        prices = {"SENSOR-100": "235.00", "SENSOR-200": "310.50", "GATEWAY-10": "1490.00", "CABLE-05": "12.90"}
        lines = [{"product": c, "quantity": self._random.randint(1, 40), "unit_price": prices[c]} for c in codes]
        return self.create(account, email=f"ap{customer + 1:03d}@customers.example.com", lines=lines)
