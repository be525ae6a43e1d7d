"""Checks a linked customer of the ERP or the books again when there is a reason to doubt it.

A link costs no call. It is doubted where a document was refused, and where a person replays a deal that stopped before
its document was made: the customer may have been deleted, merged into another, blocked or made inactive since.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from crmsync.connectors.base import Customers
from crmsync.domain.customers import Candidate
from crmsync.domain.learned import DealRead
from crmsync.domain.runs import Run
from crmsync.errors import AmbiguousMatchError, CrmsyncError, RecordNotFoundError, RejectedError
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import result

Stopped = TypeVar("Stopped", bound=CrmsyncError)


def is_doubted(run: Run, *, document_step: str) -> bool:
    """Whether to check that the customer still exists before *document_step* makes a document for it."""
    return result(run, "fetch_deal", DealRead).by_person and document_step not in run.results


def seen(attempt: Attempt, connector: Customers, key: str) -> Candidate | None:
    """The customer as it is now, one call; None if it is gone. Raises: AmbiguousMatchError for one that is blocked."""
    found = connector.read_customers([key], attempt.keep_alive).get(key)
    if found is not None and found.is_blocked and not attempt.is_accepted():
        raise _blocked(connector, key)
    return found


@contextmanager
def told_of_customer(attempt: Attempt, connector: Customers, key: str) -> Iterator[None]:
    """What is refused because of its customer says so, whatever words the refusal has; a refusal costs a call more.

    Raises: AmbiguousMatchError.
    """
    try:
        yield
    except (RejectedError, RecordNotFoundError) as error:
        problem = _problem(attempt, connector, key)
        if problem is not None:
            raise problem from error
        raise


def _problem(attempt: Attempt, connector: Customers, key: str) -> AmbiguousMatchError | None:
    """What is wrong with the customer; None where that can't be read, or nothing is."""
    try:
        found = connector.read_customers([key], attempt.keep_alive).get(key)
    except CrmsyncError:
        return None
    if found is None:
        return vanished(AmbiguousMatchError, connector, key)
    return _blocked(connector, key) if found.is_blocked else None


def vanished(error: type[Stopped], connector: Customers, key: str) -> Stopped:
    return error(
        f"{connector.system} has no customer {key} any more, to which the account is linked.",
        system=connector.system,
        advice="Replay to search for it again, or replay with --link and the number of the right one.",
    )


def _blocked(connector: Customers, key: str) -> AmbiguousMatchError:
    return AmbiguousMatchError(
        f"The customer {key}, to which the account is linked, is blocked or inactive in {connector.system}.",
        system=connector.system,
        advice="Unblock it there and replay, or replay with --link and the number of the one that took its place.",
    )
