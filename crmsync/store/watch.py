"""The circuit breakers as connectors use them: each question is a transaction; one alert while one is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from crmsync.domain.breaker import Breaker, FailedCall
from crmsync.domain.connections import ID_PREFIX
from crmsync.domain.dead_letters import outage_cause
from crmsync.store.engine import Store
from crmsync.store.unit_of_work import UnitOfWork

Tell = Callable[[str, Breaker], Mapping[str, Any]]


class BreakerWatch:
    """*opened* makes an alert's content of the system's name and its breaker; *closed* makes that of its end."""

    def __init__(self, store: Store, *, threshold: int, opened: Tell, closed: Tell) -> None:
        self._store = store
        self._threshold = threshold
        self._opened = opened
        self._closed = closed

    def read(self, connection: str) -> Breaker:
        with self._store.read() as uow:
            return uow.breakers.get(connection)

    def wait_seconds(self, breaker: Breaker) -> float:
        return breaker.wait_seconds(self._store.clock())

    def take_probe(self, connection: str, *, seconds: float) -> bool:
        with self._store.begin(durable=False) as uow:
            return uow.breakers.probe(connection, seconds=seconds)

    def failed(self, connection: str, system: str, call: FailedCall) -> None:
        with self._store.begin() as uow:
            if uow.breakers.failed(connection, call, system=system, threshold=self._threshold):
                breaker = uow.breakers.get(connection)
                content = self._opened(_named(connection, system), breaker)
                self._tell_opened(uow, connection, system, content, is_other=bool(call.reason))
                uow.connections.failed(connection, breaker.reason or f"{system} does not answer.")

    def succeeded(self, connection: str, system: str, *, operation: str = "") -> None:
        with self._store.begin() as uow:
            self._tell_closed(uow, system, uow.breakers.succeeded(connection, operation))

    def found_well(self, connection: str, system: str) -> None:
        """A check that ignores the breaker succeeded: the runs that wait go on at once."""
        with self._store.begin() as uow:
            if not uow.breakers.get(connection).is_open:
                return
            uow.breakers.probe_now(connection)
            if not uow.breakers.get(connection).operations:  # nobody has tried those
                self._tell_closed(uow, system, uow.breakers.succeeded(connection))
            uow.breakers.release_waiting()

    def probe_now(self, connection: str) -> None:
        with self._store.begin() as uow:
            uow.breakers.probe_now(connection)

    def _tell_opened(
        self, uow: UnitOfWork, connection: str, system: str, content: Mapping[str, Any], *, is_other: bool
    ) -> None:
        """A deal that died of the outage may have been told under its cause already: this is more than that."""
        cause = outage_cause(connection, system)
        if is_other:  # what was told before is not all of it
            uow.alerts.close(cause, is_told=False)
        if not uow.alerts.add_once(uow.owners.tenant_of(connection), cause, content, connection=connection):
            uow.alerts.revise(cause, content, is_news=True)

    def _tell_closed(self, uow: UnitOfWork, system: str, was_open: Breaker | None) -> None:
        if was_open is not None:
            cause, name = outage_cause(was_open.connection, system), _named(was_open.connection, system)
            uow.alerts.close(cause, end=self._closed(name, was_open))
            uow.connections.succeeded(was_open.connection)


def _named(connection: str, system: str) -> str:
    """What people call it: of those that they made there may be several."""
    return f"{system} ({connection})" if connection.startswith(ID_PREFIX) else system
