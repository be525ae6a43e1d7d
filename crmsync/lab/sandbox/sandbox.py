"""The sandbox: three vendors' stand-ins and a control API, each on its own port, in one process."""

import threading
from typing import Any, Self

from crmsync.lab.sandbox.calls import Calls
from crmsync.lab.sandbox.cash import Invoices, Payments
from crmsync.lab.sandbox.catalogue import Products
from crmsync.lab.sandbox.clock import Clock
from crmsync.lab.sandbox.control import Control
from crmsync.lab.sandbox.deals import Deals
from crmsync.lab.sandbox.faults import FaultBoard
from crmsync.lab.sandbox.keys import make_key
from crmsync.lab.sandbox.ledger import Ledger, duplicates
from crmsync.lab.sandbox.orders import Orders
from crmsync.lab.sandbox.profile import SandboxProfile
from crmsync.lab.sandbox.receiver import Receiver
from crmsync.lab.sandbox.salesforce.app import Salesforce
from crmsync.lab.sandbox.salesforce.moving import OLD_ADDRESSES
from crmsync.lab.sandbox.salesforce.webhooks import OutboundMessages
from crmsync.lab.sandbox.sap.app import Sap
from crmsync.lab.sandbox.sap.catalogue import stored
from crmsync.lab.sandbox.server import Server
from crmsync.lab.sandbox.vendor import Latency, Surroundings, Vendor
from crmsync.lab.sandbox.zoho.app import Zoho

RETRY_POLL_SECONDS = 0.2


class Sandbox:
    """Stand-ins of Salesforce, SAP and Zoho Books; a context manager that starts and stops their servers."""

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
        self._servers: dict[str, Server] = {}
        self._addresses: list[Server] = []  # further ones of the Salesforce org, the newest last
        self._stopped = threading.Event()

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

    def start(self) -> Self:
        apps = {"control": Control(self).serve, **{vendor.name: vendor.serve for vendor in self.vendors}}
        base = self.profile.port_base
        for offset, (name, app) in enumerate(apps.items()):
            self._servers[name] = Server(app, base + offset if base else 0)
        for vendor in self.vendors:
            vendor.url = self._servers[vendor.name].url
        self.salesforce.login_url = self.salesforce.url
        for server in self._servers.values():
            server.start()
        self._stopped.clear()
        threading.Thread(target=self._repeat_messages, daemon=True).start()
        return self

    def stop(self) -> None:
        self._stopped.set()
        self._move_back()
        for server in self._servers.values():
            server.stop()
        self._servers.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _repeat_messages(self) -> None:
        """Send Outbound Messages again when their wait is over."""
        while not self._stopped.wait(RETRY_POLL_SECONDS):
            if self.outbound.queue:
                url = self.receiver.deal_url(token=self.profile.salesforce.webhook_secret)
                self.outbound.deliver(url, due_only=True)

    @property
    def control_url(self) -> str:
        return self._servers["control"].url

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
        self._move_back()
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
        if old not in OLD_ADDRESSES:
            raise ValueError(f"old {old!r} is none of {', '.join(OLD_ADDRESSES)}")
        crm, before = self.salesforce, self._addresses[-1] if self._addresses else None
        self._addresses.append(Server(crm.serve))
        self._addresses[-1].start()
        crm.move(self._addresses[-1].url, old)
        if old == "gone" and before:
            before.stop()
        return crm.url

    def _move_back(self) -> None:
        self.salesforce.url = self.salesforce.login_url
        self.salesforce.left.clear()
        while self._addresses:
            self._addresses.pop().stop()

    def expire_tokens(self, system: str | None = None) -> None:
        """End the tokens of one system, or of all."""
        for vendor in self.vendors:
            if system in (None, vendor.name):
                with vendor.lock:
                    vendor.expire_tokens()
