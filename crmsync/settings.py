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

from crmsync.broker_address import Address, address_of, read_ca_file, read_url
from crmsync.database_address import problem_of
from crmsync.environment import Reader, Secret, instant_of
from crmsync.errors import ConfigurationError
from crmsync.needs import WITHHELD
from crmsync.system_settings import (
    MINIMUM_SECRET_LENGTH,
    WEBHOOK_FORMS,
    SalesforceSettings,
    SapSettings,
    WebhookKeys,
    ZohoBooksSettings,
    read_salesforce,
    read_sap,
    read_zoho_books,
)

__all__ = [
    "MINIMUM_SECRET_LENGTH",
    "WEBHOOK_FORMS",
    "Behaviour",
    "FlowerSettings",
    "Reader",
    "SalesforceSettings",
    "SapSettings",
    "Secret",
    "Settings",
    "SlackSettings",
    "WebhookKeys",
    "ZohoBooksSettings",
    "instant_of",
]


@dataclass(frozen=True, slots=True)
class SlackSettings:
    """Where alerts go: an incoming webhook, or a bot and its channel. Neither: the log and the control tower."""

    webhook_url: Secret | None
    bot_token: Secret | None
    channel: str
    api_url: str

    @property
    def is_on(self) -> bool:
        return self.webhook_url is not None or self.bot_token is not None

    @property
    def is_withheld(self) -> bool:
        """Whether this process knows of Slack, and can't use it."""
        return any(secret is not None and secret.is_withheld for secret in (self.webhook_url, self.bot_token))


@dataclass(frozen=True, slots=True)
class FlowerSettings:
    address: str
    port: int
    basic_auth: Secret | None  # user:password; None: the control tower's


@dataclass(frozen=True, slots=True)
class Behaviour:
    max_retries: int
    retry_backoff_seconds: float
    lease_seconds: float
    sweep_seconds: float
    settle_seconds: float
    call_seconds: float
    max_starts: int
    payment_terms_days: int
    send_on_create: bool
    default_currency: str
    low_stock_threshold: Decimal
    max_body_bytes: int
    workers: int
    inventory_seconds: int
    catch_up_seconds: int
    catch_up_grace_seconds: int
    catch_up_overlap_seconds: int
    silence_seconds: int
    reserve_percent: int
    breaker_failures: int
    held_orders: str  # review | alert | note
    compare_seconds: int
    look_again_seconds: float
    request_seconds: float
    database_connections: int
    keep_days: int

    @property
    def look_again(self) -> timedelta:
        return timedelta(seconds=self.look_again_seconds)

    @property
    def queued_for(self) -> timedelta:
        """How long a message is believed to be on its way before the sweeper sends another."""
        return timedelta(seconds=self.lease_seconds / 2)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the environment decides. A vendor that is not configured is None."""

    home: Path
    database_url: str
    redis_url: str  # "" means: the embedded server of *home*
    broker_url: str  # "" means: redis_url
    broker_ca_file: str
    secret_key: Secret | None
    tower_password: Secret | None
    metrics_token: Secret | None
    host: str
    port: int
    admin_host: str
    admin_port: int  # 0: the private pages are on the same port as the doors
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    public_url: str
    log_style: str
    log_level: str
    failpoints: Path | None  # where `crmsync prove` says what to kill
    go_live: datetime | None
    behaviour: Behaviour
    slack: SlackSettings
    flower: FlowerSettings
    salesforce: SalesforceSettings | None
    sap: SapSettings | None
    zoho_books: ZohoBooksSettings | None

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

    def pasteable(self, command: str) -> str:
        """*command* as it works in another shell: with CRMSYNC_HOME where that is not the default."""
        is_default = False
        with suppress(RuntimeError):
            is_default = self.home == default_home({key: os.environ[key] for key in ("HOME",) if key in os.environ})
        return command if is_default else f"CRMSYNC_HOME={shlex.quote(str(self.home))} {command}"


def default_home(env: Mapping[str, str]) -> Path:
    """Raises: RuntimeError for a user without a home directory, such as an arbitrary id in a container."""
    return Path(env.get("CRMSYNC_HOME") or Path(env.get("HOME") or "~", ".local", "state", "crmsync")).expanduser()


def _read(reader: Reader) -> Settings:
    reader.flag("CRMSYNC_ALLOW_HTTP")  # checked even where no address asks for it
    home = _home(reader)
    return Settings(
        home=home,
        database_url=_database_url(reader, home),
        redis_url=read_url(reader, "REDIS_URL", ("redis", "rediss", "unix")),
        broker_url=read_url(reader, "CELERY_BROKER_URL", ("redis", "rediss", "redis+socket", "amqp", "amqps")),
        broker_ca_file=read_ca_file(reader),
        secret_key=reader.optional_secret("CRMSYNC_SECRET_KEY", minimum_length=32),
        metrics_token=reader.optional_secret("CRMSYNC_METRICS_TOKEN", minimum_length=MINIMUM_SECRET_LENGTH),
        tower_password=reader.optional_secret("CRMSYNC_TOWER_PASSWORD", minimum_length=MINIMUM_SECRET_LENGTH),
        host=reader.text("CRMSYNC_HOST", "127.0.0.1"),
        port=reader.integer("PORT", 8000, minimum=1, maximum=65535),
        admin_host=reader.text("CRMSYNC_ADMIN_HOST") or reader.text("CRMSYNC_HOST", "127.0.0.1"),
        admin_port=_admin_port(reader),
        trusted_proxies=_networks(reader, "CRMSYNC_TRUSTED_PROXIES", "127.0.0.1,::1"),
        public_url=reader.url("CRMSYNC_PUBLIC_URL"),
        log_style=reader.text("CRMSYNC_LOG_STYLE", "json", pattern="json|console", expected="json or console"),
        log_level=reader.text("CRMSYNC_LOG_LEVEL", "INFO", pattern="DEBUG|INFO|WARNING|ERROR"),
        failpoints=reader.folder("CRMSYNC_FAILPOINTS"),
        go_live=reader.instant("CRMSYNC_GO_LIVE"),
        behaviour=_behaviour(reader),
        slack=_slack(reader),
        flower=_flower(reader),
        salesforce=read_salesforce(reader),
        sap=read_sap(reader),
        zoho_books=read_zoho_books(reader),
    )


def _admin_port(reader: Reader) -> int:
    port = reader.integer("CRMSYNC_ADMIN_PORT", 0, minimum=1, maximum=65535)
    if port and port == reader.integer("PORT", 8000, minimum=1, maximum=65535):
        reader.problems["CRMSYNC_ADMIN_PORT"] = "must be another port than PORT"
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
        return Path(reader.raw("CRMSYNC_HOME") or default_home(reader._env)).expanduser().absolute()
    except (RuntimeError, OSError):  # the latter where the current folder is gone
        reader.problems.setdefault("CRMSYNC_HOME", "must be set to a folder, because this user has no home directory")
        return Path("/nowhere")


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
    lease_seconds = reader.number("CRMSYNC_LEASE_SECONDS", "60", minimum="1", maximum="3600")
    # A call must end well within the lease: two fit into one.
    call_seconds = min(Decimal(25), lease_seconds * Decimal("0.4"))
    behaviour = Behaviour(
        max_retries=reader.integer("CRMSYNC_MAX_RETRIES", 3, maximum=20),
        retry_backoff_seconds=float(reader.number("CRMSYNC_RETRY_BACKOFF_SECONDS", "2", maximum="3600")),
        lease_seconds=float(lease_seconds),
        sweep_seconds=float(reader.number("CRMSYNC_SWEEP_SECONDS", "15", minimum="0.5", maximum="3600")),
        settle_seconds=float(reader.number("CRMSYNC_SETTLE_SECONDS", "30", maximum="86400")),
        call_seconds=float(reader.number("CRMSYNC_CALL_SECONDS", str(call_seconds), minimum="0.1", maximum="1620")),
        max_starts=reader.integer("CRMSYNC_MAX_STARTS", 5, minimum=1, maximum=1000),
        payment_terms_days=reader.integer("CRMSYNC_PAYMENT_TERMS_DAYS", 30, maximum=3650),
        send_on_create=reader.flag("CRMSYNC_SEND_ON_CREATE"),
        default_currency=reader.text("CRMSYNC_DEFAULT_CURRENCY", pattern="[A-Z]{3}", expected="a code such as USD"),
        low_stock_threshold=reader.number("CRMSYNC_LOW_STOCK_THRESHOLD", "10", maximum="999999999"),
        max_body_bytes=reader.integer("CRMSYNC_MAX_BODY_BYTES", 1_048_576, minimum=1024, maximum=104_857_600),
        workers=reader.integer("CRMSYNC_WORKERS", 2, minimum=1, maximum=64),
        inventory_seconds=reader.integer("CRMSYNC_INVENTORY_SECONDS", 3600, maximum=2_592_000),
        catch_up_seconds=reader.integer("CRMSYNC_CATCH_UP_SECONDS", 600, maximum=2_592_000),
        catch_up_grace_seconds=reader.integer("CRMSYNC_CATCH_UP_GRACE_SECONDS", 120, maximum=86_400),
        catch_up_overlap_seconds=reader.integer("CRMSYNC_CATCH_UP_OVERLAP_SECONDS", 900, maximum=2_592_000),
        silence_seconds=reader.integer("CRMSYNC_SILENCE_SECONDS", 3600, maximum=2_592_000),
        request_seconds=float(reader.number("CRMSYNC_REQUEST_SECONDS", "30", minimum="1", maximum="600")),
        look_again_seconds=float(reader.number("CRMSYNC_LOOK_AGAIN_SECONDS", "5", maximum="3600")),
        held_orders=reader.text(
            "CRMSYNC_HELD_ORDERS", "review", pattern="review|alert|note", expected="review, alert or note"
        ),
        compare_seconds=reader.integer("CRMSYNC_COMPARE_SECONDS", 60, maximum=1_000_000),
        breaker_failures=reader.integer("CRMSYNC_BREAKER_FAILURES", 20, minimum=1, maximum=1_000_000),
        keep_days=reader.integer("CRMSYNC_KEEP_DAYS", 90, maximum=36_500),
        database_connections=reader.integer("CRMSYNC_DATABASE_CONNECTIONS", 5, minimum=1, maximum=100),
        reserve_percent=reader.integer("CRMSYNC_RESERVE_PERCENT", 30, maximum=95),
    )
    if behaviour.catch_up_overlap_seconds <= behaviour.catch_up_grace_seconds:
        reader.problems["CRMSYNC_CATCH_UP_OVERLAP_SECONDS"] = "must be more than CRMSYNC_CATCH_UP_GRACE_SECONDS"
    if behaviour.call_seconds > 0.45 * behaviour.lease_seconds:
        reader.problems["CRMSYNC_CALL_SECONDS"] = "must be at most 0.45 of CRMSYNC_LEASE_SECONDS: two calls must fit"
    return behaviour


def _slack(reader: Reader) -> SlackSettings:
    slack = SlackSettings(
        webhook_url=reader.secret_url("SLACK_WEBHOOK_URL"),
        bot_token=reader.optional_secret("SLACK_BOT_TOKEN"),
        channel=reader.text("SLACK_CHANNEL"),
        api_url=reader.url("SLACK_API_URL", "https://slack.com/api") + "/",
    )
    if slack.bot_token and not slack.channel:
        reader.problems["SLACK_CHANNEL"] = "is missing: SLACK_BOT_TOKEN needs a channel"
    return slack


def _flower(reader: Reader) -> FlowerSettings:
    basic_auth = reader.optional_secret("FLOWER_BASIC_AUTH")
    is_given = basic_auth is not None and not basic_auth.is_withheld
    if basic_auth is not None and is_given and not re.fullmatch(r"[^:,]+:[^,]+(,[^:,]+:[^,]+)*", basic_auth.reveal()):
        reader.problems.setdefault("FLOWER_BASIC_AUTH", "expected user:password, with neither of them empty")
    return FlowerSettings(
        address=reader.text("FLOWER_ADDRESS", "127.0.0.1"),
        port=reader.integer("FLOWER_PORT", 5555, minimum=1, maximum=65535),
        basic_auth=basic_auth,
    )
