"""Cases from the field: O1 (TLS that is checked), O16 (RabbitMQ is really asked), O18 (a broker's refusals, in words).

The servers are ours: an embedded Redis, behind a gate that speaks TLS; RabbitMQ where one runs on this machine.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from click.testing import CliRunner
from kombu import Connection
from redis import Redis

from crmsync import broker
from crmsync.broker_address import Address, address_of
from crmsync.cli import checks
from crmsync.cli.main import cli
from crmsync.connectors.limits.redis_link import NoRedisError, redis_client
from crmsync.embedded import embedded_client_url, ensure_running, socket_path
from crmsync.errors import ConfigurationError
from crmsync.services import redis_link
from crmsync.settings import Settings
from tests.field.certificates import Authority
from tests.field.test_commands import shell


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A state directory with a running server; its path is short, because that of a socket has a limit."""
    with TemporaryDirectory() as folder:
        ensure_running(Path(folder))
        yield Path(folder)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@contextmanager
def gate(context: ssl.SSLContext, target: Callable[[], socket.socket] | None = None) -> Iterator[int]:
    """A port that speaks TLS, and passes on what comes through it; without a *target* it says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as stack:
        stack.callback(server.shutdown, socket.SHUT_RDWR)

        def admit() -> None:
            with suppress(OSError):
                while True:
                    plain, _ = server.accept()
                    threading.Thread(target=pass_on, args=(plain,), daemon=True).start()

        def pass_on(plain: socket.socket) -> None:
            with suppress(OSError), context.wrap_socket(plain, server_side=True) as inner:
                if target is None:
                    inner.recv(100)
                    return
                with target() as outer:
                    threading.Thread(target=pump, args=(outer, inner), daemon=True).start()
                    pump(inner, outer)

        threading.Thread(target=admit, daemon=True).start()
        yield server.getsockname()[1]


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


def unix_socket(home: Path) -> Callable[[], socket.socket]:
    def connect() -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.connect(str(socket_path(home)))
        return made

    return connect


def settings_of(home: Path, **env: str) -> Settings:
    return Settings.from_env({"CRMSYNC_HOME": str(home), **env})


# -- O1: a certificate is looked at, by every client of an address


def budgets(settings: Settings) -> bool:
    try:
        return bool(redis_link(settings).ask(lambda redis: redis.ping()))
    except NoRedisError:
        return False


def celerys(settings: Settings) -> bool:
    url, tls = settings.broker_address.kombu()
    try:
        with Connection(url, ssl=tls, transport_options={"socket_timeout": 2, "max_retries": 0}) as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
            return True
    except Exception:
        return False


def flowers(settings: Settings) -> bool:
    """Flower builds its own client, of the address and broker_use_ssl."""
    from flower.utils.broker import RedisSsl

    url, tls = settings.broker_address.kombu()
    arguments = {**RedisSsl(url, broker_use_ssl=tls)._get_redis_client_args(), "retry": None}
    try:
        with Redis(**arguments) as client:
            return bool(client.ping())
    except Exception:
        return False


def ours(settings: Settings) -> bool:
    return broker.problem(settings) is None


CLIENTS = {"budget": budgets, "celery": celerys, "flower": flowers, "readiness and doctor": ours}


@pytest.mark.parametrize("name", CLIENTS)
def test_O1__a_broker_whose_certificate_nobody_vouches_for_is_refused(
    name: str, home: Path, authority: Authority
) -> None:
    with gate(authority.server(), unix_socket(home)) as port:
        address = f"rediss://127.0.0.1:{port}/0"
        trusted = settings_of(home, REDIS_URL=address, CRMSYNC_BROKER_CA_FILE=str(authority.path))
        by_address = settings_of(home, REDIS_URL=f"{address}?ssl_ca_certs={authority.path}")

        assert not CLIENTS[name](settings_of(home, REDIS_URL=address))
        assert CLIENTS[name](trusted)
        assert CLIENTS[name](by_address)


@pytest.mark.parametrize("name", CLIENTS)
def test_O1__a_certificate_for_another_host_is_refused(name: str, home: Path, authority: Authority) -> None:
    with gate(authority.server("broker.example"), unix_socket(home)) as port:
        env = {"REDIS_URL": f"rediss://127.0.0.1:{port}/0", "CRMSYNC_BROKER_CA_FILE": str(authority.path)}

        assert not CLIENTS[name](settings_of(home, **env))


def test_O1__a_certificate_of_another_authority_is_named(home: Path, authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "Another CA")
    with gate(authority.server(), unix_socket(home)) as port:
        env = {"REDIS_URL": f"rediss://127.0.0.1:{port}/0", "CRMSYNC_BROKER_CA_FILE": str(other.path)}
        problem = broker.problem(settings_of(home, **env))

    assert problem is not None
    assert "certificate is not trusted" in problem
    assert "CRMSYNC_BROKER_CA_FILE" in problem


def test_O1__celery_itself_refuses_and_accepts(home: Path, authority: Authority, tmp_path: Path) -> None:
    """The real app, as every process loads it."""
    code = "from crmsync.celery import app; app.connection_for_write().ensure_connection(max_retries=1, timeout=3)"
    with gate(authority.server(), unix_socket(home)) as port:
        env = {"REDIS_URL": f"rediss://127.0.0.1:{port}/0"}
        refused = shell("python", "-c", code, cwd=tmp_path, **env)
        accepted = shell("python", "-c", code, cwd=tmp_path, CRMSYNC_BROKER_CA_FILE=str(authority.path), **env)

    assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr
    assert accepted.returncode == 0, accepted.stderr


def test_O1__celery_reads_its_own_variable_no_other_way(home: Path, authority: Authority, tmp_path: Path) -> None:
    """Celery would take CELERY_BROKER_URL from the environment, parameters and all."""
    code = (
        "from crmsync.celery import app; c = app.connection_for_write();"
        "print(app.connection_for_read().ssl == c.ssl, c.ssl['cert_reqs'].name, c.ssl['ca_certs'], c.hostname)"
    )
    url = f"amqps://u:p@rabbit.example//?ssl_ca_certs={authority.path}"
    asked = shell("python", "-c", code, cwd=tmp_path, CELERY_BROKER_URL=url)

    assert asked.stdout == f"True CERT_REQUIRED {authority.path} rabbit.example\n", asked.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "broker.example"], ids=["the right host", "another host"])
@pytest.mark.parametrize("trusted", [True, False], ids=["known authority", "unknown authority"])
def test_O1__a_rabbit_over_tls_is_held_to_the_same(host: str, trusted: bool, authority: Authority, home: Path) -> None:
    """What answers behind the handshake speaks no AMQP: only a handshake that succeeds gets that far."""
    env = {"CRMSYNC_BROKER_CA_FILE": str(authority.path)} if trusted else {}
    with gate(authority.server(host)) as port:
        problem = broker.problem(settings_of(home, CELERY_BROKER_URL=f"amqps://u:p@127.0.0.1:{port}//", **env))

    assert problem is not None
    assert ("certificate" not in problem) == (trusted and host == "127.0.0.1")


@pytest.mark.parametrize(
    "query",
    [
        "ssl_cert_reqs=none",
        "ssl_cert_reqs=CERT_NONE",
        "ssl_check_hostname=false",
        "ssl_ciphers=ALL",
        "ssl_ca_certs=/no",
    ],
)
@pytest.mark.parametrize("scheme", ["rediss", "amqps"])
def test_O1__no_parameter_of_an_address_switches_a_check_off(query: str, scheme: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({"CELERY_BROKER_URL": f"{scheme}://broker:6380/0?{query}"})

    assert set(caught.value.field_errors) == {"CELERY_BROKER_URL"}


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_O1__a_file_of_authorities_that_holds_none_is_refused_at_start(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if content:
        file.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({"CRMSYNC_BROKER_CA_FILE": str(file)})

    assert set(caught.value.field_errors) == {"CRMSYNC_BROKER_CA_FILE"}


def test_O1__every_client_is_told_to_look() -> None:
    redis, rabbit = address_of("rediss://host", "/ca.pem"), address_of("amqps://host", "/ca.pem")

    assert redis.redis_py()[1] == redis.kombu()[1]
    assert redis.redis_py()[1]["ssl_cert_reqs"] == "required"
    assert rabbit.kombu()[1] == {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None, "ca_certs": "/ca.pem"}
    assert address_of("redis://host", "/ca.pem").kombu() == ("redis://host", False)


# -- O18: what a Redis refuses


@pytest.fixture
def admin(home: Path) -> Iterator[Redis]:
    with redis_client(Address(embedded_client_url(home))) as client:
        yield client


@pytest.fixture
def user(admin: Redis) -> Iterator[Callable[..., str]]:
    """The address of a new user with these rights."""
    made: list[str] = []

    def make(*rights: str) -> str:
        made.append(f"u{uuid.uuid4().hex}")
        admin.execute_command("ACL", "SETUSER", made[-1], "on", ">right", *rights)
        return made[-1]

    yield make
    for name in made:
        admin.execute_command("ACL", "DELUSER", name)


def by(home: Path, name: str, password: str = "right") -> Settings:
    return settings_of(home, REDIS_URL=f"unix://{name}:{password}@{socket_path(home)}?db=0")


def findings(settings: Settings) -> Mapping[str, Any]:
    env = {
        "CRMSYNC_HOME": str(settings.home),
        "REDIS_URL": settings.redis_url,
        "CELERY_BROKER_URL": settings.broker_url,
    }
    result = CliRunner(env=env).invoke(cli, ["doctor", "--json"])
    assert "Traceback" not in result.output
    return {found["name"]: found for found in json.loads(result.output)["checks"] if found["area"] == "Broker"}


def test_O18__a_user_without_info_is_enough(home: Path, user: Callable[..., str]) -> None:
    settings = by(home, user("~*", "&*", "+@all", "-info"))

    assert broker.problem(settings) is None
    found = findings(settings)
    assert [name for name in found if name.startswith(("version", "eviction"))] == []  # only INFO tells them
    assert all(each["is_ok"] for each in found.values())


@pytest.mark.parametrize(
    ("rights", "password", "words"),
    [
        (("~*", "&*", "+@all"), "wrong", "refuses the user or the password"),
        (("~*", "&*", "+@all", "-lpush"), "right", "may not do what crmsync needs"),
        (("~other*", "&*", "+@all"), "right", "may not do what crmsync needs"),
        (("~_kombu*", "&*", "+@all"), "right", "may not do what crmsync needs"),
        (("~*", "resetchannels", "+@all"), "right", "may not do what crmsync needs"),
        (("~*", "&*", "+@all", "-@scripting"), "right", "may not do what crmsync needs"),
    ],
    ids=["wrong password", "a command", "keys of others", "keys of kombu alone", "no channel", "no script"],
)
def test_O18__a_refusal_of_redis_is_one_sentence(
    rights: tuple[str, ...], password: str, words: str, home: Path, user: Callable[..., str]
) -> None:
    settings = by(home, user(*rights), password)

    assert words in (broker.problem(settings) or "")
    (found,) = findings(settings).values()
    assert not found["is_ok"]
    assert words in found["detail"]
    assert "right" not in found["name"]


def test_O18__a_redis_that_asks_for_a_password_and_gets_none(tmp_path: Path) -> None:
    with answering(b"-NOAUTH Authentication required.\r\n") as port:
        settings = settings_of(tmp_path, REDIS_URL=f"redis://127.0.0.1:{port}/0")

        assert "the address has none" in (broker.problem(settings) or "")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"-READONLY You can't write against a read only replica.\r\n", "replica"),
        (b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", "memory is full"),
        (b"-MISCONF Redis is configured to save RDB snapshots, but\r\n", "can't write to its disk"),
        (b"-ERR max number of clients reached\r\n", "too many clients"),
        (b"-ERR DB index is out of range\r\n", "no database of that number"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "still loading its data"),
        (b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL.\r\n", "running a script"),
        (b"-NOREPLICAS Not enough good replicas to write.\r\n", "too few of its replicas"),
        (b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n", "lost its primary"),
        (b"-DENIED Redis is running in protected mode because\r\n", "protected mode"),
        (b"-CLUSTERDOWN Hash slot not served\r\n", "Redis Cluster"),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", "Redis Cluster"),
        (b"-ERR SELECT is not allowed in cluster mode\r\n", "Redis Cluster"),
        (b"-ERR unknown command 'LPUSH'\r\n", "lacks a command"),
        (b"-ERR max daily request limit exceeded\x1b[2J\r\n", r"refuses: max daily request limit exceeded\x1b[2J"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "can't be reached: what answers there"),
    ],
)
def test_O18__a_redis_that_takes_no_messages_says_why(answer: bytes, words: str, tmp_path: Path) -> None:
    with answering(answer) as port:
        assert words in (broker.problem(settings_of(tmp_path, REDIS_URL=f"redis://127.0.0.1:{port}/0")) or "")


@pytest.mark.parametrize("greeting", [b"", b"-ERR max number of clients reached\r\n", b"SSH-2.0-OpenSSH_9\r\n"])
@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_O18__what_hangs_up_at_once_is_no_broker_or_has_no_room(scheme: str, greeting: bytes, tmp_path: Path) -> None:
    """A full Redis, or one in protected mode, says why and closes; whether that is still read is chance."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.sendall(greeting)

        threading.Thread(target=serve, daemon=True).start()
        address = f"{scheme}://u:p@127.0.0.1:{server.getsockname()[1]}/0"
        problem = broker.problem(settings_of(tmp_path, CELERY_BROKER_URL=address)) or ""
        server.shutdown(socket.SHUT_RDWR)

    assert "has it room for one more client" in problem or "too many clients" in problem


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that says the same to everything."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        while connection.recv(4096):
                            connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_O18__nobody_listens_and_no_such_host(tmp_path: Path) -> None:
    assert "nothing listens" in (broker.problem(settings_of(tmp_path, REDIS_URL="redis://127.0.0.1:1/0")) or "")
    assert "no such socket" in (broker.problem(settings_of(tmp_path, REDIS_URL="unix:///nowhere.sock")) or "")


@pytest.mark.parametrize("home", [None, ""], ids=["no variable", "an empty one"])
def test_O18__a_user_without_a_home_is_told_to_set_one(home: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An arbitrary id in a container: it has no line in /etc/passwd."""

    def nobody(uid: int) -> Any:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.delenv("HOME")
    env = {} if home is None else {"HOME": home}

    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env(env)

    assert "this user has no home directory" in caught.value.field_errors["CRMSYNC_HOME"]
    assert Settings.from_env({**env, "CRMSYNC_HOME": "/state"}).pasteable("crmsync runs").startswith("CRMSYNC_HOME=")


class Served:
    """A store over a connection with these parameters."""

    def __init__(self, **parameters: str) -> None:
        self.is_sqlite, self.connection, self.driver_connection, self.pgconn = False, self, self, self
        self.info = [
            SimpleNamespace(keyword=name.encode(), val=value.encode() or None) for name, value in parameters.items()
        ]

    @contextmanager
    def read(self) -> Iterator[Any]:
        yield self


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"host": "db.example"}, ["sslmode is prefer"]),
        ({"host": "db.example", "sslmode": "require"}, ["sslmode is require"]),
        ({"host": "db.example", "sslmode": "verify-ca"}, ["sslmode is verify-ca"]),
        ({"host": "db.example", "sslmode": "verify-full"}, []),
        ({"host": "127.0.0.1"}, []),
        ({"host": "/run/postgresql"}, []),
        ({}, []),
    ],
)
def test_O1__doctor_says_where_the_certificate_of_a_database_is_not_looked_at(
    parameters: dict[str, str], said: list[str]
) -> None:
    found = list(checks.tls_of(Served(**parameters)))  # type: ignore[arg-type]

    assert [each.name for each in found] == said


# -- O16: RabbitMQ


RABBIT = "amqp://guest:guest@127.0.0.1:5672"


def rabbitmqctl(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["rabbitmqctl", "-q", *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def vhost() -> Iterator[str]:
    """A virtual host whose queues are quorum queues by default."""
    name = f"crmsync-{uuid.uuid4().hex[:8]}"
    try:
        made = rabbitmqctl("add_vhost", name, "--default-queue-type", "quorum")
    except (FileNotFoundError, subprocess.TimeoutExpired):
        pytest.skip("there is no rabbitmqctl")
    if made.returncode:
        pytest.skip(f"no RabbitMQ that makes virtual hosts: {made.stderr[:100]}")
    rabbitmqctl("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
    yield name
    rabbitmqctl("delete_vhost", name)


def test_O16__a_worker_works_where_queues_are_quorum_queues_by_default(vhost: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, CELERY_BROKER_URL=f"{RABBIT}/{vhost}")
    code = (
        "from crmsync.celery import app; from kombu import Consumer; c = app.connection_for_read(); ch = c.channel();"
        "[q(ch).declare() for q in app.conf.task_queues]; ch.basic_qos(0, 16, True); print('prefetch holds')"
    )
    asked = shell("python", "-c", code, cwd=tmp_path, CELERY_BROKER_URL=settings.broker_url)

    assert asked.stdout == "prefetch holds\n", asked.stderr
    listed = rabbitmqctl("list_queues", "-p", vhost, "name", "type").stdout
    ours = [line.split() for line in listed.splitlines()[1:] if "foreign" not in line]
    assert {kind for _, kind in ours} == {"classic"}
    assert broker.problem(settings) is None
    assert broker.problem_of_queues(settings, ["crm", "erp", "dead_letter"]) is None


def test_O16__doctor_sends_a_message_and_takes_it_back(vhost: str, tmp_path: Path) -> None:
    (found,) = findings(settings_of(tmp_path, CELERY_BROKER_URL=f"{RABBIT}/{vhost}")).values()

    assert found["is_ok"]
    assert "there and back" in found["detail"]


def test_O16__a_queue_of_another_type_is_named_with_the_cure(vhost: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, CELERY_BROKER_URL=f"{RABBIT}/{vhost}")
    name = f"foreign-{uuid.uuid4().hex[:8]}"
    with Connection(settings.broker_url) as connection, connection.channel() as channel:
        channel.queue_declare(name, durable=True, auto_delete=False)  # the default here: a quorum queue

    assert f"{name}: it has a queue of our name and of another type" in (
        broker.problem_of_queues(settings, [name]) or ""
    )


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("amqp://guest:wrong@127.0.0.1:5672//", "refuses the user or the password"),
        (f"{RABBIT}/no-such-vhost", "no such virtual host"),
        ("amqp://guest:guest@127.0.0.1:1//", "nothing listens"),
    ],
    ids=["wrong password", "no such virtual host", "nobody there"],
)
def test_O18__a_refusal_of_rabbitmq_is_one_sentence(address: str, words: str, vhost: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, CELERY_BROKER_URL=address)

    assert words in (broker.problem(settings) or "")
    (found,) = findings(settings).values()
    assert not found["is_ok"]
    assert words in found["detail"]


def test_O16__a_rabbit_that_takes_and_never_gives_back_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker whose memory or disk is nearly full takes a message, and then nothing more of that connection."""

    class Rabbit(MagicMock):
        def basic_get(self, *_: Any, **__: Any) -> None:
            raise TimeoutError

    monkeypatch.setattr(
        broker, "_rabbit", lambda address: MagicMock(channel=lambda: Rabbit(), close=Rabbit().basic_get)
    )

    assert "did not return it" in (broker.problem(Settings.from_env({"CELERY_BROKER_URL": "amqp://rabbit"})) or "")
