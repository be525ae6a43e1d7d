"""Settings.from_env(): the only reader of the environment; every problem is reported at once, by variable."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from crmsync.broker_address import Address, address_of, read_ca_file, read_url
from crmsync.database_address import problem_of
from crmsync.environment import MINIMUM_SECRET_LENGTH, Reader, Secret, env, instant_of, read, read_into
from crmsync.errors import ConfigurationError
from crmsync.needs import WITHHELD
from crmsync.options import CompanySettings
from crmsync.systems import installed

__all__ = ["Behaviour", "FlowerSettings", "Reader", "Secret", "Settings", "SlackSettings", "instant_of"]

_GRANT = r"[^\s,][^,]*=(viewer|operator|admin)(@[a-z0-9][a-z0-9_-]{0,39})?\s*"


@dataclass(frozen=True, slots=True)
class SlackSettings:
    """Where alerts go: an incoming webhook, or a bot and its channel. Neither: the log and the control tower."""

    webhook_url: Secret | None = env.secret_url("SLACK_WEBHOOK_URL")
    bot_token: Secret | None = env.optional_secret("SLACK_BOT_TOKEN")
    channel: str = env.text("SLACK_CHANNEL")
    api_url: str = read(lambda reader: reader.url("SLACK_API_URL", "https://slack.com/api") + "/")

    @property
    def is_on(self) -> bool:
        return self.webhook_url is not None or self.bot_token is not None

    @property
    def is_withheld(self) -> bool:
        """Whether this process knows of Slack, and can't use it."""
        return any(secret is not None and secret.is_withheld for secret in (self.webhook_url, self.bot_token))


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """An identity provider that signs people in (OpenID Connect); without an issuer there is none."""

    issuer: str = env.url("CRMSYNC_OIDC_ISSUER")
    client_id: str = env.text("CRMSYNC_OIDC_CLIENT_ID")
    client_secret: Secret | None = env.optional_secret("CRMSYNC_OIDC_CLIENT_SECRET")
    roles: str = env.text(  # as domain/sign_on.py reads it
        "CRMSYNC_OIDC_ROLES",
        pattern=rf"\s*[^\s:=,]+\s*:\s*{_GRANT}(,\s*{_GRANT})*",
        expected="a claim and its values, such as groups: crm-admins=admin, acme-sales=viewer@acme",
    )
    title: str = env.text("CRMSYNC_OIDC_NAME", "single sign-on", at_most=60)
    only: bool = env.flag("CRMSYNC_OIDC_ONLY")  # no password opens the control tower

    @property
    def is_on(self) -> bool:
        return bool(self.issuer)


@dataclass(frozen=True, slots=True)
class FlowerSettings:
    basic_auth: Secret | None = read(lambda reader: _logins(reader))  # user:password; None: the control tower's
    address: str = env.host("FLOWER_ADDRESS", "127.0.0.1")
    port: int = env.integer("FLOWER_PORT", 5555, minimum=1, maximum=65535)


@dataclass(frozen=True, slots=True)
class Behaviour(CompanySettings):
    lease_seconds: float = read(lambda reader: float(_lease_seconds(reader)))
    max_retries: int = env.integer("CRMSYNC_MAX_RETRIES", 3, maximum=20)
    retry_backoff_seconds: float = env.seconds("CRMSYNC_RETRY_BACKOFF_SECONDS", "2", maximum="3600")
    sweep_seconds: float = env.seconds("CRMSYNC_SWEEP_SECONDS", "15", minimum="0.5", maximum="3600")
    settle_seconds: float = env.seconds("CRMSYNC_SETTLE_SECONDS", "30", maximum="86400")
    call_seconds: float = read(lambda reader: float(_call_seconds(reader)))
    max_starts: int = env.integer("CRMSYNC_MAX_STARTS", 5, minimum=1, maximum=1000)
    max_body_bytes: int = env.integer("CRMSYNC_MAX_BODY_BYTES", 1_048_576, minimum=1024, maximum=104_857_600)
    workers: int = env.integer("CRMSYNC_WORKERS", 2, minimum=1, maximum=64)
    catch_up_grace_seconds: int = env.integer("CRMSYNC_CATCH_UP_GRACE_SECONDS", 120, maximum=86_400)
    catch_up_overlap_seconds: int = env.integer("CRMSYNC_CATCH_UP_OVERLAP_SECONDS", 900, maximum=2_592_000)
    request_seconds: float = env.seconds("CRMSYNC_REQUEST_SECONDS", "30", minimum="1", maximum="600")
    look_again_seconds: float = env.seconds("CRMSYNC_LOOK_AGAIN_SECONDS", "5", maximum="3600")
    breaker_failures: int = env.integer("CRMSYNC_BREAKER_FAILURES", 20, minimum=1, maximum=1_000_000)
    keep_days: int = env.integer("CRMSYNC_KEEP_DAYS", 90, maximum=36_500)
    database_connections: int = env.integer("CRMSYNC_DATABASE_CONNECTIONS", 5, minimum=1, maximum=100)
    run_ahead: bool = env.flag("CRMSYNC_RUN_AHEAD", "true")
    reserve_percent: int = env.integer("CRMSYNC_RESERVE_PERCENT", 30, maximum=95)

    def reserve_of(self, own: int | None) -> int:
        """The share of a budget that is reserved, where a connection has its *own* or none."""
        return self.reserve_percent if own is None else own

    @property
    def look_again(self) -> timedelta:
        return timedelta(seconds=self.look_again_seconds)

    @property
    def queued_for(self) -> timedelta:
        """How long a message is believed to be on its way before the sweeper sends another."""
        return timedelta(seconds=self.lease_seconds / 2)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the environment decides."""

    home: Path = read(lambda reader: _home(reader))
    database_url: str = read(lambda reader: _database_url(reader, _home(reader)))
    # "" means: the embedded server of *home*; for the broker: redis_url.
    redis_url: str = read(lambda reader: read_url(reader, "REDIS_URL", ("redis", "rediss", "unix")))
    broker_url: str = read(
        lambda reader: read_url(reader, "CELERY_BROKER_URL", ("redis", "rediss", "redis+socket", "amqp", "amqps"))
    )
    broker_ca_file: str = read(lambda reader: read_ca_file(reader))
    secret_key: Secret | None = env.optional_secret("CRMSYNC_SECRET_KEY", minimum_length=32)
    # What it has sealed is opened; CRMSYNC_SECRET_KEY is the one that seals.
    secret_key_previous: Secret | None = env.optional_secret("CRMSYNC_SECRET_KEY_PREVIOUS", minimum_length=32)
    metrics_token: Secret | None = env.optional_secret("CRMSYNC_METRICS_TOKEN", minimum_length=MINIMUM_SECRET_LENGTH)
    tower_password: Secret | None = env.optional_secret("CRMSYNC_TOWER_PASSWORD", minimum_length=MINIMUM_SECRET_LENGTH)
    host: str = env.host("CRMSYNC_HOST", "127.0.0.1")
    port: int = env.integer("PORT", 8000, minimum=1, maximum=65535)
    admin_host: str = read(
        lambda reader: reader.host("CRMSYNC_ADMIN_HOST", "") or reader.host("CRMSYNC_HOST", "127.0.0.1")
    )
    admin_port: int = read(lambda reader: _admin_port(reader))  # 0: the private pages are on the same port as the doors
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = read(
        lambda reader: _networks(reader, "CRMSYNC_TRUSTED_PROXIES", "127.0.0.1,::1")
    )
    api_per_minute: int = env.integer("CRMSYNC_API_PER_MINUTE", 600, minimum=1, maximum=1_000_000)
    proxy_user_header: str = env.text(
        "CRMSYNC_PROXY_USER_HEADER", pattern="[A-Za-z][A-Za-z0-9-]{0,99}", expected="a header such as X-Forwarded-User"
    )
    public_url: str = env.url("CRMSYNC_PUBLIC_URL")
    doors_url: str = env.url("CRMSYNC_DOORS_URL")
    log_style: str = env.text("CRMSYNC_LOG_STYLE", "json", pattern="json|console", expected="json or console")
    log_level: str = env.text(
        "CRMSYNC_LOG_LEVEL", "INFO", pattern="DEBUG|INFO|WARNING|ERROR", expected="DEBUG, INFO, WARNING or ERROR"
    )
    # Of connections that people make; the environment's own go wherever it says.
    allow_http: bool = env.flag("CRMSYNC_ALLOW_HTTP")
    allow_private_addresses: bool = env.flag("CRMSYNC_ALLOW_PRIVATE_ADDRESSES")
    failpoints: Path | None = env.folder("CRMSYNC_FAILPOINTS")  # where `crmsync prove` says what to kill
    go_live: datetime | None = env.instant("CRMSYNC_GO_LIVE")
    behaviour: Behaviour = read(lambda reader: _behaviour(reader))
    slack: SlackSettings = read(lambda reader: _slack(reader))
    oidc: OidcSettings = read(lambda reader: _oidc(reader))
    flower: FlowerSettings = read(lambda reader: read_into(FlowerSettings, reader))
    systems: Mapping[str, Any] = read(lambda reader: _systems(reader))  # each one's own, where it is configured

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read *env* (default: the process's own).

        Raises: ConfigurationError, whose field_errors name every variable at fault.
        """
        reader = Reader(os.environ if env is None else env)
        settings = _read(reader)
        if reader.problems:
            raise ConfigurationError(
                "The environment is not right.",
                field_errors=reader.problems,
                advice="docs/configuration.md describes every variable.",
            )
        return settings

    @property
    def redis_address(self) -> Address:
        """REDIS_URL, else a broker that is a Redis; empty where that is the embedded server."""
        broker = "" if self.broker_url.startswith("amqp") else self.broker_url
        return address_of(self.redis_url or broker, self.broker_ca_file)

    @property
    def broker_address(self) -> Address:
        """Celery's broker; empty where that is the embedded server."""
        return address_of(self.broker_url or self.redis_url, self.broker_ca_file)

    @property
    def has_default_store(self) -> bool:
        return self.database_url == _default_store(self.home)

    @property
    def tower_url(self) -> str:
        """Where people open the control tower."""
        host, port = (self.admin_host, self.admin_port) if self.admin_port else (self.host, self.port)
        return self.public_url or f"http://{host}:{port}"

    @property
    def receiver_url(self) -> str:
        """Where senders reach the doors from outside, "" where nobody says: PUBLIC_URL may be the tower's alone."""
        return self.doors_url or ("" if self.admin_port else self.public_url)

    def pasteable(self, command: str) -> str:
        """*command* as it works in another shell: with CRMSYNC_HOME where that is not the default."""
        is_default = False
        with suppress(RuntimeError):
            is_default = self.home == default_home({key: os.environ[key] for key in ("HOME",) if key in os.environ})
        return command if is_default else f"CRMSYNC_HOME={shlex.quote(str(self.home))} {command}"


def default_home(env: Mapping[str, str]) -> Path:
    """Raises: RuntimeError for a user without a home directory, such as an arbitrary id in a container."""
    return Path(env.get("CRMSYNC_HOME") or Path(env.get("HOME") or "~", ".local", "state", "crmsync")).expanduser()


def known_names() -> frozenset[str]:
    """Every variable that is read, also those of systems that are not configured."""
    reader = Reader({})
    _read(reader)
    for system in installed().values():
        read_into(system.settings, reader)
    return frozenset({*reader.names, *(f"{name}_FILE" for name in reader.secrets)})


def _read(reader: Reader) -> Settings:
    return read_into(Settings, reader)


def _systems(reader: Reader) -> Mapping[str, Any]:
    found = {name: system.read(reader) for name, system in installed().items()}
    return {name: own for name, own in found.items() if own is not None}


def _admin_port(reader: Reader) -> int:
    port = reader.integer("CRMSYNC_ADMIN_PORT", 0, minimum=1, maximum=65535)
    if port and port == reader.integer("PORT", 8000, minimum=1, maximum=65535):
        reader.problems["CRMSYNC_ADMIN_PORT"] = "must differ from PORT"
    return port


def _networks(reader: Reader, name: str, default: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Addresses or networks, between commas or blanks."""
    try:
        return tuple(ip_network(each) for each in re.split(r"[,\s]+", reader.text(name, default)) if each)
    except ValueError:
        reader.problems.setdefault(name, "expected addresses or networks between commas, such as 10.0.0.0/8")
        return ()


def _home(reader: Reader) -> Path:
    try:
        home = Path(reader.raw("CRMSYNC_HOME") or default_home(reader._env)).expanduser().absolute()
    except (RuntimeError, OSError):  # the latter where the current folder is gone
        reader.problems.setdefault("CRMSYNC_HOME", "must be set to a folder, because this user has no home directory")
        return Path("/nowhere")
    if re.search("[?%]", str(home)):  # in the address of its database they mean something else
        reader.problems.setdefault("CRMSYNC_HOME", "must not contain ? or %: its database would be created elsewhere")
    return home


def _default_store(home: Path) -> str:
    return f"sqlite:///{home / 'crmsync.db'}"


def _database_url(reader: Reader, home: Path) -> str:
    url = reader.secret_text("DATABASE_URL") or _default_store(home)
    url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)
    if url == WITHHELD or url == _default_store(home):
        return url
    is_known = re.match(r"(sqlite|postgresql\+psycopg)://", url)
    problem = problem_of(url) if is_known else "expected sqlite:///… or postgresql://…"
    if problem:
        reader.problems.setdefault("DATABASE_URL", problem)
    return url


def _behaviour(reader: Reader) -> Behaviour:
    behaviour = read_into(Behaviour, reader)
    if behaviour.catch_up_overlap_seconds <= behaviour.catch_up_grace_seconds:
        reader.problems["CRMSYNC_CATCH_UP_OVERLAP_SECONDS"] = "must be more than CRMSYNC_CATCH_UP_GRACE_SECONDS"
    if behaviour.call_seconds > 0.45 * behaviour.lease_seconds:
        reader.problems["CRMSYNC_CALL_SECONDS"] = "must be at most 0.45 of CRMSYNC_LEASE_SECONDS: two calls must fit"
    return behaviour


def _lease_seconds(reader: Reader) -> Decimal:
    return reader.number("CRMSYNC_LEASE_SECONDS", "60", minimum="1", maximum="3600")


def _call_seconds(reader: Reader) -> Decimal:
    """A call must end well within the lease: two fit into one."""
    default = min(Decimal(25), _lease_seconds(reader) * Decimal("0.4"))
    return reader.number("CRMSYNC_CALL_SECONDS", str(default), minimum="0.1", maximum="1620")


def _slack(reader: Reader) -> SlackSettings:
    slack = read_into(SlackSettings, reader)
    if slack.bot_token and not slack.channel:
        reader.problems["SLACK_CHANNEL"] = "is missing: SLACK_BOT_TOKEN needs a channel"
    return slack


def _oidc(reader: Reader) -> OidcSettings:
    found = read_into(OidcSettings, reader)
    if not found.is_on:
        if found.only:
            reader.problems["CRMSYNC_OIDC_ISSUER"] = "is missing: CRMSYNC_OIDC_ONLY would let nobody in"
        return found
    if not found.client_id:
        reader.problems["CRMSYNC_OIDC_CLIENT_ID"] = "is missing: CRMSYNC_OIDC_ISSUER needs it"
    if not found.roles:
        reader.problems.setdefault("CRMSYNC_OIDC_ROLES", "is missing: nobody gets in without a role")
    return found


def _logins(reader: Reader) -> Secret | None:
    basic_auth = reader.optional_secret("FLOWER_BASIC_AUTH")
    is_given = basic_auth is not None and not basic_auth.is_withheld
    if basic_auth is not None and is_given and not re.fullmatch(r"[^:,]+:[^,]+(,[^:,]+:[^,]+)*", basic_auth.reveal()):
        reader.problems.setdefault("FLOWER_BASIC_AUTH", "expected user:password, with neither of them empty")
    return basic_auth
