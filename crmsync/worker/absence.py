"""Decides whether a document that we may have created is absent: a list must have had time to show it."""

from __future__ import annotations

from collections.abc import Callable, Sized
from datetime import timedelta
from typing import TypeVar

from crmsync.domain.ledger import Entry, seconds_until_certain
from crmsync.errors import OutcomeSettlingError
from crmsync.services import Services
from crmsync.settings import Behaviour
from crmsync.worker import stopwatch

Result = TypeVar("Result", bound=Sized)


def search(using: Services, entry: Entry, find: Callable[[], Result]) -> Result:
    """What *find* finds of what *entry* has made.

    Raises: OutcomeSettlingError where that is nothing, and what was sent may not be listed yet.
    """
    # Before it: what shows up while the answer is on its way was not in it.
    looked_at, began_at = using.store.clock(), stopwatch.now()
    found = find()
    if found:
        return found
    longest = longest_outcome(using.settings.behaviour).total_seconds()
    wait = stopwatch.seconds_left(entry, seconds_until_certain(entry, looked_at), longest, began_at)
    if wait > 0:
        raise OutcomeSettlingError(wait_seconds=wait + 0.1, system=entry.key.connection)
    return found


def longest_outcome(behaviour: Behaviour) -> timedelta:
    """How long after its start a call whose answer was lost must have ended and show: it ends before its lease does."""
    return timedelta(seconds=behaviour.lease_seconds + behaviour.settle_seconds)
