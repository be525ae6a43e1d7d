"""What a sandbox holds: companies with accounts at three vendors, what can be set about them, and what all share."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from crmsync.lab.sandbox.catalogue import Products
from crmsync.lab.sandbox.deals import Deals
from crmsync.lab.sandbox.documents import Invoices, Orders, Payments
from crmsync.lab.sandbox.kernel.account import Account, Answer, Doors, Latency, Receiver, Surroundings
from crmsync.lab.sandbox.kernel.faults import FaultBoard, oddities_of
from crmsync.lab.sandbox.kernel.ledger import Calls, Clock, Ledger, duplicates
from crmsync.lab.sandbox.salesforce.app import Salesforce
from crmsync.lab.sandbox.salesforce.oauth import SalesforceProfile
from crmsync.lab.sandbox.salesforce.webhooks import OutboundMessages
from crmsync.lab.sandbox.sap.access import SapProfile
from crmsync.lab.sandbox.sap.app import Sap
from crmsync.lab.sandbox.sap.products import stored
from crmsync.lab.sandbox.zoho.app import Zoho
from crmsync.lab.sandbox.zoho.fields import ZohoProfile

# What can be set.


VENDORS = ("salesforce", "sap", "zoho")
StandIn = type[Account]  # made of surroundings, its settings and a company's number
# Settings that lift the limits of calls.
LOAD: dict[str, Any] = {
    "zoho_per_minute": 10**6,
    "zoho_per_day": 10**9,
    "zoho_concurrent": 10**4,
    "salesforce_daily_calls": 10**9,
}


@dataclass
class CompanyProfile:
    """The settings of one company's accounts, by vendor; *others* are those of further vendors."""

    salesforce: SalesforceProfile = field(default_factory=SalesforceProfile)
    sap: SapProfile = field(default_factory=SapProfile)
    zoho: ZohoProfile = field(default_factory=ZohoProfile)
    others: dict[str, Any] = field(default_factory=dict)

    def of(self, vendor: str) -> Any:
        return getattr(self, vendor) if vendor in VENDORS else self.others[vendor]

    def apply(self, settings: Mapping[str, Any]) -> None:
        """Set fields by name, a vendor's with its name before. Raises TypeError for one that does not exist."""
        for name, value in settings.items():
            vendor = next((each for each in (*VENDORS, *self.others) if name.startswith(f"{each}_")), "")
            target = self.of(vendor) if vendor else self
            attribute = name.removeprefix(f"{vendor}_") if vendor else name
            if not hasattr(target, attribute):
                raise TypeError(f"Sandbox has no setting {name!r}")
            setattr(target, attribute, value)


@dataclass
class SandboxProfile(CompanyProfile):
    """All settings. `port_base` 0 takes free ports; else control, Salesforce, SAP, Zoho follow from it upwards.

    `companies` is for how many there are accounts; what is set of a vendor at the start holds for all of them.
    """

    port_base: int = 0
    seed: int = 0
    latency_seconds: float = 0.0
    receiver_url: str = "http://127.0.0.1:8000"
    companies: int = 1

    def of_company(self, number: int) -> CompanyProfile:
        """The first company's settings are these themselves."""
        if number == 1:
            return self
        others = {vendor: each.of_another(number) for vendor, each in self.others.items()}
        return CompanyProfile(**{vendor: self.of(vendor).of_another(number) for vendor in VENDORS}, others=others)


# One company: its accounts at the three vendors, which know the same products, and the handles of its data.


class Company:
    """What is done in a company's accounts by its people, and what is found in them."""

    def __init__(
        self, number: int, profile: CompanyProfile, around: Surroundings, receiver: Receiver, also: Iterable[StandIn]
    ) -> None:
        self.number, self.profile = number, profile
        self._history = around.ledger
        self.doors = Doors(receiver)
        self.salesforce = crm = Salesforce(around, profile.salesforce, number)
        self.sap = Sap(around, profile.sap, number)
        self.zoho = Zoho(around, profile.zoho, number)
        self.outbound = OutboundMessages(lambda: crm.org, lambda: crm.organization["Id"], lambda: crm.url, crm.clock)
        self.products = Products(crm, self.sap, self.zoho, around.seed)
        self.products.seed()
        self.deals = Deals(crm, self.products, self.outbound, self.doors, around.seed)
        self.payments = Payments(self.zoho, self.doors)
        self.invoices = Invoices(self.zoho, self.payments)
        self.orders = Orders(self.sap)
        self.others = [kind(around, profile.of(kind.vendor), number) for kind in also]

    @property
    def accounts(self) -> tuple[Account, ...]:
        return self.salesforce, self.sap, self.zoho, *self.others

    def environment(self) -> dict[str, str]:
        """The environment variables that point crmsync at these accounts."""
        return {name: value for account in self.accounts for name, value in account.environment().items()}

    def ledger(self) -> dict[str, Any]:
        """What exists (deals, products, customers, orders, contacts, invoices, payments), what happened, what is twice.

        A product shows its fields in Salesforce, and as `stock` what can be sold of it in SAP (None: unknown there).
        """
        documents: dict[str, list[dict[str, Any]]] = {}
        for account in self.accounts:
            with account.lock:
                for kind, rows in account.documents().items():
                    documents.setdefault(kind, []).extend(rows)
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


# All companies.


class World:
    """Companies with accounts of their own at Salesforce, SAP and Zoho Books; the first one's handles are at hand.

    An account is named as its vendor is (`salesforce`, `sap`, `zoho`), with the company's number from the second on
    (`salesforce-2`). By that name faults strike it, waits are set, calls are counted and tokens end.
    """

    def __init__(self, profile: SandboxProfile | None = None, *, also: Iterable[StandIn] = (), **settings: Any) -> None:
        """Settings are the profile's own, or a vendor's with its name before: `zoho_per_minute=6000`.

        *also* are stand-ins of further vendors: each company has an account there as well.
        """
        also = tuple(also)
        self.profile = profile or SandboxProfile()
        self.profile.others = {kind.vendor: kind.profile_type() for kind in also} | self.profile.others
        self.profile.apply(settings)
        self.clock = Clock()
        self.faults = FaultBoard(seed=self.profile.seed)
        self.latency = Latency(self.profile.latency_seconds)
        self.receiver = Receiver(self.profile.receiver_url)
        self._history, self._calls = Ledger(self.clock), Calls()
        around = Surroundings(self.clock, self.faults, self._calls, self._history, self.latency, self.profile.seed)
        self.companies = [
            Company(number, self.profile.of_company(number), around, self.receiver, also)
            for number in range(1, self.profile.companies + 1)
        ]
        self.accounts = {account.name: account for company in self.companies for account in company.accounts}
        self.faults.operations = {name: account.operations for name, account in self.accounts.items()}
        self.faults.own_kinds = {name: account.own_kinds for name, account in self.accounts.items()}
        first = self.companies[0].accounts
        self.faults.oddities = {k: v for each in first for k, v in oddities_of(each.vendor, each.oddities).items()}
        self._history.reset()
        self._show_first(self.companies[0])

    def _show_first(self, company: Company) -> None:
        self.salesforce, self.sap, self.zoho = company.salesforce, company.sap, company.zoho
        self.products, self.deals, self.orders = company.products, company.deals, company.orders
        self.invoices, self.payments = company.invoices, company.payments
        self.outbound, self.doors = company.outbound, company.doors

    @property
    def vendors(self) -> tuple[Account, ...]:
        """All accounts, one company's after the other's."""
        return tuple(self.accounts.values())

    def environment(self) -> dict[str, str]:
        """The environment variables that point crmsync at the first company's accounts."""
        return self.companies[0].environment()

    def connections(self) -> list[dict[str, Any]]:
        """What a row for a connection to each account takes: name, system, settings and secrets by field."""
        return [account.connection() for account in self.accounts.values()]

    def ledger(self) -> dict[str, Any]:
        """What exists, happened and is twice in the first company's accounts."""
        return self.companies[0].ledger()

    def calls(self) -> dict[str, Any]:
        """How often each operation was called, by account."""
        return self._calls.report()

    def reset(self) -> None:
        """Back to the seed: no documents, tokens, faults, waits or counts, the orgs where they were; settings stay."""
        self.faults.clear()
        self.clock.reset()
        self.latency.seconds, self.latency.systems = self.profile.latency_seconds, {}
        for company in self.companies:
            company.reset()
        self._history.reset()
        self._calls.reset()

    def move_org(self, old: str = "expired") -> str:
        """Give the first Salesforce org another address, and return it; the old one answers as *old* says.

        The first address goes on signing in, whatever it answers else. Raises ValueError.
        """
        return self.salesforce.move(old)

    def expire_tokens(self, system: str | None = None) -> None:
        """End the tokens of one account, or of all."""
        for account in self.accounts.values():
            if system in (None, account.name):
                with account.lock:
                    account.expire_tokens()
