"""What a sandbox holds: companies with accounts at three vendors, and what all of these have in common."""

from typing import Any

from crmsync.lab.sandbox.calls import Calls
from crmsync.lab.sandbox.clock import Clock
from crmsync.lab.sandbox.company import Company
from crmsync.lab.sandbox.faults import FaultBoard
from crmsync.lab.sandbox.ledger import Ledger
from crmsync.lab.sandbox.profile import SandboxProfile
from crmsync.lab.sandbox.receiver import Receiver
from crmsync.lab.sandbox.vendor import Latency, Surroundings, Vendor


class World:
    """Companies with accounts of their own at Salesforce, SAP and Zoho Books; the first one's handles are at hand.

    An account is named as its vendor is (`salesforce`, `sap`, `zoho`), with the company's number from the second on
    (`salesforce-2`). By that name faults strike it, waits are set, calls are counted and tokens end.
    """

    def __init__(self, profile: SandboxProfile | None = None, **settings: Any) -> None:
        """Settings are the profile's own, or a vendor's with its name before: `zoho_per_minute=6000`."""
        self.profile = profile or SandboxProfile()
        self.profile.apply(settings)
        self.clock = Clock()
        self.faults = FaultBoard(seed=self.profile.seed)
        self.latency = Latency(self.profile.latency_seconds)
        self.receiver = Receiver(self.profile.receiver_url)
        self._history, self._calls = Ledger(self.clock), Calls()
        around = Surroundings(self.clock, self.faults, self._calls, self._history, self.latency, self.profile.seed)
        self.companies = [
            Company(number, self.profile.of_company(number), around, self.receiver, self._history)
            for number in range(1, self.profile.companies + 1)
        ]
        self.accounts = {account.name: account for company in self.companies for account in company.accounts}
        self.faults.operations = {name: account.operations for name, account in self.accounts.items()}
        self._history.reset()
        self._show_first(self.companies[0])

    def _show_first(self, company: Company) -> None:
        self.salesforce, self.sap, self.zoho = company.salesforce, company.sap, company.zoho
        self.products, self.deals, self.orders = company.products, company.deals, company.orders
        self.invoices, self.payments = company.invoices, company.payments
        self.outbound, self.doors = company.outbound, company.doors

    @property
    def vendors(self) -> tuple[Vendor, ...]:
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
