"""What can be set about the Zoho Books stand-in."""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Self

UNIQUE = {
    "contacts": ("cf_crm_account_id", "cf_crmsync_reference"),
    "invoices": ("cf_crm_deal_id", "cf_crmsync_reference"),
    "items": ("cf_product_code", "cf_crmsync_reference"),
    "customerpayments": ("cf_crmsync_reference",),
    "creditnotes": ("cf_crmsync_reference",),
}


@dataclass
class ZohoProfile:
    """`per_minute`, `per_day`, `concurrent` are the vendor's limits; raise them for load tests.

    `price_precision` is how many decimals the organisation keeps of a currency's amounts and rates, where they are not
    as many as the currency has, and `quantity_precision` how many of quantities: both can be set in Zoho Books.
    `duplicate_items` says of what items may have the same: "name", which the preferences allow, or "sku".

    `lag_seconds` is how long a fresh document stays off the lists, `empty_list` how an empty list is answered ("200" or
    "204"), `modified_filter` whether `last_modified_time` finds what was modified "after" that second, as the OpenAPI
    files say, or "from" it on, `scopes` what a token may (ZohoBooks.contacts.ALL, ZohoBooks.invoices.READ …), as it was
    when it was given out, `api_domain` another data centre to which the account belongs: the token answer names it, and
    the API here does not know its tokens, `time_zone` the organisation's zone as GET /organizations writes it (days and
    stamps follow it), `unique_fields` the custom fields that prevent duplicate values and can be
    upserted on.
    """

    client_id: str = "1000.SANDBOXCLIENT"
    client_secret: str = "sandbox-zoho-secret"
    refresh_token: str = "1000.sandbox.refresh"
    grant_code: str = "1000.sandbox.code"  # as the API console shows it once
    organization_id: str = "10234695"
    first_id: int = 460_000_000_026_001
    webhook_secret: str = "sandboxZohoSecret2026"
    currency: str = "USD"
    currencies: tuple[str, ...] = ("USD", "EUR", "GBP", "INR", "JPY", "CHF", "KWD")
    time_zone: str = "PST"
    price_precision: dict[str, int] = field(default_factory=dict)
    quantity_precision: int = 2
    duplicate_items: tuple[str, ...] = ()
    tax_percentage: Decimal = Decimal(0)
    per_minute: int = 100
    per_day: int = 10_000
    concurrent: int = 10
    tokens_per_window: int = 10
    scopes: tuple[str, ...] = ("ZohoBooks.fullaccess.all",)
    api_domain: str = ""
    lag_seconds: float = 0.0
    empty_list: str = "200"
    modified_filter: str = "after"
    default_page_size: int = 10
    unique_fields: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(UNIQUE))
    plain_fields: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"invoices": ("cf_sap_order",)})

    def of_another(self, number: int) -> Self:
        """The same for the organisation of another company: with ids, credentials and secrets of its own."""
        return replace(
            self,
            client_id=f"{self.client_id}{number}",
            client_secret=f"{self.client_secret}-{number}",
            refresh_token=f"{self.refresh_token}{number}",
            grant_code=f"{self.grant_code}{number}",
            organization_id=str(int(self.organization_id) + number - 1),
            first_id=self.first_id + (number - 1) * 10**13,
            webhook_secret=f"sandboxZohoSecretOf{number}",
            price_precision=dict(self.price_precision),
            unique_fields=dict(self.unique_fields),
            plain_fields=dict(self.plain_fields),
        )
