"""The settings of Zoho Books."""

from __future__ import annotations

from dataclasses import dataclass

from crmsync.environment import Reader, Secret, env, in_turn, read_into


@dataclass(frozen=True, slots=True)
class ZohoBooksSettings:
    accounts_url: str = env.url("ZOHO_ACCOUNTS_URL", "https://accounts.zoho.com")
    api_url: str = env.url("ZOHO_API_URL", "https://www.zohoapis.com")
    client_id: str = env.required("ZOHO_CLIENT_ID")
    client_secret: Secret = env.secret("ZOHO_CLIENT_SECRET")
    refresh_token: Secret = env.secret("ZOHO_REFRESH_TOKEN")
    organization_id: str = env.required("ZOHO_ORGANIZATION_ID")
    webhook_secret: Secret | None = env.door_secret("ZOHO_WEBHOOK_SECRET")
    webhook_secret_previous: Secret | None = env.previous_secret("ZOHO_WEBHOOK_SECRET_PREVIOUS")
    time_zone: str = env.time_zone("ZOHO_TIME_ZONE")  # "": the organization tells its own
    tax_id: str = env.text("ZOHO_TAX_ID", pattern=r"\d{1,20}", expected="digits alone")
    invoice_unique_field: str = env.field_name("ZOHO_INVOICE_UNIQUE_FIELD")
    contact_unique_field: str = env.field_name("ZOHO_CONTACT_UNIQUE_FIELD")
    item_lookup: bool | None = env.wish("ZOHO_ITEM_LOOKUP")
    line_discounts: bool = env.flag("ZOHO_LINE_DISCOUNTS")
    calls_per_minute: int = env.integer("ZOHO_CALLS_PER_MINUTE", 100, minimum=1, maximum=1_000_000)
    calls_per_day: int = env.integer("ZOHO_CALLS_PER_DAY", 10_000, minimum=1, maximum=1_000_000_000)
    calls_at_once: int = env.integer("ZOHO_CALLS_AT_ONCE", 10, minimum=1, maximum=10_000)

    @property
    def webhook_secrets(self) -> tuple[Secret, ...]:
        return in_turn(self.webhook_secret, self.webhook_secret_previous)


def read_zoho_books(reader: Reader) -> ZohoBooksSettings | None:
    """None where nothing is said of it."""
    names = ("ZOHO_CLIENT_ID", "ZOHO_CLIENT_SECRET", "ZOHO_REFRESH_TOKEN", "ZOHO_ORGANIZATION_ID")
    has_door = reader.has_door_secret("ZOHO_WEBHOOK_SECRET")
    if not reader.any_set(*names) and not has_door:
        return None
    return read_into(ZohoBooksSettings, reader)
