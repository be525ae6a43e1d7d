"""What can be set about the Salesforce stand-in."""

from dataclasses import dataclass, field


@dataclass
class SalesforceProfile:
    """`custom_fields` adds fields to objects in the notation of `schema`, e.g. {"Account": "VAT_Number__c:s20"}.

    `lag_seconds` is how long a change stays off the queries that look for changes: its stamp is older than its commit.
    `audiences` are those for which an assertion may be meant; "org" stands for the org's own addresses.
    """

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
