"""What can be set about the Salesforce stand-in."""

from dataclasses import dataclass, field, replace
from typing import Self


@dataclass
class SalesforceProfile:
    """`custom_fields` adds fields to objects in the notation of `schema`, e.g. {"Account": "VAT_Number__c:s20"}.

    `lag_seconds` is how long a change stays off the queries that look for changes: its stamp is older than its commit.
    `audiences` are those for which an assertion may be meant; "org" stands for the org's own addresses.
    """

    pod: str = "Sb"  # two characters in every record id, by which orgs differ
    client_id: str = "3MVG9sandboxConsumerKey"
    username: str = "integration@crmsync.example.com"
    webhook_secret: str = "sandboxSalesforceSecret1"
    currency: str = "USD"
    multi_currency: bool = False
    daily_calls: int = 100_000
    page_size: int = 2000
    lag_seconds: float = 0.0
    audiences: tuple[str, ...] = ("https://login.salesforce.com", "https://test.salesforce.com", "org")
    custom_fields: dict[str, str] = field(default_factory=dict)

    def of_another(self, number: int) -> Self:
        """The same for the org of another company: with ids, credentials and secrets of its own."""
        return replace(
            self,
            pod=f"S{number:x}"[-2:].rjust(2, "S"),
            client_id=f"{self.client_id}{number}",
            username=f"integration{number}@crmsync.example.com",
            webhook_secret=f"sandboxSalesforceSecretOf{number}",
            custom_fields=dict(self.custom_fields),
        )
