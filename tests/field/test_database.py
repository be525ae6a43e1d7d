"""Cases from the field: a database that goes silent, turns read-only, runs out of connections, or is not ours."""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import os
import resource
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import psycopg
import pytest
from celery.exceptions import Ignore
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flask.testing import FlaskClient
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from crmsync.cli.checks import tls_of
from crmsync.cli.main import cli
from crmsync.domain.runs import RunStatus
from crmsync.errors import (
    BugError,
    ConfigurationError,
    CrmsyncError,
    StoreUnavailableError,
    VendorUnavailableError,
)
from crmsync.services import Services
from crmsync.settings import Settings
from crmsync.store import Store, faults, postgresql, schema
from crmsync.store.room import needed, room_of
from crmsync.web import health
from crmsync.web.app import create_app
from crmsync.worker import dead_letters, process_faults
from crmsync.worker.attempt import Attempt
from crmsync.worker.flow import Flow
from crmsync.worker.task import step
from tests.fakes import DEFAULT, FakeClock
from tests.field.proxy import Proxy
from tests.system import TEST_DATABASE_URL

SECRET = "a secret of the Salesforce door"


@cache
def private_key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


needs_postgres = [pytest.mark.postgres, pytest.mark.skipif(not TEST_DATABASE_URL, reason="CRMSYNC_TEST_DATABASE_URL")]


def postgres(test: Callable[..., None]) -> Callable[..., None]:
    for mark in needs_postgres:
        test = mark(test)
    return test


def administer(*statements: str) -> None:
    engine = create_engine(TEST_DATABASE_URL, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def own_database() -> Iterator[str]:
    """The address of a database of the test's own: what is set for it concerns nobody else."""
    name = f"field_{uuid.uuid4().hex[:12]}"
    administer(f"CREATE DATABASE {name}")
    yield make_url(TEST_DATABASE_URL).set(database=name).render_as_string(hide_password=False)
    administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    url = make_url(TEST_DATABASE_URL)
    made = Proxy((url.host or "127.0.0.1", url.port or 5432))
    yield made
    made.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of production, in small."""
    monkeypatch.setattr(postgresql, "BEGIN_SECONDS", 0.3)
    monkeypatch.setattr(postgresql, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(postgresql.BoundedConnection, "answer_seconds", 0.5)
    monkeypatch.setitem(postgresql._CONNECT, "connect_timeout", 2)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Callable[[Store], FlaskClient]:
    for name, value in {
        "SF_CLIENT_ID": "client",
        "SF_USERNAME": "user",
        "SF_PRIVATE_KEY": private_key(),
        "SF_WEBHOOK_SECRET": SECRET,
        "REDIS_URL": "redis://127.0.0.1:1/0",  # nobody listens there
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("crmsync.web.health.KEPT_SECONDS", 0)

    class Bell:
        def enqueue(self, *_: object) -> None: ...

    def of(store: Store) -> FlaskClient:
        app = create_app(Services(Settings.from_env(os.environ), store))
        app.extensions["crmsync_enqueuer"] = Bell()
        return app.test_client()

    return of


def post_deal(client: FlaskClient, number: int = 0) -> int:
    body = json.dumps({"opportunityId": f"006{number:012}AAA"}).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Crmsync-Signature": f"sha256={signature}"}
    return client.post("/webhook/salesforce/deal-closed", data=body, headers=headers).status_code


def store_is(client: FlaskClient) -> str:
    """What /readyz would say of the store, had nobody asked a moment ago."""
    return str(health.check_all(client.application.extensions["crmsync"])["store"]["status"])


# -- O10: a database that goes silent


@postgres
def test_O10__while_packets_are_swallowed_webhooks_get_503_and_go_on_within_seconds(
    database_url: str, proxy: Proxy, impatient: None, receiver: Callable[[Store], FlaskClient]
) -> None:
    store = Store(make_url(database_url).set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False))
    schema.migrate(store)
    client = receiver(store)
    assert post_deal(client, 1) == 200
    proxy.swallow()
    began_at = time.monotonic()

    while_silent = [post_deal(client, 2), store_is(client)]
    took = time.monotonic() - began_at
    proxy.forward()
    afterwards = [post_deal(client, 2), store_is(client)]
    store.close()

    assert while_silent == [503, "down"]
    assert took < 10, "each waits for its own limit, and not for the network's"
    assert afterwards == [200, "ok"]


@postgres
def test_O10__a_statement_without_an_answer_ends_and_its_connection_is_not_used_again(
    database_url: str, proxy: Proxy, impatient: None
) -> None:
    store = Store(make_url(database_url).set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False))
    schema.migrate(store)

    def writes_into_the_void() -> None:
        with store.begin() as uow:
            proxy.swallow()
            uow.facts.set("name", "value")

    with pytest.raises(StoreUnavailableError, match="does not answer"):
        writes_into_the_void()
    proxy.forward()

    with store.read() as uow:
        assert uow.facts.get("name") is None
    store.close()


@postgres
def test_O10__a_connection_notices_that_its_packets_are_dropped(database_url: str) -> None:
    store = Store(database_url)
    with store.read() as uow:
        raw = uow.connection.connection.driver_connection
        with socket.socket(fileno=os.dup(raw.pgconn.socket)) as of_connection:
            user_timeout = of_connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            idle = of_connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            keeps_alive = of_connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    store.close()

    assert 0 < user_timeout <= 10_000
    assert keeps_alive
    assert 0 < idle <= 10


@postgres
def test_O10__the_server_ends_what_takes_long_and_who_is_idle_in_a_transaction(store: Store) -> None:
    with store.begin() as uow:
        limits = {
            name: uow.connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        }

    assert limits == {
        "statement_timeout": "6s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "1min",
    }


@postgres
def test_O10__a_session_that_the_server_ended_costs_no_webhook(
    own_database: str, receiver: Callable[[Store], FlaskClient]
) -> None:
    store = Store(own_database)
    schema.migrate(store)
    client = receiver(store)
    assert post_deal(client, 1) == 200
    database = make_url(own_database).database
    administer(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")

    assert post_deal(client, 2) == 200
    store.close()


@postgres
def test_O10__who_waits_for_a_connection_waits_for_seconds_only(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crmsync.store.engine.POOL_SECONDS", 0.2)
    store = Store(database_url, pool_size=1)

    with store.read(), pytest.raises(StoreUnavailableError, match="are in use"), store.read():
        pass
    store.close()


# -- O11: a database that is read-only for a while


@postgres
def test_O11__sessions_that_were_read_only_leave_the_pool_and_readiness_asks_whether_it_can_write(
    own_database: str, receiver: Callable[[Store], FlaskClient]
) -> None:
    database = make_url(own_database).database
    store = Store(own_database)
    schema.migrate(store)
    store.close()  # every session from here on is one of a standby
    client = receiver(store)
    administer(f"ALTER DATABASE {database} SET default_transaction_read_only = on")

    while_read_only = [post_deal(client, number) for number in range(4)]
    readiness = client.get("/readyz")
    administer(f"ALTER DATABASE {database} RESET default_transaction_read_only")
    afterwards = [post_deal(client, number) for number in range(4)]
    store.close()

    assert while_read_only == [503] * 4
    assert readiness.status_code == 503
    assert "read-only" in readiness.json["checks"]["store"]["reason"]  # type: ignore[index]
    assert afterwards == [200] * 4


@postgres
@pytest.mark.parametrize("state", ["25006", "25P02", "57P01", "08006", "26000", "58030", "XX000"])
def test_O11__a_session_that_answers_so_is_not_put_back(store: Store, state: str) -> None:
    def session() -> int:
        with store.read() as uow:
            return int(uow.connection.execute(text("SELECT pg_backend_pid()")).scalar_one())

    before = session()
    refuse = f"DO $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{state}'; END $$"

    with pytest.raises(StoreUnavailableError), store.begin() as uow:
        uow.connection.execute(text(refuse))

    assert session() != before


@postgres
def test_O11__a_statement_that_is_wrong_is_nobodys_outage(store: Store) -> None:
    with pytest.raises(ProgrammingError), store.begin() as uow:
        uow.connection.execute(text("SELEKT 1"))
    with pytest.raises(IntegrityError), store.begin() as uow:
        uow.connection.execute(text("INSERT INTO facts (name, value) VALUES ('a', 'b'), ('a', 'b')"))


def test_O11__a_file_that_turns_read_only_is_an_outage_until_it_can_be_written(
    tmp_path: Path, receiver: Callable[[Store], FlaskClient]
) -> None:
    store = Store(f"sqlite:///{tmp_path / 'crmsync.db'}")
    schema.migrate(store)
    client = receiver(store)
    with store.read() as uow:
        raw = uow.connection.connection.driver_connection
    raw.execute("PRAGMA query_only = 1")

    while_read_only = [post_deal(client), store_is(client)]
    raw.execute("PRAGMA query_only = 0")

    assert while_read_only == [503, "down"]
    assert [post_deal(client), store_is(client)] == [200, "ok"]
    store.close()


def test_O11__a_full_disk_is_an_outage_until_there_is_room(
    tmp_path: Path, receiver: Callable[[Store], FlaskClient]
) -> None:
    store = Store(f"sqlite:///{tmp_path / 'crmsync.db'}", pool_size=1)
    schema.migrate(store)
    client = receiver(store)
    with store.read() as uow:
        raw = uow.connection.connection.driver_connection
        (pages,) = raw.execute("PRAGMA page_count").fetchone()
    raw.execute(f"PRAGMA max_page_count = {pages}")

    while_full = [post_deal(client, number) for number in range(300)]
    raw.execute("PRAGMA max_page_count = 1000000")

    assert set(while_full) == {200, 503}
    assert post_deal(client, while_full.index(503)) == 200
    store.close()


ON_A_DISK_WITHOUT_ROOM = """
import resource, sys
from crmsync.errors import StoreUnavailableError
from crmsync.store import Store, schema

store = Store(f"sqlite:///{sys.argv[1]}")
schema.migrate(store)
store.check_writable()
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
try:
    store.check_writable()
except StoreUnavailableError:
    print("can't be written")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.check_writable()
print("can be written")
"""


def test_O11__readiness_and_the_doctor_see_that_nothing_more_reaches_the_disk(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ON_A_DISK_WITHOUT_ROOM, str(tmp_path / "crmsync.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["can't be written", "can be written"], done.stderr


def test_O11__a_damaged_file_is_an_outage_with_a_sentence(
    tmp_path: Path, receiver: Callable[[Store], FlaskClient]
) -> None:
    path = tmp_path / "crmsync.db"
    store = Store(f"sqlite:///{path}")
    schema.migrate(store)
    store.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    client = receiver(store)

    assert post_deal(client) == 503
    with pytest.raises(StoreUnavailableError, match="damaged"):
        schema.current(store)
    store.close()


def test_O11__a_database_file_that_was_replaced_or_deleted_takes_no_webhook_with_it(
    tmp_path: Path, receiver: Callable[[Store], FlaskClient]
) -> None:
    path = tmp_path / "crmsync.db"
    store = Store(f"sqlite:///{path}")
    schema.migrate(store)
    client = receiver(store)
    assert post_deal(client, 1) == 200
    aside = path.rename(tmp_path / "aside.db")

    assert post_deal(client, 2) == 503
    assert not path.exists(), "an empty database would look like one that has forgotten everything"
    aside.rename(path)
    assert post_deal(client, 2) == 200
    store.close()


def test_O11__a_file_that_is_no_database_is_an_outage_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "crmsync.db"
    path.write_bytes(b"this is no database " * 100)
    store = Store(f"sqlite:///{path}")

    with pytest.raises(StoreUnavailableError, match="not a database of SQLite"):
        store.ping()
    store.close()


# -- O17: a pooler in transaction mode


@postgres
def test_O17__statements_are_prepared_only_where_the_address_asks_for_it(database_url: str) -> None:
    def threshold(url: str) -> int | None:
        store = Store(url)
        with store.read() as uow:
            raw = uow.connection.connection.driver_connection
        store.close()
        return raw.prepare_threshold  # type: ignore[union-attr]

    asking = make_url(database_url).update_query_dict({"prepare_threshold": "5"})

    assert threshold(database_url) is None
    assert threshold(asking.render_as_string(hide_password=False)) == 5


@postgres
def test_O17__nothing_is_left_in_a_session(own_database: str) -> None:
    store = Store(own_database, pool_size=1)
    schema.migrate(store)
    for _ in range(8):  # the driver would prepare a statement that it sees for the sixth time
        with store.begin(durable=False) as uow:
            uow.facts.get("name")
    with store.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.answer_seconds = None
        prepared = raw.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
        held = raw.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        left = raw.execute("SELECT name FROM pg_settings WHERE source = 'session'").fetchall()
        assert (prepared, held.fetchone()) == ((0,), (0,))
    store.close()

    assert {name for (name,) in left} <= {"transaction_isolation", "transaction_read_only", "transaction_deferrable"}


@postgres
@pytest.mark.parametrize("default", ["off", "local"])
def test_O17__what_was_promised_durable_is_durable_whatever_the_default_of_the_database(
    own_database: str, default: str
) -> None:
    administer(f"ALTER DATABASE {make_url(own_database).database} SET synchronous_commit = {default}")
    store = Store(own_database, pool_size=1)

    def commits(*, durable: bool) -> str:
        with store.begin(durable=durable) as uow:
            return str(uow.connection.execute(text("SHOW synchronous_commit")).scalar_one())

    assert [commits(durable=each) for each in (True, False, True)] == ["on", "off", "on"]
    store.close()


def test_O17__sqlite_waits_for_the_disk_where_it_was_promised(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'crmsync.db'}", pool_size=1)

    def synchronous(*, durable: bool) -> int:
        with store.begin(durable=durable) as uow:
            return int(uow.connection.execute(text("PRAGMA synchronous")).scalar_one())

    assert [synchronous(durable=each) for each in (True, False, True)] == [2, 1, 2]
    store.close()


@pytest.mark.parametrize("state", "53100 26000 42P05 08P01 25P01 0A000 53300 57P03 55P03 40001".split())
def test_O17__an_error_of_a_pooler_or_an_outage_is_known_by_its_sqlstate(state: str) -> None:
    error = psycopg.errors.lookup(state)("words of the server")

    unavailable = faults.unavailable_of(DBAPIError("SELECT 1", {}, error))

    assert unavailable is not None
    assert (unavailable.code, bool(unavailable.advice)) == (state, True)


def test_O17__whatever_a_database_has_against_a_webhook_the_answer_is_503(
    store: Store, receiver: Callable[[Store], FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    from crmsync.store.deliveries import Deliveries

    def fails(*_: object, **__: object) -> bool:
        raise IntegrityError("INSERT", {}, sqlite3.IntegrityError("a constraint of another release"))

    monkeypatch.setattr(Deliveries, "add_all", fails)

    assert post_deal(receiver(store)) == 503


# -- O12: what the process lacks is not the run's fault


_FLOW = Flow("lacking", subject="deal", steps=("work",), rereads=())
_raises: list[BaseException] = []


@step(_FLOW, queue="erp")
def work(attempt: Attempt) -> dict[str, str]:
    if _raises:
        raise _raises[0]
    return {}


def over(error: Exception, under: BaseException) -> Exception:
    error.__cause__ = under
    return error


@pytest.fixture
def no_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(dead_letters, "show", lambda letter: None)
    monkeypatch.setattr(dead_letters.app, "send_task", lambda name, **_: None)
    yield
    _raises.clear()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EROFS, "Read-only file system", "/var/lib/crmsync/secret.key"),
        PermissionError(errno.EACCES, "Permission denied", "/var/lib/crmsync/secret.key"),
        MemoryError(),
        RuntimeError("can't start new thread"),
        over(VendorUnavailableError("It did not answer."), OSError(errno.EMFILE, "Too many open files")),
        over(RuntimeError("a library's own"), OSError(errno.ENOMEM, "Cannot allocate memory")),
        ConfigurationError("There is no key.", field_errors={"CRMSYNC_SECRET_KEY": "must be set"}),
        StoreUnavailableError(code="53300"),
    ],
    ids=repr,
)
def test_O12__what_the_process_lacks_costs_no_run_an_attempt_and_is_told_once(
    services: Services, no_broker: None, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(process_faults, "_remembered", None)
    _raises.append(error)
    with services.store.begin() as uow:
        run_ids = [_FLOW.open_run(uow, DEFAULT, f"deal {number}", correlation_id="c")[0] for number in range(3)]

    for _ in range(6):
        for run_id in run_ids:
            with suppress(Ignore, CrmsyncError):
                work.execute(run_id)
        clock.advance(60)

    with services.store.read() as uow:
        states = {(run.status, run.attempts) for run in map(uow.runs.get, run_ids) if run}
        assert (states, uow.dead_letters.list(None, status=None)) == ({(RunStatus.ACTIVE, 0)}, [])
        assert [alert.content["headline"] for alert in uow.alerts.newest(None, limit=9)] == ["crmsync can't work"]
    _raises.clear()
    clock.advance(60)
    work.execute(run_ids[0])
    with services.store.read() as uow:
        run = uow.runs.get(run_ids[0])
        assert run is not None
        assert run.status is RunStatus.DONE


def test_O12__a_bug_is_still_a_bug(services: Services, no_broker: None) -> None:
    _raises.append(over(KeyError("x"), ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")))
    with services.store.begin() as uow:
        run_id = _FLOW.open_run(uow, DEFAULT, "deal", correlation_id="c")[0]

    with pytest.raises(BugError):
        work.execute(run_id)


@pytest.fixture
def crowded(own_database: str) -> Iterator[str]:
    """The address of a database that lets its user in once."""
    name = f"field_{uuid.uuid4().hex[:12]}"
    administer(f"CREATE ROLE {name} LOGIN SUPERUSER", f"ALTER ROLE {name} NOSUPERUSER CONNECTION LIMIT 1")
    administer(f"ALTER DATABASE {make_url(own_database).database} OWNER TO {name}")
    yield make_url(own_database).set(username=name).render_as_string(hide_password=False)
    administer(f"ALTER DATABASE {make_url(own_database).database} OWNER TO CURRENT_USER")
    store = Store(own_database)
    with store.begin() as uow:
        uow.connection.execute(text(f"REASSIGN OWNED BY {name} TO CURRENT_USER"))
    store.close()
    administer(f"DROP ROLE {name}")


@postgres
def test_O12__too_many_connections_are_an_outage_that_says_so(
    crowded: str, receiver: Callable[[Store], FlaskClient]
) -> None:
    first, second = Store(crowded, pool_size=1), Store(crowded)
    schema.migrate(first)
    client = receiver(second)

    with first.read():
        refused = post_deal(client)
        with pytest.raises(StoreUnavailableError, match="no more connections") as raised:
            second.ping()
    first.close()

    assert (refused, raised.value.code) == (503, "53300")
    assert "CRMSYNC_DATABASE_CONNECTIONS" in (raised.value.advice or "")
    assert post_deal(client) == 200
    second.close()


@postgres
def test_O12__the_need_of_connections_is_compared_with_what_the_database_allows(crowded: str) -> None:
    store = Store(crowded, pool_size=1)
    room = room_of(store, connections=5, workers=2)
    store.close()

    assert room is not None
    assert (room.allowed, room.needed, room.is_enough) == (1, 25, False)


def test_O12__the_documented_installation_fits_into_forty_connections() -> None:
    assert needed(Settings.from_env({}).behaviour.database_connections, Settings.from_env({}).behaviour.workers) <= 37


def start(process: list[str], tmp_path: Path, *, files: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
    """How *process* ends that must not start."""

    def limit() -> None:
        if files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    made = {
        "CRMSYNC_HOME": str(tmp_path / "home"),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'crmsync.db'}",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "PATH": os.environ["PATH"],
        **env,
    }
    return subprocess.run(
        [sys.executable, *process], env=made, capture_output=True, text=True, timeout=60, preexec_fn=limit, check=False
    )


WEB = ["-c", "import crmsync.web.wsgi"]
WORKER = ["-m", "celery", "-A", "crmsync", "worker", "--pool", "solo"]


@pytest.mark.parametrize(
    ("process", "files", "env", "words"),
    [
        (WEB, 64, {}, ["may open 64 files", "ulimit -n"]),
        (WEB, 0, {"CRMSYNC_HOME": "/dev/null/home"}, ["CRMSYNC_SECRET_KEY", "must be set"]),
        (WEB, 0, {"DATABASE_URL": "sqlite:////dev/null/crmsync.db"}, ["database", "folder"]),
        (WORKER, 0, {"DATABASE_URL": "sqlite:////dev/null/crmsync.db"}, ["database", "folder"]),
    ],
    ids=["few files", "no home", "no folder", "no folder for a worker"],
)
def test_O12__what_a_process_lacks_is_found_at_its_start(
    tmp_path: Path, process: list[str], files: int, env: dict[str, str], words: list[str]
) -> None:
    ended = start(process, tmp_path, files=files, **env)

    assert ended.returncode not in (0, None)
    assert [word for word in words if word not in ended.stderr] == []
    assert "Traceback" not in ended.stderr


# -- O18: one sentence with the cure


@pytest.mark.parametrize(
    ("words", "sentence", "cure"),
    [
        ('FATAL:  password authentication failed for user "crm"', "refused the user or the password", "DATABASE_URL"),
        ('FATAL:  database "crm" does not exist', "no such database", "Create it"),
        ('FATAL:  role "crm" does not exist', "refused the user", "DATABASE_URL"),
        ("FATAL:  sorry, too many clients already", "no more connections", "max_connections"),
        ("FATAL:  remaining connection slots are reserved for roles with", "no more connections", "max_connections"),
        ('FATAL:  too many connections for role "crm"', "no more connections", "max_connections"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "crm", no encryption', "asks for TLS", "sslmode"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "crm"', "does not admit", "pg_hba.conf"),
        ("server does not support SSL, but SSL was required", "does not speak TLS", "sslmode"),
        ("SSL error: certificate verify failed", "certificate", "sslrootcert"),
        ("[Errno -2] Name or service not known", "host of the database is unknown", "host"),
        ("connection to server at 127.0.0.1, port 1 failed: Connection refused", "Nothing listens", "port"),
        ("FATAL:  the database system is starting up", "starting or stopping", "Wait"),
        ("connection timeout expired", "does not answer", "network"),
        ("session is read-only", "read-only", "primary"),
        ("server is in hot standby mode", "read-only", "primary"),
        ("server is not in hot standby mode", "option", "DATABASE_URL"),
        ('FATAL:  unrecognized configuration parameter "bogus"', "option", "DATABASE_URL"),
        ('definition of service "crm" not found', "option", "DATABASE_URL"),
        ("server closed the connection unexpectedly", "broke", "connects again"),
        ("FATAL:  a word that nobody foresaw", "refuses to work", "log"),
    ],
)
def test_O18__what_a_database_says_while_connecting_is_one_sentence_with_the_cure(
    words: str, sentence: str, cure: str
) -> None:
    unavailable = faults.unavailable_of(DBAPIError("", {}, psycopg.OperationalError(f"connection failed: {words}")))

    assert unavailable is not None
    assert sentence in str(unavailable)
    assert cure in (unavailable.advice or "")


def told(url: str, *command: str) -> str:
    """What the command line says of the database at *url*."""
    result = CliRunner().invoke(cli, list(command or ("runs", "list")), env={"DATABASE_URL": url, "COLUMNS": "400"})
    assert result.exit_code in (1, 2)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.stderr


@postgres
def test_O18__the_command_line_says_what_is_wrong_with_the_database(own_database: str) -> None:
    url = make_url(own_database)

    def at(**changes: object) -> str:
        return url.set(**changes).render_as_string(hide_password=False)  # type: ignore[arg-type]

    assert "refused the user" in told(at(username="nobody_of_that_name"))
    assert "no such database" in told(at(database="none_of_that_name"))
    assert "host of the database is unknown" in told(at(host="none.invalid"))
    assert "Nothing listens" in told(at(port=1))


@postgres
def test_O18__a_schema_that_is_newer_than_the_release_is_refused(own_database: str) -> None:
    store = Store(own_database)
    schema.migrate(store)
    with store.begin() as uow:
        uow.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()

    for command in (("runs", "list"), ("migrate",)):
        assert "schema 9999, which is newer than this release" in told(own_database, *command)


def test_O18__a_newer_schema_of_sqlite_is_refused_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'crmsync.db'}"
    store = Store(url)
    schema.migrate(store)
    with store.begin() as uow:
        uow.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()

    assert "newer than this release" in told(url)


@postgres
def test_O18__a_user_who_may_not_make_tables_is_told_so(crowded: str, own_database: str) -> None:
    administer(f"ALTER DATABASE {make_url(own_database).database} OWNER TO CURRENT_USER")

    said = told(crowded, "migrate")

    assert "lacks a right" in said
    assert "GRANT" in said


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
@postgres
def test_O18__a_database_that_can_not_hold_every_name_is_refused_before_it_has_tables(
    own_database: str, encoding: str
) -> None:
    name = make_url(own_database).database
    administer(
        f"DROP DATABASE {name}",
        f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
    )

    for command in (("migrate",), ("doctor",)):
        result = CliRunner().invoke(cli, list(command), env={"DATABASE_URL": own_database, "COLUMNS": "400"})
        assert f"stores text as {encoding}" in result.output
        assert "ENCODING 'UTF8'" in result.output
        assert result.exit_code in (1, 2)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
@postgres
def test_O18__names_are_kept_whatever_encoding_the_surroundings_ask_for(
    own_database: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as surroundings:
        surroundings.setenv("PGCLIENTENCODING", encoding)
        store = Store(own_database, pool_size=1)
        schema.migrate(store)
        with store.begin() as uow:
            uow.facts.set("name", "株式会社 👍")
        with store.read() as uow:
            kept = uow.facts.get("name")
        store.close()

    assert kept == "株式会社 👍"


@postgres
def test_O18__a_search_path_without_a_schema_is_named(own_database: str) -> None:
    administer(f"ALTER DATABASE {make_url(own_database).database} SET search_path TO ''")

    assert "search_path" in told(own_database, "migrate")


@postgres
def test_O18__the_doctor_needs_no_home_directory(own_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An arbitrary id in a container."""

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    store = Store(make_url(own_database).update_query_dict({"sslmode": "allow"}).render_as_string(False), pool_size=1)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.delenv("HOME", raising=False)

    assert list(tls_of(store)) == []
    store.close()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"no database " * 100, "not a database"), (None, "can't be opened")],
    ids=["another file", "a folder"],
)
def test_O18__a_file_that_can_not_be_used_is_one_sentence(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    path = tmp_path / "crmsync.db"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)

    assert sentence in told(f"sqlite:///{path}")


@postgres
def test_O18__the_log_has_the_sqlstate_and_the_servers_first_sentence_and_no_password(
    own_database: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "_logged", {})
    url = make_url(own_database).set(database="none_of_that_name", password="geheim")
    store = Store(url.render_as_string(hide_password=False))

    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            store.ping()
    store.close()

    (record,) = [each for each in caplog.records if each.name == "crmsync.store.faults"]
    facts = vars(record)
    assert facts["sqlstate"] == "3D000"
    assert 'database "none_of_that_name" does not exist' in facts["words"]
    assert "geheim" not in str(facts)
