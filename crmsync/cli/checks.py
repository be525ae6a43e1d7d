"""The checks of `crmsync doctor`. A check never raises: what goes wrong is its finding."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from crmsync import files, spelling, systems
from crmsync.cli import check_doors, check_systems
from crmsync.cli.failures import sentence_of
from crmsync.cli.finding import Finding, failed, never_raising, not_checked, note, of_this_machine
from crmsync.cli.process import open_services
from crmsync.environment import THIS_MACHINE
from crmsync.errors import ConfigurationError, CrmsyncError
from crmsync.settings import Settings

if TYPE_CHECKING:
    from crmsync.services import Services
    from crmsync.store import Store

_GONE = (
    "there is none any more at {}, where the processes of this state directory have theirs: it was moved or deleted. "
    "Put it back; the next start without it begins a new one, which knows of no order and no invoice."
)
TEST_ALERT: Mapping[str, Any] = {
    "headline": "A test of crmsync",
    "facts": [],
    "cause": "Nothing is wrong: this was sent by `crmsync doctor --send-test-alert`.",
    "advice": "",
    "command": "crmsync doctor",
}


def of_configuration(error: ConfigurationError) -> Iterator[Finding]:
    """Every variable at fault; nothing else can be checked."""
    for variable, problem in error.field_errors.items():
        yield Finding("Configuration", variable, False, problem)
    if not error.field_errors:
        yield Finding("Configuration", "environment", False, sentence_of(error))
    yield not_checked("Configuration", "everything else", "it needs these variables; correct them, then run this again")


def of_spelling(env: Mapping[str, str]) -> Iterator[Finding]:
    """Variables that nobody reads. One that is written in place of another is a failure: it has no effect."""
    for each in spelling.unread(env):
        yield Finding("Configuration", each.name, not each.is_misspelt, each.sentence, is_note=not each.is_misspelt)


def of_packages() -> Iterator[Finding]:
    """Systems that are installed and can't be used; the others are."""
    for name, why in systems.refused().items():
        yield Finding("Configuration", f"system {name}", False, f"{why}. Correct or remove its package")


def all_of(settings: Settings, *, send_test_alert: bool) -> Iterator[Finding]:
    yield Finding("Configuration", "environment", True, f"state directory {settings.home}")
    yield from of_packages()
    yield from never_raising("Configuration", _home(settings))
    yield from _go_live(settings, datetime.now(UTC))
    services, found = _opened(settings)
    yield from found
    if services is not None:
        yield from never_raising("Store", _of_store(services))
    yield from never_raising("Broker", _broker(settings))
    yield from check_systems.all_of(settings, services)
    if services is not None:
        yield from never_raising("Connections", check_systems.of_connections(services))
    yield from never_raising("Doors", check_doors.all_of(settings, services))
    yield from never_raising("Slack", _slack(settings, services, send_test_alert=send_test_alert))


def _opened(settings: Settings) -> tuple[Services | None, list[Finding]]:
    """The services over a store that can be used; without it the systems are asked all the same."""
    from crmsync.store import whereabouts

    try:
        is_there = whereabouts.exists(settings.database_url)
        if not is_there and whereabouts.remembered(settings.home) == whereabouts.address_of(settings.database_url):
            return None, [
                Finding("Store", "database", False, _GONE.format(whereabouts.address_of(settings.database_url)))
            ]
        services = open_services(settings, creates=True)
        services.store.check_writable()
        services.check()
    except CrmsyncError as error:
        return None, [failed("Store", "database", error)]
    except OSError as error:  # a folder that the user of this process may not even enter
        return None, [of_this_machine("Store", error)]
    found = "it is writable and has the tables of this release"
    made = f"there was none at {whereabouts.address_of(settings.database_url)}: an empty one was created"
    return services, [Finding("Store", services.store.engine.dialect.name, True, found if is_there else made)]


def _of_store(services: Services) -> Iterator[Finding]:
    yield from tls_of(services.store)
    yield from _room(services)
    yield from _clock_of(services.store)


def _clock_of(store: Store) -> Iterator[Finding]:
    if store.is_sqlite:
        return
    with store.read() as uow:
        there = uow.connection.execute(text("SELECT now()")).scalar_one()
        here = datetime.now(UTC)
    yield check_systems.clock("Store", (there - here).total_seconds())


def tls_of(store: Store) -> Iterator[Finding]:
    """A database on another machine whose certificate is not checked: a note, not a failure."""
    if store.is_sqlite:
        return
    with store.read() as uow:
        driver: Any = uow.connection.connection.driver_connection
        # Not get_parameters(): that asks for a home directory, which not every user of a container has.
        known = {option.keyword.decode(): (option.val or b"").decode() for option in driver.pgconn.info}
    host, mode = known.get("host", ""), known.get("sslmode") or "prefer"
    if host and not host.startswith(("/", "@")) and host not in THIS_MACHINE and mode != "verify-full":
        advice = "anyone on the network path can read and change data; use ?sslmode=verify-full&sslrootcert=system"
        yield Finding("Store", f"sslmode is {mode}", True, f"the certificate of {host} is not checked: {advice}")


def _go_live(settings: Settings, now: datetime) -> Iterator[Finding]:
    """One that is to come is meant, or a slip of the year: either way deals are held until then."""
    if settings.go_live is not None and settings.go_live > now:
        what = f"{settings.go_live:%Y-%m-%d %H:%M} UTC is in the future: earlier deals are held until a person decides"
        yield note("Configuration", "CRMSYNC_GO_LIVE", what)


def _home(settings: Settings) -> Iterator[Finding]:
    """It holds the database, the key and the password."""
    may = files.open_to_others(settings.home)
    if may:
        yield Finding("Configuration", "CRMSYNC_HOME", False, f"others may {may} it: chmod 700 {settings.home}")
    for path in files.exposed(settings.home)[:10]:
        yield Finding(
            "Configuration", path.name, False, f"others may {files.open_to_others(path)} it: chmod 600 {path}"
        )


def _room(services: Services) -> Iterator[Finding]:
    from crmsync.store.room import room_of

    behaviour = services.settings.behaviour
    room = room_of(services.store, connections=behaviour.database_connections, workers=behaviour.workers)
    if room is not None:
        name = f"{room.needed} connections needed"
        yield Finding("Store", name, room.is_enough, "" if room.is_enough else room.problem)


# -- the broker


def _broker(settings: Settings) -> Iterator[Finding]:
    from crmsync import broker, embedded
    from crmsync.celery import app
    from crmsync.cli.processes import uses_embedded_redis

    try:
        if uses_embedded_redis(settings):
            embedded.ensure_running(settings.home)
    except ConfigurationError as error:  # there is no server to start
        yield failed("Broker", "embedded Redis", error)
        return
    started_at = time.monotonic()
    problem = broker.problem(settings) or broker.problem_of_queues(
        settings, [queue.name for queue in app.conf.task_queues]
    )
    milliseconds = (time.monotonic() - started_at) * 1000
    info = {} if problem else broker.about(settings)
    detail = problem or f"a test message went there and back in {milliseconds:.0f} ms"
    yield Finding("Broker", _broker_name(settings, info), not problem, detail)
    if info:
        yield version_of(info)
        yield eviction_of(info)
    ahead = None if problem else broker.seconds_ahead(settings)
    if ahead is not None:
        yield check_systems.clock("Broker", ahead)


def _broker_name(settings: Settings, info: Mapping[str, Any]) -> str:
    from crmsync import embedded
    from crmsync.cli.processes import uses_embedded_redis
    from crmsync.log import without_password

    if uses_embedded_redis(settings):
        return f"embedded {embedded.find_server()}"
    address = settings.broker_address
    product = "RabbitMQ" if address.is_rabbit else str(info.get("server_name") or "Redis").capitalize()
    return f"{product} at {without_password(address.url)}"


def version_of(info: Mapping[str, Any]) -> Finding:
    from crmsync.embedded import MINIMUM_VERSION

    version = str(info.get("valkey_version") or info.get("redis_version", "0"))
    numbers = [int(number) for number in version.split(".")[:2] if number.isdigit()]
    wanted = ".".join(map(str, MINIMUM_VERSION))
    is_ok = tuple(numbers) >= MINIMUM_VERSION
    return Finding("Broker", f"version {version}", is_ok, "" if is_ok else f"crmsync needs {wanted} or newer")


def eviction_of(info: Mapping[str, Any]) -> Finding:
    """A server that drops keys when its memory is full drops messages."""
    policy = str(info.get("maxmemory_policy", ""))
    is_ok = policy in ("noeviction", "")
    advice = "messages may be dropped: set maxmemory-policy to noeviction (runs are not lost, but they wait)"
    return Finding("Broker", f"eviction policy {policy or 'unknown'}", is_ok, "" if is_ok else advice)


# -- Slack


def _slack(settings: Settings, services: Services | None, *, send_test_alert: bool) -> Iterator[Finding]:
    if not settings.slack.is_on:
        is_ok = not send_test_alert
        yield Finding("Slack", "not configured", is_ok, "alerts go to the log and the control tower", is_note=is_ok)
    elif not send_test_alert or services is None:
        yield not_checked("Slack", "alerts", "--send-test-alert sends a message")
    else:
        yield _test_alert(services)


def _test_alert(services: Services) -> Finding:
    try:
        services.messenger.tell(TEST_ALERT, occurrences=1, message_id="")
    except CrmsyncError as error:
        return failed("Slack", "test alert", error)
    return Finding("Slack", "test alert", True, "sent: check that it has arrived")
