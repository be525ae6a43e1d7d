"""The settings of Zoho Books."""

from __future__ import annotations

from dataclasses import dataclass

from crmsync.declared import setting
from crmsync.environment import Secret, env, in_turn

# The most that any plan has: https://www.zoho.com/books/api/v3/introduction/, read 2026-11-20.
PUBLISHED_LIMITS = {"calls_per_minute": 100, "calls_per_day": 10_000, "calls_at_once": 10}


@dataclass(frozen=True, slots=True)
class ZohoBooksSettings:
    accounts_url: str = setting(
        "accounts server of your data centre", env.url("ZOHO_ACCOUNTS_URL", "https://accounts.zoho.com")
    )
    api_url: str = setting(
        "API server of your data centre; paths start with `/books/v3/`",
        env.url("ZOHO_API_URL", "https://www.zohoapis.com"),
    )
    client_id: str = setting("client id", env.required("ZOHO_CLIENT_ID"))
    client_secret: Secret = setting("client secret", env.secret("ZOHO_CLIENT_SECRET"))
    refresh_token: Secret = setting("refresh token", env.secret("ZOHO_REFRESH_TOKEN"))
    organization_id: str = setting("organisation", env.required("ZOHO_ORGANIZATION_ID"))
    webhook_secret: Secret | None = setting(
        "authenticates webhooks, at least 12 characters; without it they are refused",
        env.door_secret("ZOHO_WEBHOOK_SECRET"),
    )
    webhook_secret_previous: Secret | None = setting(
        "the previous secret, accepted as well while Zoho still uses it",
        env.previous_secret("ZOHO_WEBHOOK_SECRET_PREVIOUS"),
    )
    time_zone: str = setting(
        "time zone in which invoices are dated, such as `America/Los_Angeles`. If it is not set, and the "
        "organisation has no known one or the token may not read it (`ZohoBooks.settings.READ`), "
        "invoices are sent without a date and Zoho Books gives them its own",
        env.time_zone("ZOHO_TIME_ZONE"),
        default="the organisation's own, read once a day",
    )  # "": the organization tells its own
    tax_id: str = setting(
        "tax of invoice lines; if unset, the contact's or the organisation's own",
        env.text("ZOHO_TAX_ID", pattern=r"\d{1,20}", expected="digits only"),
    )
    invoice_unique_field: str = setting(
        'API name of a custom field of invoices set to "prevent duplicate values": invoices are then upserted on it',
        env.field_name("ZOHO_INVOICE_UNIQUE_FIELD"),
    )
    contact_unique_field: str = setting("the same for contacts", env.field_name("ZOHO_CONTACT_UNIQUE_FIELD"))
    item_lookup: bool | None = setting(
        "`true`: all lines use items of the books, found by SKU, and a deal with a code that no active item has "
        "is stopped; `false`: lines are free text; unset: a line uses an item if there is one, else free text",
        env.wish("ZOHO_ITEM_LOOKUP"),
        default="unset",
    )
    line_discounts: bool = setting(
        "`true`: discounted lines show their discount in percent",
        env.flag("ZOHO_LINE_DISCOUNTS"),
        default="see connectors/zoho_books",
    )
    calls_per_minute: int = setting(
        "calls in any minute, of all processes together; at 100, the usual limit, or more, what Zoho reports in its "
        "answers is used instead; a lower number is never raised",
        env.integer("ZOHO_CALLS_PER_MINUTE", 100, minimum=1, maximum=1_000_000),
    )
    calls_per_day: int = setting(
        "calls in any 24 hours: 1,000 (Free), 2,000 (Standard), 5,000 (Professional), 10,000 (above)",
        env.integer("ZOHO_CALLS_PER_DAY", 10_000, minimum=1, maximum=1_000_000_000),
    )
    calls_at_once: int = setting(
        "concurrent calls; Zoho allows 10, and 5 in its free plan",
        env.integer("ZOHO_CALLS_AT_ONCE", 10, minimum=1, maximum=10_000),
    )
    calls_per_hour: int = setting(
        "calls in any hour, of all processes together; `0`: no limit",
        env.integer("ZOHO_CALLS_PER_HOUR", 0, maximum=1_000_000_000),
    )
    reserve_percent: int | None = setting(
        "share of each of these limits that is reserved for orders and payments; 0 to 95",
        env.maybe_integer("ZOHO_RESERVE_PERCENT", example=30, maximum=95),
        default="`CRMSYNC_RESERVE_PERCENT`",
    )

    @property
    def webhook_secrets(self) -> tuple[Secret, ...]:
        return in_turn(self.webhook_secret, self.webhook_secret_previous)
