"""The part of `crmsync doctor` that checks each system, independently of the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from crmsync.cli.finding import Finding, failed, never_raising, not_checked, note, of_check
from crmsync.connectors.base import Check
from crmsync.errors import ConfigurationError, CrmsyncError
from crmsync.phrases import whole_span
from crmsync.settings import Settings

if TYPE_CHECKING:
    from crmsync.connectors.way_out.heard import Heard
    from crmsync.domain.connections import Connection
    from crmsync.services import Services

_WITHHELD = "its credentials are withheld from this process; run `crmsync doctor` where a worker runs"
CLOCK_SECONDS_MAX = 60.0  # the strictest sign-in allows three minutes


def all_of(settings: Settings, services: Services | None) -> Iterator[Finding]:
    """*services* is None where the store can't be used: then nothing is known of the accounts that it belongs to."""
    from crmsync.company import default_roles
    from crmsync.connectors.registry import in_use, is_withheld, title

    is_all_stored = services is not None and not settings.systems and bool(stored(services))
    expected = () if is_all_stored else default_roles(settings.systems).values()
    for connection in in_use(settings, expected):
        if is_withheld(connection, settings):
            yield not_checked(title(connection), "everything", _WITHHELD)
        else:
            yield from never_raising(title(connection), _of(connection, title(connection), settings, services))


def stored(services: Services, tenant: str | None = None, connection: str = "") -> list[Connection]:
    """Those that people have made, of one *tenant* or of all, by tenant and name; or only that *connection*."""
    with services.store.read() as uow:
        made = uow.connections.all(tenant)
    return [each for each in made if connection in ("", each.id)]


def called(connection: Connection) -> str:
    """How its lines begin."""
    return f"{connection.tenant}: {connection.name} ({connection.id})"


def of_connections(services: Services, chosen: Sequence[Connection] | None = None) -> Iterator[Finding]:
    """The *chosen* ones, None: all that people have made; one that is paused is left alone."""
    for each in stored(services) if chosen is None else chosen:
        area = called(each)
        if each.why_not_now:
            yield not_checked(area, "everything", each.why_not_now)
        else:
            yield from never_raising(area, _of(each.id, area, services.settings, services))


def _of(connection: str, called: str, settings: Settings, services: Services | None) -> Iterator[Finding]:
    from crmsync.connectors.way_out.heard import Heard

    heard = Heard()
    try:
        for check in _checks(connection, settings, services, heard):
            yield of_check(called, check)
            if check.is_last:
                yield not_checked(called, "everything else", "the failures above must be corrected first")
    except ConfigurationError as error:
        yield Finding(called, "configuration", False, _why_not(connection, settings, error))
    except CrmsyncError as error:
        yield failed(called, "sign-in", error)
    else:
        yield from _said_besides(called, heard)
        if services is None:
            yield not_checked(called, "account", "whether it is the one that this store belongs to")


def _why_not(connection: str, settings: Settings, error: ConfigurationError) -> str:
    from crmsync.connectors.registry import is_configured, systems

    of = systems().get(connection)  # None: people have made it
    if of is None or is_configured(connection, settings):
        return error.with_advice
    return f"it is not configured: set {of.variable} and the others of {of.guide}"


def _checks(connection: str, settings: Settings, services: Services | None, heard: Heard) -> Iterator[Check]:
    from crmsync.services import examine_without_store

    if services is None:
        return examine_without_store(connection, settings, heard)
    return services.examine(connection, heard)


def _said_besides(system: str, heard: Heard) -> Iterator[Finding]:
    for text in heard.warnings:
        yield note(
            system,
            "it will end",
            f"it says about the API that crmsync calls: “{text}”. See whether there is a newer release of crmsync",
        )
    if heard.seconds_ahead is not None:
        yield clock(system, heard.seconds_ahead)


def clock(area: str, seconds_ahead: float) -> Finding:
    """Of somebody else's clock, against ours.

    >>> clock("Books", 1.2).detail, clock("Books", -70).is_ok
    ('in step with this machine', False)
    """
    if abs(seconds_ahead) <= CLOCK_SECONDS_MAX:
        return Finding(area, "clock", True, "in step with this machine")
    way = "ahead of" if seconds_ahead > 0 else "behind"
    return Finding(
        area,
        "clock",
        False,
        f"its clock is {whole_span(abs(seconds_ahead))} {way} this machine's: correct one of the two (NTP). "
        "Sign-ins, signed webhooks and leases depend on it.",
    )
