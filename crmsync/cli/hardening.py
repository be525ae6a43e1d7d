"""The checks of `crmsync doctor --security`: the hardening list of SECURITY.md, as far as this process can see it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from crmsync import files, needs
from crmsync.broker_address import Address
from crmsync.cli.finding import Finding
from crmsync.environment import THIS_MACHINE, Secret
from crmsync.errors import CrmsyncError
from crmsync.settings import Settings

if TYPE_CHECKING:
    from crmsync.declared import Setting

AREA = "Security"
LONG_ENOUGH = 24  # characters: what a generator gives, and nobody thinks up
# What the sandbox, examples and tired people use.
PUBLIC_WORDS = ("sandbox", "changeme", "change-me", "password", "secret", "crmsync", "123456")

Check = Callable[[Settings], Iterator[tuple[str, str]]]
"""Yields what is checked, and what to do about it; "" where nothing is to be done."""


def all_of(settings: Settings) -> Iterator[Finding]:
    for check in CHECKS:
        for name, advice in check(settings):
            yield Finding(AREA, name, not advice, advice)


def _user(settings: Settings) -> Iterator[tuple[str, str]]:
    is_root = os.geteuid() == 0
    yield (
        "runs without root",
        "run crmsync as a user of its own: root can read and change everything" if is_root else "",
    )


def _files(settings: Settings) -> Iterator[tuple[str, str]]:
    paths = [settings.home, *files.exposed(settings.home)[:10]]
    open_to = [(path, files.open_to_others(path)) for path in paths]
    advice = "; ".join(f"others may {may} {path}: chmod go= {path}" for path, may in open_to if may)
    yield "state directory is its owner's alone", advice


def _secret_files(settings: Settings) -> Iterator[tuple[str, str]]:
    """Those that an orchestrator mounts are seen by the container alone, and are often 0444."""
    named = [os.environ.get(f"{name}_FILE", "").strip() for name in sorted(needs.secrets())]
    paths = [Path(path).expanduser() for path in named if path and not path.startswith(("/run/secrets/", "/var/run/"))]
    advice = "; ".join(
        f"others may {may} {path}: chmod go= {path}" for path in paths if (may := files.open_to_others(path))
    )
    yield "files with secrets are their owner's alone", advice


def _own_key(settings: Settings) -> Iterator[tuple[str, str]]:
    advice = (
        "the key is stored beside the database that it protects: keep it elsewhere, and set CRMSYNC_SECRET_KEY_FILE"
    )
    yield "secret key is set", "" if settings.secret_key else advice


def _secrets(settings: Settings) -> Iterator[tuple[str, str]]:
    for name, secret in _known(settings).items():
        yield f"{name} can't be guessed", _weakness(secret)


def _known(settings: Settings) -> dict[str, Secret]:
    """The secrets that we, and not a vendor, made up."""
    found = {
        "CRMSYNC_SECRET_KEY": settings.secret_key,
        "CRMSYNC_SECRET_KEY_PREVIOUS": settings.secret_key_previous,
        "CRMSYNC_TOWER_PASSWORD": settings.tower_password,
        "CRMSYNC_METRICS_TOKEN": settings.metrics_token,
        **_flower_passwords(settings.flower.basic_auth),
        **{each.variable: value for each, value in _declared(settings) if each.is_of_a_door},
    }
    return {name: secret for name, secret in found.items() if secret is not None and not secret.is_withheld}


def _declared(settings: Settings) -> Iterator[tuple[Setting, Any]]:
    """Each setting of the systems that are configured, with what it is."""
    from crmsync.connectors.registry import system

    for name, own in settings.systems.items():
        for each in system(name).declared:
            yield each, getattr(own, each.name)


def _flower_passwords(users: Secret | None) -> dict[str, Secret | None]:
    """Each user's own: who else has it, and how long it is, is asked of the password and not of `user:password`."""
    if users is None or users.is_withheld:
        return {}
    pairs = (each.partition(":") for each in users.reveal().split(","))
    return {f"FLOWER_BASIC_AUTH of {user}": Secret(password) for user, _, password in pairs}


def _weakness(secret: Secret) -> str:
    value = secret.reveal()
    if any(known.lower() in value.lower() for known in PUBLIC_WORDS):
        return "it is a well-known value: make another with `openssl rand -hex 24`"
    if len(value) < LONG_ENOUGH or len(set(value)) < 8:
        return (
            f"fewer than {LONG_ENOUGH} characters, or too few different ones: make another with `openssl rand -hex 24`"
        )
    return ""


def _separate(settings: Settings) -> Iterator[tuple[str, str]]:
    from crmsync.connectors.registry import system

    values = [secret.reveal() for secret in _known(settings).values()]
    advice = "the same secret is used in several places: give each its own" if len(set(values)) < len(values) else ""
    yield "secrets are different", advice
    for name, own in settings.systems.items():
        if (harden := system(name).harden) is not None:
            yield from harden(own)


def _broker(settings: Settings) -> Iterator[tuple[str, str]]:
    for name, address in (("REDIS_URL", settings.redis_address), ("CELERY_BROKER_URL", settings.broker_address)):
        if address:
            yield f"{name} is encrypted and asks for a password", _broker_advice(address)


def _broker_advice(address: Address) -> str:
    parts = urlsplit(address.url)
    if parts.scheme in ("unix", "redis+socket"):
        return ""
    lacking = []
    if not address.is_tls and parts.hostname not in THIS_MACHINE:
        lacking.append("use rediss:// or amqps://: anyone on the network path can read and change data")
    if parts.password in (None, "", "guest"):
        lacking.append("give the server a password and a user of its own for crmsync")
    return "; ".join(lacking)


def _is_here(host: str) -> bool:
    """A socket, or an address of this machine, with or without its port."""
    return not host or host.startswith(("/", "@")) or bool({host, host.rpartition(":")[0]} & {*THIS_MACHINE})


def _hosts(named: str | None, options: Mapping[str, list[str]]) -> list[str]:
    """Where PostgreSQL's own library connects to: the options of the address win, the environment comes last."""
    from_environment = os.environ.get("PGHOSTADDR") or os.environ.get("PGHOST", "")
    hosts = options.get("hostaddr") or options.get("host") or [named or from_environment]
    return ",".join(hosts).split(",")


def _database(settings: Settings) -> Iterator[tuple[str, str]]:
    parts = urlsplit(settings.database_url)
    options = parse_qs(parts.query)
    if parts.scheme.startswith("sqlite") or all(map(_is_here, _hosts(parts.hostname, options))):
        return
    mode = options.get("sslmode", [os.environ.get("PGSSLMODE", "prefer")])[0]
    advice = f"sslmode is {mode}: add ?sslmode=verify-full&sslrootcert=system to DATABASE_URL"
    yield "the database's certificate is checked", "" if mode == "verify-full" else advice


def _systems(settings: Settings) -> Iterator[tuple[str, str]]:
    urls = {
        **{each.variable: value for each, value in _declared(settings) if each.kind == "url"},
        "SLACK_API_URL": settings.slack.api_url,
        "SLACK_WEBHOOK_URL": _url_of(settings.slack.webhook_url),
    }
    clear = [
        name for name, url in urls.items() if url.startswith("http:") and urlsplit(url).hostname not in THIS_MACHINE
    ]
    advice = f"{', '.join(clear)}: credentials travel in the clear; remove CRMSYNC_ALLOW_HTTP"
    yield "systems are reached by https", advice if clear else ""


def _url_of(secret: Secret | None) -> str:
    return "" if secret is None or secret.is_withheld else secret.reveal()


def _doors(settings: Settings) -> Iterator[tuple[str, str]]:
    # A proxy of this machine makes the doors public as well.
    url = settings.doors_url or settings.public_url
    is_public = bool({settings.host, urlsplit(url).hostname or settings.host} - {*THIS_MACHINE})
    apart = bool(settings.admin_port)
    advice = "set CRMSYNC_ADMIN_PORT, and publish PORT only"
    yield "private pages are served on a port of their own", "" if apart or not is_public else advice
    is_https = url.startswith("https:")
    front = "put a proxy with TLS in front (docker-compose.yml has one) and set CRMSYNC_DOORS_URL to its https address"
    yield "doors are behind TLS", "" if is_https or not is_public else front
    # The largest private networks are 10.0.0.0/8 and fc00::/7.
    anybody = [str(each) for each in settings.trusted_proxies if each.prefixlen < (8 if each.version == 4 else 7)]
    advice = f"CRMSYNC_TRUSTED_PROXIES={' '.join(anybody)} trusts any address: list those of your proxies"
    yield "only your own proxies are trusted", advice if anybody else ""


def _ways_in(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each way is somebody else's to guard: whoever hardens an installation has to know all of them."""
    oidc = settings.oidc
    ways = [
        "" if oidc.only else "passwords",
        "" if oidc.only else "the built-in operator's password",
        f"the identity provider {urlsplit(oidc.issuer).netloc}" if oidc.is_on else "",
        f"the proxy's header {settings.proxy_user_header}" if settings.proxy_user_header else "",
    ]
    yield f"{', '.join(filter(None, ways))}: the ways into the control tower that are open", ""
    is_clear = oidc.issuer.startswith("http:") and urlsplit(oidc.issuer).hostname not in THIS_MACHINE
    if oidc.is_on:
        advice = "CRMSYNC_OIDC_ISSUER: whoever is between signs in as anybody; give its https address"
        yield "the identity provider is reached by https", advice if is_clear else ""


def _flower(settings: Settings) -> Iterator[tuple[str, str]]:
    is_local = settings.flower.address in THIS_MACHINE
    advice = f"FLOWER_ADDRESS is {settings.flower.address}: leave it to this machine, and reach it by a tunnel"
    yield "Flower is not published", "" if is_local else advice


def _retention(settings: Settings) -> Iterator[tuple[str, str]]:
    days = settings.behaviour.keep_days
    yield "personal data is deleted in time", "" if days else "CRMSYNC_KEEP_DAYS=0 keeps names and addresses for ever"


def _diagnosis(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "no test switch is on", "unset CRMSYNC_FAILPOINTS: it kills workers" if settings.failpoints else ""
    yield "the log is not at DEBUG", "CRMSYNC_LOG_LEVEL=INFO" if settings.log_level == "DEBUG" else ""


def _schema(settings: Settings) -> Iterator[tuple[str, str]]:
    from crmsync.store import Store, schema

    if settings.has_default_store and not (settings.home / "crmsync.db").exists():
        return
    store = Store(settings.database_url)
    try:
        found = schema.current(store)
    except CrmsyncError as error:
        yield "the database has the tables of this release", str(error)
        return
    finally:
        store.close()
    advice = f"it is at {found}, this release is at {schema.HEAD}: run `crmsync migrate`, or install the newer release"
    yield "the database has the tables of this release", "" if found == schema.HEAD else advice


CHECKS: tuple[Check, ...] = (
    _user,
    _files,
    _secret_files,
    _own_key,
    _secrets,
    _separate,
    _broker,
    _database,
    _systems,
    _doors,
    _ways_in,
    _flower,
    _retention,
    _diagnosis,
    _schema,
)
