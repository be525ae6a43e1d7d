"""The circuit breaker: nobody waits for a system that does not answer, and one looks whether it does again."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol

from crmsync.connectors.budget import Budget
from crmsync.domain.breaker import Breaker
from crmsync.errors import CertificateError, NotNowError, StoreUnavailableError, VendorUnavailableError

BELIEVED_SECONDS = 1.0  # how long a process goes by what it last read
PROBE_SECONDS = 45.0  # longer than a call may take
SPREAD_SECONDS = 5.0  # not all that waited come back in one instant


class BreakerStore(Protocol):
    """Keeps the breakers of all processes, and tells people when one opens or closes."""

    def read(self, connection: str) -> Breaker: ...

    def wait_seconds(self, breaker: Breaker) -> float: ...

    def take_probe(self, connection: str, *, seconds: float) -> bool: ...

    def failed(self, connection: str, system: str, *, is_probe: bool, reason: str = "") -> None: ...

    def succeeded(self, connection: str, system: str) -> None: ...


class SharedBreaker:
    """The breaker of one connection, as this process knows it."""

    def __init__(self, connection: str, system: str, store: BreakerStore) -> None:
        self._connection = connection
        self._system = system
        self._store = store
        self._lock = threading.Lock()
        self._known = Breaker(connection)
        self._read_at = 0.0

    def enter(self) -> bool:
        """Before a call: whether this one is a probe. Raises: NotNowError while the breaker is open."""
        known = self._current()
        if not known.is_open:
            return False
        if self._store.take_probe(self._connection, seconds=PROBE_SECONDS):
            return True
        raise self._not_now(known, self._store.wait_seconds(known))

    def admit(self) -> None:
        """Raises: NotNowError while it is open and nobody is due to look."""
        known = self._current()
        wait = self._store.wait_seconds(known)
        if wait > 0:
            raise self._not_now(known, wait)

    def _not_now(self, known: Breaker, wait: float) -> NotNowError:
        return NotNowError(
            f"{known.reason or f'{self._system} does not answer.'} crmsync looks again soon.",
            wait_seconds=wait + random.uniform(0.5, 1) * SPREAD_SECONDS,
            system=self._system,
        )

    def answered(self) -> None:
        """The system has answered, whatever it said. Never raises: what was done there is done."""
        if self._known.failures:
            with suppress(StoreUnavailableError):
                self._store.succeeded(self._connection, self._system)
            self._forget()

    def failed(self, *, is_probe: bool, reason: str = "") -> None:
        """The system did not answer, or answered with an internal error. Never raises.

        *reason*: it refuses us as a whole, so nobody needs to try again: the breaker opens at once.
        """
        with suppress(StoreUnavailableError):
            self._store.failed(self._connection, self._system, is_probe=is_probe, reason=reason)
        self._forget()

    def _current(self) -> Breaker:
        with self._lock:
            if time.monotonic() - self._read_at > BELIEVED_SECONDS:
                self._known = self._store.read(self._connection)
                self._read_at = time.monotonic()
            return self._known

    def _forget(self) -> None:
        with self._lock:
            self._read_at = 0.0


class GuardedBudget:
    """A budget behind a breaker: while that is open, nothing is asked of either. *met* is called after each success."""

    def __init__(self, budget: Budget, breaker: SharedBreaker, met: Callable[[], None] = lambda: None) -> None:
        self._budget = budget
        self._breaker = breaker
        self._met = met
        self._here = threading.local()

    def admit(self) -> None:
        self._breaker.admit()

    @contextmanager
    def call(self, operation: str) -> Iterator[None]:
        """As Budget.call(). Raises: NotNowError, too, while the system is not called at all."""
        self._breaker.admit()
        with self._budget.call(operation):
            self._here.is_probe = self._breaker.enter()  # inside: whom the budget refuses does not use a probe up
            try:
                yield
            except (VendorUnavailableError, CertificateError) as error:
                # A certificate does not mend itself between two calls.
                reason = str(error) if isinstance(error, CertificateError) else ""
                self._breaker.failed(is_probe=self._here.is_probe, reason=reason)
                raise

    def learn(self, headers: Mapping[str, str], status: int) -> None:
        self._budget.learn(headers, status)
        if status >= 500:
            self._breaker.failed(is_probe=self._here.is_probe)
            return
        self._breaker.answered()
        if status < 300:
            with suppress(StoreUnavailableError):
                self._met()

    def refused(self, retry_after_seconds: float | None) -> None:
        self._budget.refused(retry_after_seconds)
