"""One company: its accounts at the three vendors, which know the same products, and the handles of its data."""

from typing import Any

from crmsync.lab.sandbox.cash import Invoices, Payments
from crmsync.lab.sandbox.catalogue import Products
from crmsync.lab.sandbox.deals import Deals
from crmsync.lab.sandbox.keys import make_key
from crmsync.lab.sandbox.ledger import Ledger, duplicates
from crmsync.lab.sandbox.orders import Orders
from crmsync.lab.sandbox.profile import CompanyProfile
from crmsync.lab.sandbox.receiver import Answer, Doors, Receiver
from crmsync.lab.sandbox.salesforce.app import Salesforce
from crmsync.lab.sandbox.salesforce.webhooks import OutboundMessages
from crmsync.lab.sandbox.sap.app import Sap
from crmsync.lab.sandbox.sap.catalogue import stored
from crmsync.lab.sandbox.vendor import Surroundings, Vendor
from crmsync.lab.sandbox.zoho.app import Zoho


class Company:
    """What is done in a company's accounts by its people, and what is found in them."""

    def __init__(
        self, number: int, profile: CompanyProfile, around: Surroundings, receiver: Receiver, history: Ledger
    ) -> None:
        self.number, self.profile = number, profile
        self._history = history
        self.doors = Doors(receiver)
        self.salesforce = crm = Salesforce(around, profile.salesforce, make_key(), number)
        self.sap = Sap(around, profile.sap, number)
        self.zoho = Zoho(around, profile.zoho, number)
        self.outbound = OutboundMessages(lambda: crm.org, lambda: crm.organization["Id"], lambda: crm.url, crm.clock)
        self.products = Products(crm, self.sap, self.zoho, around.seed)
        self.products.seed()
        self.deals = Deals(crm, self.products, self.outbound, self.doors, around.seed)
        self.payments = Payments(self.zoho, self.doors)
        self.invoices = Invoices(self.zoho, self.payments)
        self.orders = Orders(self.sap)

    @property
    def accounts(self) -> tuple[Vendor, ...]:
        return self.salesforce, self.sap, self.zoho

    def environment(self) -> dict[str, str]:
        """The environment variables that point crmsync at these accounts."""
        return {name: value for account in self.accounts for name, value in account.environment().items()}

    def ledger(self) -> dict[str, Any]:
        """What exists (deals, products, customers, orders, contacts, invoices, payments), what happened, what is twice.

        A product shows its fields in Salesforce, and as `stock` what can be sold of it in SAP (None: unknown there).
        """
        documents: dict[str, Any] = {}
        for account in self.accounts:
            with account.lock:
                documents |= account.documents()
        stocks = {row["id"]: row["stock"] for row in documents.pop("materials")}
        for row in documents["products"]:
            row["stock"] = stocks.get(stored(row["ProductCode"] or ""))
        names = [account.name for account in self.accounts]
        happened = {"mails": self._history.mails(names), "events": self._history.events(names)}
        return {**documents, **happened, "duplicates": duplicates(documents)}

    def deliver(self, *, due_only: bool = False, url: str | None = None) -> list[Answer]:
        """Send the Outbound Messages that are queued, to the company's own door where no other is named."""
        if not self.outbound.queue:
            return []
        own = self.doors.deal_url(token=self.profile.salesforce.webhook_secret)
        return self.outbound.deliver(url or own, due_only=due_only)

    def reset(self) -> None:
        """Back to the seed."""
        for account in self.accounts:
            with account.lock:
                account.reset()
        self.outbound.queue = []
        self.products.seed()
