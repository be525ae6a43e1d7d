"""The connections known to this process: those of the environment, and those stored in the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from crmsync.connectors import registry
from crmsync.connectors.system import System
from crmsync.domain.access import DEFAULT_TENANT
from crmsync.domain.accounts import Claim
from crmsync.domain.connections import ID_PREFIX, Connection, UnknownConnectionError, seal_of, secrets_of
from crmsync.errors import ConfigurationError, ProcessFaultError
from crmsync.settings import Settings
from crmsync.store import Store
from crmsync.store.connections import Kept
from crmsync.store.vault import Vault

BELIEVED_SECONDS = 2.0  # how late a process may hear of a change that another has made
_UNREADABLE = (
    "The secrets of the connection {} can't be opened: they were sealed with another CRMSYNC_SECRET_KEY, for another "
    "connection, or for another address."
)


@dataclass(frozen=True)
class Known:
    """A connection with what it takes to connect it: *settings* are the system's own, secrets and all."""

    connection: Connection
    system: System
    settings: Any

    @cached_property
    def claim(self) -> Claim:
        return self.system.claim(self.settings)

    @property
    def is_outside(self) -> bool:
        """Whether it was made by people, whose addresses lead to no machine of this network."""
        return not self.connection.is_of_environment


class ConnectionBook:
    """The connections of the environment and of the store; one book for all threads of a process."""

    def __init__(self, settings: Settings, store: Store, vault: Callable[[], Vault]) -> None:
        self._settings = settings
        self._store = store
        self._vault = vault
        self._lock = threading.Lock()
        self._read: dict[str, tuple[Known, float]] = {}

    # -- as AccountWatch asks

    def of_environment(self) -> Mapping[str, Claim]:
        return {name: known.claim for name, known in self._environment.items()}

    def of(self, connection: str) -> Claim:
        return self.get(connection).claim

    def all_claims(self) -> Iterator[Claim]:
        """Whose account each connection is; those whose secrets do not open are left out."""
        yield from self.of_environment().values()
        with self._store.read() as uow:
            made = uow.connections.all(None)
        for each in made:
            with suppress(ProcessFaultError, ConfigurationError):
                yield self.of(each.id)

    # -- as Services asks

    def get(self, connection: str) -> Known:
        """The connection as it was at most two seconds ago.

        Raises: ConfigurationError for one that the environment would have to configure; UnknownConnectionError;
        ProcessFaultError where its secrets do not open.
        """
        if not connection.startswith(ID_PREFIX):
            return self._of_environment(connection)
        known, read_at = self._read.get(connection, (None, 0.0))
        if known is not None and time.monotonic() - read_at < BELIEVED_SECONDS:
            return known
        with self._store.read() as uow:
            kept = uow.connections.in_use(connection)
        if kept is None:
            self.forget(connection)
            raise UnknownConnectionError(f"There is no connection {connection}.")
        return self._remember(kept, known)

    def find(self, connection: str) -> Known | None:
        """As get(); None where there is no such connection. Raises: ProcessFaultError."""
        if not connection.startswith(ID_PREFIX):
            return self._environment.get(connection)
        try:
            return self.get(connection)
        except UnknownConnectionError:
            return None

    def is_known(self, connection: str) -> bool:
        return self.find(connection) is not None

    def title(self, connection: str) -> str:
        """What people call its system; its own id where that is not known."""
        known = self.find(connection)
        return known.system.title if known is not None else registry.title(connection)

    def forget(self, connection: str) -> None:
        """This process has changed it."""
        with self._lock:
            self._read.pop(connection, None)

    def environment(self) -> list[Connection]:
        return [known.connection for known in self._environment.values()]

    # -- how they are read

    def opened(self, kept: Kept) -> dict[str, str]:
        """The secrets of a connection, by name. Raises: ProcessFaultError."""
        of = kept.connection
        text = self._vault().open_for(kept.sealed, belonging(of, registry.system_named(of.system)))
        if text is None:
            raise ProcessFaultError(_UNREADABLE.format(of.id), advice="Set its secrets again, or restore the key.")
        return secrets_of(text)

    def _remember(self, kept: Kept, before: Known | None) -> Known:
        is_same = before is not None and before.connection.version == kept.connection.version
        settings = before.settings if before is not None and is_same else self.settings_of(kept)
        known = Known(kept.connection, registry.system_named(kept.connection.system), settings)
        with self._lock:
            self._read[kept.connection.id] = known, time.monotonic()
        return known

    def settings_of(self, kept: Kept) -> Any:
        """The settings as the system declares them, secrets included. Raises: ProcessFaultError."""
        of = kept.connection
        values = {**of.settings, **self.opened(kept)}
        found, problems = registry.system_named(of.system).read_row(values, allow_http=self._settings.allow_http)
        if problems:
            raise ProcessFaultError(f"The settings of the connection {of.id} are not right: {_sentence(problems)}.")
        return found

    def _of_environment(self, connection: str) -> Known:
        found = self._environment.get(connection)
        if found is None:
            missing = {registry.system(connection).variable: "is missing"}
            raise ConfigurationError(f"{connection} is not configured.", field_errors=missing)
        return found

    @cached_property
    def _environment(self) -> Mapping[str, Known]:
        return known_of_environment(self._settings)


def known_of_environment(settings: Settings) -> Mapping[str, Known]:
    """The connections that the environment configures, by their ids."""
    made = {}
    for name, own in settings.systems.items():
        system = registry.system(name)
        shown = {each.name: _shown(getattr(own, each.name)) for each in system.declared if not each.is_secret}
        held = tuple(each.name for each in system.declared if each.is_secret and _is_set(getattr(own, each.name)))
        connection = Connection(
            id=name,
            tenant=DEFAULT_TENANT,
            system=name,
            name=system.title,
            auth_kind=system.auth_kind_of(shown),
            settings=shown,
            secret_names=held,
            is_of_environment=True,
        )
        made[name] = Known(connection, system, own)
    return made


def belonging(of: Connection, system: System) -> str:
    """What the secrets of a connection are sealed together with."""
    return seal_of(of.id, of.tenant, of.system, system.addresses_of(of.settings))


def _sentence(problems: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {problem}" for name, problem in problems.items())


def _shown(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _is_set(secret: Any) -> bool:
    return secret is not None and (secret.is_withheld or bool(secret.reveal()))
