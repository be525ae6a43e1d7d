"""Which package speaks to which connection."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from crmsync.connectors.budget import UNLIMITED, Budget
from crmsync.domain.accounts import Claim
from crmsync.errors import ConfigurationError
from crmsync.settings import Settings

if TYPE_CHECKING:  # who asks only what is configured does without requests and redis
    from crmsync.connectors.auth import TokenStore
    from crmsync.connectors.base import Connector
    from crmsync.connectors.redis_link import Link
    from crmsync.connectors.shared_budget import SharedBudget

# connection → (package, where its settings are, the variable whose absence means that it is not configured)
_PACKAGES: Mapping[str, tuple[str, str, str]] = {
    "salesforce": ("crmsync.connectors.salesforce", "salesforce", "SF_CLIENT_ID"),
    "s4hana": ("crmsync.connectors.s4hana", "sap", "SAP_BASE_URL"),
    "zoho_books": ("crmsync.connectors.zoho_books", "zoho_books", "ZOHO_CLIENT_ID"),
}


def connections() -> tuple[str, ...]:
    return tuple(_PACKAGES)


def is_configured(connection: str, settings: Settings) -> bool:
    return getattr(settings, _PACKAGES[connection][1]) is not None


def connect(connection: str, settings: Settings, *, token_store: TokenStore, budget: Budget = UNLIMITED) -> Connector:
    """Raises: ConfigurationError if the environment says nothing of *connection*."""
    package, vendor_settings = _configured(connection, settings)
    module = import_module(package)  # only what is configured costs memory
    connector = module.connect(vendor_settings, token_store=token_store, behaviour=settings.behaviour, budget=budget)
    return cast("Connector", connector)


def claims(settings: Settings) -> Mapping[str, Claim]:
    """What the environment says of the account of each connection that it configures."""
    configured = [connection for connection in _PACKAGES if is_configured(connection, settings)]
    return {connection: _claim(*_configured(connection, settings)) for connection in configured}


def _claim(package: str, vendor_settings: Any) -> Claim:
    claim: Claim = import_module(f"{package}.account").claim(vendor_settings)
    return claim


def budget_of(connection: str, settings: Settings, link: Link) -> SharedBudget:
    """The budget that all processes share through *link*. Raises: ConfigurationError as connect() does."""
    from crmsync.connectors.shared_budget import SharedBudget  # the receiver, which calls nobody, does without

    package, vendor_settings = _configured(connection, settings)
    behaviour = settings.behaviour
    return SharedBudget(
        import_module(f"{package}.quota").quota(vendor_settings),
        link,
        reserve_percent=behaviour.reserve_percent,
        call_seconds=behaviour.call_seconds,
    )


def _configured(connection: str, settings: Settings) -> tuple[str, Any]:
    package, attribute, variable = _PACKAGES[connection]
    vendor_settings: Any = getattr(settings, attribute)
    if vendor_settings is None:
        raise ConfigurationError(f"{connection} is not configured.", field_errors={variable: "is missing"})
    return package, vendor_settings
