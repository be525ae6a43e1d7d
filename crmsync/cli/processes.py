"""The processes of crmsync: the Procfile of an installed package, turned into specifications for the supervisor."""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from crmsync import embedded, needs
from crmsync.settings import Settings
from crmsync.supervisor import ProcessSpec

# The Procfile stands outside of the package; tests/unit/cli/test_processes.py compares the two.
COMMANDS: Mapping[str, str] = {
    "release": "crmsync migrate",
    "web": "gunicorn crmsync.web.wsgi:app --config python:crmsync.web.serving",
    "worker": (
        "celery -A crmsync worker --hostname ${CRMSYNC_WORKER_NAME:-worker}@%h --pool threads --concurrency 24"
        " --without-gossip --without-mingle --loglevel INFO"
    ),
    "beat": "celery -A crmsync beat --loglevel INFO",
    "flower": (
        "celery -A crmsync flower --address=${FLOWER_ADDRESS:-127.0.0.1} --port=${FLOWER_PORT:-5555}"
        " --persistent=False --read_only=True"
    ),
}
_PORT_PROBLEMS = {
    errno.EADDRINUSE: "is taken by another process",
    errno.EACCES: "may not be used by this user: ports below 1024 belong to the system",
}
# Below those that Linux (from 32768) and others (from 49152) give to connections that go out.
_PORTS_TO_SERVE = range(10240, 32768)
EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - addresses to recognise, none is bound here


def specs(settings: Settings, *, ready: Mapping[str, Callable[[], bool]] | None = None) -> list[ProcessSpec]:
    """Every process in the order of starting; *ready* adds readiness checks."""
    checks = {"web": lambda: answers(f"{local_url(settings)}/healthz"), **(ready or {})}
    made = [
        ProcessSpec(
            instance,
            command,
            env=env,
            ready=checks.get(name),
            once=name == "release",
            passes=partial(needs.for_process, name),
        )
        for name, command in COMMANDS.items()
        for instance, env in _instances(name, settings)
    ]
    return [redis_spec(settings.home), *made] if uses_embedded_redis(settings) else made


def _instances(name: str, settings: Settings) -> list[tuple[str, dict[str, str]]]:
    """One of each process, but as many workers as are asked for, each under a name of its own."""
    if name != "worker":
        return [(name, {})]
    names = [f"worker{number}" for number in range(1, settings.behaviour.workers + 1)]
    return [(instance, {"CRMSYNC_WORKER_NAME": instance}) for instance in names]


def redis_spec(home: Path) -> ProcessSpec:
    """The process of the embedded Redis server. Raises: ConfigurationError if there is no server to start."""
    return ProcessSpec("redis", embedded.command(home), ready=lambda: embedded.is_running(home), passes=needs.plain)


def uses_embedded_redis(settings: Settings) -> bool:
    return not (settings.redis_url or settings.broker_url)


def local_url(settings: Settings) -> str:
    """The receiver's address on this machine."""
    host = "127.0.0.1" if settings.host in EVERYWHERE else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def answers(url: str) -> bool:
    """True if a server of this machine answers 200; a proxy of the environment has no part in it."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def taken(addresses: Iterable[tuple[str, int]]) -> list[int]:
    """The ports among *addresses* that something listens on already."""
    return [port for host, port in addresses if why_not(host, port)]


def why_not(host: str, port: int) -> str:
    """Why nobody can begin to listen there; "" if one can."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return _PORT_PROBLEMS.get(error.errno or 0) or f"can't be used at {host} ({error.strerror})"
    return ""


def next_free(host: str, port: int) -> int | None:
    """A port above *port* that nobody listens on."""
    return next((each for each in range(port + 1, min(port + 100, 65536)) if not why_not(host, each)), None)


def free_ports(count: int) -> Sequence[int]:
    """Ports of this machine that nobody uses now, and that no connection which goes out is given meanwhile."""
    ports: list[int] = []
    while len(ports) < count:
        port = secrets.choice(_PORTS_TO_SERVE)
        if port not in ports and not why_not("127.0.0.1", port):
            ports.append(port)
    return ports
