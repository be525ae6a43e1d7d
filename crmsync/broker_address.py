"""The broker's address: validates it, and says how each client connects to it, with verified TLS.

Each client has words of its own for TLS, and kombu's default is to trust anybody. So nobody gives an address to a
client as it is: `Address` takes the TLS parameters off it, and makes the options of each client.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from crmsync.environment import Reader
from crmsync.needs import WITHHELD
from crmsync.plain import visible

CA_VARIABLE = "CRMSYNC_BROKER_CA_FILE"
QUEUE_ARGUMENTS = {"x-queue-type": "classic"}
"""Named, because a RabbitMQ may make quorum queues by default, which count no prefetch for a whole channel."""

_TLS_SCHEMES = ("rediss", "amqps")
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_SOCKETS = ("unix", "redis+socket")
_SECONDS = ("socket_timeout", "socket_connect_timeout", "health_check_interval")
# Each is one that all clients of such an address know, or that is kept from those who do not.
_OPTIONS = {
    "amqp": ("heartbeat", "connect_timeout", "login_method"),
    "amqps": ("heartbeat", "connect_timeout", "login_method"),
    "redis+socket": ("virtual_host",),
}
_REDIS_OPTIONS = ("db", *_SECONDS)
_ENCODED = "in a user name or password, @ : / ? # and % are written %40 %3A %2F %3F %23 and %25"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and the files that TLS to it needs, under redis-py's names for them."""

    url: str
    files: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.url)

    @property
    def is_rabbit(self) -> bool:
        return self.url.startswith("amqp")

    @property
    def is_tls(self) -> bool:
        return self.url.startswith(_TLS_SCHEMES)

    def redis_py(self) -> tuple[str, dict[str, Any]]:
        """The arguments of redis-py's from_url()."""
        url = self.url
        if url.startswith("redis+socket://"):
            url = url.replace("redis+socket://", "unix://", 1).replace("virtual_host=", "db=", 1)
        return url, self._redis_tls()

    def kombu(self) -> tuple[str, dict[str, Any] | bool]:
        """The address as kombu, Celery and Flower write it, and what `broker_use_ssl` has to be."""
        url = self.url if self.is_rabbit else _without_options(self.url)
        if not self.is_tls:
            return url, False
        return url, self._amqp_tls() if self.is_rabbit else self._redis_tls()

    def _redis_tls(self) -> dict[str, Any]:
        if not self.is_tls:
            return {}
        return {"ssl_cert_reqs": "required", "ssl_check_hostname": True, **self.files}

    def _amqp_tls(self) -> dict[str, Any]:
        files = {name.removeprefix("ssl_"): path for name, path in self.files.items()}
        # None: kombu puts the host in, and py-amqp checks the name only where there is one.
        return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None, **files}


def address_of(url: str, ca_file: str = "") -> Address:
    """*url* without its TLS parameters, which only name files: no parameter turns a check off.

    >>> address_of("rediss://cache:6380/0?ssl_cert_reqs=CERT_REQUIRED&health_check_interval=5", "/etc/ca.pem")
    Address(url='rediss://cache:6380/0?health_check_interval=5', files={'ssl_ca_certs': '/etc/ca.pem'})
    """
    base, _, query = url.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    files = {"ssl_ca_certs": ca_file} if ca_file and url.startswith(_TLS_SCHEMES) else {}
    files |= {name: value for name, value in pairs if name in _TLS_FILES}
    rest = urlencode([pair for pair in pairs if not pair[0].startswith("ssl_")], safe="/")
    return Address(f"{base}?{rest}" if rest else base, files)


def _without_options(url: str) -> str:
    """A Redis's address as kombu takes it: that ends at an option it does not know, and knows the database only.

    >>> _without_options("redis://cache:6379?socket_timeout=5&db=3"), _without_options("unix:///run/r.sock?db=1")
    ('redis://cache:6379/3', 'redis+socket:///run/r.sock?virtual_host=1')
    """
    base, _, query = url.partition("?")
    options = dict(parse_qsl(query))
    database = options.get("db") or options.get("virtual_host")
    if urlsplit(url).scheme in _SOCKETS:
        base = base.replace("unix://", "redis+socket://", 1)
        return f"{base}?virtual_host={database}" if database else base
    return urlsplit(base)._replace(path=f"/{database}").geturl() if database else base


def read_url(reader: Reader, name: str, schemes: tuple[str, ...]) -> str:
    """The address in *name*; what is wrong with it is remembered by *reader*."""
    url = reader.secret_text(name)
    problem = _problem(url, schemes) if url and url != WITHHELD else ""
    if problem:
        reader.problems.setdefault(name, problem)
    return url


def read_ca_file(reader: Reader) -> str:
    path = reader.raw(CA_VARIABLE)
    problem = _problem_of_file(path) if path else ""
    if problem:
        reader.problems.setdefault(CA_VARIABLE, problem)
    return path


def _problem(url: str, schemes: tuple[str, ...]) -> str:
    scheme = url.partition(":")[0].lower()
    if scheme not in schemes or "://" not in url:
        return f"expected an address starting with one of {', '.join(f'{each}://' for each in schemes)}"
    return _problem_of_parts(url) or _problem_of_tls(url) or _problem_of_options(url)


def _problem_of_parts(url: str) -> str:
    """An unencoded / ? or # ends the host's name early, so the rest of a password is taken for something else."""
    try:
        parts = urlsplit(url)
        is_whole = parts.port is None or parts.port >= 0
    except ValueError:
        is_whole = False
    if not is_whole or "#" in url or "@" in url.partition("://")[2].partition("@")[2] or _host_is_lost(url):
        return f"can't be read: {_ENCODED}"
    if parts.scheme in _SOCKETS:
        return "" if parts.path.strip("/") else "has no path of a socket: expected unix:///path/of/redis.sock"
    if not parts.hostname:
        return "has no host"
    is_redis = not parts.scheme.startswith("amqp")
    return "the database after the host must be a number" if is_redis and not _is_number(parts.path) else ""


def _host_is_lost(url: str) -> bool:
    parts = urlsplit(url)
    return "@" in unquote(parts.path + parts.query) and "@" not in parts.netloc and "@" in url


def _is_number(path: str) -> bool:
    return bool(re.fullmatch(r"/?[0-9]{0,5}", path))


def _problem_of_tls(url: str) -> str:
    query = dict(parse_qsl(urlsplit(url).query))
    if query.get("ssl_cert_reqs", "").lower().removeprefix("cert_") not in ("", "required", "optional"):
        return f"ssl_cert_reqs must be required; {CA_VARIABLE} names the file of a CA of your own"
    if query.get("ssl_check_hostname", "true").lower() not in ("true", "1", "yes"):
        return "ssl_check_hostname can't be switched off: use the name for which the certificate was made"
    for name in query:
        if name.startswith("ssl_") and name not in (*_TLS_FILES, "ssl_cert_reqs", "ssl_check_hostname"):
            return f"{name} is not supported; {', '.join(_TLS_FILES)} are"
    files = [query[name] for name in _TLS_FILES if name in query]
    return next((f"{path} {problem}" for path in files if (problem := _problem_of_file(path))), "")


def _problem_of_options(url: str) -> str:
    parts = urlsplit(url)
    known = _OPTIONS.get(parts.scheme, _REDIS_OPTIONS)
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in (*known, *_TLS_FILES, "ssl_cert_reqs", "ssl_check_hostname"):
            return f"the option {visible(name)} is not supported; {', '.join(known)} are"
        if name in ("db", "virtual_host") and not re.fullmatch(r"[0-9]{1,5}", value):
            return f"the option {name} must be a number"
        if name in (*_SECONDS, "heartbeat", "connect_timeout") and not re.fullmatch(r"[0-9]{1,5}(\.[0-9]+)?", value):
            return f"the option {name} must be a number of seconds"
    return ""


def _problem_of_file(path: str) -> str:
    try:
        text = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        return f"can't be read: {getattr(error, 'strerror', None) or 'no such path'}"
    return "" if b"-----BEGIN " in text else "is not a PEM file"
