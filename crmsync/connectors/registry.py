"""Which package speaks to which connection."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from crmsync.connectors.budget import UNLIMITED, Budget
from crmsync.domain.accounts import Claim
from crmsync.errors import ConfigurationError
from crmsync.settings import Settings

if TYPE_CHECKING:  # who asks only what is configured does without requests and redis
    from crmsync.connectors.auth import TokenStore
    from crmsync.connectors.base import Connector
    from crmsync.connectors.notes import Notes
    from crmsync.connectors.redis_link import Link
    from crmsync.connectors.shared_budget import SharedBudget


class Vendor(NamedTuple):
    """Under what name a vendor's settings are, and what to say where there are none."""

    settings: str
    variable: str
    """To begin with."""
    called: str
    guide: str
    credentials: tuple[str, ...]
    """The settings that sign in."""
    keeps_notes: bool = False


VENDORS: Mapping[str, Vendor] = {
    "salesforce": Vendor("salesforce", "SF_CLIENT_ID", "Salesforce", "docs/setup/salesforce.md", ("private_key",)),
    "s4hana": Vendor("sap", "SAP_BASE_URL", "SAP S/4HANA", "docs/setup/s4hana.md", ("client_secret", "password")),
    "zoho_books": Vendor(
        "zoho_books",
        "ZOHO_CLIENT_ID",
        "Zoho Books",
        "docs/setup/zoho-books.md",
        ("client_secret", "refresh_token"),
        keeps_notes=True,
    ),
}
"""By connection, which is also the name of the package that speaks to it."""


def is_configured(connection: str, settings: Settings) -> bool:
    return getattr(settings, VENDORS[connection].settings) is not None


def is_withheld(connection: str, settings: Settings) -> bool:
    """Whether this process is not given what signs in to *connection*."""
    vendor = VENDORS[connection]
    own = getattr(settings, vendor.settings)
    return own is not None and any(getattr(own, name).is_withheld for name in vendor.credentials)


def connect(
    connection: str,
    settings: Settings,
    *,
    token_store: TokenStore,
    budget: Budget = UNLIMITED,
    notes: Notes | None = None,
) -> Connector:
    """Raises: ConfigurationError if the environment says nothing of *connection*."""
    vendor_settings = _settings_of(connection, settings)
    module = _module(connection)  # only what is configured costs memory
    more = {"notes": notes} if notes is not None and VENDORS[connection].keeps_notes else {}
    connector = module.connect(
        vendor_settings, token_store=token_store, behaviour=settings.behaviour, budget=budget, **more
    )
    return cast("Connector", connector)


def claims(settings: Settings) -> Mapping[str, Claim]:
    """What the environment says of the account of each connection that it configures."""
    configured = [connection for connection in VENDORS if is_configured(connection, settings)]
    return {each: _module(each, ".account").claim(_settings_of(each, settings)) for each in configured}


def system_of(connection: str, settings: Settings) -> str:
    """The system's name for people. Raises: ConfigurationError as connect() does."""
    return str(_module(connection, ".quota").quota(_settings_of(connection, settings)).system)


def full_key(text: str) -> str:
    """The full id of a record of the CRM that is named by its short one; whatever else *text* is stays as it is."""
    from crmsync.connectors.salesforce.ids import full_id

    try:
        return full_id(text)
    except ValueError:
        return text


def budget_of(connection: str, settings: Settings, link: Link) -> SharedBudget:
    """The budget that all processes share through *link*. Raises: ConfigurationError as connect() does."""
    from crmsync.connectors.shared_budget import SharedBudget  # the receiver, which calls nobody, does without

    behaviour = settings.behaviour
    return SharedBudget(
        _module(connection, ".quota").quota(_settings_of(connection, settings)),
        link,
        reserve_percent=behaviour.reserve_percent,
        call_seconds=behaviour.call_seconds,
    )


def _module(connection: str, name: str = "") -> Any:
    return import_module(f"crmsync.connectors.{connection}{name}")


def _settings_of(connection: str, settings: Settings) -> Any:
    vendor = VENDORS[connection]
    found = getattr(settings, vendor.settings)
    if found is None:
        raise ConfigurationError(f"{connection} is not configured.", field_errors={vendor.variable: "is missing"})
    return found
