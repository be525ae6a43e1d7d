"""The circuit breaker: no run waits for a system that does not answer, and one call at a time tests it again."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol

from crmsync.connectors.limits.budget import Budget
from crmsync.domain.breaker import Breaker, FailedCall
from crmsync.errors import CertificateError, CrmsyncError, NotNowError, StoreUnavailableError, VendorUnavailableError

BELIEVED_SECONDS = 1.0  # how long a process goes by what it last read
PROBE_SECONDS = 45.0  # longer than a call may take
SIGN_INS_LOST_MAX = 3
SPREAD_SECONDS = 5.0  # not all that waited come back in one instant


class BreakerStore(Protocol):
    """Keeps the breakers of all processes, and alerts people when one opens or closes."""

    def read(self, connection: str) -> Breaker: ...

    def wait_seconds(self, breaker: Breaker) -> float: ...

    def take_probe(self, connection: str, *, seconds: float) -> bool: ...

    def failed(self, connection: str, system: str, call: FailedCall) -> None: ...

    def succeeded(self, connection: str, system: str, *, operation: str = "") -> None: ...


class SharedBreaker:
    """The breaker of one connection, as this process knows it."""

    def __init__(self, connection: str, system: str, store: BreakerStore) -> None:
        self.connection = connection
        self._system = system
        self._store = store
        self._lock = threading.Lock()
        self._known = Breaker(connection)
        self._read_at = 0.0

    def enter(self, operation: str) -> bool:
        """Before a call: whether this one is a probe. Raises: NotNowError while the breaker is open for it."""
        known = self._current()
        if not known.holds(operation):
            return False
        if self._store.take_probe(self.connection, seconds=PROBE_SECONDS):
            return True
        raise self._not_now(known)

    def admit(self, operation: str) -> bool:
        """Whether the account was refused, so that signing in is a probe as well.

        Raises: NotNowError while it is open for this and no probe is due.
        """
        known = self._current()
        if not known.holds(operation):
            return False
        if self._store.wait_seconds(known) > 0:
            raise self._not_now(known)
        return bool(known.reason)

    def _not_now(self, known: Breaker) -> NotNowError:
        why = known.reason or f"{self._system} does not answer"
        return NotNowError(
            f"{why.rstrip('.')}; crmsync tries again by itself.",
            wait_seconds=self._store.wait_seconds(known) + random.uniform(0.5, 1) * SPREAD_SECONDS,
            system=self._system,
        )

    def answered(self, operation: str = "") -> None:
        """The system has answered, whatever it said. Never raises: what was done there is done."""
        if self._known.failures:
            with suppress(StoreUnavailableError):
                self._store.succeeded(self.connection, self._system, operation=operation)
            self._forget()

    def failed(self, call: FailedCall) -> None:
        """Never raises."""
        with suppress(StoreUnavailableError):
            self._store.failed(self.connection, self._system, call)
        self._forget()

    def _current(self) -> Breaker:
        with self._lock:
            if time.monotonic() - self._read_at > BELIEVED_SECONDS:
                self._known = self._store.read(self.connection)
                self._read_at = time.monotonic()
            return self._known

    def _forget(self) -> None:
        with self._lock:
            self._read_at = 0.0


class NeverOpen:
    """For a caller that ignores the breaker, and neither opens nor closes it."""

    def read(self, connection: str) -> Breaker:
        return Breaker(connection)

    def wait_seconds(self, breaker: Breaker) -> float:
        return 0.0

    def take_probe(self, connection: str, *, seconds: float) -> bool:
        return True

    def failed(self, connection: str, system: str, call: FailedCall) -> None:
        pass

    def succeeded(self, connection: str, system: str, *, operation: str = "") -> None:
        pass


class GuardedBudget:
    """A budget behind a breaker: while that is open, nothing is asked of either.

    *met* is called after each success, *heard* with the headers of every answer, *barred* where the account is refused:
    with the reason and, of a sign-in, the system's code.
    A caller that probes whether the system answers passes until it knows, with all calls that this takes: a sign-in, a
    call that is refused, another with a new token.
    """

    def __init__(
        self,
        budget: Budget,
        breaker: SharedBreaker,
        met: Callable[[], None] = lambda: None,
        heard: Callable[[Mapping[str, str]], None] = lambda headers: None,
        barred: Callable[[str, str], None] = lambda reason, code: None,
    ) -> None:
        self.connection = breaker.connection
        self._budget = budget
        self._breaker = breaker
        self._met = met
        self._heard = heard
        self._barred = barred
        self._here = _Here()
        self._sign_ins_lost = 0  # in a row, of this process

    def admit(self, operation: str = "") -> None:
        if not self._here.is_looking and self._breaker.admit(operation):
            self._probe(operation)

    @contextmanager
    def call(self, operation: str) -> Iterator[None]:
        """As Budget.call(). Raises: NotNowError, too, while the system is not called at all."""
        if not self._here.is_looking:
            self._breaker.admit(operation)
        with self._budget.call(operation):
            self._here.operation = operation
            if not self._here.is_looking:
                self._probe(operation)  # inside: whom the budget refuses does not use a probe up
            try:
                yield
            except (VendorUnavailableError, CertificateError) as error:
                # A certificate does not mend itself between two calls.
                reason = str(error) if isinstance(error, CertificateError) else ""
                self._breaker.failed(FailedCall(self._here.looked(), reason))
                raise
            self._sign_ins_lost = 0

    def unsettled(self, headers: Mapping[str, str], status: int) -> None:
        self._heard(headers)
        self._budget.unsettled(headers, status)

    def learn(self, headers: Mapping[str, str], status: int) -> None:
        self._heard(headers)
        self._budget.learn(headers, status)
        if status >= 500:
            self._breaker.failed(FailedCall(self._here.looked()))
            return
        self._here.looked()
        self._breaker.answered(self._here.operation)
        if status < 300:
            with suppress(StoreUnavailableError):
                self._met()

    def moved(self) -> None:
        self._here.looks_until = time.monotonic() + PROBE_SECONDS

    def signed_out(self, error: CrmsyncError) -> None:
        """One thread signs in for all, so lost sign-ins are few and long: three of them weigh as much as many calls."""
        self._sign_ins_lost += 1
        is_certain = isinstance(error, CertificateError) or self._sign_ins_lost >= SIGN_INS_LOST_MAX
        reason = f"Signing in fails: {error}" if is_certain else ""
        self._breaker.failed(FailedCall(self._here.looked(), reason))

    def account_refused(self, operation: str, reason: str, *, code: str = "", hold_seconds: float = 0.0) -> None:
        self._breaker.failed(FailedCall(self._here.looked(), reason, operation, hold_seconds))
        with suppress(StoreUnavailableError):
            self._barred(reason, "" if operation else code)

    def refused(self, retry_after_seconds: float | None) -> None:
        self._budget.refused(retry_after_seconds)

    def _probe(self, operation: str) -> None:
        if self._breaker.enter(operation):
            self._here.looks_until = time.monotonic() + PROBE_SECONDS


class _Here(threading.local):
    """What this thread is doing: its call, and until when it may probe whether the system answers."""

    operation = ""
    looks_until = 0.0

    @property
    def is_looking(self) -> bool:
        return time.monotonic() < self.looks_until

    def looked(self) -> bool:
        """The probe has its result. Returns whether this thread was the one that probed."""
        was_looking, self.looks_until = self.is_looking, 0.0
        return was_looking
