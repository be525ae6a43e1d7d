"""Tests a connection on request: with its own sign-in, and without writing anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from crmsync.connections import show
from crmsync.connectors.base import Check
from crmsync.domain.connections import Status
from crmsync.errors import CrmsyncError
from crmsync.services import Services

SIGN_IN = "sign-in"  # the name of a check: where it fails, nothing else could be tried


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a sign-in with a session of its own; *missing* are the permissions and fields that are missing."""

    success: bool
    message: str
    latency_seconds: float
    """Of the sign-in."""
    missing: tuple[str, ...] = ()


def try_out(
    using: Services, tenant: str | None, connection_id: str, *, clock: Callable[[], float] = time.monotonic
) -> Trial:
    """Signs in with a session of its own and tries what runs will do; it writes nothing there.

    Raises: UnknownConnectionError.
    """
    connection = show(using, tenant, connection_id)
    started_at = clock()
    try:
        checks, signed_in_at = _looked(using.examine(connection.id), clock)
    except CrmsyncError as error:
        found = Trial(False, error.with_advice, clock() - started_at)
    else:
        found = _judged(checks, signed_in_at - started_at)
    if not connection.is_of_environment:
        _note(using, connection.id, found, is_signed_in=bool(found.missing) or found.success)
    return found


def _looked(checks: Iterator[Check], clock: Callable[[], float]) -> tuple[list[Check], float]:
    """All of *checks*, and when the first of them, the sign-in, was over."""
    first = next(checks, None)
    signed_in_at = clock()
    return ([first, *checks] if first is not None else []), signed_in_at


def _judged(checks: list[Check], latency_seconds: float) -> Trial:
    failed = [each for each in checks if not each.is_ok]
    if not failed:
        return Trial(True, "It signs in, and everything that runs need is there.", latency_seconds)
    message = f"{failed[0].name}: {failed[0].detail}"
    is_signed_in = failed[0].name != SIGN_IN
    missing = tuple(f"{each.name}: {each.detail}" for each in failed) if is_signed_in else ()
    return Trial(False, message, latency_seconds, missing)


def _note(using: Services, connection_id: str, found: Trial, *, is_signed_in: bool) -> None:
    with using.store.begin() as uow:
        if found.success:
            uow.connections.succeeded(connection_id)
        else:
            status = Status.ERROR if is_signed_in else Status.EXPIRED
            uow.connections.failed(connection_id, found.message, status=status)
    using.book.forget(connection_id)
