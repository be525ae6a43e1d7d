"""Options that each company sets for itself: defaults from the environment, overridden by a binding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from crmsync.declared import read_mapping, setting
from crmsync.environment import env
from crmsync.errors import ConfigurationError

PAUSABLE = ("order_to_invoice", "payments", "inventory", "catch_up_deals", "catch_up_payments")
REFERENCE_PREFIX = "SF-"  # of the documents that crmsync has made since its first release


@dataclass(frozen=True, slots=True)
class CompanySettings:
    """Those that the environment has, too."""

    payment_terms_days: int = setting(
        "days within which a customer has to pay", env.integer("CRMSYNC_PAYMENT_TERMS_DAYS", 30, maximum=3650)
    )
    send_on_create: bool = setting("mail an invoice in the call that makes it", env.flag("CRMSYNC_SEND_ON_CREATE"))
    low_stock_threshold: Decimal = setting(
        "available stock at and below which a product is low",
        env.number("CRMSYNC_LOW_STOCK_THRESHOLD", "10", maximum="999999999"),
    )
    inventory_seconds: int = setting(
        "how often the stock is read, in seconds; 0: never",
        env.integer("CRMSYNC_INVENTORY_SECONDS", 3600, maximum=2_592_000),
    )
    catch_up_seconds: int = setting(
        "how often missed changes are searched for, in seconds; 0: never",
        env.integer("CRMSYNC_CATCH_UP_SECONDS", 600, maximum=2_592_000),
    )
    compare_seconds: int = setting(
        "how often orders are compared, in seconds; 0: never",
        env.integer("CRMSYNC_COMPARE_SECONDS", 60, maximum=1_000_000),
    )
    compare_invoices_seconds: int = setting(
        "how often invoices are compared, in seconds; 0: never",
        env.integer("CRMSYNC_COMPARE_INVOICES_SECONDS", 3600, maximum=1_000_000),
    )
    max_deal_age_days: int = setting(
        "age in days above which a deal waits for a person; 0: never",
        env.integer("CRMSYNC_MAX_DEAL_AGE_DAYS", 90, maximum=36_500),
    )
    burst_deals: int = setting(
        "number of new deals an hour above which they wait for a person; 0: no limit",
        env.integer("CRMSYNC_BURST_DEALS", 1000, maximum=1_000_000),
    )
    held_orders: str = setting(
        "what happens to a deal whose order can't be delivered or billed: review, alert or note",
        env.text("CRMSYNC_HELD_ORDERS", "review", pattern="review|alert|note", expected="review, alert or note"),
    )
    tell_sellers: str = setting(
        "whether a deal says in the CRM that it is stuck: yes or no",
        env.text("CRMSYNC_TELL_SELLERS", "yes", pattern="yes|no", expected="yes or no"),
    )
    seller_wait_seconds: int = setting(
        "after how many seconds a deal that waits by itself says so; 0: never",
        env.integer("CRMSYNC_SELLER_WAIT_SECONDS", 300, maximum=2_592_000),
    )

    default_currency: str = setting(
        "the currency of a CRM with only one; empty: each deal says its own",
        env.text("CRMSYNC_DEFAULT_CURRENCY", pattern="[A-Z]{3}", expected="a code such as USD"),
    )
    announced_grace_seconds: float = setting(
        "how long after its announcement a deal that is not ready is read again, in seconds; 0: not at all",
        env.seconds("CRMSYNC_ANNOUNCED_GRACE_SECONDS", "60", maximum="3600"),
    )
    silence_seconds: int = setting(
        "after how many seconds without a webhook, although there are changes, people are alerted",
        env.integer("CRMSYNC_SILENCE_SECONDS", 3600, maximum=2_592_000),
    )
    four_eyes_above: str = setting(
        "above this amount, such as 10000 EUR, two people decide about a dead letter; empty: one does",
        env.text(
            "CRMSYNC_FOUR_EYES_ABOVE",
            pattern=r"[0-9]{1,12}(\.[0-9]{1,3})? [A-Z]{3}",
            expected="an amount and its currency, such as 10000 EUR",
        ),
    )

    @property
    def seller_wait(self) -> timedelta | None:
        """After how long a deal that waits by itself says so; None: never."""
        return timedelta(seconds=self.seller_wait_seconds) if self.seller_wait_seconds else None


@dataclass(frozen=True, slots=True)
class Options(CompanySettings):
    """*go_live* is None where nobody has said so.

    *reference_prefix* tells a company's documents from those of another CRM in the same ERP. What is *paused* is not
    started: where it is a flow that is bound, what looks after it is not started either. Runs under way go on.
    """

    go_live: datetime | None = setting("catch-up starts nothing from before this time", env.instant("CRMSYNC_GO_LIVE"))
    reference_prefix: str = setting(
        "the prefix of the references of its orders, invoices and customers",
        env.text(
            "reference_prefix",
            REFERENCE_PREFIX,
            pattern="[A-Z][A-Z0-9]{0,7}-",
            expected="capital letters and a dash, such as SF-",
        ),
    )
    paused: tuple[str, ...] = setting(
        "the flows that are paused",
        env.codes("paused", code="|".join(PAUSABLE), example=", ".join(PAUSABLE)),
    )

    @property
    def customer_prefix(self) -> str:
        """Begins the references of its customers. Where documents have the first release's, they have none, as then."""
        return "" if self.reference_prefix == REFERENCE_PREFIX else self.reference_prefix


def options_of(own: CompanySettings, go_live: datetime | None) -> Options:
    """Those of the environment."""
    return Options(**{each.name: getattr(own, each.name) for each in fields(CompanySettings)}, go_live=go_live)


def read_options(values: Mapping[str, Any], default: Options) -> Options:
    """*default* with what a binding says otherwise.

    Raises: ConfigurationError, by field.
    """
    found, problems = read_mapping(Options, values)
    if problems:
        raise ConfigurationError("The options are not right.", field_errors=problems)
    return replace(default, **{name: getattr(found, name) for name in values})
