"""Finds the system and the settings of a connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from crmsync.connectors.doors import Door
from crmsync.connectors.system import System, Tools
from crmsync.domain.accounts import Claim
from crmsync.errors import ConfigurationError
from crmsync.phrases import capital
from crmsync.settings import Behaviour, Settings
from crmsync.systems import installed, refused

if TYPE_CHECKING:  # who asks only what is configured does without requests and redis
    from crmsync.connectors.base import Connector
    from crmsync.connectors.limits.redis_link import Link
    from crmsync.connectors.limits.shared_budget import SharedBudget


def systems() -> Mapping[str, System]:
    """The systems that are installed, by name, in the order in which a deal meets them."""
    return cast(Mapping[str, System], installed())


def system(connection: str) -> System:
    """The system of a connection. Raises: ConfigurationError for one that nobody knows."""
    try:
        return systems()[connection]
    except KeyError:
        raise ConfigurationError(f"There is no connection {connection}.") from None


def system_named(name: str) -> System:
    """The system of that name. Raises: ConfigurationError for one that is not installed."""
    found = systems().get(name)
    if found is None:
        why = refused().get(name, f"the system {name} is not installed: expected {', '.join(systems())}")
        raise ConfigurationError(f"{capital(why)}.")
    return found


@cache
def fixed_doors() -> Mapping[str, tuple[System, Door]]:
    """The doors of the environment's own connections, by path."""
    return {door.path: (of, door) for of in systems().values() for door in of.doors}


def title(connection: str) -> str:
    """What people call the system of a connection; the connection's own name where it is not known."""
    found = systems().get(connection)
    return found.title if found else connection


def is_configured(connection: str, settings: Settings) -> bool:
    return connection in settings.systems


def in_use(settings: Settings, bound: Iterable[str]) -> list[str]:
    """The connections that are configured, and those that are *bound* to a role and should be.

    A system that is only installed is nobody's business.
    """
    wanted = {*settings.systems, *bound}
    return [name for name in systems() if name in wanted]


def is_withheld(connection: str, settings: Settings) -> bool:
    """Whether this process is not given what signs in to *connection*."""
    own = settings.systems.get(connection)
    return own is not None and system(connection).is_withheld(own)


def connect(connection: str, settings: Settings, tools: Tools) -> Connector:
    """The connector of *connection*. Raises: ConfigurationError if the environment says nothing of *connection*."""
    return system(connection).connect(connection, _settings_of(connection, settings), tools)


def claims(settings: Settings) -> Mapping[str, Claim]:
    """What the environment says of the account of each connection that it configures."""
    return {each: system(each).claim(own) for each, own in settings.systems.items()}


def system_of(connection: str, settings: Settings) -> str:
    """The system's name for people. Raises: ConfigurationError as connect() does."""
    _settings_of(connection, settings)
    return title(connection)


def full_key(text: str) -> str:
    """The full id of a record that is named by its short one; whatever else *text* is stays as it is."""
    for each in systems().values():
        text = each.full_key(text)
    return text


def shared_budget(of: System, settings: Any, link: Link, behaviour: Behaviour) -> SharedBudget:
    """The budget of the account that *settings* are of: two connections to one account have one budget."""
    from crmsync.connectors.limits.shared_budget import SharedBudget  # the receiver, which calls nobody, does without

    quota = of.quota(of.name, settings)
    return SharedBudget(
        quota,
        link,
        reserve_percent=behaviour.reserve_of(quota.reserve_percent),
        call_seconds=behaviour.call_seconds,
    )


def _settings_of(connection: str, settings: Settings) -> Any:
    found = settings.systems.get(connection)
    if found is None:
        missing = {system(connection).variable: "is missing"}
        raise ConfigurationError(f"{connection} is not configured.", field_errors=missing)
    return found
