"""Metrics of each connection: its call budget, its breaker, its last success, and what waits for it.

The id of a connection is its label everywhere. Its name, a company's own words, is a label of one metric alone, which a
query joins: renaming a connection must not begin new series of everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from crmsync import connections
from crmsync.connectors.limits.redis_link import NoRedisError
from crmsync.connectors.limits.shared_budget import State
from crmsync.connectors.registry import shared_budget
from crmsync.domain.connections import Connection
from crmsync.domain.dead_letters import LetterKind
from crmsync.errors import CrmsyncError, StoreUnavailableError
from crmsync.reading.by_connection import ConnectionFigures, connection_figures
from crmsync.services import Services

CONNECTIONS_MAX = 200  # so that no number of connections makes a scrape long or the series of Prometheus many
_OF = ("tenant", "connection")


def families(services: Services) -> Iterator[Metric]:
    """Nothing while there is no connection."""
    known = connections.all_of(services, None)
    if not known:
        return
    with services.store.read() as uow:
        found, now = connection_figures(uow, None), uow.now
    shown = known[:CONNECTIONS_MAX]
    yield GaugeMetricFamily("crmsync_connections", "Connections, with and without metrics of their own.", len(known))
    yield _info(shown)
    yield from _standing(shown, found, now)
    yield from _budgets(_states(services, shown))


def _info(of: Sequence[Connection]) -> Metric:
    family = GaugeMetricFamily(
        "crmsync_connection_info", "Each connection with its system and its name.", labels=[*_OF, "system", "name"]
    )
    for each in of:
        family.add_metric([each.tenant, each.id, each.system, printable(each.name)], 1)
    return family


def _standing(of: Sequence[Connection], found: ConnectionFigures, now: datetime) -> Iterator[Metric]:
    breakers = _family("breaker_open", "1 while its breaker is open: it does not answer, or refuses the account.")
    successes = _family("last_success_timestamp_seconds", "When a call to a stored connection last succeeded.")
    waits = _family("oldest_due_seconds", "How long the longest-waiting run of a subject from there has been due.")
    letters = _family("dead_letters", "Dead letters about it that wait for a person.", "kind")
    for each in of:
        labels = [each.tenant, each.id]
        breakers.add_metric(labels, each.id in found.open_breakers)
        waits.add_metric(labels, max(0.0, (now - found.due_since.get(each.id, now)).total_seconds()))
        if each.last_success_at is not None:
            successes.add_metric(labels, each.last_success_at.timestamp())
        for kind in LetterKind:
            letters.add_metric([*labels, kind.value], found.letters.get((each.id, kind.value), 0))
    yield from (breakers, successes, waits, letters)


def _budgets(of: Sequence[tuple[Connection, State]]) -> Iterator[Metric]:
    """A figure that is not known until the next answer of the system is left out."""
    allowed = _family("calls_allowed", "Calls that are allowed in each window.", "window")
    used = _family("calls_used", "Calls of its account that count in each window.", "window")
    reserved = _family("calls_reserved", "Calls of those allowed that are reserved for orders and payments.", "window")
    for connection, state in of:
        for family, figure in ((allowed, state.allowed), (used, state.used), (reserved, state.reserved)):
            if figure is not None:
                family.add_metric([connection.tenant, connection.id, state.window], figure)
    yield from (allowed, used, reserved)


def _states(services: Services, of: Sequence[Connection]) -> list[tuple[Connection, State]]:
    """None without Redis, where nobody counts; without those whose secrets can't be opened here."""
    found: list[tuple[Connection, State]] = []
    with suppress(NoRedisError):
        for each in of:
            found += [(each, state) for state in _states_of(services, each)]
    return found


def _states_of(services: Services, of: Connection) -> list[State]:
    """Raises: NoRedisError."""
    try:
        known = services.book.get(of.id)
    except StoreUnavailableError:
        raise
    except CrmsyncError:
        return []
    return shared_budget(known.system, known.settings, services.link, services.settings.behaviour).states()


def printable(name: str) -> str:
    """In one line; the client escapes quotes and backslashes.

    >>> printable("Acme\\tLtd\\n")
    'Acme Ltd '
    """
    return "".join(sign if sign.isprintable() else " " for sign in name)


def _family(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"crmsync_connection_{name}", text, labels=[*_OF, *labels])
