"""`crmsync limits`: shows how much of each vendor's limit is used, and what is reserved for orders and payments."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from crmsync.cli import screen
from crmsync.cli.options import json_option
from crmsync.cli.process import open_services
from crmsync.cli.users import tenant_option
from crmsync.errors import CrmsyncError
from crmsync.settings import Settings

if TYPE_CHECKING:
    from crmsync.connection_book import Known
    from crmsync.connectors.limits.redis_link import Link
    from crmsync.connectors.limits.shared_budget import State

_AT_ONCE = "at once"


@dataclass(frozen=True, slots=True)
class Usage:
    """One connection: its limits, and for how many seconds its vendor wants no calls."""

    tenant: str
    connection: str
    organization: str
    states: list[State]
    reserve_percent: int
    pause_seconds: float


@click.command
@tenant_option
@json_option
def limits(*, tenant: str | None, as_json: bool) -> None:
    """Show the call budgets: calls allowed, used, reserved for orders and payments, and left."""
    settings = Settings.from_env()
    found = _usages(settings, tenant)
    if as_json:
        screen.print_json([_to_json(usage) for usage in found])
    elif found:
        _print(found)
    else:
        screen.console().print("No system is configured: docs/configuration.md describes every variable.")


def _usages(settings: Settings, tenant: str | None) -> list[Usage]:
    """Of the connections of the environment, then of the stored ones. Raises: CrmsyncError if Redis does not answer."""
    from crmsync.connectors.limits.redis_link import NoRedisError
    from crmsync.services import redis_link

    link = redis_link(settings, level=logging.DEBUG)  # the error says it all
    try:
        return [_usage(known, settings, link) for known in _known(settings, tenant)]
    except NoRedisError as error:
        raise CrmsyncError(
            "Redis does not answer, so the processes of crmsync don't share a budget now.",
            advice="Check REDIS_URL; `crmsync doctor` says more. Until then the vendors' own limits apply.",
        ) from error


def _known(settings: Settings, tenant: str | None) -> Iterator[Known]:
    """Those of a tenant; one whose settings can't be read is named on standard error, and the others follow."""
    from crmsync import connections
    from crmsync.store import whereabouts

    if not whereabouts.exists(settings.database_url):  # nothing was made yet, and asking makes nothing
        yield from _of_environment(settings, tenant)
        return
    using = open_services(settings, check_accounts=False)
    for each in connections.all_of(using, tenant):
        try:
            yield using.book.get(each.id)
        except CrmsyncError as error:
            screen.console(stderr=True).print(f"{each.id}: {error}", style="yellow", markup=False)


def _of_environment(settings: Settings, tenant: str | None) -> Iterator[Known]:
    from crmsync.connection_book import known_of_environment

    found = known_of_environment(settings).values()
    yield from (known for known in found if tenant in (None, known.connection.tenant))


def _usage(known: Known, settings: Settings, link: Link) -> Usage:
    from crmsync.connectors.registry import shared_budget

    of, budget = known.connection, shared_budget(known.system, known.settings, link, settings.behaviour)
    return Usage(
        of.tenant,
        of.id,
        budget.quota.organization,
        budget.states(),
        budget.reserve_percent,
        budget.pause_left_seconds(),
    )


def _to_json(usage: Usage) -> dict[str, Any]:
    """Seconds are rounded to tenths; null where it is not known, or nothing is to be waited for."""
    limits = [asdict(state) | {"left": state.left, "resets_in_seconds": _tenths(state)} for state in usage.states]
    return {
        "tenant": usage.tenant,
        "connection": usage.connection,
        "organization": usage.organization,
        "limits": limits,
        "reserve_percent": usage.reserve_percent,
        "calls_under_way": next((state.used for state in usage.states if state.window == _AT_ONCE), None),
        "told_to_wait_seconds": round(usage.pause_seconds, 1),
    }


def _tenths(state: State) -> float | None:
    return None if state.resets_in_seconds is None else round(state.resets_in_seconds, 1)


def _print(found: list[Usage]) -> None:
    out = screen.console()
    columns = ["tenant", "connection", "limit", "allowed", "used", "reserved", "left", "resets in"]
    rows = [_row(usage, state) for usage in found for state in usage.states]
    out.print(screen.table(columns, rows, right=columns[3:]))
    out.print(f'\nReserved: {_shares(found)}, for orders and payments. Used "at once": calls under way now.')
    if any(state.used is None for usage in found for state in usage.states):
        out.print("?: the vendor reports it with its next answer.")
    for usage in found:
        if usage.pause_seconds > 0:
            out.print(
                f"{usage.connection} has asked crmsync to wait: {usage.pause_seconds:.0f} s more.", style="yellow"
            )


def _shares(found: list[Usage]) -> str:
    """The share that is reserved, or that of each connection where they differ."""
    shares = {usage.connection: f"{usage.reserve_percent} %" for usage in found}
    if len(set(shares.values())) == 1:
        return next(iter(shares.values()))
    return ", ".join(f"{share} of {connection}" for connection, share in shares.items())


def _row(usage: Usage, state: State) -> tuple[object, ...]:
    numbers = (state.allowed, state.used, state.reserved, state.left)
    resets = "" if state.resets_in_seconds is None else _wait(state.resets_in_seconds)
    return (
        usage.tenant,
        usage.connection,
        state.window,
        *("?" if number is None else number for number in numbers),
        resets,
    )


def _wait(seconds: float) -> str:
    """How long it takes, never less than it does.

    >>> [_wait(seconds) for seconds in (0.2, 59.1, 61, 7201)]
    ['1 s', '60 s', '2 min', '121 min']
    """
    return f"{-int(-seconds // 1)} s" if seconds <= 60 else f"{-int(-seconds // 60)} min"
