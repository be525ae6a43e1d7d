"""What `crmsync doctor` looks at. A check never raises: what goes wrong is what it has found."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from crmsync import files
from crmsync.cli.failures import sentence_of
from crmsync.cli.process import open_services
from crmsync.environment import THIS_MACHINE
from crmsync.errors import ConfigurationError, CrmsyncError
from crmsync.settings import Settings

if TYPE_CHECKING:
    from crmsync.services import Services
    from crmsync.store import Store

TEST_ALERT: Mapping[str, Any] = {
    "headline": "A test of crmsync",
    "facts": [],
    "cause": "Nothing is wrong: `crmsync doctor --send-test-alert` has sent this.",
    "advice": "",
    "command": "crmsync doctor",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, whether it is well, and what to do if not."""

    area: str
    name: str
    is_ok: bool
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def of_configuration(error: ConfigurationError) -> Iterator[Finding]:
    """Every variable at fault; nothing else can be checked."""
    for variable, problem in error.field_errors.items():
        yield Finding("Configuration", variable, False, problem)
    if not error.field_errors:
        yield Finding("Configuration", "environment", False, sentence_of(error))


def all_of(settings: Settings, *, send_test_alert: bool) -> Iterator[Finding]:
    from crmsync.store import whereabouts

    yield Finding("Configuration", "environment", True, f"state directory {settings.home}")
    yield from _home(settings)
    services = None
    is_there = whereabouts.exists(settings.database_url)
    try:
        services = open_services(settings, creates=True)
        services.store.check_writable()
        found = "it can be written and has the tables of this release"
        made = f"there was none at {whereabouts.address_of(settings.database_url)}: an empty one was made now"
        yield Finding("Store", services.store.engine.dialect.name, True, found if is_there else made)
        yield from tls_of(services.store)
        yield from _room(services)
    except CrmsyncError as error:
        yield _failed("Store", "database", error)
    yield from _broker(settings)
    if services is not None:  # the systems' access tokens are kept in the store
        yield from _systems(services)
    yield from _slack(settings, services, send_test_alert=send_test_alert)


def tls_of(store: Store) -> Iterator[Finding]:
    """A database of another machine whose certificate is not looked at: said, and no failure."""
    if store.is_sqlite:
        return
    with store.read() as uow:
        driver: Any = uow.connection.connection.driver_connection
        # Not get_parameters(): that asks for a home directory, which not every user of a container has.
        known = {option.keyword.decode(): (option.val or b"").decode() for option in driver.pgconn.info}
    host, mode = known.get("host", ""), known.get("sslmode") or "prefer"
    if host and not host.startswith(("/", "@")) and host not in THIS_MACHINE and mode != "verify-full":
        advice = "whoever is between can read and change it; DATABASE_URL with ?sslmode=verify-full&sslrootcert=system"
        yield Finding("Store", f"sslmode is {mode}", True, f"the certificate of {host} is not checked: {advice}")


def _failed(area: str, name: str, error: CrmsyncError) -> Finding:
    return Finding(area, name, False, error.with_advice)


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
        yield _failed("Broker", "embedded Redis", error)
        return
    started_at = time.monotonic()
    problem = broker.problem(settings) or broker.problem_of_queues(
        settings, [queue.name for queue in app.conf.task_queues]
    )
    milliseconds = (time.monotonic() - started_at) * 1000
    info = {} if problem else broker.about(settings)
    detail = problem or f"a message went there and came back in {milliseconds:.0f} ms"
    yield Finding("Broker", _broker_name(settings, info), not problem, detail)
    if info:
        yield version_of(info)
        yield eviction_of(info)


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

    text = str(info.get("valkey_version") or info.get("redis_version", "0"))
    numbers = [int(number) for number in text.split(".")[:2] if number.isdigit()]
    wanted = ".".join(map(str, MINIMUM_VERSION))
    is_ok = tuple(numbers) >= MINIMUM_VERSION
    return Finding("Broker", f"version {text}", is_ok, "" if is_ok else f"crmsync needs {wanted} or newer")


def eviction_of(info: Mapping[str, Any]) -> Finding:
    """A server that drops keys when its memory is full drops messages."""
    policy = str(info.get("maxmemory_policy", ""))
    is_ok = policy in ("noeviction", "")
    advice = "messages may be dropped: set maxmemory-policy to noeviction (runs are not lost, but they wait)"
    return Finding("Broker", f"eviction policy {policy or 'unknown'}", is_ok, "" if is_ok else advice)


# -- the systems and Slack


def _systems(services: Services) -> Iterator[Finding]:
    from crmsync.connectors.registry import VENDORS

    for connection in VENDORS:
        try:
            system, checks = services.connector(connection).system, services.examine(connection)
        except CrmsyncError as error:
            yield _failed(connection, "configuration", error)
            continue
        for check in checks:
            yield Finding(system, check.name, check.is_ok, check.detail)


def _slack(settings: Settings, services: Services | None, *, send_test_alert: bool) -> Iterator[Finding]:
    if not settings.slack.is_on:
        is_ok = not send_test_alert
        yield Finding("Slack", "not configured", is_ok, "alerts go to the log and the control tower")
    elif not send_test_alert or services is None:
        yield Finding("Slack", "configured", True, "--send-test-alert sends a message")
    else:
        yield _test_alert(services)


def _test_alert(services: Services) -> Finding:
    try:
        services.messenger.tell(TEST_ALERT, occurrences=1, message_id="")
    except CrmsyncError as error:
        return _failed("Slack", "test alert", error)
    return Finding("Slack", "test alert", True, "sent: look whether it has arrived")
