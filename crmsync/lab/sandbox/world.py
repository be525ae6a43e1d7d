"""What a sandbox holds: the three vendors' stand-ins, what they have in common, and the handles of its data."""

from typing import Any

from crmsync.lab.sandbox.calls import Calls
from crmsync.lab.sandbox.cash import Invoices, Payments
from crmsync.lab.sandbox.catalogue import Products
from crmsync.lab.sandbox.clock import Clock
from crmsync.lab.sandbox.deals import Deals
from crmsync.lab.sandbox.faults import FaultBoard
from crmsync.lab.sandbox.keys import make_key
from crmsync.lab.sandbox.ledger import Ledger, duplicates
from crmsync.lab.sandbox.orders import Orders
from crmsync.lab.sandbox.profile import SandboxProfile
from crmsync.lab.sandbox.receiver import Receiver
from crmsync.lab.sandbox.salesforce.app import Salesforce
from crmsync.lab.sandbox.salesforce.webhooks import OutboundMessages
from crmsync.lab.sandbox.sap.app import Sap
from crmsync.lab.sandbox.sap.catalogue import stored
from crmsync.lab.sandbox.vendor import Latency, Surroundings, Vendor
from crmsync.lab.sandbox.zoho.app import Zoho


class World:
    """Stand-ins of Salesforce, SAP and Zoho Books that know each other's products."""

    def __init__(self, profile: SandboxProfile | None = None, **settings: Any) -> None:
        """Settings are the profile's own, or a vendor's with its name before: `zoho_per_minute=6000`."""
        self.profile = profile or SandboxProfile()
        self.profile.apply(settings)
        self.clock = Clock()
        self.faults = FaultBoard(seed=self.profile.seed)
        self.latency = Latency(self.profile.latency_seconds)
        self.receiver = Receiver(self.profile.receiver_url)
        self._history, self._calls = Ledger(self.clock), Calls()
        self._build()

    def _build(self) -> None:
        seed = self.profile.seed
        around = Surroundings(self.clock, self.faults, self._calls, self._history, self.latency, seed)
        self.salesforce = Salesforce(around, self.profile.salesforce, make_key())
        self.sap = Sap(around, self.profile.sap)
        self.zoho = Zoho(around, self.profile.zoho)
        self.faults.operations = {vendor.name: vendor.operations for vendor in self.vendors}
        crm = self.salesforce
        self.outbound = OutboundMessages(lambda: crm.org, lambda: crm.organization["Id"], lambda: crm.url, self.clock)
        self.products = Products(crm, self.sap, self.zoho, seed)
        self.products.seed()
        self.deals = Deals(crm, self.products, self.outbound, self.receiver, seed)
        self.payments = Payments(self.zoho, self.receiver)
        self.invoices = Invoices(self.zoho, self.payments)
        self.orders = Orders(self.sap)
        self._history.reset()

    @property
    def vendors(self) -> tuple[Vendor, ...]:
        return self.salesforce, self.sap, self.zoho

    def environment(self) -> dict[str, str]:
        """The environment variables that point crmsync at these servers."""
        return {name: value for vendor in self.vendors for name, value in vendor.environment().items()}

    def ledger(self) -> dict[str, Any]:
        """What exists (deals, products, customers, orders, contacts, invoices, payments), what happened, what is twice.

        A product shows its fields in Salesforce, and as `stock` what can be sold of it in SAP (None: unknown there).
        """
        documents: dict[str, Any] = {}
        for vendor in self.vendors:
            with vendor.lock:
                documents |= vendor.documents()
        stocks = {row["id"]: row["stock"] for row in documents.pop("materials")}
        for row in documents["products"]:
            row["stock"] = stocks.get(stored(row["ProductCode"] or ""))
        twice = duplicates(documents)
        return {**documents, "mails": self._history.mails, "events": self._history.events, "duplicates": twice}

    def calls(self) -> dict[str, Any]:
        """How often each operation was called, by system."""
        return self._calls.report()

    def reset(self) -> None:
        """Back to the seed: no documents, tokens, faults, waits or counts, the org where it was; settings stay."""
        self.faults.clear()
        self.clock.reset()
        self.latency.seconds, self.latency.systems = self.profile.latency_seconds, {}
        for vendor in self.vendors:
            with vendor.lock:
                vendor.reset()
        self.outbound.queue = []
        self.products.seed()
        self._history.reset()
        self._calls.reset()

    def move_org(self, old: str = "expired") -> str:
        """Give the Salesforce org another address, and return it; the old one answers as *old* says (OLD_ADDRESSES).

        The first address goes on signing in, whatever it answers else. Raises ValueError.
        """
        return self.salesforce.move(old)

    def expire_tokens(self, system: str | None = None) -> None:
        """End the tokens of one system, or of all."""
        for vendor in self.vendors:
            if system in (None, vendor.name):
                with vendor.lock:
                    vendor.expire_tokens()
